"""An archive as a view: the ZIP's every byte, computed from what is known about its members.

An `IndexWriter` turns members, in order, into an index file; an `Index` (see `archive.index`) answers from it
which headers and which spans of which blobs make up any range of the archive. The blobs are not read.

Container rules (docs/archive.md): sizes in the local headers and no data descriptors, no directory entries,
ZIP64 exactly where needed, UTF-8 names, mode 0644, times in UTC. The same members give the same bytes.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from typing import BinaryIO, NamedTuple

from fieldpack.archive.index import (
    BLOB_ID_BYTES,
    FOOTER,
    FOOTER_BYTES,
    MAGIC,
    PAGE_ENTRY,
    PAGE_MEMBERS,
    BlobRange,
    Index,
    IndexRange,
    MemberInfo,
    PageRange,
    Span,
)
from fieldpack.archive.zipstructs import DEFLATED, LIMIT_16, LIMIT_32, STORED, central_record, end_records
from fieldpack.errors import ArchiveError

__all__ = [
    "DEFLATED",
    "FOOTER_BYTES",
    "STORED",
    "BlobRange",
    "Index",
    "IndexRange",
    "IndexSummary",
    "IndexWriter",
    "Member",
    "MemberInfo",
    "PageRange",
    "Span",
]

_LARGEST = 1 << 62  # far beyond any storage, and still safe to add up in 64 bits


class Member(NamedTuple):
    """One member to be added to an index: everything about it except its content.

    Attributes:
        name: path inside the archive, with `/`.
        method: 0 (stored) or 8 (deflated).
        compressed_bytes: length of what is stored for it; equal to `size_bytes` when stored.
        size_bytes: length of its content.
        crc32: CRC-32 of its content.
        modified_at: Unix seconds, UTC.
        blob: 16 bytes that name what is stored for it.
    """

    name: str
    method: int
    compressed_bytes: int
    size_bytes: int
    crc32: int
    modified_at: int
    blob: bytes


class IndexSummary(NamedTuple):
    """What an index says about its archive, returned by its writer; `Index` says what each field means."""

    size_bytes: int
    member_count: int
    deflated_count: int
    directory_offset: int
    directory_bytes: int
    digest: bytes
    etag: str
    index_bytes: int


class IndexWriter:
    """Writes the index of an archive to `out`, front to back, in memory that does not grow with the members.

    (It grows by 20 bytes per page of members.) The caller guarantees that names are unique.
    """

    def __init__(self, out: BinaryIO, *, page_members: int = PAGE_MEMBERS) -> None:
        self._out = out
        self._page_members = page_members
        self._records: list[bytes] = []
        self._blobs: list[bytes] = []
        self._table: list[bytes] = []
        self._digest = hashlib.sha256()
        self._member_count = 0
        self._deflated_count = 0
        self._offset = 0
        self._page_start = 0
        self._index_bytes = 0
        self._directory_bytes = 0
        self._finished = False

    @property
    def member_count(self) -> int:
        """Members added so far."""
        return self._member_count

    def add(
        self,
        name: str,
        *,
        method: int,
        compressed_bytes: int,
        size_bytes: int,
        crc32: int,
        modified_at: int,
        blob: bytes,
    ) -> None:
        """Append one member; the arguments are those of `Member`.

        Raises:
            ArchiveError: a value that no ZIP member can have, or a member after `finish`.
        """
        self.add_all(((name, method, compressed_bytes, size_bytes, crc32, modified_at, blob),))

    def add_all(self, members: Iterable[tuple[str, int, int, int, int, int, bytes]]) -> None:
        """Append members, each a `Member` or a plain tuple of the same fields. About 2 µs a member.

        Raises:
            ArchiveError: as `add`; the members before the bad one have been added.
        """
        if self._finished:
            raise ArchiveError("The index is finished: no member can be added any more.")
        records, blobs = self._records, self._blobs
        for name, method, compressed_bytes, size_bytes, crc32, modified_at, blob in members:
            raw_name = _encode_name(name)
            if method == DEFLATED:
                if self._deflated_count == self._member_count:
                    self._deflated_count += 1
            elif method != STORED or compressed_bytes != size_bytes:
                raise ArchiveError(_what_is_wrong(method, name), member=name)
            if not (
                0 <= size_bytes < _LARGEST
                and 0 <= compressed_bytes < _LARGEST
                and 0 <= crc32 <= LIMIT_32
                and len(blob) == BLOB_ID_BYTES
            ):
                raise ArchiveError(f"The size, CRC-32 or blob id of {name!r} is out of bounds.", member=name)
            record, header_bytes = central_record(
                raw_name, method, compressed_bytes, size_bytes, crc32, modified_at, self._offset
            )
            records.append(record)
            blobs.append(blob)
            self._offset += header_bytes + compressed_bytes
            self._member_count += 1
            if len(records) == self._page_members:
                self._write_page()

    def finish(self) -> IndexSummary:
        """Write the last page, the page table and the footer. `out` is neither flushed nor closed.

        Raises:
            ArchiveError: it was called before.
        """
        if self._finished:
            raise ArchiveError("The index is finished already.")
        if self._records:
            self._write_page()
        self._finished = True
        end = end_records(self._member_count, self._offset, self._directory_bytes)
        self._digest.update(end)
        digest = self._digest.digest()
        footer = FOOTER.pack(
            MAGIC,
            self._page_members,
            self._deflated_count,
            self._member_count,
            self._offset,
            self._directory_bytes,
            self._index_bytes,
            digest,
            0,
        )
        tail = b"".join(self._table) + footer[:-4]
        tail += zlib.crc32(tail).to_bytes(4, "little")
        self._out.write(tail)
        index = Index.open(tail)
        return IndexSummary(
            size_bytes=index.size_bytes,
            member_count=index.member_count,
            deflated_count=index.deflated_count,
            directory_offset=index.directory_offset,
            directory_bytes=index.directory_bytes,
            digest=digest,
            etag=index.etag,
            index_bytes=self._index_bytes + len(tail),
        )

    def _write_page(self) -> None:
        records = b"".join(self._records)
        page = records + b"".join(self._blobs)
        self._digest.update(page)
        self._table.append(PAGE_ENTRY.pack(self._page_start, self._index_bytes, zlib.crc32(page)))
        self._out.write(page)
        self._index_bytes += len(page)
        self._directory_bytes += len(records)
        self._page_start = self._offset
        self._records.clear()
        self._blobs.clear()


def _encode_name(name: str) -> bytes:
    try:
        raw = name.encode()
    except UnicodeEncodeError:
        raise ArchiveError(
            f"The name {name!r} holds a lone surrogate and can't be written as UTF-8."
        ) from None
    if not 0 < len(raw) < LIMIT_16 or raw.endswith(b"/"):
        raise ArchiveError(
            f"A member's name must have 1 to 65534 bytes and not end in a slash: {name[:80]!r}."
        )
    return raw


def _what_is_wrong(method: int, name: str) -> str:
    if method == STORED:
        return f"{name!r} is stored, so its compressed size must be its size."
    return f"{name!r} has compression method {method}; only 0 (stored) and 8 (deflated) are written."
