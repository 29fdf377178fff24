"""A ZIP parser for tests, written from APPNOTE.TXT 6.3.10 apart from the code under test.

It forgives nothing: every field has the one value that the format document allows.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

Read = Callable[[int, int], bytes]


@dataclass(frozen=True)
class Entry:
    name: str
    method: int
    crc32: int
    compressed_bytes: int
    size_bytes: int
    offset: int
    content_offset: int
    dos: tuple[int, int]
    timestamp: int | None
    version: int
    local_version: int


def parse(read: Read, size: int) -> list[Entry]:
    """The members of an archive of `size` bytes, of which `read(offset, length)` gives any piece."""
    signature, disk, cd_disk, here, count, cd_bytes, cd_offset, comment = struct.unpack(
        "<4s4H2IH", read(size - 22, 22)
    )
    assert (signature, disk, cd_disk, comment) == (b"PK\x05\x06", 0, 0, 0)
    assert here == count
    end_offset = size - 22
    if count == 0xFFFF or cd_bytes == 0xFFFFFFFF or cd_offset == 0xFFFFFFFF:
        signature, disk, at, disks = struct.unpack("<4sIQI", read(size - 42, 20))
        assert (signature, disk, disks) == (b"PK\x06\x07", 0, 1)
        assert at == size - 42 - 56
        signature, rest, made_by, needed, disk, cd_disk, here64, count64, bytes64, offset64 = struct.unpack(
            "<4sQHHIIQQQQ", read(at, 56)
        )
        assert (signature, rest, made_by, needed, disk, cd_disk) == (b"PK\x06\x06", 44, 0x032D, 45, 0, 0)
        assert here64 == count64
        assert count == min(count64, 0xFFFF)
        assert cd_bytes == min(bytes64, 0xFFFFFFFF)
        assert cd_offset == min(offset64, 0xFFFFFFFF)
        assert count64 >= 0xFFFF or bytes64 >= 0xFFFFFFFF or offset64 >= 0xFFFFFFFF, "ZIP64 without need"
        count, cd_bytes, cd_offset, end_offset = count64, bytes64, offset64, at
    assert cd_offset + cd_bytes == end_offset
    directory = read(cd_offset, cd_bytes)
    entries, at, expected = [], 0, 0
    for _ in range(count):
        entry, at = _central(directory, at)
        assert entry.offset == expected, "members do not follow one another"
        entry = _with_local(entry, read)
        expected = entry.content_offset + entry.compressed_bytes
        entries.append(entry)
    assert at == cd_bytes
    assert expected == cd_offset
    return entries


def _central(directory: bytes, at: int) -> tuple[Entry, int]:
    fields = struct.unpack_from("<4sHHHHHHIIIHHHHHII", directory, at)
    signature, made_by, version, flags, method, time, date, crc32, compressed, size = fields[:10]
    n, e, c, disk, internal, external, offset = fields[10:]
    assert (signature, made_by, flags, c, disk, internal) == (b"PK\x01\x02", 0x032D, 0x0800, 0, 0, 0)
    assert external == 0o100644 << 16
    at += 46
    name = directory[at : at + n].decode("utf-8")
    extra = _extra(directory[at + n : at + n + e])
    zip64 = extra.pop(0x0001, b"")
    has_zip64 = bool(zip64)
    if size == 0xFFFFFFFF:
        size, zip64 = int.from_bytes(zip64[:8], "little"), zip64[8:]
    if compressed == 0xFFFFFFFF:
        compressed, zip64 = int.from_bytes(zip64[:8], "little"), zip64[8:]
    if offset == 0xFFFFFFFF:
        offset, zip64 = int.from_bytes(zip64[:8], "little"), zip64[8:]
    assert zip64 == b""
    assert has_zip64 == (max(size, compressed, offset) >= 0xFFFFFFFF), "ZIP64 exactly where needed"
    assert version == (45 if has_zip64 else 20 if method else 10)
    timestamp = _timestamp(extra)
    entry = Entry(name, method, crc32, compressed, size, offset, 0, (date, time), timestamp, version, 0)
    return entry, at + n + e


def _with_local(entry: Entry, read: Read) -> Entry:
    signature, version, flags, method, time, date, crc32, compressed, size, n, e = struct.unpack(
        "<4sHHHHHIIIHH", read(entry.offset, 30)
    )
    assert (signature, flags, method, crc32) == (b"PK\x03\x04", 0x0800, entry.method, entry.crc32)
    assert (date, time) == entry.dos
    assert read(entry.offset + 30, n).decode("utf-8") == entry.name
    fields = _extra(read(entry.offset + 30 + n, e))
    zip64 = fields.pop(0x0001, None)
    large = max(entry.size_bytes, entry.compressed_bytes) >= 0xFFFFFFFF
    assert (zip64 is not None) == large, "ZIP64 exactly where needed"
    if zip64 is not None:
        assert (size, compressed) == (0xFFFFFFFF, 0xFFFFFFFF), "both sizes (4.5.3)"
        assert len(zip64) == 16
        size, compressed = struct.unpack("<QQ", zip64)
    assert (size, compressed) == (entry.size_bytes, entry.compressed_bytes)
    assert version == (45 if large else 20 if method else 10)
    assert _timestamp(fields) == entry.timestamp
    return Entry(
        **{**entry.__dict__, "content_offset": entry.offset + 30 + n + e, "local_version": version},
    )


def _extra(raw: bytes) -> dict[int, bytes]:
    fields = {}
    while raw:
        kind, length = struct.unpack("<HH", raw[:4])
        assert len(raw) >= 4 + length
        assert kind not in fields
        fields[kind] = raw[4 : 4 + length]
        raw = raw[4 + length :]
    return fields


def _timestamp(fields: dict[int, bytes]) -> int | None:
    raw = fields.pop(0x5455, None)
    assert not fields
    if raw is None:
        return None
    flags, seconds = struct.unpack("<Bi", raw)
    assert flags == 1
    return int(seconds)
