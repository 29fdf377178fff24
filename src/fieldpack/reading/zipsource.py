"""The members of a ZIP, which is untrusted input. ZIP terms follow APPNOTE 6.3.10."""

from __future__ import annotations

import io
import os
import stat
import zipfile
import zlib
from array import array
from bisect import bisect_right
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from fieldpack.archive.members import COLLECTION, RESPONSES, explain_unsafe_name
from fieldpack.archive.zipstructs import (
    CENTRAL_BYTES,
    CENTRAL_SIGNATURE,
    LIMIT_16,
    LOCAL_BYTES,
    LOCAL_SIGNATURE,
    ZIP64_END,
    ZIP64_END_SIGNATURE,
    ZIP64_LOCATOR,
)
from fieldpack.errors import ArchiveError
from fieldpack.reading.source import GuardedMember, Limits, Member, lower_first, translate_errors
from fieldpack.reading.zipcheck import HeaderCheck

__all__ = ["ZipSource"]

_METHODS = {zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "LZMA", 9: "Deflate64", 93: "Zstandard"}  # §4.4.5
_LONGEST_RECORD_BYTES = CENTRAL_BYTES + 3 * LIMIT_16  # with name, extra fields and comment (§4.3.12)
_REFUSED_FLAGS = 0x0060  # patched data, strong encryption (§4.4.4): `zipfile` says so


class ZipSource:
    """The members of a ZIP.

    Opening reads the directory only. It raises `ArchiveError` when the file is no ZIP, is cut short, lists
    more members than `Limits.members`, lists one name twice, or when two members share bytes of the file (as
    in a non-recursive ZIP bomb). A single member that is encrypted, a symlink, unsafely named, inflates
    beyond `Limits.ratio`, or overlaps the next one by its local header, is not read: opening *it* raises, and all
    of these but the last are listed with their `problem`.

    An archive that was unpacked and zipped again may hold everything in one top folder: names are given
    relative to the folder that holds `responses.jsonl` or `collection.json`.
    """

    root: Path | None = None

    def __init__(
        self, file: BinaryIO, label: str, limits: Limits | None = None, *, owns_file: bool = True
    ) -> None:
        self.label = label
        self._file = file
        self._owns_file = owns_file
        self._limits = limits or Limits()
        with translate_errors(label):
            self._size = file.seek(0, os.SEEK_END)
            self._zip = self._open_zip(file)
        try:
            self._infos = self._index()
        except BaseException:
            self.close()
            raise

    def _open_zip(self, file: BinaryIO) -> zipfile.ZipFile:
        try:
            self._check_directory(file)
            return zipfile.ZipFile(file)
        except zipfile.BadZipFile as error:
            file.seek(0)
            head = file.read(512)
            raise ArchiveError(_explain_no_zip(self.label, head, self._size, str(error))) from error

    def _check_directory(self, file: BinaryIO) -> None:
        """Refuse a directory by what the end records say of it, as `zipfile` reads all of it into memory first."""
        # A reading of our own might find another record than the one that `zipfile` will go by.
        found = zipfile._EndRecData(file)  # type: ignore[attr-defined]  # of `zipfile` alone
        if found is None:
            return
        is_zip64, entries, size_bytes, end = found[0] == ZIP64_END_SIGNATURE, found[4], found[5], found[9]
        if entries > self._limits.members:
            raise self._too_many(entries)
        start = end - size_bytes - (ZIP64_END.size + ZIP64_LOCATOR.size if is_zip64 else 0)
        if start < 0:
            return  # `zipfile` refuses it
        file.seek(start)
        is_directory = size_bytes == 0 or file.read(4) == CENTRAL_SIGNATURE
        if not is_directory or not size_bytes <= entries * _LONGEST_RECORD_BYTES:
            raise zipfile.BadZipFile(
                f"its directory of {size_bytes:,} bytes can't be one of {entries:,} members"
            )

    def _too_many(self, count: int) -> ArchiveError:
        return ArchiveError(
            f"{self.label} lists {count:,} members; more than {self._limits.members:,} are not read."
        )

    def _index(self) -> dict[str, zipfile.ZipInfo]:
        infos = self._zip.infolist()
        if len(infos) > self._limits.members:
            raise self._too_many(len(infos))
        by_name: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            name = _decode_name(info)
            if name in by_name:
                raise ArchiveError(
                    f"{self.label} has the member {name!r} twice; which one counts can't be told.",
                    member=name,
                )
            by_name[name] = info
        self._starts = self._check_overlap(infos)
        prefix = _find_prefix(by_name)
        self.outside = [name for name in by_name if not name.startswith(prefix) and not name.endswith("/")]
        return {
            name[len(prefix) :]: info
            for name, info in by_name.items()
            if not name.endswith("/") and name.startswith(prefix)
        }

    def _check_overlap(self, infos: list[zipfile.ZipInfo]) -> array[int]:
        """Where the members start, in order, and where the directory starts, after checking that none overlaps the
        next according to the directory. `open` checks the members' local headers."""
        end, previous = 0, ""
        starts = array("q")
        for info in sorted(infos, key=lambda info: info.header_offset):
            if info.header_offset < end:
                raise ArchiveError(
                    f"{self.label} is not a sound ZIP: {previous!r} and {info.filename!r} overlap.",
                    member=info.filename,
                )
            starts.append(info.header_offset)
            end = info.header_offset + LOCAL_BYTES + info.compress_size
            previous = info.filename
            if end > self._size:
                raise ArchiveError(
                    f"{self.label} is damaged: {info.filename!r} would end after the file's own end.",
                    member=info.filename,
                )
        if end > self._zip.start_dir:
            raise ArchiveError(
                f"{self.label} is not a sound ZIP: {previous!r} reaches into the directory.", member=previous
            )
        starts.append(self._zip.start_dir)
        return starts

    def members(self) -> dict[str, Member]:
        """See `Source.members`."""
        return {
            name: Member(
                name=name,
                size_bytes=info.file_size,
                stored_bytes=info.compress_size,
                crc32=info.CRC,
                problem=self._find_problem(name, info),
                offset=info.header_offset,
                is_compressed=info.compress_type != zipfile.ZIP_STORED,
            )
            for name, info in self._infos.items()
        }

    def _find_problem(self, name: str, info: zipfile.ZipInfo) -> str | None:
        if unsafe := explain_unsafe_name(name):
            return unsafe
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            return "it is a symbolic link" if stat.S_ISLNK(mode) else "it is not a regular file"
        if info.flag_bits & 0x1:
            return "it is encrypted"
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # nothing bounds what `zipfile` makes of a few bytes of these at a time, whatever size they claim
            name = _METHODS.get(info.compress_type, f"method {info.compress_type}")
            return f"it is compressed by {name}, which is not read: archives have members stored or deflated"
        if info.compress_type == zipfile.ZIP_STORED:
            differ = info.file_size != info.compress_size
            return "it is stored uncompressed, yet its two sizes differ" if differ else None
        alone = Member(name, info.file_size, info.compress_size, info.CRC, is_compressed=True)
        return self._limits.explain_bomb([alone])

    def contradictions(self, name: str) -> list[str]:
        """See `Source.contradictions`."""
        self._expect(self._infos[name])
        with translate_errors(self.label, name):
            return self._headers.check(self._infos[name])

    def count_stray_bytes(self) -> int:
        """See `Source.count_stray_bytes`."""
        with translate_errors(self.label):
            return self._headers.count_stray_bytes()

    @cached_property
    def _headers(self) -> HeaderCheck:
        return HeaderCheck(self._file, self._size, self._zip.infolist(), self._zip.start_dir)

    def open(self, name: str) -> BinaryIO:
        """See `Source.open`."""
        info = self._find(name)
        self._expect(info)
        with translate_errors(self.label, name):
            self._check_end(name, info, self._headers.find_end(info))
            raw = self._zip.open(info)
        return io.BufferedReader(GuardedMember(raw, self.label, name), 256 * 1024)

    def read(self, name: str) -> bytes:
        """See `Source.read`. What is stored uncompressed comes by one call, past `zipfile`."""
        info = self._find(name)
        is_plain = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & _REFUSED_FLAGS
        if is_plain and self._headers.is_real:
            with translate_errors(self.label, name):
                found = self._headers.read_stored(info)
                if found is not None:
                    data, end = found
                    self._check_end(name, info, end)
                    if zlib.crc32(data) != info.CRC:
                        raise zipfile.BadZipFile("Bad CRC-32")
                    return data
        with self.open(name) as opened:  # says what is wrong, too
            return opened.read()

    def _find(self, name: str) -> zipfile.ZipInfo:
        info = self._infos.get(name)
        if info is None:
            raise ArchiveError(f"{self.label} has no member {name!r}.", member=name)
        if problem := self._find_problem(name, info):
            raise ArchiveError(f"{self.label}: {name!r} is not read: {problem}.", member=name)
        return info

    def _check_end(self, name: str, info: zipfile.ZipInfo, end: int) -> None:
        """Refuse a member whose data ends at `end`, by its local header, and so within the next one."""
        if end > self._starts[bisect_right(self._starts, info.header_offset)]:
            raise ArchiveError(
                f"{self.label} is not a sound ZIP: {name!r} overlaps what follows it.", member=name
            )

    def _expect(self, info: zipfile.ZipInfo) -> None:
        """Let a remote file fetch this member and no more."""
        expect = getattr(self._file, "expect", None)
        if expect is not None:
            header = LOCAL_BYTES + len(info.filename.encode("utf-8", "surrogatepass")) + 64
            expect(info.header_offset, info.header_offset + header + info.compress_size)

    def close(self) -> None:
        """Close the ZIP, and the file if it is owned."""
        self._zip.close()
        if self._owns_file:
            self._file.close()


def _decode_name(info: zipfile.ZipInfo) -> str:
    """The member's name; one not flagged as UTF-8 (bit 11, §4.4.4) that is UTF-8 all the same is read as
    such."""
    name = info.filename
    if info.flag_bits & 0x800 or name.isascii():
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return name


def _find_prefix(names: dict[str, zipfile.ZipInfo]) -> str:
    if RESPONSES in names or COLLECTION in names:
        return ""
    for wanted in (RESPONSES, COLLECTION):
        found = [n for n in names if n.endswith("/" + wanted) and not n.startswith("__MACOSX/")]
        if found:
            shortest = min(found, key=lambda n: (n.count("/"), n))
            prefix = shortest[: -len(wanted)]
            return prefix if explain_unsafe_name(prefix.rstrip("/")) is None else ""
    return ""


def _explain_no_zip(label: str, head: bytes, size: int, reason: str) -> str:
    text = head.lstrip().lower()
    if size == 0:
        return f"{label} is empty."
    if head.startswith(LOCAL_SIGNATURE):
        if "not a zip file" in reason.lower():
            return f"{label} is cut short: the directory at its end is missing. Download it again."
        return f"{label} is a damaged ZIP: {lower_first(reason)}."
    if text.startswith((b"<!doctype html", b"<html")):
        return f"{label} is not a ZIP but a web page, perhaps an error page that was saved in its place."
    if text.startswith(b"{"):
        return f"{label} is not a ZIP but JSON, perhaps an answer of the API that was saved in its place."
    return f"{label} is not a ZIP archive."
