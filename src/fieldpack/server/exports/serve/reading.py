"""The bytes of an archive, computed from its index and read from the blobs that the index points to.

What the page cache holds is read on the event loop, the rest in a thread; many small members make one chunk.
Nothing is read before the consumer asks for it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncGenerator, Iterable, Iterator
from typing import NamedTuple
from uuid import UUID
from weakref import WeakValueDictionary

from isal import isal_zlib

from fieldpack.archive.index import FOOTER_BYTES, BlobRange, Index, IndexRange, PageRange, Span
from fieldpack.archive.members import LEADING
from fieldpack.errors import BlobDamaged
from fieldpack.server.caches import Recent
from fieldpack.server.context import Context
from fieldpack.server.exports.keys import INDEX, read_head_crc32, stored_key
from fieldpack.server.exports.rows import ArchiveRow, BuildRow, MemberSpan
from fieldpack.server.exports.serve.sharing import Shared
from fieldpack.server.storage import Buffer, FileRange
from fieldpack.server.storage.buffers import Buffers

__all__ = ["Archive", "ArchiveCaches", "open_archive"]

CHUNK_BYTES = 512 * 1024
KERNEL_BYTES = 1024 * 1024
SMALL_BYTES = 128 * 1024
GATHERED = 256
SLOW_SECONDS = 0.5
CACHED_INDEXES = 64
CACHED_PAGES = 48  # of about 400 KB each
TAIL_BYTES = 64 * 1024


class SmallMember(NamedTuple):
    """A small member that is read completely, and the header before it; `length` is that of both."""

    length: int
    header: bytes
    key: str
    crc32: int
    content: BlobRange


ReadableSpan = bytes | BlobRange | SmallMember


class Batch(NamedTuple):
    """Small spans that are read and sent together, and the sum of their lengths in bytes."""

    size: int
    spans: list[ReadableSpan]


class ArchiveCaches:
    """What the downloads of a process have in common: indexes, pages of members, buffers, chunks sent in step."""

    def __init__(self) -> None:
        self.indexes: Recent[UUID, Index] = Recent(CACHED_INDEXES)
        self.pages: Recent[tuple[UUID, int], list[ReadableSpan]] = Recent(CACHED_PAGES)
        # a chunk is full once it has reached CHUNK_BYTES; the last thing added to it may be SMALL_BYTES long
        self.buffers = Buffers(CHUNK_BYTES + SMALL_BYTES)
        self._shared: WeakValueDictionary[UUID, Shared] = WeakValueDictionary()

    def shared_by(self, build: UUID) -> Shared:
        """What the downloads of a build share; kept for as long as one of them holds it."""
        return self._shared.setdefault(build, Shared())


class Archive:
    """One build of one export, ready to be read.

    Attributes:
        member_spans: a list collects every span of a member that is read without the rest, because such a span
            can't be checked by itself; None collects nothing.
        by_kernel: whether large members may come as ranges of files, which the kernel sends.
    """

    def __init__(
        self,
        context: Context,
        export: BuildRow,
        index: Index,
        *,
        member_spans: list[MemberSpan] | None = None,
        by_kernel: bool = False,
    ) -> None:
        self.context = context
        self.export = export
        self.index = index
        self.member_spans = member_spans
        self.by_kernel = by_kernel
        self._enough = SMALL_BYTES
        self._caches = context.caches.get(ArchiveCaches)
        self._shared = self._caches.shared_by(export.build)

    def key_of(self, span: BlobRange) -> str:
        """Where the bytes of a member are stored: the job's own, or an upload's."""
        if span.member_no < self.index.deflated_count:
            return stored_key(self.export.id, self.export.build, LEADING[span.member_no])
        name = span.blob.hex()  # as `blob_key` spells it, in a tenth of the time
        return f"blobs/{name[:2]}/{name[:8]}-{name[8:12]}-{name[12:16]}-{name[16:20]}-{name[20:]}"

    def crc32_of(self, span: BlobRange) -> int:
        """The CRC-32 on record of all the stored bytes of a member."""
        return read_head_crc32(span.blob) if span.member_no < self.index.deflated_count else span.crc32

    async def iter_bytes(self, start: int, stop: int) -> AsyncGenerator[Buffer | FileRange]:
        """The bytes, in chunks of about half a megabyte; a member that is sent completely has its CRC-32 checked.

        Small blobs are read together: many of them make one chunk. The index is read page by page.

        Raises:
            BlobDamaged, BlobMissing: a blob is not what was recorded when it was uploaded.
        """
        at = start
        quickly = 0
        with self._shared.taken():
            for planned in self.index.plan(start, stop):
                spans: Iterable[ReadableSpan]
                if isinstance(planned, PageRange):
                    spans = await self._read_page(planned, start, stop)
                elif isinstance(planned, IndexRange):
                    spans = (await _read_index(self.context, self.export, planned.offset, planned.length),)
                else:
                    spans = (planned,)
                for batch in self._iter_batches(spans):
                    if isinstance(batch, BlobRange):
                        async with contextlib.aclosing(self._iter_large(batch)) as chunks:
                            async for chunk in chunks:
                                yield chunk
                        at += batch.length
                        continue
                    chunk = await self._gather(at, batch)
                    size = len(chunk)
                    given_at = time.monotonic()
                    yield chunk
                    del chunk
                    # what a client has not received stays in memory: a fast client gets larger chunks
                    quickly = quickly + size if time.monotonic() - given_at < SLOW_SECONDS else 0
                    self._enough = min(max(quickly >> 4, SMALL_BYTES), CHUNK_BYTES)
                    at += size

    def _iter_batches(self, spans: Iterable[ReadableSpan]) -> Iterator[Batch | BlobRange]:
        """Small spans in batches, large ones alone. Every page starts a new batch, so that downloads at the same
        speed ask for equal batches and share them."""
        gathered: list[ReadableSpan] = []
        size = 0
        for span in spans:
            length = len(span) if isinstance(span, bytes) else span.length
            large = span if length > SMALL_BYTES and isinstance(span, BlobRange) else None
            if gathered and (large is not None or size + length > CHUNK_BYTES + SMALL_BYTES):
                yield Batch(size, gathered)
                gathered, size = [], 0
            if large is not None:
                yield large
                continue
            gathered.append(span)
            size += length
            if size >= self._enough or len(gathered) >= GATHERED:
                yield Batch(size, gathered)
                gathered, size = [], 0
        if gathered:
            yield Batch(size, gathered)

    async def _read_page(self, page: PageRange, start: int, stop: int) -> Iterable[ReadableSpan]:
        """The spans of a page of members; cached, as many downloads at once read the same pages."""
        key = (self.export.build, page.page)
        first, end = self.index.page_span(page.page)
        whole = start <= first and end <= stop
        pages = self._caches.pages
        if whole and (known := pages.get(key)) is not None:
            return known
        data = await _read_index(self.context, self.export, page.offset, page.length)
        if whole and (known := pages.get(key)) is not None:  # another download has added it meanwhile
            return known
        spans = self._join_headers(self.index.spans(page.page, data, start, stop))
        if not whole:
            return spans
        kept = list(spans)
        pages.put(key, kept)
        return kept

    def _join_headers(self, spans: Iterable[Span]) -> Iterator[ReadableSpan]:
        """The spans of a page, with small members that are read completely joined to their headers."""
        header = b""
        for span in spans:
            if isinstance(span, bytes):
                header += span
                continue
            length = span.length
            if length <= SMALL_BYTES and length == span.size_bytes:
                crc32 = self.crc32_of(span)
                yield SmallMember(len(header) + length, header, self.key_of(span), crc32, span)
            else:
                if header:
                    yield header
                yield span
            header = b""
        if header:
            yield header

    async def _gather(self, at: int, batch: Batch) -> Buffer:
        """A batch's bytes, from offset `at` of the archive; read once for all downloads that are at the same place."""
        if self.member_spans is not None or self._shared.downloads < 2:
            return await self._read_gathered(batch)
        return await self._shared.get((at, batch.size), lambda: self._read_gathered(batch))

    async def _read_gathered(self, batch: Batch) -> Buffer:
        """Headers and small blobs, joined."""
        size, spans = batch
        if len(spans) == 1 and isinstance(spans[0], bytes):
            return spans[0]
        view = self._caches.buffers.lend()[:size] if size >= CHUNK_BYTES else memoryview(bytearray(size))
        whole: list[BlobRange] = []
        wanted: list[tuple[str, memoryview, int]] = []
        at = 0
        for span in spans:
            if isinstance(span, SmallMember):
                length, header, key, crc32, content = span
                content_at = at + len(header)
                view[at:content_at] = header
                at += length
                whole.append(content)
                wanted.append((key, view[content_at:at], crc32))
            elif isinstance(span, bytes):
                view[at : at + len(span)] = span
                at += len(span)
            else:
                view[at : at + span.length] = await self._read_span(span)
                at += span.length
        missed = await self.context.storage.fill_cached(wanted)
        if missed:
            objects = [(wanted[number][0], len(wanted[number][1])) for number in missed]
            found = await self.context.storage.read_many(objects)
            for number, data in zip(missed, found, strict=True):
                if isal_zlib.crc32(data) != wanted[number][2]:
                    raise self._damaged(whole[number])
                wanted[number][1][:] = data
        return view

    async def _read_span(self, span: BlobRange) -> bytes:
        data = await self.context.storage.read_range(self.key_of(span), span.offset, span.length)
        if self.member_spans is not None:
            self._note(span, isal_zlib.crc32(data))
        return data

    async def _iter_large(self, span: BlobRange) -> AsyncGenerator[Buffer | FileRange]:
        """A large member: ranges of its file if that was checked and has not changed since, else bytes, checked."""
        key = self.key_of(span)
        proofs = self.context.storage.proofs if self.by_kernel else None
        descriptor = proofs.open(key) if proofs is not None else None
        if proofs is not None and descriptor is not None:
            try:
                at, stop = span.offset, span.offset + span.length
                while at < stop:
                    length = min(KERNEL_BYTES, stop - at)
                    if not proofs.is_cached(descriptor, at + length - 1):
                        break
                    yield FileRange(descriptor, at, length)
                    at += length
                holds = proofs.holds(key, descriptor)
            finally:
                os.close(descriptor)
            if not holds:  # the file changed while it was sent: read it again, to see whether its bytes did
                whole = span._replace(offset=0, length=span.size_bytes)
                async with contextlib.aclosing(self._iter_read(whole)) as chunks:
                    async for _ in chunks:
                        pass
            if at == stop:
                return
            span = span._replace(offset=at, length=stop - at)
        async with contextlib.aclosing(self._iter_read(span)) as chunks:
            async for data in chunks:
                yield data

    async def _iter_read(self, span: BlobRange) -> AsyncGenerator[Buffer]:
        key = self.key_of(span)
        whole = span.length == span.size_bytes
        checked = whole or self.member_spans is not None
        crc32 = 0
        proofs = self.context.storage.proofs
        state = proofs.look(key) if proofs is not None and whole else None
        source = self.context.storage.iter_range(key, span.offset, span.length, size_bytes=span.size_bytes)
        async with contextlib.aclosing(source) as chunks:
            async for data in chunks:
                if checked:
                    crc32 = isal_zlib.crc32(data, crc32)
                yield data
        if checked and not whole:
            self._note(span, crc32)
        elif checked and crc32 != self.crc32_of(span):
            raise self._damaged(span)
        elif proofs is not None:
            proofs.note(key, state)

    def _note(self, span: BlobRange, crc32: int) -> None:
        assert self.member_spans is not None
        member_crc32 = self.crc32_of(span)
        self.member_spans.append(MemberSpan(span.member_no, span.name, span.length, crc32, member_crc32))

    def _damaged(self, span: BlobRange) -> BlobDamaged:
        return BlobDamaged(f"The stored bytes of {span.name} are not those on record.")


async def _read_index(context: Context, export: BuildRow, offset: int, length: int) -> bytes:
    return await context.storage.read_range(stored_key(export.id, export.build, INDEX), offset, length)


async def open_archive(
    context: Context,
    export: ArchiveRow,
    *,
    member_spans: list[MemberSpan] | None = None,
    by_kernel: bool = False,
) -> Archive:
    """The archive of a complete export; its index's page table is kept for the next requests.

    Args:
        context: of the server.
        export: which one.
        member_spans, by_kernel: see `Archive`.

    Raises:
        ArchiveError: the index is damaged.
        BlobMissing: there is none any more.
    """
    indexes = context.caches.get(ArchiveCaches).indexes
    index = indexes.get(export.build)
    if index is None:
        size = export.index_bytes
        tail = await _read_index(context, export, max(size - TAIL_BYTES, 0), min(size, TAIL_BYTES))
        needed = Index.bytes_needed(tail[-FOOTER_BYTES:])
        if needed > len(tail):
            tail = await _read_index(context, export, size - needed, needed)
        index = Index.open(tail)
        indexes.put(export.build, index)
    return Archive(context, export, index, member_spans=member_spans, by_kernel=by_kernel)
