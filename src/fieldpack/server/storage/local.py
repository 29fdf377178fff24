"""Blobs as files in one folder.

Reads go through `preadv2(RWF_NOWAIT)` on the event loop when the page cache has the bytes, and through a
thread when it doesn't: a slow disk never delays other requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import shutil
import time
import uuid
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from isal import isal_zlib

from fieldpack.errors import BlobDamaged, StorageError, StorageUnavailable
from fieldpack.files import rename_over, sync_file, sync_folder, try_lock, write_all
from fieldpack.server.storage.base import THREADS, Buffer, Storage, StoredObject
from fieldpack.server.storage.buffers import Buffers
from fieldpack.server.storage.folders import STAGING, Folders, refuse_links
from fieldpack.server.storage.local_files import (
    UnfinishedFile,
    count_disk_reads,
    read_exactly,
    require_room,
    translated,
)
from fieldpack.server.storage.proofs import Proofs

__all__ = ["LocalStorage"]

CHUNK_BYTES = 512 * 1024
LIST_PAGE = 1000
SLOW_SECONDS = 0.01
THREADS_SECONDS = 1.0
_NOWAIT: int = getattr(os, "RWF_NOWAIT", 0)


class LocalStorage(Storage):
    """Objects as files below `root`, readable by the server's user only.

    Args:
        root: folder that holds everything; made if missing. It may be reached by links, which are followed once, here;
            below it no link is followed.
        scratch: folder for temporary files.
        spare_bytes: with less than this free on the disk it counts as full.
    """

    can_sign = False

    def __init__(self, root: Path, scratch: Path, *, spare_bytes: int = 0) -> None:
        super().__init__(scratch)
        self.spare_bytes = spare_bytes
        with translated(str(root)):
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.root = root.resolve(strict=True)
            refuse_links(self.root)
        self._folders = Folders(self.root)
        self.proofs = Proofs(self._folders) if _NOWAIT and hasattr(os, "sendfile") else None
        self._in_threads_until = 0.0
        self._turn = asyncio.Lock()
        self._buffers = Buffers(CHUNK_BYTES)

    def close(self) -> None:
        super().close()
        self._folders.close()

    # reading

    async def iter_range(
        self, key: str, offset: int, length: int, *, size_bytes: int
    ) -> AsyncGenerator[Buffer]:
        end = offset + length
        if time.monotonic() < self._in_threads_until:
            descriptor = await self.run(self._open_checked, key, size_bytes)
        else:
            with self._timed():
                descriptor = self._open_checked(key, size_bytes)
        nowait = _NOWAIT
        try:
            while offset < end:
                wanted = min(CHUNK_BYTES, end - offset)
                if nowait:
                    chunk = self._buffers.lend()[:wanted]
                    try:
                        got = os.preadv(descriptor, (chunk,), offset, nowait)
                    except BlockingIOError:
                        got = -1
                    except OSError as error:
                        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                            raise StorageUnavailable(f"Storage failed: {error.strerror}.") from error
                        got, nowait = -1, 0
                    if got > 0:
                        yield chunk if got == wanted else chunk[:got]
                        offset += got
                        continue
                    del chunk
                yield await self.run(self._read_ahead, descriptor, offset, wanted, key)
                offset += wanted
        finally:
            os.close(descriptor)

    def _open_checked(self, key: str, size_bytes: int) -> int:
        try:
            descriptor = self._folders.open(key, os.O_RDONLY)
            found = os.fstat(descriptor).st_size
        except OSError:
            with translated(key):
                raise
        if found != size_bytes:
            os.close(descriptor)
            raise BlobDamaged(f"{key} has {found:,} bytes instead of the {size_bytes:,} on record.")
        return descriptor

    def _read_ahead(self, descriptor: int, offset: int, length: int, key: str) -> bytes:
        with translated(key):
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(descriptor, offset + length, 4 * CHUNK_BYTES, os.POSIX_FADV_WILLNEED)
            return read_exactly(descriptor, offset, length, key)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Measure whether opening a file waits for the disk; if it does, files are opened in threads for a while.

        A file whose name is in the kernel's cache is opened in microseconds, ten times as fast as a thread does it;
        whether it is in the cache is not known before. Slow without a read from disk means a busy machine or
        interpreter, where threads would make it worse. What a network file system reads is not counted as a read
        from disk; for such storage there are buckets.
        """
        reads, started = count_disk_reads(), time.monotonic()
        yield
        now = time.monotonic()
        if now - started > SLOW_SECONDS and count_disk_reads() > reads:
            self._in_threads_until = now + THREADS_SECONDS

    async def fill_cached(self, objects: Sequence[tuple[str, memoryview, int]]) -> list[int]:
        if not _NOWAIT or time.monotonic() < self._in_threads_until:
            return list(range(len(objects)))
        async with self._turn:
            missed = self._fill_cached(objects)
            await asyncio.sleep(0)  # with hundreds of waiting calls, other requests run in between
        return missed

    def _fill_cached(self, objects: Sequence[tuple[str, memoryview, int]]) -> list[int]:
        missed: list[int] = []
        beyond = bytearray(1)  # stays unread unless the object is longer than the view
        with self._timed():
            for number, (key, view, crc32) in enumerate(objects):
                got = -1
                try:
                    descriptor = self._folders.open(key, os.O_RDONLY)
                    try:
                        got = os.preadv(descriptor, (view, beyond), 0, _NOWAIT)
                    finally:
                        os.close(descriptor)
                except OSError:
                    pass
                # checked now, while the bytes are in the processor's cache
                if got != len(view) or isal_zlib.crc32(view) != crc32:
                    missed.append(number)
        return missed

    async def read_range(self, key: str, offset: int, length: int) -> bytes:
        return await self.run(self.read_range_blocking, key, offset, length)

    def read_range_blocking(self, key: str, offset: int, length: int) -> bytes:
        with translated(key):
            descriptor = self._folders.open(key, os.O_RDONLY)
            try:
                return read_exactly(descriptor, offset, length, key)
            finally:
                os.close(descriptor)

    async def read_many(self, objects: Sequence[tuple[str, int]]) -> list[bytes]:
        return await self.run(self._read_many, objects)

    def _read_many(self, objects: Sequence[tuple[str, int]]) -> list[bytes]:
        found: list[bytes] = []
        for key, size_bytes in objects:
            with translated(key):
                descriptor = self._folders.open(key, os.O_RDONLY)
                try:
                    data = os.pread(descriptor, size_bytes + 1, 0)
                    if 0 < len(data) < size_bytes:  # a read may return fewer bytes than there are
                        data = read_exactly(descriptor, 0, size_bytes, key)
                finally:
                    os.close(descriptor)
            if len(data) != size_bytes:
                raise BlobDamaged(f"{key} does not have the {size_bytes:,} bytes on record.")
            found.append(data)
        return found

    async def open_whole(self, key: str, size_bytes: int) -> int:
        return await self.run(self._open_checked, key, size_bytes)

    async def size(self, key: str) -> int:
        return await self.run(self._size, key)

    def _size(self, key: str) -> int:
        with translated(key):
            return self._folders.stat(key).st_size

    async def iter_objects(self, prefix: str) -> AsyncIterator[list[StoredObject]]:
        walk = self._walk(prefix)
        while page := await self.run(self._next_page, walk):
            yield page

    def _walk(self, prefix: str) -> Iterator[StoredObject]:
        top = prefix.rstrip("/")
        with (
            translated(prefix),
            contextlib.suppress(FileNotFoundError),
            self._folders.at(f"{top}/x") as (start, _),
        ):
            for folder, folders, names, descriptor in os.fwalk(".", dir_fd=start):
                folders.sort()
                way = top + folder.removeprefix(".")
                for name in sorted(names):
                    with contextlib.suppress(FileNotFoundError):
                        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                        at = datetime.fromtimestamp(status.st_mtime, UTC)
                        yield StoredObject(f"{way}/{name}", status.st_size, at)

    @staticmethod
    def _next_page(walk: Iterator[StoredObject]) -> list[StoredObject]:
        return list(itertools.islice(walk, LIST_PAGE))

    # writing

    async def put(self, key: str, data: Buffer) -> None:
        await self.run(self.put_blocking, key, data)

    def put_blocking(self, key: str, data: Buffer) -> None:
        with self._staged(key) as descriptor:
            self._write_more(descriptor, data)

    def put_many_blocking(self, objects: Sequence[tuple[str, Buffer]]) -> None:
        """As `Storage.put_many_blocking`; each folder is flushed once, after all that is renamed into it."""
        with translated("Several objects"), self._folders.at(f"{STAGING}/x", make=True) as (staging, _):
            names = [uuid.uuid4().hex for _ in objects]

            def write(some: slice) -> None:
                for name, (_, data) in zip(names[some], objects[some], strict=True):
                    descriptor = os.open(
                        name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=staging
                    )
                    try:
                        self._write_more(descriptor, data)
                        sync_file(descriptor)
                    finally:
                        os.close(descriptor)

            writing = [self._threads.submit(write, slice(at, None, THREADS)) for at in range(THREADS)]
            wait(writing)  # all of them: whoever fails first leaves no other at work in what is removed below
            staged = deque(zip(names, objects, strict=True))
            try:
                for each in writing:
                    each.result()
                while staged:
                    name, (key, _) = staged[0]
                    with self._folders.at(key, make=True) as (folder, target):
                        rename_over(name, target, source_fd=staging, target_fd=folder)
                    staged.popleft()
            finally:
                for name, _ in staged:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=staging)
            above = {key.rpartition("/")[0] for key, _ in objects}
            for _ in self._threads.map(self._sync_folder, above):  # several at once, as the disk takes them
                pass

    def _sync_folder(self, above: str) -> None:
        with self._folders.at(f"{above}/x") as (folder, _):
            sync_folder(folder)

    async def put_stream(self, key: str, chunks: AsyncIterator[Buffer], *, size_hint: int) -> None:
        staging, descriptor = await self.run(self._open_staging)
        try:
            async for chunk in chunks:
                await self.run(self._write_more, descriptor, chunk)
            await self.run(self._publish, key, staging, descriptor)
        except OSError as error:
            with translated(key):
                raise error
        finally:
            os.close(descriptor)
            self._unlink(staging)  # not there any more after the rename

    def _write_more(self, descriptor: int, data: Buffer) -> None:
        require_room(descriptor, self.spare_bytes)
        write_all(descriptor, data)

    def _open_staging(self) -> tuple[str, int]:
        """The key of a new file that nothing refers to, and its descriptor."""
        key = f"{STAGING}/{uuid.uuid4().hex}"
        return key, self._folders.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, make=True)

    def _unlink(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._folders.at(key) as (folder, name):
            os.unlink(name, dir_fd=folder)

    def _publish(self, key: str, staging: str, descriptor: int) -> None:
        """Flush the data, rename the file, flush its folder: after a crash an object is complete or not there."""
        sync_file(descriptor)
        with self._folders.at(staging) as (folder, name):
            self._rename(name, folder, key)

    def _rename(self, source: str | Path, source_folder: int | None, key: str) -> None:
        try:
            self._rename_once(source, source_folder, key)
        except FileNotFoundError:  # `delete` has removed the empty folder meanwhile
            os.stat(source, dir_fd=source_folder, follow_symlinks=False)
            self._rename_once(source, source_folder, key)

    def _rename_once(self, source: str | Path, source_folder: int | None, key: str) -> None:
        with self._folders.at(key, make=True) as (folder, name):
            rename_over(source, name, source_fd=source_folder, target_fd=folder)
            sync_folder(folder)

    @contextmanager
    def _staged(self, key: str) -> Iterator[int]:
        """A descriptor to write to; at the end of the block the file gets its key, or after an error nothing does."""
        with translated(key):
            staging, descriptor = self._open_staging()
            try:
                yield descriptor
                self._publish(key, staging, descriptor)
            except BaseException:
                self._unlink(staging)
                raise
            finally:
                os.close(descriptor)

    def put_file_blocking(self, key: str, path: Path) -> None:
        with translated(key):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                sync_file(descriptor)
            finally:
                os.close(descriptor)
            os.chmod(path, 0o600)
            try:
                self._rename(path, None, key)
                return
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
        with self._staged(key) as target, path.open("rb") as source:
            while data := source.read(1 << 20):
                write_all(target, data)
        path.unlink()

    async def open_unfinished(self, key: str, *, fresh: bool) -> UnfinishedFile | None:
        """Open the file of an unfinished blob for writing, or None while another writer holds it.

        Args:
            fresh: nothing of it is committed yet, so the file is made if it isn't there.

        Raises:
            BlobMissing: bytes of it are committed, but the file is gone.
        """
        return await self.run(self._open_unfinished, key, fresh)

    def _open_unfinished(self, key: str, fresh: bool) -> UnfinishedFile | None:
        with translated(key), self._folders.at(key, make=fresh) as (folder, _):
            try:
                descriptor, new = self._folders.open(key, os.O_RDWR), False
            except FileNotFoundError:
                if not fresh:
                    raise
                descriptor, new = self._folders.open(key, os.O_RDWR | os.O_CREAT, make=True), True
            try:
                is_ours = try_lock(descriptor)
                if new and is_ours:
                    sync_folder(folder)
            except OSError:
                os.close(descriptor)
                raise
        if not is_ours:
            os.close(descriptor)
            return None
        return UnfinishedFile(key, descriptor, self.spare_bytes)

    async def delete(self, keys: Iterable[str]) -> None:
        await self.run(self.delete_blocking, list(keys))

    def delete_blocking(self, keys: Iterable[str]) -> None:
        for key in keys:
            with translated(key):
                self._unlink(key)
            above = key.rpartition("/")[0]
            if above and not key.startswith(
                "blobs/"
            ):  # folders of blobs are few and reused; others would accumulate
                with contextlib.suppress(OSError), self._folders.at(above) as (folder, name):
                    os.rmdir(name, dir_fd=folder)

    async def delete_prefix(self, prefix: str) -> None:
        await self.run(self.delete_prefix_blocking, prefix)

    def delete_prefix_blocking(self, prefix: str) -> None:
        key = prefix.rstrip("/")
        with (
            translated(prefix),
            contextlib.suppress(FileNotFoundError),
            self._folders.at(key) as (folder, name),
        ):
            shutil.rmtree(name, dir_fd=folder)

    # the rest

    async def sign(self, key: str, seconds: int) -> str:
        raise StorageError("Files on a disk have no links of their own: `store` delivery needs a bucket.")

    async def probe(self) -> None:
        await self.run(self._probe)

    def _probe(self) -> None:
        with translated("The storage folder"):
            staging, descriptor = self._open_staging()
            try:
                os.write(descriptor, b"probe")
            finally:
                os.close(descriptor)
                self._unlink(staging)
