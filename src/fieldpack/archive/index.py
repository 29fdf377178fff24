"""Reading an archive's index: from any range of bytes to the headers and blobs that make it up.

Nothing here does input or output. The caller, which may be async, reads the byte ranges of the index file
that it is told and hands the bytes in::

    index = Index.open(last_bytes_of_the_index)
    for planned in index.plan(start, stop):
        match planned:
            case PageRange():   # members: read planned.offset, planned.length of the index, then
                for span in index.spans(planned.page, data, start, stop):
                    ...         # bytes, or a BlobRange to be read from the blob
            case IndexRange():  # the central directory: these bytes of the index, as they are
            case bytes():       # the end of the archive

The file's format is written down in docs/archive.md.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from fieldpack.archive import zipstructs as z
from fieldpack.errors import ArchiveError

MAGIC = b"FPINDEX\x01"
PAGE_MEMBERS = 512
BLOB_ID_BYTES = 16

FOOTER = Struct("<8sIIQQQQ32sI")
"""magic, members a page, leading deflated members, members, directory offset and length (in the archive),
page table's offset (in the index), digest, CRC-32 of page table and footer up to here."""
FOOTER_BYTES = FOOTER.size
PAGE_ENTRY = Struct("<QQI")
"""first member's offset in the archive, page's offset in the index, CRC-32 of the page."""


class PageRange(NamedTuple):
    """A page of members that a range touches: bytes `offset` … `offset + length` of the index file."""

    page: int
    offset: int
    length: int


class IndexRange(NamedTuple):
    """A span of the archive that the index file holds as it is: `length` bytes from `offset` of that file."""

    offset: int
    length: int


class BlobRange(NamedTuple):
    """A span of a member's stored bytes: `length` bytes from `offset` of what is stored for `blob`.

    `size_bytes` is the length of all that is stored (compressed, for a deflated member); `crc32` is that of
    the uncompressed content, so it can be checked against the bytes where `method` is 0 (stored).
    """

    member_no: int
    blob: bytes
    offset: int
    length: int
    size_bytes: int
    crc32: int
    name: str
    method: int


class MemberInfo(NamedTuple):
    """One member as the index has it. `offset` is that of its local header in the archive."""

    member_no: int
    name: str
    method: int
    compressed_bytes: int
    size_bytes: int
    crc32: int
    offset: int
    content_offset: int
    blob: bytes


class _Record(NamedTuple):
    """Where a member's record lies in its page, and its member in the archive."""

    at: int
    name_bytes: int
    extra_bytes: int
    large: bool
    far: bool
    size_bytes: int
    compressed_bytes: int
    offset: int
    content_offset: int


Span = bytes | BlobRange
"""A span of the archive: its bytes, where the index alone gives them, or where to read them."""
PlannedSpan = PageRange | IndexRange | bytes
"""A span of the archive before its page of the index is read."""


@dataclass(frozen=True, slots=True)
class Index:
    """An opened index: the page table and the figures of the archive, a few tens of KB per million members.

    Attributes:
        size_bytes: length of the whole archive.
        member_count: number of members.
        deflated_count: how many members from the first on are deflated (all others are stored).
        directory_offset: where in the archive the central directory starts.
        directory_bytes: its length.
        digest: SHA-256 over everything that decides the archive's bytes; equal digests, equal archives.
    """

    size_bytes: int
    member_count: int
    deflated_count: int
    directory_offset: int
    directory_bytes: int
    digest: bytes
    page_members: int
    _table_offset: int
    _table: bytes

    @staticmethod
    def bytes_needed(tail: bytes) -> int:
        """How many of the index file's last bytes `open` needs, told from its last `FOOTER_BYTES` or more.

        Raises:
            ArchiveError: this is not the end of an index.
        """
        return FOOTER_BYTES + _page_count(*_read_footer(tail)[1:4:2]) * PAGE_ENTRY.size

    @classmethod
    def open(cls, tail: bytes) -> Index:
        """The index whose file ends in `tail`; `tail` may be longer than `bytes_needed` says, or all of it.

        Raises:
            ArchiveError: the bytes are too few, damaged, or not of an index.
        """
        (
            _,
            page_members,
            deflated,
            members,
            directory_offset,
            directory_bytes,
            table_offset,
            digest,
            crc32,
        ) = _read_footer(tail)
        needed = cls.bytes_needed(tail)
        if len(tail) < needed:
            raise ArchiveError(
                f"The index's last {needed:,} bytes are needed to open it, only {len(tail):,} are here."
            )
        if zlib.crc32(memoryview(tail)[len(tail) - needed : -4]) != crc32:
            raise ArchiveError("The archive's index is damaged: its page table does not match its checksum.")
        end = z.end_records(members, directory_offset, directory_bytes)
        return cls(
            size_bytes=directory_offset + directory_bytes + len(end),
            member_count=members,
            deflated_count=deflated,
            directory_offset=directory_offset,
            directory_bytes=directory_bytes,
            digest=digest,
            page_members=page_members,
            _table_offset=table_offset,
            _table=tail[len(tail) - needed : len(tail) - FOOTER_BYTES],
        )

    @property
    def page_count(self) -> int:
        """How many pages of members there are."""
        return len(self._table) // PAGE_ENTRY.size

    @property
    def etag(self) -> str:
        """A strong entity tag, with its quotes (RFC 9110 §8.8.3)."""
        return f'"{self.digest.hex()[:32]}"'

    def page_range(self, page: int) -> PageRange:
        """Where page number `page` lies in the index file."""
        offset = self._page_offset(page)
        return PageRange(page, offset, self._page_offset(page + 1) - offset)

    def page_span(self, page: int) -> tuple[int, int]:
        """The bytes of the archive that page number `page` describes: its first, and the one after its last."""
        last = page + 1 == self.page_count
        return self._archive_offset(page), self.directory_offset if last else self._archive_offset(page + 1)

    def plan(self, start: int = 0, stop: int | None = None) -> Iterator[PlannedSpan]:
        """What makes up bytes `start` … `stop` (exclusive) of the archive, in order, cut to fit.

        Of the pages, which are not cut, the first and last may reach beyond the range: give `spans` the
        same `start` and `stop`.
        """
        start, stop = self._clamp(start, stop)
        if start >= stop:
            return
        if start < self.directory_offset:
            yield from self._plan_pages(start, min(stop, self.directory_offset))
        yield from self._plan_directory(start - self.directory_offset, stop - self.directory_offset)
        end_offset = self.directory_offset + self.directory_bytes
        if stop > end_offset:
            end = z.end_records(self.member_count, self.directory_offset, self.directory_bytes)
            yield end[max(start - end_offset, 0) : stop - end_offset]

    def spans(self, page: int, data: bytes, start: int = 0, stop: int | None = None) -> Iterator[Span]:
        """Headers and blob ranges of page `page` that lie within bytes `start` … `stop` of the archive.

        Args:
            page: number of the page.
            data: the page's bytes, read where `page_range` or `plan` says.

        Raises:
            ArchiveError: `data` is not that page.
        """
        start, stop = self._clamp(start, stop)
        pending = b""
        blobs_at, number = self._check_page(page, data)
        for record in self._records(page, data, blobs_at):
            header_offset, content_offset, size = (
                record.offset,
                record.content_offset,
                record.compressed_bytes,
            )
            content_end = content_offset + size
            if content_end <= start:
                number += 1
                continue
            if header_offset >= stop:
                break
            if content_offset > start:
                header = z.local_header(data, *record[:5])
                if header_offset < start or content_offset > stop:
                    header = header[max(start - header_offset, 0) : stop - header_offset]
                pending = pending + header if pending else header
            first = content_offset if content_offset > start else start
            last = content_end if content_end < stop else stop
            if first < last:
                if pending:
                    yield pending
                    pending = b""
                at, blob_at = record.at, blobs_at + (number % self.page_members) * BLOB_ID_BYTES
                name_at = at + z.CENTRAL_BYTES
                yield BlobRange(
                    number,
                    data[blob_at : blob_at + BLOB_ID_BYTES],
                    first - content_offset,
                    last - first,
                    size,
                    z.CENTRAL_CRC32.unpack_from(data, at + 16)[0],
                    data[name_at : name_at + record.name_bytes].decode(),
                    data[at + 10],
                )
            number += 1
        if pending:
            yield pending

    def members(self, page: int, data: bytes) -> Iterator[MemberInfo]:
        """Every member of page `page`, whose bytes are `data`.

        Raises:
            ArchiveError: `data` is not that page.
        """
        blobs_at, number = self._check_page(page, data)
        blob_at = blobs_at
        for record in self._records(page, data, blobs_at):
            name_at = record.at + z.CENTRAL_BYTES
            yield MemberInfo(
                member_no=number,
                name=data[name_at : name_at + record.name_bytes].decode(),
                method=data[record.at + 10],
                compressed_bytes=record.compressed_bytes,
                size_bytes=record.size_bytes,
                crc32=z.CENTRAL_CRC32.unpack_from(data, record.at + 16)[0],
                offset=record.offset,
                content_offset=record.content_offset,
                blob=data[blob_at : blob_at + BLOB_ID_BYTES],
            )
            number += 1
            blob_at += BLOB_ID_BYTES

    def _clamp(self, start: int, stop: int | None) -> tuple[int, int]:
        return max(start, 0), self.size_bytes if stop is None else min(stop, self.size_bytes)

    def _archive_offset(self, page: int) -> int:
        offset: int = PAGE_ENTRY.unpack_from(self._table, page * PAGE_ENTRY.size)[0]
        return offset

    def _page_offset(self, page: int) -> int:
        if page == self.page_count:
            return self._table_offset
        offset: int = PAGE_ENTRY.unpack_from(self._table, page * PAGE_ENTRY.size)[1]
        return offset

    def _page_holding(self, offset: int) -> int:
        """The last page whose members start at or before `offset` of the archive."""
        low, high = 0, self.page_count
        while low < high:
            middle = (low + high) // 2
            if self._archive_offset(middle) <= offset:
                low = middle + 1
            else:
                high = middle
        return low - 1

    def _plan_pages(self, start: int, stop: int) -> Iterator[PageRange]:
        for page in range(self._page_holding(start), self.page_count):
            if self._archive_offset(page) >= stop:
                return
            yield self.page_range(page)

    def _plan_directory(self, start: int, stop: int) -> Iterator[IndexRange]:
        """The pages' records; what stands between them in the index, the blob ids, is left out."""
        blobs_bytes = self.page_members * BLOB_ID_BYTES
        start, stop = max(start, 0), min(stop, self.directory_bytes)
        if start >= stop:
            return
        low, high = 0, self.page_count
        while low < high:
            middle = (low + high) // 2
            if self._page_offset(middle) - middle * blobs_bytes <= start:
                low = middle + 1
            else:
                high = middle
        for page in range(low - 1, self.page_count):
            offset = self._page_offset(page)
            first = offset - page * blobs_bytes
            if first >= stop:
                return
            last_page = page + 1 == self.page_count
            last = (
                self.directory_bytes if last_page else self._page_offset(page + 1) - (page + 1) * blobs_bytes
            )
            cut = max(start - first, 0)
            yield IndexRange(offset + cut, min(stop, last) - first - cut)

    def _check_page(self, page: int, data: bytes) -> tuple[int, int]:
        """Where in the page the blob ids start, and the number of its first member."""
        _, _, length = self.page_range(page)
        if (
            len(data) != length
            or zlib.crc32(data) != PAGE_ENTRY.unpack_from(self._table, page * PAGE_ENTRY.size)[2]
        ):
            raise ArchiveError(f"The archive's index is damaged: page {page} does not match its checksum.")
        number = page * self.page_members
        return length - min(self.page_members, self.member_count - number) * BLOB_ID_BYTES, number

    def _records(self, page: int, data: bytes, blobs_at: int) -> Iterator[_Record]:
        offset = self._archive_offset(page)
        at = 0
        lengths_of = z.CENTRAL_LENGTHS.unpack_from
        limit, fixed, local = z.LIMIT_32, z.CENTRAL_BYTES, z.LOCAL_BYTES
        while at < blobs_at:
            compressed, size, name_bytes, extra_bytes, field = lengths_of(data, at + 20)
            large = size == limit
            far = field == limit
            header_bytes = local + name_bytes + extra_bytes
            if large:
                size, compressed = z.zip64_sizes(data, at + fixed + name_bytes)
            if far:
                header_bytes -= 8 if large else 12
            content_offset = offset + header_bytes
            yield _Record(at, name_bytes, extra_bytes, large, far, size, compressed, offset, content_offset)
            at += fixed + name_bytes + extra_bytes
            offset = content_offset + compressed


def _read_footer(tail: bytes) -> tuple[bytes, int, int, int, int, int, int, bytes, int]:
    if len(tail) < FOOTER_BYTES:
        raise ArchiveError("The archive's index is cut short: it ends before its footer.")
    footer: tuple[bytes, int, int, int, int, int, int, bytes, int] = FOOTER.unpack_from(
        tail, len(tail) - FOOTER_BYTES
    )
    if footer[0] != MAGIC or not footer[1]:
        raise ArchiveError(
            "This is not the index of an archive, or one of a version this program does not know."
        )
    return footer


def _page_count(page_members: int, member_count: int) -> int:
    return -(-member_count // page_members)
