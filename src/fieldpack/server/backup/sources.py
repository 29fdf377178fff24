"""What a restore reads from, a folder or a stream, and how it writes objects to storage."""

from __future__ import annotations

import hashlib
import os
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Protocol
from uuid import UUID

from fieldpack.errors import BackupError, BlobMissing
from fieldpack.server.backup.folder import BackupFolder
from fieldpack.server.backup.format import BLOBS, DUMP, ERASURES, Entry, Manifest
from fieldpack.server.backup.objects import Tell, iter_object, map_windowed
from fieldpack.server.backup.stream import BackupReader
from fieldpack.server.backup.verification import check_files
from fieldpack.server.storage import Storage
from fieldpack.text import say_count

__all__ = ["BackupSource", "FolderBackup", "Intake", "StreamedBackup"]

THREADS = 8
WINDOW = 64
CHUNK_BYTES = 1 << 20


class Intake:
    """Writes objects to storage: each with exactly the bytes on record, or not at all. Several threads may use it.

    Args:
        scratch: a folder on a local disk.
        present: sizes by key of what storage has already.
        erased: submissions whose files are not put back.
    """

    def __init__(self, storage: Storage, scratch: Path, present: dict[str, int], erased: set[UUID]) -> None:
        self.storage = storage
        self.scratch = scratch
        self.present = present
        self.erased = erased
        self.put = self.kept = 0
        self._counting = threading.Lock()

    def take(self, entry: Entry, chunks: Iterable[bytes]) -> bool:
        """Store an object that is not stored yet, if its bytes are those on record; whether nothing is wrong with it.

        One of somebody who was erased is left out.
        """
        if entry.submission_id in self.erased:
            return True
        if self._is_stored(entry):
            with self._counting:
                self.kept += 1
            return True
        digest, path = hashlib.sha256(), self.scratch / uuid.uuid4().hex
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb", buffering=0) as out:
                for chunk in chunks:
                    digest.update(chunk)
                    view = memoryview(chunk)
                    while view:
                        view = view[out.write(view) :]
            if path.stat().st_size != entry.size_bytes or (
                entry.sha256 and digest.hexdigest() != entry.sha256
            ):
                return False
            self.storage.put_file_blocking(entry.key, path)
            with self._counting:
                self.put += 1
            return True
        finally:
            path.unlink(missing_ok=True)

    def _is_stored(self, entry: Entry) -> bool:
        """Whether storage has these bytes: its size alone doesn't say so. Never where the hash isn't known yet."""
        if not entry.sha256 or self.present.get(entry.key) != entry.size_bytes:
            return False
        digest = hashlib.sha256()
        try:
            for chunk in iter_object(self.storage, entry):
                digest.update(chunk)
        except BlobMissing:
            return False
        return digest.hexdigest() == entry.sha256


class BackupSource(Protocol):
    """A backup to be restored.

    Attributes:
        name, installation, schema, postgres, dumped_by: as in `Manifest`.
    """

    name: str
    installation: str | None
    schema: str
    postgres: int
    dumped_by: int
    erasures: Path | None

    def identity(self) -> str:
        """A text that no other backup has."""

    def unpack(self, intake: Callable[[], Intake], tell: Tell) -> Manifest:
        """Put all its objects into storage; afterwards `dump` and `keys` are there, and checked.

        Raises:
            BackupError: it is not whole, or damaged.
        """

    @property
    def dump(self) -> Path:
        """The dump of the database."""

    @property
    def keys(self) -> Path:
        """The folder of its keys; may be missing."""


class FolderBackup:
    """A backup in a folder, which must be locked. It is checked before anything is written.

    Raises:
        BackupError: it is not whole, or damaged.
    """

    def __init__(self, folder: BackupFolder, name: str | None) -> None:
        self.folder = folder
        self.manifest = folder.choose(name)
        problems = list(check_files(folder, self.manifest, quick=False))
        if problems:
            raise BackupError(f"The backup {self.manifest.name} is damaged: {problems[0]}.")
        self.name = self.manifest.name
        self.installation = self.manifest.installation
        self.schema = self.manifest.schema
        self.postgres, self.dumped_by = self.manifest.postgres, self.manifest.dumped_by
        self.erasures: Path | None = folder.erasures if folder.erasures.is_file() else None

    def identity(self) -> str:
        """See `BackupSource.identity`."""
        return f"{self.name} {self.manifest.find_file(BLOBS).sha256}"

    @property
    def dump(self) -> Path:
        """See `BackupSource.dump`."""
        return self.folder.backups / self.name / DUMP

    @property
    def keys(self) -> Path:
        """See `BackupSource.keys`."""
        return self.folder.backups / self.name / "keys"

    def unpack(self, intake: Callable[[], Intake], tell: Tell) -> Manifest:
        """See `BackupSource.unpack`."""
        target = intake()
        wrong: list[str] = []
        done = 0
        with ThreadPoolExecutor(THREADS, thread_name_prefix="restore") as threads:

            def put(entry: Entry) -> tuple[Entry, bool]:
                try:
                    return entry, target.take(entry, _read(self.folder.root / entry.key))
                except _Missing:
                    return entry, False

            for entry, is_right in map_windowed(threads, put, self.folder.entries(self.manifest), WINDOW):
                done += entry.size_bytes
                tell("files", done, self.manifest.object_bytes)
                if not is_right:
                    wrong.append(entry.key)
        if wrong:
            raise BackupError(
                f"The backup {self.name} is damaged: {say_count(len(wrong), 'file')} missing or with other bytes, "
                f"{wrong[0]} for one. `fieldpack backup verify` names them; another backup may be whole."
            )
        return self.manifest


class _Missing(Exception):
    """The backup lacks a file; other files that are missing are another matter."""


def _read(path: Path) -> Iterator[bytes]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise _Missing from None
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


class StreamedBackup:
    """A backup that is read as a stream; only at its end is it known to be complete."""

    def __init__(self, stream: IO[bytes], scratch: Path, where: str) -> None:
        self._source = BackupReader(stream, scratch, where)
        head = self._source.head
        self.scratch = scratch
        self.name, self.installation, self.schema = head.name, head.installation, head.schema
        self.postgres, self.dumped_by = head.postgres, head.dumped_by
        self.erasures: Path | None = None

    def identity(self) -> str:
        """See `BackupSource.identity`."""
        return f"{self.name} {hashlib.sha256(self._source.head.encode()).hexdigest()}"

    @property
    def dump(self) -> Path:
        """See `BackupSource.dump`."""
        return self.scratch / DUMP

    @property
    def keys(self) -> Path:
        """See `BackupSource.keys`."""
        return self.scratch / "keys"

    def unpack(self, intake: Callable[[], Intake], tell: Tell) -> Manifest:
        """See `BackupSource.unpack`."""
        target = intake()
        done = 0

        def take(entry: Entry, chunks: Iterator[bytes]) -> None:
            nonlocal done
            done += entry.size_bytes
            tell("files", done, 0)
            target.take(entry, chunks)

        with self._source:
            manifest = self._source.read(take)
        self.erasures = self.scratch / ERASURES
        return manifest
