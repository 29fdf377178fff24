"""Where blobs are: a folder or a bucket behind one interface, chosen by `FIELDPACK_STORAGE_URL`."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from fieldpack.errors import ConfigError
from fieldpack.server.config import Settings
from fieldpack.server.storage.base import (
    PREFIXES,
    Buffer,
    Storage,
    StoredObject,
    blob_key,
    span_key,
    thumbnail_key,
    upload_prefix,
)
from fieldpack.server.storage.local import LocalStorage
from fieldpack.server.storage.multipart import Multipart
from fieldpack.server.storage.proofs import FileRange
from fieldpack.server.storage.remote import RemoteStorage

__all__ = [
    "PREFIXES",
    "Buffer",
    "FileRange",
    "LocalStorage",
    "Multipart",
    "RemoteStorage",
    "Storage",
    "StoredObject",
    "blob_key",
    "open_storage",
    "span_key",
    "thumbnail_key",
    "upload_prefix",
]


def open_storage(settings: Settings, *, spare_bytes: int = 0) -> Storage:
    """The storage that the settings name: `file:///folder`, `s3://bucket/prefix`, `gs://…` or `az://…`.

    Args:
        spare_bytes: what is left free on the disk of the data folder, where the storage is a folder there.

    Endpoint and credentials of a bucket come from the environment, as each provider's own tools take them.
    Temporary files go below the data folder.

    Raises:
        ConfigError: the URL is none of these.
        StorageError: the folder can't be made, or the bucket's settings make no sense.
    """
    url = settings.resolved_storage_url
    scratch = settings.data_dir / "tmp"
    folder = settings.storage_folder
    if folder is not None:
        is_beside = _find_disk(folder) == _find_disk(settings.data_dir)
        return LocalStorage(folder, scratch, spare_bytes=spare_bytes if is_beside else 0)
    if urlsplit(url).scheme in ("s3", "gs", "az"):
        return RemoteStorage(
            url, scratch, assembles=settings.delivery == "store", link_endpoint=settings.storage_link_endpoint
        )
    raise ConfigError(f"storage_url: {url} is not file://, s3://, gs:// or az://.")


def _find_disk(folder: Path) -> int | None:
    """The device that a folder is on, or will be on when it is made."""
    for place in (folder, *folder.parents):
        try:
            return place.stat().st_dev
        except OSError:
            continue
    return None
