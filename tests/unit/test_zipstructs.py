"""The records of a ZIP, as the standard library writes and reads them."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pytest

import fieldpack
from fieldpack.archive import zipstructs as z

TIME = (2026, 3, 1, 9, 30, 4)
DOS_DATE, DOS_TIME = (46 << 9) | (3 << 5) | 1, (9 << 11) | (30 << 5) | 2
SOURCES = Path(fieldpack.__file__).parent


def write_zip(names: list[str], *, large: bool = False) -> tuple[bytes, list[zipfile.ZipInfo]]:
    """An archive by `zipfile`; `large` has local headers hold sizes of 64 bits."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            info = zipfile.ZipInfo(name, TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(info, "w", force_zip64=large) as member:
                member.write(name.encode() * 40)
        archive.comment = b"a comment"
        infos = archive.infolist()
    return out.getvalue(), infos


@pytest.mark.parametrize("large", [False, True])
def test_records_of_the_standard_library_are_read(large: bool) -> None:
    data, infos = write_zip(["plain.txt", "Köln.txt"], large=large)
    *_, entries, directory_bytes, at, comment_bytes = z.END.unpack_from(data, data.rindex(z.END_SIGNATURE))
    assert (entries, comment_bytes) == (2, 9)
    start = at
    for info in infos:
        head = z.LOCAL.unpack_from(data, info.header_offset)
        signature, _, flags, method, dos_time, date, crc32, stored, full, name_bytes, extra_bytes = head
        assert (signature, method, dos_time, date, crc32) == (
            z.LOCAL_SIGNATURE,
            z.DEFLATED,
            DOS_TIME,
            DOS_DATE,
            info.CRC,
        )
        assert bool(flags & z.FLAG_UTF8) == (not info.filename.isascii())
        name_at = info.header_offset + z.LOCAL_BYTES
        assert data[name_at : name_at + name_bytes].decode() == info.filename
        extra = data[name_at + name_bytes : name_at + name_bytes + extra_bytes]
        assert ((full, stored) == (z.LIMIT_32, z.LIMIT_32)) == large
        assert z.read_zip64(extra, (full, stored)) == (info.file_size, info.compress_size)

        fields = z.CENTRAL.unpack_from(data, at)
        assert (fields[0], fields[4], fields[5], fields[6]) == (
            z.CENTRAL_SIGNATURE,
            z.DEFLATED,
            DOS_TIME,
            DOS_DATE,
        )
        assert fields[7:10] == (info.CRC, info.compress_size, info.file_size)
        assert (fields[15], fields[16]) == (info.external_attr, info.header_offset)
        assert z.CENTRAL_CRC32.unpack_from(data, at + 16) == (info.CRC,)
        assert z.CENTRAL_LENGTHS.unpack_from(data, at + 20) == (*fields[8:12], fields[16])
        at += z.CENTRAL_BYTES + sum(fields[10:13])
    assert at - start == directory_bytes


def test_an_end_of_64_bits_is_the_same_as_theirs() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(z.LIMIT_16 + 1):
            archive.writestr(zipfile.ZipInfo(f"{number:05}"), b"")
        start, made_by = archive.start_dir, archive.infolist()[0]
    data = out.getvalue()
    assert made_by.create_system == 3
    ends = data[data.index(z.ZIP64_END_SIGNATURE) :]
    ours = z.end_records(z.LIMIT_16 + 1, start, len(data) - len(ends) - start)
    theirs = z.ZIP64_END.unpack_from(ends)
    assert z.ZIP64_END.unpack_from(ours)[4:] == theirs[4:]
    assert (theirs[0], theirs[1], theirs[3]) == (
        z.ZIP64_END_SIGNATURE,
        z.ZIP64_END.size - 12,
        z.VERSION_ZIP64,
    )
    assert (
        ours[z.ZIP64_END.size : z.ZIP64_END.size + z.ZIP64_LOCATOR.size]
        == (ends[z.ZIP64_END.size : z.ZIP64_END.size + z.ZIP64_LOCATOR.size])
    )


@pytest.mark.parametrize("method", [z.STORED, z.DEFLATED])
@pytest.mark.parametrize("size", [1, z.LIMIT_32 - 1, z.LIMIT_32, 1 << 40])
@pytest.mark.parametrize("offset", [0, z.LIMIT_32 - 1, z.LIMIT_32, 1 << 41])
def test_the_standard_library_reads_our_records(method: int, size: int, offset: int) -> None:
    name = "files/Köln.jpg".encode()
    record, header_bytes = z.central_record(name, method, size, size, 0xCAFE, 1_772_357_404, offset)
    # what comes before is said to be there: the reader takes offsets as they are only then
    ends = z.end_records(1, max(offset + header_bytes + size, z.LIMIT_32), len(record))
    with zipfile.ZipFile(_Far(record + ends, max(offset + header_bytes + size, z.LIMIT_32))) as archive:
        (info,) = archive.infolist()
    assert (info.filename, info.CRC, info.header_offset) == (name.decode(), 0xCAFE, offset)
    assert (info.file_size, info.compress_size, info.date_time) == (size, size, TIME)


class _Far(io.RawIOBase):
    """A file whose only bytes are its last, `start` bytes from its beginning."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data, self._start, self._at = data, start, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        base = {0: 0, 1: self._at, 2: self._start + len(self._data)}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]  # as every RawIOBase is given one
        at = self._at - self._start
        data = self._data[at : at + len(view)] if at >= 0 else b""
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


@pytest.mark.parametrize(
    ("extra", "values", "found"),
    [
        (b"", (1, 2), (1, 2)),
        (b"", (z.LIMIT_32, 2), None),
        (b"\x01\x00\x08\x00" + b"\x07" + b"\0" * 7, (z.LIMIT_32, 2), (7, 2)),
        (b"\x01\x00\x08\x00" + b"\x07" + b"\0" * 7, (2, z.LIMIT_32), (2, 7)),
        (b"\x01\x00\x08\x00" + b"\x07" + b"\0" * 7, (z.LIMIT_32, z.LIMIT_32), None),
        (b"\x01\x00\xff\xff" + b"\x07" + b"\0" * 7, (z.LIMIT_32, 3), (7, 3)),
        (b"\x01\x00\x08\x00" + b"\x07", (z.LIMIT_32, 3), None),
        (b"UT\x05\x00" + b"\x01" * 5 + b"\x01\x00\x08\x00" + b"\x07" + b"\0" * 7, (z.LIMIT_32,), (7,)),
        (b"\x01", (z.LIMIT_32,), None),
    ],
)
def test_fields_of_64_bits(extra: bytes, values: tuple[int, ...], found: tuple[int, ...] | None) -> None:
    assert z.read_zip64(extra, values) == found
    assert z.read_zip64(memoryview(extra), values) == found


def test_no_other_module_has_structures_of_its_own() -> None:
    """Their signatures give them away; `filetypes` has them among those of a hundred formats."""
    signature = re.compile(r"PK\\x0[1-8]|PK\\[1-8]|0x0[1-8]0[1-8]4[bB]50")
    found = {
        str(path.relative_to(SOURCES))
        for path in SOURCES.rglob("*.py")
        if signature.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"archive/zipstructs.py", "filetypes/signatures.py"}
