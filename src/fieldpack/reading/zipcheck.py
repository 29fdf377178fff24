"""Whether a ZIP's records agree (APPNOTE 6.3.10): each member's local header with the directory; and how many bytes
belong to no record.

Programs that go by the directory and programs that read from the start see the same archive only if both
agree.
"""

from __future__ import annotations

import io
import os
import zipfile
from typing import BinaryIO

from fieldpack.archive.zipstructs import END, END_SIGNATURE, LOCAL, LOCAL_SIGNATURE, read_zip64

__all__ = ["HeaderCheck"]

_COMPARED_FLAGS = 0x0809  # encrypted, sizes after the data, the name is UTF-8 (§4.4.4)
_DESCRIPTOR = 0x0008
_UTF8 = 0x0800
_USUAL_EXTRA = 64
_LONGEST_DESCRIPTOR = 24  # signature, CRC-32 and both sizes in 64 bits (§4.3.9)
_LONGEST_COMMENT = 0xFFFF


class HeaderCheck:
    """Compares the local headers of one file's members, in any order, and keeps where each member ends.

    Attributes:
        is_real: whether it is a file of the operating system, of which several threads can read.
    """

    def __init__(
        self, file: BinaryIO, size_bytes: int, infos: list[zipfile.ZipInfo], directory_at: int
    ) -> None:
        self._file = file
        is_file = isinstance(file, io.BufferedReader) and isinstance(file.raw, io.FileIO)
        self.is_real = is_file and hasattr(os, "pread")
        self._size = size_bytes
        self._infos = infos
        self._directory_at = directory_at
        self._ends: dict[int, int] = {}

    def check(self, info: zipfile.ZipInfo) -> list[str]:
        """Where the member's local header differs from the directory, one phrase for each difference."""
        self._file.seek(info.header_offset)
        head = self._file.read(LOCAL.size)
        if len(head) < LOCAL.size or not head.startswith(LOCAL_SIGNATURE):
            return ["it has no header of its own"]
        _, _, flags, method, time, date, crc, stored, full, name_bytes, extra_bytes = LOCAL.unpack(head)
        extra = self._file.read(name_bytes + extra_bytes)[name_bytes:]
        self._ends[info.header_offset] = (
            info.header_offset + LOCAL.size + name_bytes + extra_bytes + info.compress_size
        )
        full, stored = read_zip64(extra, (full, stored)) or (full, stored)
        pairs = [
            ("flags", flags & _COMPARED_FLAGS, info.flag_bits & _COMPARED_FLAGS),
            ("compression", method, info.compress_type),
            ("time", _read_time(date, time), info.date_time),
        ]
        if not flags & _DESCRIPTOR:
            pairs += [
                ("CRC-32", crc, info.CRC),
                ("sizes", (stored, full), (info.compress_size, info.file_size)),
            ]
        return [
            f"its own header has another {what} than the directory"
            for what, own, listed in pairs
            if own != listed
        ]

    def find_end(self, info: zipfile.ZipInfo) -> int:
        """Where a member's data ends according to its local header; where it has none, the reader will fail."""
        head = self._read_at(info.header_offset, LOCAL.size)
        if len(head) < LOCAL.size:
            return info.header_offset
        *_, name_bytes, extra_bytes = LOCAL.unpack(head)
        return int(info.header_offset + LOCAL.size + name_bytes + extra_bytes + info.compress_size)

    def read_stored(self, info: zipfile.ZipInfo) -> tuple[bytes, int] | None:
        """The data of a member that is stored uncompressed, and where it ends; None where its local header is none, is
        that of another member, or much longer than its name.

        For a file that `is_real`.
        """
        name = info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")
        read = self._read_at(info.header_offset, LOCAL.size + len(name) + _USUAL_EXTRA + info.compress_size)
        if not read.startswith(LOCAL_SIGNATURE) or read[LOCAL.size : LOCAL.size + len(name)] != name:
            return None
        _, _, flags, *_, name_bytes, extra_bytes = LOCAL.unpack_from(read)
        start = LOCAL.size + name_bytes + extra_bytes
        is_named = name_bytes == len(name) and not (flags ^ info.flag_bits) & _UTF8
        if not is_named or len(read) < start + info.compress_size:
            return None
        data = read[start : start + info.compress_size]
        return data, info.header_offset + start + info.compress_size

    def _read_at(self, offset: int, length: int) -> bytes:
        """Without moving the position of a real file, which other threads may be reading from."""
        if self.is_real:
            return os.pread(self._file.fileno(), length, offset)
        self._file.seek(offset)
        return self._file.read(length)

    def count_stray_bytes(self) -> int:
        """How many bytes belong to no member and no record."""
        at = strays = 0
        for info in sorted(self._infos, key=lambda info: info.header_offset):
            if info.header_offset not in self._ends:
                self.check(info)
            strays += max(0, info.header_offset - at)
            at = self._ends.get(info.header_offset, info.header_offset)
            if info.flag_bits & _DESCRIPTOR:
                at += _LONGEST_DESCRIPTOR
        return strays + max(0, self._directory_at - at) + self._count_after_end()

    def _count_after_end(self) -> int:
        self._file.seek(max(0, self._size - END.size - _LONGEST_COMMENT), os.SEEK_SET)
        tail = self._file.read()
        at = tail.rfind(END_SIGNATURE)
        if at < 0 or at + END.size > len(tail):
            return 0
        return max(0, len(tail) - at - END.size - int.from_bytes(tail[at + 20 : at + 22], "little"))


def _read_time(date: int, time: int) -> tuple[int, int, int, int, int, int]:
    """As `ZipInfo.date_time` has it."""
    return (
        (date >> 9) + 1980, (date >> 5) & 0xF, date & 0x1F, time >> 11, (time >> 5) & 0x3F, (time & 0x1F) * 2,
    )  # fmt: skip
