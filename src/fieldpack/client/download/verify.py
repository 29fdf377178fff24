"""Checking a ZIP as its bytes arrive."""

from __future__ import annotations

import hashlib
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from fieldpack.archive import zipstructs as z
from fieldpack.errors import ArchiveError
from fieldpack.text import make_plain, say_count

__all__ = ["StreamVerifier", "verify_file"]

_SEEN = struct.Struct("<QIQQHH")  # offset, CRC-32, stored size, full size, method, flags
_HARMLESS = z.FLAG_UTF8 | 0x06  # names are UTF-8; how hard deflate tried
_NEWEST = 63  # version needed to extract, ten times that of the specification
_INFLATE_STEP = 1 << 20


class _Unsupported(Exception):
    """The ZIP is laid out in a way that a stream can't be checked by; it may be valid all the same."""


class StreamVerifier:
    """Checks every member's size and CRC-32, and the directory against them, as bytes are fed in order.

    Memory is constant, whatever the number of members. Archives that put sizes after the data, leave gaps, or
    use rarer methods cannot be checked this way: `finish` returns False, and `verify_file` must check the file.
    """

    def __init__(self) -> None:
        self._carry = bytearray()
        self._position = 0  # of the first byte of _carry
        self._step: Callable[[memoryview], int] = self._read_head
        self._is_judged = True
        # the member being read
        self._name = b""
        self._left = self._size = self._crc_wanted = 0
        self._crc = self._got = 0
        self._inflate: zlib._Decompress | None = None
        # the members read, and the directory's word on them
        self._count = self._listed = 0
        self._members = hashlib.blake2b()
        self._directory = hashlib.blake2b()
        self._directory_start = 0
        self._directory_end = 0
        self._end64: tuple[int, int, int, int] | None = None  # where it is, entries, size, start
        self._located64: int | None = None
        self._is_ended = False

    def feed(self, data: memoryview) -> None:
        """Take the next bytes.

        Raises:
            ArchiveError: a member's content is not what its header promises.
        """
        if not self._is_judged:
            return
        try:
            if self._carry:
                data = self._feed_carry(data)
            taken = self._run(data)
            if taken < len(data):
                self._carry += data[taken:]
        except _Unsupported:
            self._is_judged = False
            self._carry.clear()

    def finish(self) -> bool:
        """Whether the complete archive was checked and is valid; False when it could not be checked as a stream.

        Raises:
            ArchiveError: it is cut short, or its directory does not match its members.
        """
        if not self._is_judged:
            return False
        is_whole = self._is_ended and not self._carry and self._left == 0
        return is_whole and self._listed == self._count and self._members.digest() == self._directory.digest()

    def _feed_carry(self, data: memoryview) -> memoryview:
        """Complete the header of which the last chunk had the beginning; return the bytes after it."""
        taken = 0
        while self._carry and taken < len(data):
            held = len(self._carry)
            more = min(len(data) - taken, max(256, held))
            self._carry += data[taken : taken + more]
            used = self._step(memoryview(bytes(self._carry)))
            if used == 0:
                taken += more
                continue
            # the bytes held before were too few for a header, so it ends within the bytes just added
            self._position += used
            taken += used - held
            self._carry.clear()
        return data[taken:]

    def _run(self, data: memoryview) -> int:
        if self._carry:
            return 0
        taken = 0
        while taken < len(data):
            used = self._step(data[taken:])
            if used == 0:
                break
            taken += used
            self._position += used
        return taken

    def _read_head(self, data: memoryview) -> int:
        """A local header, or the first directory entry, or the end of an empty archive."""
        signature = bytes(data[:4])
        if signature != z.LOCAL_SIGNATURE:
            if len(data) < 4:
                return 0
            self._directory_start = self._position
            self._step = self._read_entry
            return self._read_entry(data)
        if len(data) < z.LOCAL.size:
            return 0
        version, flags, method, _, _, crc, stored, full, name_length, extra_length = z.LOCAL.unpack_from(
            data
        )[1:]
        length = z.LOCAL.size + name_length + extra_length
        if len(data) < length:
            return 0
        if flags & ~_HARMLESS or version > _NEWEST or method not in (z.STORED, z.DEFLATED):
            raise _Unsupported  # a data descriptor, encryption, a patch …
        name = bytes(data[z.LOCAL.size : z.LOCAL.size + name_length])
        if flags & z.FLAG_UTF8 and not _is_utf8(name):
            raise _Unsupported
        extra = data[z.LOCAL.size + name_length : length]
        full, stored = _read_zip64(extra, full, stored)
        if method == z.STORED and full != stored:
            raise _Unsupported
        self._name, self._left, self._size, self._crc_wanted = name, stored, full, crc
        self._crc = self._got = 0
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS) if method == z.DEFLATED else None
        self._note(self._members, name, self._position, crc, stored, full, method, flags)
        self._count += 1
        if stored:
            self._step = self._read_content
        else:
            self._end_member()
        return int(length)

    def _read_content(self, data: memoryview) -> int:
        part = data[: self._left]
        if self._inflate is None:
            self._crc = zlib.crc32(part, self._crc)
            self._got += len(part)
        else:
            self._inflate_part(self._inflate, part)
        self._left -= len(part)
        if self._left == 0:
            self._end_member()
        return len(part)

    def _inflate_part(self, inflate: zlib._Decompress, part: memoryview) -> None:
        rest: bytes | memoryview = part
        try:
            while rest and not inflate.eof:
                plain = inflate.decompress(rest, _INFLATE_STEP)
                rest = inflate.unconsumed_tail
                self._crc = zlib.crc32(plain, self._crc)
                self._got += len(plain)
                if self._got > self._size:
                    raise self._damaged("it is longer than its header says")
            if rest or inflate.unused_data:
                raise self._damaged("there are bytes after its end")
        except zlib.error as error:
            raise self._damaged(str(error)) from error

    def _end_member(self) -> None:
        if self._inflate is not None:
            while not self._inflate.eof and (plain := self._inflate.decompress(b"", _INFLATE_STEP)):
                self._crc = zlib.crc32(plain, self._crc)
                self._got += len(plain)
            if not self._inflate.eof:
                raise self._damaged("it breaks off")
        if self._got != self._size:
            raise self._damaged(f"it holds {say_count(self._got, 'byte')} instead of {self._size:,}")
        if self._crc != self._crc_wanted:
            raise self._damaged("its CRC-32 is wrong")
        self._inflate = None
        self._step = self._read_head

    def _read_entry(self, data: memoryview) -> int:
        """A directory entry, or what comes after the last."""
        if len(data) < 4:
            return 0
        if data[:4] != z.CENTRAL_SIGNATURE:
            self._directory_end = self._position
            self._step = self._read_end
            return self._read_end(data)
        if len(data) < z.CENTRAL.size:
            return 0
        fields = z.CENTRAL.unpack_from(data)
        version, flags, method = fields[2:5]
        crc, stored, full, name_length, extra_length, comment_length, disk = fields[7:14]
        offset = fields[16]
        if version > _NEWEST or disk not in (0, z.LIMIT_16):
            raise _Unsupported
        length = z.CENTRAL.size + name_length + extra_length + comment_length
        if len(data) < length:
            return 0
        name = bytes(data[z.CENTRAL.size : z.CENTRAL.size + name_length])
        extra = data[z.CENTRAL.size + name_length :][:extra_length]
        full, stored, offset = _read_zip64(extra, full, stored, offset)
        self._note(self._directory, name, offset, crc, stored, full, method, flags)
        self._listed += 1
        return int(length)

    def _read_end(self, data: memoryview) -> int:
        """The end records (§4.3.6 gives their order)."""
        if self._is_ended:
            raise _Unsupported
        signature = bytes(data[:4])
        if len(data) < 4:
            return 0
        if signature == z.ZIP64_END_SIGNATURE:
            if len(data) < z.ZIP64_END.size:
                return 0
            _, length, _, _, _, _, here, entries, size, start = z.ZIP64_END.unpack_from(data)
            if len(data) < length + 12:
                return 0
            if here != entries:
                raise _Unsupported
            self._end64 = (self._position, entries, size, start)
            return int(length) + 12
        if signature == z.ZIP64_LOCATOR_SIGNATURE:
            if len(data) < z.ZIP64_LOCATOR.size:
                return 0
            self._located64 = z.ZIP64_LOCATOR.unpack_from(data)[2]
            return z.ZIP64_LOCATOR.size
        if signature != z.END_SIGNATURE:
            raise _Unsupported
        if len(data) < z.END.size:
            return 0
        *_, entries, size, start, comment_length = z.END.unpack_from(data)
        if len(data) < z.END.size + comment_length:
            return 0
        self._check_end(entries, size, start)
        self._is_ended = True
        return z.END.size + int(comment_length)

    def _check_end(self, entries: int, size: int, start: int) -> None:
        if self._end64 is not None:
            where, entries64, size64, start64 = self._end64
            if self._located64 != where:
                raise _Unsupported
            entries = entries64 if entries == z.LIMIT_16 else entries
            size = size64 if size == z.LIMIT_32 else size
            start = start64 if start == z.LIMIT_32 else start
        found = self._listed, self._directory_end - self._directory_start, self._directory_start
        if found != (entries, size, start):
            raise _Unsupported

    @staticmethod
    def _note(digest: hashlib.blake2b, name: bytes, *seen: int) -> None:
        digest.update(_SEEN.pack(*seen) + name)

    def _damaged(self, why: str) -> ArchiveError:
        name = self._name.decode("utf-8", "replace")
        return ArchiveError(f"The member {make_plain(name)!r} is damaged: {why}.", member=name)


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _read_zip64(extra: memoryview, *values: int) -> tuple[int, ...]:
    found = z.read_zip64(extra, values)
    if found is None:
        raise _Unsupported
    return found


def verify_file(path: Path) -> None:
    """Check the directory and every member's CRC-32 with the standard library, reading `path` once.

    It accepts what `zipfile` accepts, and holds the complete directory in memory.

    Raises:
        ArchiveError: it is cut short, damaged, or not a ZIP.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except (
        zipfile.BadZipFile,
        EOFError,
        zlib.error,
        struct.error,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise ArchiveError(f"It is not a whole ZIP archive: {str(error).rstrip('.')}.") from error
    if bad is not None:
        raise ArchiveError(f"The member {bad!r} is damaged: its CRC-32 is wrong.", member=bad)
