"""The interface of every kind of storage."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from fieldpack.server.storage.multipart import Multipart
    from fieldpack.server.storage.proofs import Proofs

from fieldpack.errors import BlobMissing
from fieldpack.files import write_all

__all__ = [
    "PREFIXES",
    "THREADS",
    "Buffer",
    "Storage",
    "StoredObject",
    "blob_key",
    "span_key",
    "thumbnail_key",
    "upload_prefix",
]

P = ParamSpec("P")
T = TypeVar("T")
Buffer = bytes | bytearray | memoryview

THREADS = 8  # that wait for the disk, or the bucket
LONGEST_LINK_SECONDS = 7 * 86400  # what all providers allow

PREFIXES = ("blobs/", "uploads/", "exports/", "thumbnails/")
"""What the keys of everything begin with that rows refer to."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One entry of a listing."""

    key: str
    size_bytes: int
    modified_at: datetime


def blob_key(blob_id: uuid.UUID | str) -> str:
    """Where the bytes of a blob are: `blobs/<2 hex>/<uuid>`."""
    name = str(blob_id)
    return f"blobs/{name[:2]}/{name}"


def thumbnail_key(blob_id: uuid.UUID | str, side: int) -> str:
    """Where a small picture of a blob is: `thumbnails/<2 hex>/<blob>-<side>`."""
    name = str(blob_id)
    return f"thumbnails/{name[:2]}/{name}-{side}"


def upload_prefix(upload_id: uuid.UUID | str) -> str:
    """The beginning of the keys of an upload's stored spans."""
    return f"uploads/{upload_id}/"


def span_key(upload_id: uuid.UUID | str, offset: int) -> str:
    """A key for a span of an upload that begins at `offset`; new at each call, so that two writers never share one."""
    return f"{upload_prefix(upload_id)}{offset:016d}-{uuid.uuid4().hex}"


class Storage(ABC):
    """Objects by key. Keys are ours alone: one of `PREFIXES`, and what tells one from another; an object never changes.

    What was put is durable when the call returns: it survives a power cut. Every method raises
    `BlobMissing` for a key that isn't there, `StorageUnavailable` for a passing fault, `StorageFull`
    when there is no room, `StorageError` when access is refused. Methods ending in `_blocking` are for
    job threads; the others are coroutines of the event loop.

    Args:
        scratch: folder for temporary files of this process, on a local disk.
    """

    can_sign: bool
    proofs: Proofs | None = None
    """Files that the kernel may send by itself; None where objects are no files."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="storage")

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking `work` in a thread of the storage's own pool, so that it doesn't wait for other work."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *args, **kwargs))

    def close(self) -> None:
        """Stop the threads; no call may be running."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    # reading

    @abstractmethod
    def iter_range(self, key: str, offset: int, length: int, *, size_bytes: int) -> AsyncGenerator[Buffer]:
        """The bytes `[offset, offset + length)` of an object of `size_bytes`, in chunks of at most 512 KiB.

        Close the iterator (`aclosing`) when leaving early: it has an open descriptor, or running requests.
        It may yield many chunks without waiting: the consumer must let other tasks run now and then.

        Raises:
            BlobDamaged: the object's size is another, or it ended early.
        """

    @abstractmethod
    async def read_range(self, key: str, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`.

        Raises:
            BlobDamaged: the object ends before.
        """

    @abstractmethod
    async def read_many(self, objects: Sequence[tuple[str, int]]) -> list[bytes]:
        """Whole objects, each `(key, size_bytes)`, at once: for many small ones, whose sum fits in memory.

        Raises:
            BlobDamaged: the size of one is another.
        """

    async def fill_cached(self, objects: Sequence[tuple[str, memoryview, int]]) -> list[int]:
        """Fill each view with the complete object of that key, if that is possible without waiting.

        Meant for the event loop: it never blocks for longer than a few ms. Nothing is raised: objects that are
        missing, not in the page cache, or of another length or CRC-32 are left to `read_many`, which raises.

        Returns:
            The positions of those that were not filled.
        """
        return list(range(len(objects)))

    async def open_whole(self, key: str, size_bytes: int) -> int:
        """A descriptor for reading a whole object, from its beginning; the caller closes it.

        Of an object in a bucket it is a copy in `scratch` that has no name, and is gone once it is closed.

        Raises:
            BlobDamaged: the object's size is another.
        """
        with tempfile.TemporaryFile(dir=self.scratch) as copy:
            async with contextlib.aclosing(
                self.iter_range(key, 0, size_bytes, size_bytes=size_bytes)
            ) as chunks:
                async for chunk in chunks:
                    await self.run(write_all, copy.fileno(), chunk)
            os.lseek(copy.fileno(), 0, os.SEEK_SET)
            return os.dup(copy.fileno())

    @abstractmethod
    async def size(self, key: str) -> int:
        """The size of an object, in bytes."""

    async def has(self, key: str, size_bytes: int) -> bool:
        """Whether there is such an object, and of this size."""
        try:
            return await self.size(key) == size_bytes
        except BlobMissing:
            return False

    @abstractmethod
    def iter_objects(self, prefix: str) -> AsyncIterator[list[StoredObject]]:
        """Every object whose key begins with `prefix` (which ends in `/`), a page at a time, to the last."""

    # writing

    @abstractmethod
    async def put(self, key: str, data: Buffer) -> None:
        """Store `data`, replacing an earlier object atomically."""

    @abstractmethod
    async def put_stream(self, key: str, chunks: AsyncIterator[Buffer], *, size_hint: int) -> None:
        """Store what `chunks` gives, in constant memory. If it raises, so does this, and nothing is stored.

        Args:
            size_hint: about how many bytes will come; sizes the parts of a multipart upload.
        """

    @abstractmethod
    async def delete(self, keys: Iterable[str]) -> None:
        """Remove objects. Those that aren't there are no error."""

    @abstractmethod
    async def delete_prefix(self, prefix: str) -> None:
        """Remove every object whose key begins with `prefix`, which ends in `/`."""

    # for job threads

    @abstractmethod
    def read_range_blocking(self, key: str, offset: int, length: int) -> bytes:
        """`read_range`, for a thread."""

    @abstractmethod
    def put_blocking(self, key: str, data: Buffer) -> None:
        """`put`, for a thread."""

    def put_many_blocking(self, objects: Sequence[tuple[str, Buffer]]) -> None:
        """`put` of many small objects, several at once. When it raises, some of them may be stored."""
        for _ in self._threads.map(lambda each: self.put_blocking(*each), objects):
            pass

    @abstractmethod
    def put_file_blocking(self, key: str, path: Path) -> None:
        """Move the file at `path` into storage: a rename where it can be one."""

    @abstractmethod
    def delete_blocking(self, keys: Iterable[str]) -> None:
        """`delete`, for a thread."""

    @abstractmethod
    def delete_prefix_blocking(self, prefix: str) -> None:
        """`delete_prefix`, for a thread."""

    # the rest

    @abstractmethod
    async def sign(self, key: str, seconds: int) -> str:
        """A URL of the bucket's own that GETs this object for `seconds`.

        Raises:
            StorageError: this storage has no URLs (`can_sign` is False).
        """

    async def sign_for(self, key: str, seconds: int) -> tuple[str, int]:
        """`sign`, for as long as the credentials let us: the URL, and for how many seconds it is valid."""
        seconds = min(seconds, LONGEST_LINK_SECONDS)
        return await self.sign(key, seconds), seconds

    def open_multipart(self) -> Multipart | None:
        """Multipart uploads whose parts several processes may send; None where the storage has none."""
        return None

    @abstractmethod
    async def probe(self) -> None:
        """Check that objects can be written, read and removed at the moment; raise as the methods above if not."""
