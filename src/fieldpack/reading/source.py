"""Where an archive's members are read from: a ZIP (any seekable file) or an extracted folder.

Archives are untrusted input. `zipsource.ZipSource` says what is refused and by which error; `Limits` has the bounds.
"""

from __future__ import annotations

import io
import math
import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, Protocol

from fieldpack.archive.members import COLLECTION, RESPONSES, explain_outsider, is_bystander
from fieldpack.containment import ContainedFolder
from fieldpack.errors import ArchiveError, InTheWay
from fieldpack.text import say_bytes

__all__ = ["NO_LIMITS", "FolderSource", "Limits", "Member", "Source", "find_outsiders"]

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an archive: `problem` says why it can't be read, or is None."""

    name: str
    size_bytes: int
    stored_bytes: int
    crc32: int | None
    problem: str | None = None
    offset: int = 0
    is_compressed: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """How much memory, disk and time an archive may take on the machine that reads it.

    Attributes:
        members: the most members that a directory may list.
        ratio: the most bytes that one compressed byte may become, over all compressed members that one run
            unpacks. Deflate itself can't exceed 1,032; real `responses.jsonl` stays under 60.
        ratio_from_bytes: up to this many unpacked bytes in one run, the ratio is not checked.
        metadata_bytes: the largest `collection.json` that is read.
        line_bytes: the longest line of `responses.jsonl` that is read.
        table_cells: the number of cells (submissions times questions) that a table may have in any case.
        table_ratio: a larger table may have at most this many cells for each byte of `responses.jsonl`.
        extract_bytes: most bytes `extract` writes in one run; None leaves it to the disk's free space.
        free_space: whether a run that needs more room than the disk says it has is refused before it begins.
    """

    members: int = 20_000_000
    ratio: float = 100.0
    ratio_from_bytes: int = 1024 * MIB
    metadata_bytes: int = 256 * MIB
    line_bytes: int = 64 * MIB
    table_cells: int = 50_000_000
    table_ratio: float = 20.0
    extract_bytes: int | None = None
    free_space: bool = True

    def explain_bomb(self, members: Iterable[Member]) -> str | None:
        """Say why these must not be unpacked in one run, or return None when they may.

        Members that are stored uncompressed take as much room in the archive as unpacked, and don't count.
        """
        packed = unpacked = 0
        for member in members:
            if member.is_compressed:
                packed += member.stored_bytes
                unpacked += member.size_bytes
        if unpacked <= max(self.ratio_from_bytes, packed * self.ratio):
            return None
        return (
            f"it claims to unpack {say_bytes(packed)} to {say_bytes(unpacked)} (a ZIP bomb?); if it is meant to, "
            "give --no-limit (in Python, limits=NO_LIMITS)"
        )

    def explain_lack(self, folder: Path, needed_bytes: int) -> str | None:
        """Say that the disk of `folder` has no room for so much, or return None when it has, or can't tell.

        Raises:
            OSError: there is no such folder.
        """
        if not self.free_space:
            return None
        free_bytes = shutil.disk_usage(folder).free
        if needed_bytes <= free_bytes:
            return None
        return (
            f"{folder} has {say_bytes(free_bytes)} free and {say_bytes(needed_bytes)} are needed: make room, or give "
            "--no-limit if the disk is wrong about that"
        )


NO_LIMITS = Limits(ratio=math.inf, table_ratio=math.inf, free_space=False)
"""For an archive that is known to be that large."""


class Source(Protocol):
    """Something that holds the members of one archive."""

    label: str
    root: Path | None
    """The folder the members are in as files, or None."""
    outside: list[str]
    """Names outside the top folder that holds the archive: they are not members, and never read."""

    def members(self) -> dict[str, Member]:
        """Every member by its name relative to the archive's root, directories left out."""
        ...

    def contradictions(self, name: str) -> list[str]:
        """Where a member's local header differs from the directory, one phrase for each difference."""
        ...

    def count_stray_bytes(self) -> int:
        """How many bytes of the container belong to no member."""
        ...

    def open(self, name: str) -> BinaryIO:
        """Open a member. Raises `ArchiveError` naming it when there is none or it must not be read."""
        ...

    def read(self, name: str) -> bytes:
        """The whole of a member that fits into memory: as `open` and reading to the end, which many small ones pay for
        dearly."""
        ...

    def close(self) -> None:
        """Close what was opened."""


@contextmanager
def translate_errors(label: str, member: str | None = None) -> Iterator[None]:
    """Turn what zipfile, zlib and the file system raise on damaged data into `ArchiveError`."""
    where = f"{label}: {member}" if member else label
    try:
        yield
    except ArchiveError:
        raise
    except zipfile.BadZipFile as error:
        if "CRC" in str(error):
            message = f"{where} is damaged: its contents don't match its CRC-32."
        else:
            message = f"{where} is damaged: {lower_first(str(error))}."
        raise ArchiveError(message, member=member) from error
    except zlib.error as error:
        raise ArchiveError(f"{where} is damaged: its compressed data is broken.", member=member) from error
    except EOFError as error:
        raise ArchiveError(f"{where} is cut short.", member=member) from error
    except NotImplementedError as error:
        raise ArchiveError(f"{where} can't be read: {lower_first(str(error))}.", member=member) from error
    except UnicodeDecodeError as error:
        raise ArchiveError(f"{where} has a member whose name is not the UTF-8 it claims to be.") from error
    except (struct.error, OverflowError, ValueError, MemoryError, IndexError) as error:
        raise ArchiveError(f"{where} has a damaged directory.", member=member) from error
    except RuntimeError as error:  # zipfile's word for encrypted members
        raise ArchiveError(f"{where} can't be read: {lower_first(str(error))}.", member=member) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise ArchiveError(f"{where} can't be read: {lower_first(reason)}.", member=member) from error


def lower_first(text: str) -> str:
    """A sentence of another library with a small first letter, to be put after words of ours."""
    text = text.rstrip(".")
    return text[:1].lower() + text[1:] if text[:2] != text[:2].upper() else text


def find_outsiders(source: Source, members: Mapping[str, Member]) -> dict[str, str]:
    """The names in a ZIP that are not members of an archive, each with why it is not written to disk."""
    beside = dict.fromkeys(source.outside, "it lies beside the archive's own folder")
    return beside | {name: why for name in members if (why := explain_outsider(name)) is not None}


class GuardedMember(io.RawIOBase):
    """A member being read, whose errors name it."""

    def __init__(self, raw: IO[bytes], label: str, name: str) -> None:
        self._raw = raw
        self._label = label
        self._name = name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._raw.seekable()

    def seek(self, offset: int, whence: int = 0) -> int:
        with translate_errors(self._label, self._name):
            return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]  # `Buffer` is of Python 3.12
        with translate_errors(self._label, self._name):
            data = self._raw.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class FolderSource:
    """The members of an extracted archive, without the files that operating systems and fieldpack itself add.
    Symbolic links are listed with a `problem` and never followed. A folder that has nothing of an archive has none, and
    is not gone through, however much is in it."""

    def __init__(self, path: Path, limits: Limits | None = None) -> None:
        self.label = str(path)
        self.root: Path | None = path
        self.outside: list[str] = []
        self._path = path
        self._limits = limits or Limits()

    def members(self) -> dict[str, Member]:
        found: dict[str, Member] = {}
        if not any(os.path.lexists(self._path / name) for name in (RESPONSES, COLLECTION)):
            return found
        with translate_errors(self.label):
            for folder, folders, names in os.walk(self._path, followlinks=False):
                folders.sort()
                links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
                for name in sorted(names) + links:
                    full = os.path.join(folder, name)
                    relative = os.path.relpath(full, self._path).replace(os.sep, "/")
                    if is_bystander(relative):
                        continue
                    status = os.lstat(full)
                    found[relative] = Member(
                        name=relative,
                        size_bytes=status.st_size,
                        stored_bytes=status.st_size,
                        crc32=None,
                        problem=None if stat.S_ISREG(status.st_mode) else "it is not a regular file",
                    )
        return found

    def contradictions(self, name: str) -> list[str]:
        return []

    def count_stray_bytes(self) -> int:
        return 0

    def open(self, name: str) -> BinaryIO:
        with translate_errors(self.label, name):
            try:
                with ContainedFolder(self._path) as folder:
                    return folder.open(name)
            except FileNotFoundError:
                raise ArchiveError(f"{self.label} has no member {name!r}.", member=name) from None
            except InTheWay as error:
                raise ArchiveError(f"{self.label}: {name!r} is not read: {error}", member=name) from error

    def read(self, name: str) -> bytes:
        with self.open(name) as opened, translate_errors(self.label, name):
            return opened.read(os.fstat(opened.fileno()).st_size + 1)  # however long it grows meanwhile

    def close(self) -> None:
        """Nothing is open between calls."""
        return None
