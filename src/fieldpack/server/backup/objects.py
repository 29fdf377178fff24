"""Reading stored objects for a backup: in chunks, hashed, many at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from fieldpack.server.backup.format import Entry
from fieldpack.server.storage import Storage

__all__ = ["CHUNK_BYTES", "Tell", "iter_object", "map_windowed"]

CHUNK_BYTES = 4 << 20

Item = TypeVar("Item")
Result = TypeVar("Result")

Tell = Callable[[str, int, int], None]
"""Is told how far a step has come: its name, bytes done, bytes in all (0: unknown)."""


def iter_object(storage: Storage, entry: Entry) -> Iterator[bytes]:
    """The bytes of a stored object.

    Raises:
        BlobMissing: it is gone, or has other bytes than those on record (`BlobDamaged`).
        StorageError: storage does not answer.
    """
    if entry.size_bytes == 0:
        storage.read_range_blocking(entry.key, 0, 0)
    for offset in range(0, entry.size_bytes, CHUNK_BYTES):
        yield storage.read_range_blocking(entry.key, offset, min(CHUNK_BYTES, entry.size_bytes - offset))


def map_windowed(
    threads: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], window: int
) -> Iterator[Result]:
    """`map` in threads, in order, with no more than `window` items taken ahead of the results."""
    ahead: deque[Future[Result]] = deque()
    try:
        for item in items:
            ahead.append(threads.submit(work, item))
            if len(ahead) >= window:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        for future in ahead:
            future.cancel()
