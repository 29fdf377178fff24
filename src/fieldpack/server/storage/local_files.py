"""Files of local storage, below what a storage of objects is: their errors, their room, and unfinished blobs."""

from __future__ import annotations

import errno
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from fieldpack.errors import BlobDamaged, BlobMissing, StorageError, StorageFull, StorageUnavailable
from fieldpack.files import sync_bytes
from fieldpack.server.storage.base import Buffer

__all__ = ["UnfinishedFile", "count_disk_reads", "read_exactly", "require_room", "translated"]

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Raise errors of the operating system as those that `Storage` documents."""
    try:
        yield
    except StorageError:
        raise
    except FileNotFoundError:
        raise BlobMissing(f"{key} is not in storage.") from None
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            raise StorageFull(
                "The disk that files are stored on is full: free some space, then try again."
            ) from error
        if error.errno in _REFUSED:
            raise StorageError(f"Storage can't be used: {reason}. Check who owns its folder.") from error
        raise StorageUnavailable(f"Storage failed: {reason}.") from error


def count_disk_reads() -> int:
    """How many blocks this thread has read from disks so far; elsewhere than on Linux, which does not say, a clock."""
    if sys.platform != "linux":
        return int(time.monotonic() * 1000)
    return resource.getrusage(resource.RUSAGE_THREAD).ru_inblock


def read_exactly(descriptor: int, offset: int, length: int, key: str) -> bytes:
    """`length` bytes from `offset` of an open file.

    Raises:
        BlobDamaged: the file ends before; `key` names it.
    """
    data = os.pread(descriptor, length, offset)
    if len(data) == length:
        return data
    chunks = [data]
    got = len(data)
    while data and got < length:
        data = os.pread(descriptor, length - got, offset + got)
        chunks.append(data)
        got += len(data)
    if got < length:
        raise BlobDamaged(f"{key} ends at byte {offset + got}, before {offset + length}.")
    return b"".join(chunks)


def require_room(descriptor: int, spare_bytes: int) -> None:
    """Raise `OSError` (ENOSPC) when the disk of an open file has less than `spare_bytes` free."""
    if spare_bytes:
        status = os.fstatvfs(descriptor)
        if status.f_bavail * status.f_frsize < spare_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class UnfinishedFile:
    """The file of a blob that is not finished: written at offsets, by the one process that has locked it.

    The lock is the kernel's (`flock`): it ends with the process, and while it is held no other request, however
    late, can write to the file.
    """

    def __init__(self, key: str, descriptor: int, spare_bytes: int = 0) -> None:
        self.key = key
        self._descriptor = descriptor
        self._spare_bytes = spare_bytes

    def write(self, data: Buffer, offset: int) -> None:
        """Write `data` at `offset`; on disk after `sync`."""
        with translated(self.key):
            require_room(self._descriptor, self._spare_bytes)
            view = memoryview(data)
            while view:
                written = os.pwrite(self._descriptor, view, offset)
                offset += written
                view = view[written:]

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""
        with translated(self.key):
            return os.pread(self._descriptor, length, offset)

    def sync(self) -> None:
        """Flush what was written to disk."""
        with translated(self.key):
            sync_bytes(self._descriptor)

    def cut(self, size_bytes: int) -> None:
        """Cut off bytes that an earlier request wrote past the end."""
        with translated(self.key):
            if os.fstat(self._descriptor).st_size != size_bytes:
                os.ftruncate(self._descriptor, size_bytes)

    def close(self) -> None:
        """Close the file, which releases the lock."""
        os.close(self._descriptor)
