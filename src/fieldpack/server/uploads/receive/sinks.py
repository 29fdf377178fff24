"""Where the bytes of a request are written: to one growing file, or to objects that are joined at the end."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from isal import isal_zlib

from fieldpack.errors import BlobDamaged
from fieldpack.server.problems import conflict
from fieldpack.server.storage import Buffer, LocalStorage, Storage, blob_key, span_key
from fieldpack.server.storage.local_files import UnfinishedFile
from fieldpack.server.uploads.receive.digests import Digests
from fieldpack.server.uploads.rows import StoredSpanRow

__all__ = ["FileSink", "Sink", "SpanSink", "StreamSink", "open_sink"]

MIB = 1 << 20
READ_BYTES = 1 * MIB
CHUNK_BYTES = 8 * MIB
QUEUED_BUFFERS = 8
LOCK_SECONDS = 15.0
ABORT_SECONDS = 10.0
LOCK_POLL_SECONDS = 0.03


class Aborted(Exception):
    """Ends the upload of an object that is discarded."""


class Sink(ABC):
    """Writes the bytes of one request, in order.

    Attributes:
        commit_bytes: the offset is committed after so many bytes; 0 if not before the end.
        commit_seconds: and after so many seconds.
        overlaps: `write` may be called while a flush is running.
        blob_id: the id of the finished blob. A file belongs to the upload and is locked; an object belongs to this
            request, so that a request that lost the upload to a newer one never overwrites the newer one's object.
    """

    commit_bytes: int
    commit_seconds: float
    overlaps: bool

    def __init__(self, storage: Storage, upload_id: UUID, blob_id: UUID) -> None:
        self.storage = storage
        self.upload_id = upload_id
        self.blob_id = blob_id
        self.key = blob_key(blob_id)

    @abstractmethod
    async def write(self, buffers: Sequence[Buffer], offset: int, digests: Digests) -> None:
        """Write bytes that begin at `offset` of the upload, and hash them. The buffers may be reused afterwards."""

    @abstractmethod
    async def flush(self) -> list[StoredSpanRow]:
        """Flush to disk everything written so far; the spans that were stored as objects since the last call."""

    @abstractmethod
    async def read(self, offset: int, size: int, spans: Sequence[StoredSpanRow]) -> bytes:
        """Up to `size` of the upload's bytes from `offset` on, as they are stored."""

    @abstractmethod
    async def finish(
        self, length: int, digests: Digests, spans: Sequence[StoredSpanRow]
    ) -> tuple[int, bytes]:
        """Complete the blob and flush it to disk; its CRC-32 and SHA-256.

        Raises:
            BlobDamaged: what is stored is not what was received.
        """

    @abstractmethod
    async def discard(self) -> None:
        """Discard what was written since the last flush, and remove its objects."""

    async def close(self) -> None:  # noqa: B027
        """Release descriptors, locks and tasks. Always called, once."""


class FileSink(Sink):
    """A local file, written at offsets; bytes past the committed offset are overwritten by the next request."""

    commit_bytes = 16 * MIB
    commit_seconds = 2.0
    overlaps = True

    def __init__(self, storage: Storage, upload_id: UUID, file: UnfinishedFile) -> None:
        super().__init__(storage, upload_id, upload_id)
        self._file = file

    async def write(self, buffers: Sequence[Buffer], offset: int, digests: Digests) -> None:
        # both release the interpreter's lock, so that two processors share the work
        hashing = asyncio.ensure_future(self.storage.run(_hash, buffers, digests))
        try:
            await self.storage.run(self._write, buffers, offset)
        finally:
            await hashing

    def _write(self, buffers: Sequence[Buffer], offset: int) -> None:
        for buffer in buffers:
            self._file.write(buffer, offset)
            offset += len(buffer)

    async def flush(self) -> list[StoredSpanRow]:
        await self.storage.run(self._file.sync)
        return []

    async def read(self, offset: int, size: int, spans: Sequence[StoredSpanRow]) -> bytes:
        return await self.storage.run(self._file.read, offset, size)

    async def finish(
        self, length: int, digests: Digests, spans: Sequence[StoredSpanRow]
    ) -> tuple[int, bytes]:
        return await self.storage.run(self._finish, length, digests)

    def _finish(self, length: int, digests: Digests) -> tuple[int, bytes]:
        self._file.cut(length)
        self._file.sync()
        if digests.sha256 is not None:
            return digests.crc32, digests.sha256.digest()
        sha256, crc32, offset = hashlib.sha256(), 0, 0
        while data := self._file.read(offset, READ_BYTES):
            sha256.update(data)
            crc32 = isal_zlib.crc32(data, crc32)
            offset += len(data)
        if offset != length or crc32 != digests.crc32:
            raise BlobDamaged("The stored bytes are not those that arrived.")
        return crc32, sha256.digest()

    async def discard(self) -> None:
        return

    async def close(self) -> None:
        self._file.close()


def _hash(buffers: Sequence[Buffer], digests: Digests) -> None:
    for buffer in buffers:
        digests.update(buffer)


def _copy_hashed(buffers: Sequence[Buffer], digests: Digests) -> list[bytes]:
    copies = []
    for buffer in buffers:
        digests.update(buffer)
        copies.append(bytes(buffer))
    return copies


class SpanSink(Sink):
    """An object per `CHUNK_BYTES`, joined at the end."""

    commit_bytes = CHUNK_BYTES
    commit_seconds = 10.0
    overlaps = False

    def __init__(self, storage: Storage, upload_id: UUID, blob_id: UUID, offset: int) -> None:
        super().__init__(storage, upload_id, blob_id)
        self._gathered: list[bytes] = []
        self._offset = offset
        self._made: list[StoredSpanRow] = []

    async def write(self, buffers: Sequence[Buffer], offset: int, digests: Digests) -> None:
        self._gathered += await self.storage.run(_copy_hashed, buffers, digests)
        if sum(map(len, self._gathered)) >= CHUNK_BYTES:
            await self._put()

    async def _put(self) -> None:
        data = b"".join(self._gathered)
        self._gathered.clear()
        if data:
            key = span_key(self.upload_id, self._offset)
            self._made.append(StoredSpanRow(self._offset, len(data), key))
            self._offset += len(data)
            await self.storage.put(key, data)

    async def flush(self) -> list[StoredSpanRow]:
        await self._put()
        made, self._made = self._made, []
        return made

    async def read(self, offset: int, size: int, spans: Sequence[StoredSpanRow]) -> bytes:
        data = bytearray()
        for span in spans:
            begin = offset + len(data) - span.offset_bytes
            wanted = min(span.size_bytes - begin, size - len(data))
            if begin >= 0 and wanted > 0:
                data += await self.storage.read_range(span.key, begin, wanted)
        return bytes(data)

    async def finish(
        self, length: int, digests: Digests, spans: Sequence[StoredSpanRow]
    ) -> tuple[int, bytes]:
        if length == 0:
            await self.storage.put(self.key, b"")
            return 0, hashlib.sha256().digest()
        whole = len(spans) == 1 and spans[0].key == self.key
        sha256, crc32, end = hashlib.sha256(), 0, 0

        def update(data: Buffer) -> None:
            nonlocal crc32
            sha256.update(data)
            crc32 = isal_zlib.crc32(data, crc32)

        async def read() -> AsyncIterator[Buffer]:
            nonlocal end
            for span in spans:
                if span.offset_bytes != end:
                    raise BlobDamaged("The stored spans don't follow one another.")
                size = span.size_bytes
                end += size
                chunks = self.storage.iter_range(span.key, 0, size, size_bytes=size)
                async with contextlib.aclosing(chunks):
                    async for data in chunks:
                        await self.storage.run(update, data)
                        yield data
            if end != length or crc32 != digests.crc32:
                raise BlobDamaged("The stored bytes are not those that arrived.")

        if whole and digests.sha256 is not None:
            return digests.crc32, digests.sha256.digest()
        if whole:
            async for _ in read():
                pass
        else:
            await self.storage.put_stream(self.key, read(), size_hint=length)
        return crc32, sha256.digest()

    async def discard(self) -> None:
        self._gathered.clear()
        made, self._made = self._made, []
        if made:
            await self.storage.delete([span.key for span in made])


class StreamSink(SpanSink):
    """A complete file in one request: streamed into the blob, as one multipart upload.

    If the connection breaks, the object is closed with what arrived, and is the first span of the upload.
    """

    commit_bytes = 0

    def __init__(self, storage: Storage, upload_id: UUID, blob_id: UUID, length: int) -> None:
        super().__init__(storage, upload_id, blob_id, 0)
        self._queue: asyncio.Queue[Buffer | None] = asyncio.Queue(maxsize=QUEUED_BUFFERS)
        self._size = 0
        self._flushed = False
        self._aborted = False
        self._task = asyncio.create_task(storage.put_stream(self.key, self._drain(), size_hint=length))

    async def _drain(self) -> AsyncIterator[Buffer]:
        while (buffer := await self._queue.get()) is not None:
            if self._aborted:
                raise Aborted  # so that the multipart upload is aborted too
            yield buffer
        if self._aborted:
            raise Aborted

    async def _enqueue(self, buffer: Buffer | None) -> None:
        """Queue one buffer; when writing the object has failed, raise its error instead."""
        putting = asyncio.ensure_future(self._queue.put(buffer))
        await asyncio.wait({putting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not putting.done():
            putting.cancel()
            await self._task
            raise BlobDamaged("The storage closed the object before its end.")

    async def write(self, buffers: Sequence[Buffer], offset: int, digests: Digests) -> None:
        for buffer in await self.storage.run(_copy_hashed, buffers, digests):
            await self._enqueue(buffer)
            self._size += len(buffer)

    async def flush(self) -> list[StoredSpanRow]:
        if self._flushed:
            return []
        self._flushed = True
        if self._size == 0:
            await self.discard()
            return []
        await self._enqueue(None)
        await self._task
        return [StoredSpanRow(0, self._size, self.key)]

    async def discard(self) -> None:
        if self._task.done():
            if self._flushed and self._size:
                await self.storage.delete([self.key])
            return
        self._aborted = True
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(None)
        done, _ = await asyncio.wait({self._task}, timeout=ABORT_SECONDS)
        if not done:
            self._task.cancel()

    async def close(self) -> None:
        if not self._task.done():
            await self.discard()
        if self._task.done() and not self._task.cancelled():
            self._task.exception()  # retrieved, as asyncio warns otherwise; whoever waited for it has raised it


async def open_sink(
    storage: Storage, upload_id: UUID, writer: UUID, offset: int, length: int, body_bytes: int | None
) -> Sink:
    """The sink for a request that begins at `offset`.

    Args:
        writer: the id of this request.
        body_bytes: the request's Content-Length, if it has one.

    Raises:
        Problem: 409 when an older request keeps the file locked.
        BlobMissing: bytes were committed, but their file is gone.
    """
    if isinstance(storage, LocalStorage):
        until = asyncio.get_running_loop().time() + LOCK_SECONDS
        while True:
            file = await storage.open_unfinished(blob_key(upload_id), fresh=offset == 0)
            if file is not None:
                return FileSink(storage, upload_id, file)
            if asyncio.get_running_loop().time() > until:
                raise conflict("Another request is still writing to this upload. Try again in a moment.")
            await asyncio.sleep(LOCK_POLL_SECONDS)
    if offset == 0 and body_bytes == length and length > CHUNK_BYTES:
        return StreamSink(storage, upload_id, writer, length)
    return SpanSink(storage, upload_id, writer, offset)
