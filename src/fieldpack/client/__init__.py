"""The client of a collection server, and the download of what it exports."""

from fieldpack.client.api import Client
from fieldpack.client.download.archive import download_archive
from fieldpack.client.export import ExportRecord
from fieldpack.client.progress import OnProgress, Progress
from fieldpack.errors import ExportNotReady

__all__ = ["Client", "ExportNotReady", "ExportRecord", "OnProgress", "Progress", "download_archive"]
