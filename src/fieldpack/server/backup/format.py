"""What a backup consists of. Documented in docs/operations.md; the number of the format is `FORMAT`.

As a folder, of which any number share their objects::

    DIR/backups/<name>/     one backup; <name> is its time, YYYYMMDDTHHMMSSZ
        database.dump       pg_dump's custom format
        blobs.txt.gz        a line for each file that the rows name: `<sha256> <size> <key> <submission id or ->`
        exports.txt.gz      the same for what is stored of finished exports
        keys/               with --keys only: credentials.json, tls/…
        manifest.json       written last
    DIR/blobs/…, exports/…  the objects, under the keys they have in storage; each was copied once
    DIR/fieldpack-backups.json  says that the folder is for backups, and of which installation
    DIR/erasures.txt        ids of erased submissions, of all backups and what was erased since
    DIR/partial/            what is being made; it counts for nothing

As one stream: a tar file with the members of `<name>/`, without a folder around them, and the objects. The dump comes
in pieces (`database.dump.000001`, …), for its size isn't known before its end. `manifest.json` is the last member.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import orjson

from fieldpack.errors import BackupError
from fieldpack.server.audit.checkpoints import Checkpoint

__all__ = [
    "BLOBS",
    "DUMP",
    "ERASURES",
    "EXPORTS",
    "FORMAT",
    "MANIFEST",
    "MARKER",
    "Absent",
    "Entry",
    "FileFacts",
    "Head",
    "Manifest",
    "is_key",
    "is_name",
    "iter_entries",
    "make_name",
    "time_of",
    "write_entries",
]

FORMAT = 2  # 1 had no `checkpoints`
MANIFEST = "manifest.json"
DUMP = "database.dump"
BLOBS = "blobs.txt.gz"
EXPORTS = "exports.txt.gz"
ERASURES = "erasures.txt"
MARKER = "fieldpack-backups.json"
LAST_YEAR = 9999  # no time follows the last of it
_TIME = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"\d{8}T\d{6}Z(-\d+)?")  # earlier versions counted those of one second
_UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_KEY = re.compile(rf"blobs/[0-9a-f]{{2}}/{_UUID}|exports/{_UUID}/{_UUID}/[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored object of a backup.

    Attributes:
        submission_id: whose it is; None for what belongs to no one participant.
    """

    sha256: str
    size_bytes: int
    key: str
    submission_id: UUID | None = None

    def line(self) -> str:
        """The entry as a line of the list of objects."""
        return f"{self.sha256} {self.size_bytes} {self.key} {self.submission_id or '-'}\n"


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file of a backup: its name in it, its size and SHA-256 (hexadecimal)."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Absent:
    """An object that the rows name and that is not in the backup.

    Attributes:
        reason: `removed`: its row went too while the backup was made; `missing` or `damaged`: storage has lost it.
    """

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What makes a backup whole: everything in it, with sizes and hashes.

    Attributes:
        made_at: when the snapshot was taken that all rows are of, RFC 3339.
        installation: its id; None when the installation is older than such ids.
        schema: version of the database's schema.
        postgres: major version of the server that was dumped.
        dumped_by: major version of `pg_dump`, which `pg_restore` must have reached.
        keys: whether the keys that sign links and cookies are in the dump.
        files: all files but the objects and the manifest itself.
        counts: rows by table.
        objects, object_bytes: how many objects belong to it, and their size.
        checkpoints: where the chain of the audit log stood, day by day and in the snapshot.
    """

    name: str
    made_at: str
    program: str
    installation: str | None
    schema: str
    postgres: int
    dumped_by: int
    keys: bool
    files: list[FileFacts]
    counts: dict[str, int]
    objects: int
    object_bytes: int
    absent: list[Absent] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    format: int = FORMAT

    @property
    def lost(self) -> list[Absent]:
        """Objects that storage had lost already when the backup was made."""
        return [entry for entry in self.absent if entry.reason != "removed"]

    def find_file(self, name: str) -> FileFacts:
        """The file of this name; raises `BackupError` when the manifest has none."""
        for entry in self.files:
            if entry.name == name:
                return entry
        raise BackupError(f"The backup {self.name} is damaged: its manifest does not name {name}.")

    def encode(self) -> bytes:
        """The manifest as JSON."""
        content = asdict(self)
        return orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n"

    @classmethod
    def decode(cls, data: bytes, where: str) -> Manifest:
        """Raises BackupError for what is no manifest, or of a newer format."""
        try:
            content: dict[str, Any] = orjson.loads(data)
            if content["format"] > FORMAT:
                raise BackupError(
                    f"{where} was made by a newer fieldpack (backup format {content['format']}): restore it with that "
                    "one, or a later one."
                )
            content["files"] = [FileFacts(**entry) for entry in content["files"]]
            content["absent"] = [Absent(**entry) for entry in content["absent"]]
            content["checkpoints"] = [Checkpoint(**entry) for entry in content.get("checkpoints", [])]
            manifest = cls(**content)
            names = [entry.name for entry in manifest.files]
            if not is_name(manifest.name) or not all(map(_is_file_name, names)):
                raise ValueError
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise BackupError(f"{where} is damaged: its manifest can't be read.") from None
        return manifest

    def sha256(self) -> str:
        """The SHA-256 of its JSON, in hexadecimal."""
        return hashlib.sha256(self.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Head:
    """Which backup it is, and of what: known before the rest, the first member of a stream."""

    name: str
    installation: str | None
    schema: str
    postgres: int
    dumped_by: int
    format: int = FORMAT

    def encode(self) -> bytes:
        """The head as JSON."""
        return orjson.dumps(
            {name: getattr(self, name) for name in self.__slots__}, option=orjson.OPT_INDENT_2
        )


def is_name(text: str) -> bool:
    """Whether this can be the name of a backup."""
    if _NAME.fullmatch(text) is None:
        return False
    try:
        return time_of(text).year < LAST_YEAR
    except ValueError:
        return False


def make_name(at: datetime) -> str:
    """The name of a backup of this time."""
    return f"{at.astimezone(UTC):{_TIME}}"


def time_of(name: str) -> datetime:
    """The time that a backup's name says."""
    return datetime.strptime(name[:16], _TIME).replace(tzinfo=UTC)


def is_key(text: str) -> bool:
    """Whether this can be the key of an object in a backup: nothing that leads elsewhere is."""
    return _KEY.fullmatch(text) is not None


def _is_file_name(text: str) -> bool:
    return (
        text in (DUMP, BLOBS, EXPORTS)
        or re.fullmatch(r"keys/(tls/)?[A-Za-z0-9_-][A-Za-z0-9._-]*", text) is not None
    )


def write_entries(target: IO[bytes], entries: Iterable[Entry]) -> tuple[int, int]:
    """Write a list of objects, gzipped; how many there are, and the sum of their sizes."""
    count = size_bytes = 0
    # Without a time in it, so that equal lists are equal files.
    with gzip.GzipFile(filename="", fileobj=target, mode="wb", compresslevel=3, mtime=0) as packed:
        for entry in entries:
            packed.write(entry.line().encode())
            count += 1
            size_bytes += entry.size_bytes
    return count, size_bytes


def iter_entries(source: Path | IO[bytes]) -> Iterator[Entry]:
    """The objects of a list: a file's path, or one that is open and is not moved meanwhile.

    Raises:
        BackupError: the list is damaged.
    """
    try:
        with gzip.open(source, "rb") as packed, io.TextIOWrapper(packed, encoding="ascii") as lines:
            for line in lines:
                sha256, size, key, submission = line.split()
                if not is_key(key) or re.fullmatch(r"[0-9a-f]{64}", sha256) is None:
                    raise ValueError
                yield Entry(sha256, int(size), key, None if submission == "-" else UUID(submission))
    except (OSError, EOFError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            raise BackupError(f"{source} is missing: the backup is not whole.") from None
        name = f"{source} is" if isinstance(source, Path) else "The backup is"
        raise BackupError(f"{name} damaged: the list of the backup's files can't be read.") from None
