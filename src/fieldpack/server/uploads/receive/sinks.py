"""Where the bytes of a request go: into one file that grows, or into objects that are joined at the end."""

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
from fieldpack.server.storage import Buffer, LocalStorage, Storage, blob_key, chunk_key
from fieldpack.server.storage.local import PartFile
from fieldpack.server.uploads.receive.digests import Digests
from fieldpack.server.uploads.rows import ChunkRow

__all__ = ["ChunkSink", "FileSink", "Sink", "StreamSink", "open_sink"]

MIB = 1 << 20
READ_BYTES = 1 * MIB
CHUNK_BYTES = 8 * MIB
QUEUED_PIECES = 8
LOCK_SECONDS = 15.0
ABORT_SECONDS = 10.0
LOCK_POLL_SECONDS = 0.03


class Aborted(Exception):
    """Ends an object that is not to be."""


class Sink(ABC):
    """Takes the bytes of one request, in order.

    Attributes:
        commit_bytes: the offset is worth committing after so many bytes, or 0 if not before the end.
        commit_seconds: and after so long.
        overlaps: bytes may be taken while a flush is under way.
        blob_id: what the finished blob will be called. A file is the upload's own, held by its lock; an
            object is this request's own, so that a request that was shut out never overwrites another's.
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
    async def write(self, pieces: Sequence[Buffer], offset: int, digests: Digests) -> None:
        """Take bytes, and hash them on the way. The buffers are the caller's again afterwards."""

    @abstractmethod
    async def flush(self) -> list[ChunkRow]:
        """Make everything taken so far durable; the objects made for it since the last time."""

    @abstractmethod
    async def read(self, offset: int, size: int, chunks: Sequence[ChunkRow]) -> bytes:
        """Up to `size` of the upload's bytes from `offset` on, as they are stored."""

    @abstractmethod
    async def finish(self, length: int, digests: Digests, chunks: Sequence[ChunkRow]) -> tuple[int, bytes]:
        """Make the blob whole and durable; its CRC-32 and SHA-256.

        Raises:
            BlobDamaged: what is stored is not what was received.
        """

    @abstractmethod
    async def discard(self) -> None:
        """Nothing of what was taken since the last flush counts: remove what would stay behind."""

    async def close(self) -> None:  # noqa: B027
        """Let go of everything held. Always called, once."""


class FileSink(Sink):
    """A local file, written at offsets; what lies past the committed one is overwritten by the next."""

    commit_bytes = 16 * MIB
    commit_seconds = 2.0
    overlaps = True

    def __init__(self, storage: Storage, upload_id: UUID, part: PartFile) -> None:
        super().__init__(storage, upload_id, upload_id)
        self._part = part

    async def write(self, pieces: Sequence[Buffer], offset: int, digests: Digests) -> None:
        # both let go of the interpreter, so that two processors share the work
        hashing = asyncio.ensure_future(self.storage.run(_hash, pieces, digests))
        try:
            await self.storage.run(self._write, pieces, offset)
        finally:
            await hashing

    def _write(self, pieces: Sequence[Buffer], offset: int) -> None:
        for piece in pieces:
            self._part.write(piece, offset)
            offset += len(piece)

    async def flush(self) -> list[ChunkRow]:
        await self.storage.run(self._part.sync)
        return []

    async def read(self, offset: int, size: int, chunks: Sequence[ChunkRow]) -> bytes:
        return await self.storage.run(self._part.read, offset, size)

    async def finish(self, length: int, digests: Digests, chunks: Sequence[ChunkRow]) -> tuple[int, bytes]:
        return await self.storage.run(self._finish, length, digests)

    def _finish(self, length: int, digests: Digests) -> tuple[int, bytes]:
        self._part.cut(length)
        self._part.sync()
        if digests.sha256 is not None:
            return digests.crc32, digests.sha256.digest()
        sha256, crc32, offset = hashlib.sha256(), 0, 0
        while data := self._part.read(offset, READ_BYTES):
            sha256.update(data)
            crc32 = isal_zlib.crc32(data, crc32)
            offset += len(data)
        if offset != length or crc32 != digests.crc32:
            raise BlobDamaged("The stored bytes are not those that arrived.")
        return crc32, sha256.digest()

    async def discard(self) -> None:
        return

    async def close(self) -> None:
        self._part.close()


def _hash(pieces: Sequence[Buffer], digests: Digests) -> None:
    for piece in pieces:
        digests.update(piece)


def _copy_hashed(pieces: Sequence[Buffer], digests: Digests) -> list[bytes]:
    copies = []
    for piece in pieces:
        digests.update(piece)
        copies.append(bytes(piece))
    return copies


class ChunkSink(Sink):
    """An object per `CHUNK_BYTES`, joined at the end."""

    commit_bytes = CHUNK_BYTES
    commit_seconds = 10.0
    overlaps = False

    def __init__(self, storage: Storage, upload_id: UUID, blob_id: UUID, offset: int) -> None:
        super().__init__(storage, upload_id, blob_id)
        self._pieces: list[bytes] = []
        self._offset = offset
        self._made: list[ChunkRow] = []

    async def write(self, pieces: Sequence[Buffer], offset: int, digests: Digests) -> None:
        self._pieces += await self.storage.run(_copy_hashed, pieces, digests)
        if sum(map(len, self._pieces)) >= CHUNK_BYTES:
            await self._put()

    async def _put(self) -> None:
        data = b"".join(self._pieces)
        self._pieces.clear()
        if data:
            key = chunk_key(self.upload_id, self._offset)
            self._made.append(ChunkRow(self._offset, len(data), key))
            self._offset += len(data)
            await self.storage.put(key, data)

    async def flush(self) -> list[ChunkRow]:
        await self._put()
        made, self._made = self._made, []
        return made

    async def read(self, offset: int, size: int, chunks: Sequence[ChunkRow]) -> bytes:
        data = bytearray()
        for chunk in chunks:
            begin = offset + len(data) - chunk.offset_bytes
            wanted = min(chunk.size_bytes - begin, size - len(data))
            if begin >= 0 and wanted > 0:
                data += await self.storage.read_range(chunk.key, begin, wanted)
        return bytes(data)

    async def finish(self, length: int, digests: Digests, chunks: Sequence[ChunkRow]) -> tuple[int, bytes]:
        if length == 0:
            await self.storage.put(self.key, b"")
            return 0, hashlib.sha256().digest()
        whole = len(chunks) == 1 and chunks[0].key == self.key
        sha256, crc32, end = hashlib.sha256(), 0, 0

        def update(data: Buffer) -> None:
            nonlocal crc32
            sha256.update(data)
            crc32 = isal_zlib.crc32(data, crc32)

        async def read() -> AsyncIterator[Buffer]:
            nonlocal end
            for chunk in chunks:
                if chunk.offset_bytes != end:
                    raise BlobDamaged("The stored chunks don't follow on one another.")
                size = chunk.size_bytes
                end += size
                pieces = self.storage.iter_range(chunk.key, 0, size, size_bytes=size)
                async with contextlib.aclosing(pieces):
                    async for data in pieces:
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
        self._pieces.clear()
        made, self._made = self._made, []
        if made:
            await self.storage.delete([chunk.key for chunk in made])


class StreamSink(ChunkSink):
    """A whole file in one request: straight into the blob, as one multipart upload.

    If the request breaks off, the object is closed with what arrived, and counts as the first chunk.
    """

    commit_bytes = 0

    def __init__(self, storage: Storage, upload_id: UUID, blob_id: UUID, length: int) -> None:
        super().__init__(storage, upload_id, blob_id, 0)
        self._queue: asyncio.Queue[Buffer | None] = asyncio.Queue(maxsize=QUEUED_PIECES)
        self._size = 0
        self._flushed = False
        self._aborted = False
        self._task = asyncio.create_task(storage.put_stream(self.key, self._drain(), size_hint=length))

    async def _drain(self) -> AsyncIterator[Buffer]:
        while (piece := await self._queue.get()) is not None:
            if self._aborted:
                raise Aborted  # so that the multipart upload is aborted too
            yield piece
        if self._aborted:
            raise Aborted

    async def _enqueue(self, piece: Buffer | None) -> None:
        """Hand on one piece, unless the storage has given up: then its error is raised."""
        putting = asyncio.ensure_future(self._queue.put(piece))
        await asyncio.wait({putting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not putting.done():
            putting.cancel()
            await self._task
            raise BlobDamaged("The storage closed the object before its end.")

    async def write(self, pieces: Sequence[Buffer], offset: int, digests: Digests) -> None:
        for piece in await self.storage.run(_copy_hashed, pieces, digests):
            await self._enqueue(piece)
            self._size += len(piece)

    async def flush(self) -> list[ChunkRow]:
        if self._flushed:
            return []
        self._flushed = True
        if self._size == 0:
            await self.discard()
            return []
        await self._enqueue(None)
        await self._task
        return [ChunkRow(0, self._size, self.key)]

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
            self._task.exception()  # seen: whoever waited for it was told


async def open_sink(
    storage: Storage, upload_id: UUID, writer: UUID, offset: int, length: int, body_bytes: int | None
) -> Sink:
    """The sink for a request that begins at `offset`.

    Args:
        writer: the name of this request.
        body_bytes: how many bytes the request says it brings, if it does.

    Raises:
        Problem: 409 when an older request does not let go of the file.
        BlobMissing: bytes were committed, but are gone.
    """
    if isinstance(storage, LocalStorage):
        until = asyncio.get_running_loop().time() + LOCK_SECONDS
        while True:
            part = await storage.open_part(blob_key(upload_id), fresh=offset == 0)
            if part is not None:
                return FileSink(storage, upload_id, part)
            if asyncio.get_running_loop().time() > until:
                raise conflict("Another request is still writing to this upload. Try again in a moment.")
            await asyncio.sleep(LOCK_POLL_SECONDS)
    if offset == 0 and body_bytes == length and length > CHUNK_BYTES:
        return StreamSink(storage, upload_id, writer, length)
    return ChunkSink(storage, upload_id, writer, offset)
