"""An archive that is not there: its bytes put together from its index and what the index points to.

What the page cache holds is read at once, the rest in a thread; many small members make one write. Nothing
is read ahead of whoever takes the bytes.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterable, Iterator
from typing import NamedTuple
from uuid import UUID

from isal import isal_zlib

from fieldpack.archive.index import FOOTER_BYTES, BlobRange, Index, IndexRange, PageRange, Segment
from fieldpack.archive.members import HEADS
from fieldpack.server.context import Context
from fieldpack.server.exports.keys import INDEX, read_head_crc32, stored_key
from fieldpack.server.exports.rows import ArchiveRow, BuildRow
from fieldpack.server.exports.serve.sharing import shared_by
from fieldpack.server.storage import BlobDamaged, Buffer, FileRange
from fieldpack.server.storage.buffers import Buffers

__all__ = ["Archive", "Piece", "open_archive"]

CHUNK_BYTES = 512 * 1024
KERNEL_BYTES = 1024 * 1024
SMALL_BYTES = 128 * 1024
GATHERED = 256
SLOW_SECONDS = 0.5
CACHED_INDEXES = 64
CACHED_PAGES = 48  # of about 400 KB each
TAIL_BYTES = 64 * 1024


# a chunk is full once it has reached CHUNK_BYTES; what made it so is a small blob or a header
_buffers = Buffers(CHUNK_BYTES + SMALL_BYTES)


class Piece(NamedTuple):
    """A piece of a member that was read alone: its CRC-32, and that on record for the whole."""

    member_no: int
    name: str
    length: int
    crc32: int
    whole_crc32: int


class Whole(NamedTuple):
    """A small member to be read whole, and the header before it; `length` is that of both."""

    length: int
    header: bytes
    key: str
    crc32: int
    segment: BlobRange


Part = bytes | BlobRange | Whole


class Portion(NamedTuple):
    """Small parts that are read and sent together, and the sum of their lengths."""

    size: int
    parts: list[Part]


class Archive:
    """One build of one export, ready to be read.

    Attributes:
        pieces: set to a list, it is told of every member that is read in part and so can't be checked alone.
        by_kernel: set to true, large members may come as ranges of files, to be sent by the kernel.
    """

    def __init__(self, context: Context, export: BuildRow, index: Index) -> None:
        self.context = context
        self.export = export
        self.index = index
        self.pieces: list[Piece] | None = None
        self.by_kernel = False
        self._enough = SMALL_BYTES
        self._shared = shared_by(export.build)

    def key_of(self, segment: BlobRange) -> str:
        """Where the bytes of a member are stored: the job's own, or an upload's."""
        if segment.member_no < len(HEADS):
            return stored_key(self.export.id, self.export.build, HEADS[segment.member_no])
        name = segment.blob.hex()  # as `blob_key` spells it, in a tenth of the time
        return f"blobs/{name[:2]}/{name[:8]}-{name[8:12]}-{name[12:16]}-{name[16:20]}-{name[20:]}"

    def crc32_of(self, segment: BlobRange) -> int:
        """The CRC-32 that the whole of a member's stored bytes has to have."""
        return read_head_crc32(segment.blob) if segment.member_no < len(HEADS) else segment.crc32

    async def read_index(self, offset: int, length: int) -> bytes:
        return await self.context.storage.read_range(
            stored_key(self.export.id, self.export.build, INDEX), offset, length
        )

    async def iter_bytes(self, start: int, stop: int) -> AsyncGenerator[Buffer | FileRange]:
        """The bytes, in chunks of about half a megabyte; what is sent whole is checked against its CRC-32.

        Small blobs are read together: many of them make one chunk. The index is read page by page.

        Raises:
            BlobDamaged, BlobMissing: a blob is not what was recorded when it was uploaded.
        """
        at = start
        quickly = 0
        with self._shared.taken():
            for planned in self.index.plan(start, stop):
                parts: Iterable[Part]
                if isinstance(planned, PageRange):
                    parts = await self._read_page(planned, start, stop)
                elif isinstance(planned, IndexRange):
                    parts = (await self.read_index(planned.offset, planned.length),)
                else:
                    parts = (planned,)
                for portion in self._iter_portions(parts):
                    if isinstance(portion, BlobRange):
                        async with contextlib.aclosing(self._iter_large(portion)) as chunks:
                            async for chunk in chunks:
                                yield chunk
                        at += portion.length
                        continue
                    chunk = await self._gather(at, portion)
                    size = len(chunk)
                    given_at = time.monotonic()
                    yield chunk
                    del chunk
                    # what a client has not taken stays in memory: it gets more at a time as it proves quick
                    quickly = quickly + size if time.monotonic() - given_at < SLOW_SECONDS else 0
                    self._enough = min(max(quickly >> 4, SMALL_BYTES), CHUNK_BYTES)
                    at += size

    def _iter_portions(self, parts: Iterable[Part]) -> Iterator[Portion | BlobRange]:
        """Small parts by as many as are enough, large ones alone. With every page a new portion begins, where
        downloads of the same speed find each other."""
        gathered: list[Part] = []
        size = 0
        for part in parts:
            length = len(part) if isinstance(part, bytes) else part.length
            large = part if length > SMALL_BYTES and isinstance(part, BlobRange) else None
            if gathered and (large is not None or size + length > CHUNK_BYTES + SMALL_BYTES):
                yield Portion(size, gathered)
                gathered, size = [], 0
            if large is not None:
                yield large
                continue
            gathered.append(part)
            size += length
            if size >= self._enough or len(gathered) >= GATHERED:
                yield Portion(size, gathered)
                gathered, size = [], 0
        if gathered:
            yield Portion(size, gathered)

    async def _read_page(self, page: PageRange, start: int, stop: int) -> Iterable[Part]:
        """What a page of members is made of; kept for who reads the same after this, as many at once do."""
        key = (self.export.build, page.page)
        first, end = self.index.page_span(page.page)
        whole = start <= first and end <= stop
        if whole and key in _pages:
            _pages.move_to_end(key)
            return _pages[key]
        data = await self.read_index(page.offset, page.length)
        if whole and key in _pages:  # of hundreds that begin at once, one makes it for all
            return _pages[key]
        parts = self._iter_parts(self.index.segments(page.page, data, start, stop))
        if not whole:
            return parts
        _pages[key] = kept = list(parts)
        if len(_pages) > CACHED_PAGES:
            _pages.popitem(last=False)
        return kept

    def _iter_parts(self, segments: Iterable[Segment]) -> Iterator[Part]:
        """The segments of a page, small members that are wanted whole put together with their headers."""
        header = b""
        for segment in segments:
            if isinstance(segment, bytes):
                header += segment
                continue
            length = segment.length
            if length <= SMALL_BYTES and length == segment.size_bytes:
                crc32 = self.crc32_of(segment)
                yield Whole(len(header) + length, header, self.key_of(segment), crc32, segment)
            else:
                if header:
                    yield header
                yield segment
            header = b""
        if header:
            yield header

    async def _gather(self, at: int, portion: Portion) -> Buffer:
        """A portion's bytes, from `at` of the archive; read once for downloads in step."""
        if self.pieces is not None or self._shared.downloads < 2:
            return await self._read_gathered(portion)
        return await self._shared.get((at, portion.size), lambda: self._read_gathered(portion))

    async def _read_gathered(self, portion: Portion) -> Buffer:
        """Headers and small blobs, joined."""
        size, parts = portion
        if len(parts) == 1 and isinstance(parts[0], bytes):
            return parts[0]
        view = _buffers.lend()[:size] if size >= CHUNK_BYTES else memoryview(bytearray(size))
        whole: list[BlobRange] = []
        wanted: list[tuple[str, memoryview, int]] = []
        at = 0
        for part in parts:
            if isinstance(part, Whole):
                length, header, key, crc32, segment = part
                content_at = at + len(header)
                view[at:content_at] = header
                at += length
                whole.append(segment)
                wanted.append((key, view[content_at:at], crc32))
            elif isinstance(part, bytes):
                view[at : at + len(part)] = part
                at += len(part)
            else:
                view[at : at + part.length] = await self._read_piece(part)
                at += part.length
        missed = await self.context.storage.fill_cached(wanted)
        if missed:
            objects = [(wanted[number][0], len(wanted[number][1])) for number in missed]
            found = await self.context.storage.read_many(objects)
            for number, data in zip(missed, found, strict=True):
                if isal_zlib.crc32(data) != wanted[number][2]:
                    raise self._damaged(whole[number])
                wanted[number][1][:] = data
        return view

    async def _read_piece(self, segment: BlobRange) -> bytes:
        data = await self.context.storage.read_range(self.key_of(segment), segment.offset, segment.length)
        if self.pieces is not None:
            self._note(segment, isal_zlib.crc32(data))
        return data

    async def _iter_large(self, segment: BlobRange) -> AsyncGenerator[Buffer | FileRange]:
        """A large member: by the kernel if its file was found right a moment ago, else read and checked."""
        key = self.key_of(segment)
        proofs = self.context.storage.proofs if self.by_kernel else None
        descriptor = proofs.open(key) if proofs is not None else None
        if proofs is not None and descriptor is not None:
            try:
                at, stop = segment.offset, segment.offset + segment.length
                while at < stop:
                    length = min(KERNEL_BYTES, stop - at)
                    if not proofs.is_cached(descriptor, at + length - 1):
                        break
                    yield FileRange(descriptor, at, length)
                    at += length
                holds = proofs.holds(key, descriptor)
            finally:
                os.close(descriptor)
            if not holds:  # touched while it was sent: was it more than touched?
                whole = segment._replace(offset=0, length=segment.size_bytes)
                async with contextlib.aclosing(self._iter_read(whole)) as chunks:
                    async for _ in chunks:
                        pass
            if at == stop:
                return
            segment = segment._replace(offset=at, length=stop - at)
        async with contextlib.aclosing(self._iter_read(segment)) as chunks:
            async for data in chunks:
                yield data

    async def _iter_read(self, segment: BlobRange) -> AsyncGenerator[Buffer]:
        key = self.key_of(segment)
        whole = segment.length == segment.size_bytes
        checked = whole or self.pieces is not None
        crc32 = 0
        proofs = self.context.storage.proofs
        state = proofs.look(key) if proofs is not None and whole else None
        source = self.context.storage.iter_range(
            key, segment.offset, segment.length, size_bytes=segment.size_bytes
        )
        async with contextlib.aclosing(source) as chunks:
            async for data in chunks:
                if checked:
                    crc32 = isal_zlib.crc32(data, crc32)
                yield data
        if checked and not whole:
            self._note(segment, crc32)
        elif checked and crc32 != self.crc32_of(segment):
            raise self._damaged(segment)
        elif proofs is not None:
            proofs.note(key, state)

    def _note(self, segment: BlobRange, crc32: int) -> None:
        assert self.pieces is not None
        whole_crc32 = self.crc32_of(segment)
        self.pieces.append(Piece(segment.member_no, segment.name, segment.length, crc32, whole_crc32))

    def _damaged(self, segment: BlobRange) -> BlobDamaged:
        return BlobDamaged(f"The stored bytes of {segment.name} are not those on record.")


_indexes: OrderedDict[UUID, Index] = OrderedDict()
_pages: OrderedDict[tuple[UUID, int], list[Part]] = OrderedDict()


async def open_archive(context: Context, export: ArchiveRow) -> Archive:
    """The archive of a complete export; its index's page table is kept for the next requests."""
    index = _indexes.get(export.build)
    archive = Archive(context, export, index)  # type: ignore[arg-type]
    if index is None:
        size = export.index_bytes
        tail = await archive.read_index(max(size - TAIL_BYTES, 0), min(size, TAIL_BYTES))
        needed = Index.bytes_needed(tail[-FOOTER_BYTES:])
        if needed > len(tail):
            tail = await archive.read_index(size - needed, needed)
        archive.index = _indexes[export.build] = Index.open(tail)
        if len(_indexes) > CACHED_INDEXES:
            _indexes.popitem(last=False)
    else:
        _indexes.move_to_end(export.build)
    return archive
