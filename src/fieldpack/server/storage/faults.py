"""How storage says that it can't."""

from __future__ import annotations

import errno

from fieldpack.errors import FieldpackError

__all__ = ["BlobDamaged", "BlobMissing", "StorageError", "StorageFull", "StorageUnavailable"]


class StorageError(FieldpackError, OSError):
    """Storage refused, for a reason that trying again won't change, such as wrong credentials."""


class StorageUnavailable(StorageError):
    """A passing fault: the same call may succeed later."""


class StorageFull(StorageError):
    """No room left: someone has to free space or raise a quota."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.errno = errno.ENOSPC


class BlobMissing(StorageError):
    """There is no object of this key, or not the one on record."""


class BlobDamaged(BlobMissing):
    """An object exists, but not with the size (or the bytes) on record."""
