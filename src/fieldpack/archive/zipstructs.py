"""The records of a ZIP file, as far as archives that are written or read need them (APPNOTE.TXT 6.3.10).

A local file header can be rebuilt from the member's central directory record alone, because both are written
with the same name, the same timestamp field, and a ZIP64 field that holds both sizes or neither.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from struct import Struct

STORED = 0
DEFLATED = 8

LIMIT_16 = 0xFFFF
LIMIT_32 = 0xFFFFFFFF
"""The largest values of 16 and 32 bit fields mean "see ZIP64", so no plain value may be equal to them (4.4.1.4)."""

ZIP64_SIZES_BYTES = 20
"""Length of a ZIP64 extra field that holds both sizes: by this a large member's local header is longer."""

VERSION_MADE_BY = (3 << 8) | 45  # 4.4.2: upper byte 3 = Unix, for the permissions; lower byte = version 4.5
VERSION_STORED, VERSION_DEFLATED, VERSION_ZIP64 = 10, 20, 45  # 4.4.3.2
FLAG_UTF8 = 1 << 11  # 4.4.4: names are UTF-8
REGULAR_FILE_0644 = 0o100644 << 16  # 4.4.15: the host system's attributes, st_mode in the upper half

LOCAL = Struct("<4sHHHHHIIIHH")  # 4.3.7
CENTRAL = Struct("<4sHHHHHHIIIHHHHHII")  # 4.3.12
CENTRAL_LENGTHS = Struct(
    "<IIHH10xI"
)  # of it, from byte 20: sizes, lengths of name and extra fields, local offset
CENTRAL_CRC32 = Struct("<I")  # of it, from byte 16
END = Struct("<4sHHHHIIH")  # 4.3.16
ZIP64_END = Struct("<4sQHHIIQQQQ")  # 4.3.14
ZIP64_LOCATOR = Struct("<4sIQI")  # 4.3.15

CENTRAL_SIGNATURE = b"PK\x01\x02"
LOCAL_SIGNATURE = b"PK\x03\x04"
END_SIGNATURE = b"PK\x05\x06"
ZIP64_END_SIGNATURE = b"PK\x06\x06"
ZIP64_LOCATOR_SIGNATURE = b"PK\x06\x07"

LOCAL_BYTES, CENTRAL_BYTES = LOCAL.size, CENTRAL.size

_EXTRA = Struct("<HH")  # 4.5.1: what begins each extra field, its kind and its length
_ZIP64 = 1
_ZIP64_SIZES = Struct("<HHQQ")  # 4.5.3: original size, compressed size, offset, in this order
_ZIP64_OFFSET = Struct("<HHQ")
_ZIP64_ALL = Struct("<HHQQQ")
_TIMESTAMP = Struct("<HHBI")  # Info-ZIP 0x5455: flags (1 = modification time only), then seconds
_TWO_SIZES = Struct("<QQ")
_ZIP64_VALUE = Struct("<Q")

_DAY = 86_400
_DOS_FIRST_DAY = 3_652  # 1980-01-01, in days since 1970
_DOS_LAST_DAY = 50_402  # 2107-12-31
_DOS_LAST_SECOND = _DAY - 2
_dates: dict[int, int] = {}


def dos_date_time(modified_at: int) -> tuple[int, int]:
    """The MS-DOS date and time fields (4.4.6) of Unix seconds, in UTC, rounded down to even seconds.

    Times before 1980 become its first moment, those past 2107 its last.
    """
    day, second = divmod(modified_at, _DAY)
    if day < _DOS_FIRST_DAY:
        day, second = _DOS_FIRST_DAY, 0
    elif day > _DOS_LAST_DAY:
        day, second = _DOS_LAST_DAY, _DOS_LAST_SECOND
    date = _dates.get(day)
    if date is None:
        at = time.gmtime(day * _DAY)
        date = ((at.tm_year - 1980) << 9) | (at.tm_mon << 5) | at.tm_mday
        _dates[day] = date  # at most 46,751 days are representable
    return date, (second // 3600) << 11 | (second // 60 % 60) << 5 | second % 60 // 2


def timestamp_field(modified_at: int) -> bytes:
    """The extra field 0x5455 for Unix seconds, the same in local header and directory.

    It has 32 bits, which some readers take as signed and some as unsigned, so a time before 1970 or after January
    2038 gets no such field; readers then use the DOS field.
    """
    if 0 <= modified_at <= 0x7FFFFFFF:
        return _TIMESTAMP.pack(0x5455, 5, 1, modified_at)
    return b""


def central_record(
    name: bytes,
    method: int,
    compressed_bytes: int,
    size_bytes: int,
    crc32: int,
    modified_at: int,
    offset: int,
) -> tuple[bytes, int]:
    """A member's central directory record, and the length of the local header that goes with it.

    ZIP64 holds both sizes when either needs it, as a local header must (4.5.3), and the offset when that
    needs it, each field exactly then.
    """
    date, dos_time = dos_date_time(modified_at)
    timestamp = extra = timestamp_field(modified_at)
    version = VERSION_DEFLATED if method else VERSION_STORED
    header_bytes = LOCAL_BYTES + len(name) + len(timestamp)
    if compressed_bytes >= LIMIT_32 or size_bytes >= LIMIT_32:
        if offset >= LIMIT_32:
            extra = _ZIP64_ALL.pack(1, 24, size_bytes, compressed_bytes, offset) + timestamp
            offset = LIMIT_32
        else:
            extra = _ZIP64_SIZES.pack(1, 16, size_bytes, compressed_bytes) + timestamp
        compressed_bytes = size_bytes = LIMIT_32
        version = VERSION_ZIP64
        header_bytes += ZIP64_SIZES_BYTES
    elif offset >= LIMIT_32:
        extra = _ZIP64_OFFSET.pack(1, 8, offset) + timestamp
        offset = LIMIT_32
        version = VERSION_ZIP64
    record = CENTRAL.pack(
        CENTRAL_SIGNATURE,
        VERSION_MADE_BY,
        version,
        FLAG_UTF8,
        method,
        dos_time,
        date,
        crc32,
        compressed_bytes,
        size_bytes,
        len(name),
        len(extra),
        0,
        0,
        0,
        REGULAR_FILE_0644,
        offset,
    )
    return record + name + extra, header_bytes


def local_header(page: bytes, at: int, name_bytes: int, extra_bytes: int, large: bool, far: bool) -> bytes:
    """The local file header (4.3.7) of the member whose central directory record starts at `page[at]`.

    Args:
        name_bytes: length of the name.
        extra_bytes: length of the extra fields.
        large: whether the record's ZIP64 field holds the sizes.
        far: whether it holds the offset.
    """
    name_at = at + CENTRAL_BYTES
    if (
        not far
    ):  # then both are equal from the version to the extra fields, except for the directory's own fields
        return LOCAL_SIGNATURE + page[at + 6 : at + 32] + page[name_at : name_at + name_bytes + extra_bytes]
    extra_at = name_at + name_bytes
    end = extra_at + extra_bytes
    if large:
        extra = b"\x01\x00\x10\x00" + page[extra_at + 4 : extra_at + 20] + page[extra_at + 28 : end]
        version = VERSION_ZIP64
    else:
        extra = page[extra_at + 12 : end]
        version = VERSION_DEFLATED if page[at + 10] else VERSION_STORED
    return b"".join(
        (
            LOCAL_SIGNATURE,
            version.to_bytes(2, "little"),
            page[at + 8 : at + 30],
            len(extra).to_bytes(2, "little"),
            page[name_at:extra_at],
            extra,
        )
    )


def zip64_sizes(page: bytes, extra_at: int) -> tuple[int, int]:
    """Original and compressed size out of the ZIP64 field that starts at `page[extra_at]`."""
    sizes: tuple[int, int] = _TWO_SIZES.unpack_from(page, extra_at + 4)
    return sizes


def read_zip64(extra: bytes | memoryview, values: Sequence[int]) -> tuple[int, ...] | None:
    """Sizes and offset as they are where a record refers to its ZIP64 field (4.5.3).

    Args:
        extra: the record's extra fields.
        values: original size, compressed size and, in a directory record, offset, as the record itself has them.

    Returns:
        The same, each that was full taken from the field, in its order; None when one isn't there.
    """
    if LIMIT_32 not in values:
        return tuple(values)
    at = 0
    while at + _EXTRA.size <= len(extra):
        kind, length = _EXTRA.unpack_from(extra, at)
        at += _EXTRA.size
        if kind == _ZIP64:
            field = extra[at : at + length]
            there = _ZIP64_VALUE.iter_unpack(field[: len(field) - len(field) % _ZIP64_VALUE.size])
            found = [next(there, (-1,))[0] if value == LIMIT_32 else value for value in values]
            return tuple(found) if -1 not in found else None
        at += length
    return None


def end_records(member_count: int, directory_offset: int, directory_bytes: int) -> bytes:
    """What follows the directory: the end record, and before it the ZIP64 end record and locator where needed.

    They are needed from a count of 65,535 or a size or offset of 4 GiB - 1 on, because those values mean "see ZIP64".
    """
    end = END.pack(
        END_SIGNATURE,
        0,
        0,
        min(member_count, LIMIT_16),
        min(member_count, LIMIT_16),
        min(directory_bytes, LIMIT_32),
        min(directory_offset, LIMIT_32),
        0,
    )
    if member_count < LIMIT_16 and directory_bytes < LIMIT_32 and directory_offset < LIMIT_32:
        return end
    zip64_end = ZIP64_END.pack(
        ZIP64_END_SIGNATURE,
        ZIP64_END.size - 12,
        VERSION_MADE_BY,
        VERSION_ZIP64,
        0,
        0,
        member_count,
        member_count,
        directory_bytes,
        directory_offset,
    )
    locator = ZIP64_LOCATOR.pack(ZIP64_LOCATOR_SIGNATURE, 0, directory_offset + directory_bytes, 1)
    return zip64_end + locator + end
