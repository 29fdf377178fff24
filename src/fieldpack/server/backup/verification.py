"""Checking a backup: everything that its manifest names is there, with the size and the bytes on record."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fieldpack.errors import BackupError
from fieldpack.server.backup.folder import BackupFolder
from fieldpack.server.backup.format import DUMP, Entry, Manifest
from fieldpack.server.backup.objects import Tell, map_windowed
from fieldpack.server.backup.stream import BackupReader
from fieldpack.server.db.dumps import is_readable_dump
from fieldpack.text import say_count

__all__ = ["BackupCheck", "check_files", "verify_folder", "verify_stream"]

THREADS = 4
WINDOW = 64
NAMED = 20


@dataclass(frozen=True, slots=True)
class BackupCheck:
    """What was found of one backup.

    Attributes:
        problems: what is wrong with it, a sentence each; at most `NAMED` files are named.
        manifest: None when it can't be read.
    """

    name: str
    problems: list[str]
    manifest: Manifest | None

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong with the backup."""
        return not self.problems


def verify_folder(root: Path, name: str | None, *, quick: bool, tell: Tell) -> list[BackupCheck]:
    """Check one backup of a folder, or all of them; objects that they share are read once.

    Args:
        quick: look at sizes, not at bytes.

    Raises:
        BackupError: there is none (of this name).
    """
    folder = BackupFolder(root)
    if not folder.root.is_dir():
        raise BackupError(f"There is no folder {folder.root}.")
    with folder.locked(shared=True):
        names = [name] if name is not None else folder.list_folders()
        if not names:
            folder.choose(None)
        checked: set[str] = set()
        with ThreadPoolExecutor(THREADS, thread_name_prefix="verify") as threads:
            return [_verify(folder, found, checked, threads, quick, tell) for found in names]


def _verify(
    folder: BackupFolder, name: str, checked: set[str], threads: ThreadPoolExecutor, quick: bool, tell: Tell
) -> BackupCheck:
    try:
        manifest = folder.read_manifest(name)
    except BackupError as error:
        return BackupCheck(name, [str(error)], None)
    problems = list(check_files(folder, manifest, quick=quick))
    if problems:
        return BackupCheck(name, problems, manifest)
    count = size_bytes = done = 0

    def fresh() -> Iterator[Entry]:
        nonlocal count, size_bytes
        for entry in folder.entries(manifest):
            count += 1
            size_bytes += entry.size_bytes
            if entry.key not in checked:
                checked.add(entry.key)
                yield entry

    def look(entry: Entry) -> tuple[Entry, str | None]:
        return entry, check_file(folder.root / entry.key, entry.size_bytes, None if quick else entry.sha256)

    found = 0
    try:
        for entry, problem in map_windowed(threads, look, fresh(), WINDOW):
            done += entry.size_bytes
            tell("verify", done, manifest.object_bytes)
            if problem is not None:
                found += 1
                checked.discard(entry.key)  # the next backup that names it is not whole either
                if found <= NAMED:
                    problems.append(f"{entry.key} {problem}")
    except BackupError as error:
        problems.append(str(error))
    if found > NAMED:
        problems.append(f"and {say_count(found - NAMED, 'more file')}")
    if found:
        problems.append(
            "remove these files: the next backup copies them again from storage, for every backup that has them"
        )
    if not problems and (count, size_bytes) != (manifest.objects, manifest.object_bytes):
        problems.append("its lists name other files than its manifest counts")
    return BackupCheck(name, problems, manifest)


def check_files(folder: BackupFolder, manifest: Manifest, *, quick: bool) -> Iterable[str]:
    """What is wrong with a backup's own files."""
    place = folder.backups / manifest.name
    for facts in manifest.files:
        problem = check_file(place / facts.name, facts.size_bytes, None if quick else facts.sha256)
        if problem is not None:
            yield f"{facts.name} {problem}"
    with contextlib.suppress(OSError), (place / manifest.find_file(DUMP).name).open("rb") as dump:
        if is_readable_dump(dump) is False:
            yield f"{DUMP} can't be read by pg_restore"


def check_file(path: Path, size_bytes: int, sha256: str | None) -> str | None:
    """What is wrong with a file, None when nothing is."""
    try:
        with path.open("rb") as file:
            found = path.stat().st_size
            if found != size_bytes:
                return f"has {found:,} bytes instead of {size_bytes:,}"
            if sha256 is not None and hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                return "has other bytes than it had"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"can't be read: {error.strerror}"
    return None


def verify_stream(stream: IO[bytes], where: str, *, tell: Tell) -> BackupCheck:
    """Check a backup that is one stream, reading all of it.

    Raises:
        BackupError: it is no backup at all.
    """
    done = 0

    def take(entry: Entry, chunks: Iterator[bytes]) -> None:
        nonlocal done
        done += entry.size_bytes
        tell("verify", done, 0)

    with BackupReader(stream, None, where) as source:
        try:
            manifest = source.read(take)
        except BackupError as error:
            return BackupCheck(source.head.name, [str(error)], None)
        problems = []
        if is_readable_dump(source.open(DUMP)) is False:
            problems.append(f"{DUMP} can't be read by pg_restore")
        return BackupCheck(manifest.name, problems, manifest)
