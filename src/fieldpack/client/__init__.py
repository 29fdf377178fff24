"""The client of a collection server, and the download of what it exports."""

from fieldpack.client.api import Client
from fieldpack.client.download.archive import download_archive
from fieldpack.client.export import Export, ExportNotReady
from fieldpack.client.progress import OnProgress, Progress

__all__ = ["Client", "Export", "ExportNotReady", "OnProgress", "Progress", "download_archive"]
