"""A folder of backups that share their objects: adding one, listing, pruning."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from fieldpack.errors import BackupError, BlobDamaged, BlobMissing, UsageError
from fieldpack.files import lock, rename_over, sync_file, sync_folder, write_all, write_whole
from fieldpack.server.backup.format import (
    BLOBS,
    ERASURES,
    EXPORTS,
    FORMAT,
    MANIFEST,
    MARKER,
    Entry,
    FileFacts,
    Head,
    Manifest,
    is_key,
    is_name,
    iter_entries,
    make_name,
    time_of,
)
from fieldpack.server.backup.objects import iter_object, map_windowed
from fieldpack.server.erasures.erasure_list import append_erasures
from fieldpack.server.storage import Storage

__all__ = ["BackupFolder", "FolderDestination", "Pruned"]

BACKUPS, PARTIAL = "backups", "partial"
POOL = ("blobs", "exports")
OBJECTS, PRUNED = "objects", "pruned-"  # in it, beside the backup that is being made
THREADS = 8
WINDOW = 64


@dataclass(frozen=True, slots=True)
class Pruned:
    """What pruning removed: names of backups, and objects that no other backup names."""

    backups: list[str]
    objects: int
    object_bytes: int


def write_file(path: Path, chunks: Iterable[bytes]) -> tuple[int, str]:
    """Write a new file, durably but for its name; its size and SHA-256."""
    digest, size_bytes = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        for chunk in chunks:
            digest.update(chunk)
            size_bytes += len(chunk)
            write_all(descriptor, chunk)
        sync_file(descriptor)
    finally:
        os.close(descriptor)
    return size_bytes, digest.hexdigest()


class BackupFolder:
    """`DIR` of `fieldpack backup DIR`; see `format` for what is in it."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.backups = self.root / BACKUPS
        self.partial = self.root / PARTIAL
        self.erasures = self.root / ERASURES
        self.marker = self.root / MARKER

    @contextlib.contextmanager
    def locked(self, *, shared: bool = False) -> Iterator[None]:
        """Lock the folder: exclusively to write or remove, or `shared` to read.

        Raises:
            BackupError: someone else is at it.
        """
        path = self.root / ".lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            if not shared:
                raise
            yield  # a folder that can only be read: nobody removes anything from it either
            return
        try:
            if not lock(descriptor, shared=shared):
                raise BackupError(f"Another fieldpack is at work in {self.root}: wait until it has ended.")
            yield
        finally:
            os.close(descriptor)

    def list_names(self) -> list[str]:
        """Completed backups, oldest first."""
        return [name for name in self.list_folders() if (self.backups / name / MANIFEST).is_file()]

    def list_folders(self) -> list[str]:
        """Completed backups, and what is left of such that lost their manifest, oldest first."""
        if not self.backups.is_dir():
            return []
        return sorted(path.name for path in self.backups.iterdir() if is_name(path.name) and path.is_dir())

    def has_unfinished(self) -> bool:
        """Whether a backup is being made, or was interrupted."""
        return self.partial.is_dir() and any(self.partial.iterdir())

    def read_manifest(self, name: str) -> Manifest:
        """Raises BackupError when there is no such backup, or its manifest is damaged."""
        path = self.backups / name / MANIFEST
        try:
            data = path.read_bytes()
        except OSError:
            known = ", ".join(self.list_names()[-3:]) or "none"
            raise BackupError(
                f"There is no whole backup {name} in {self.root} (there are: {known})."
            ) from None
        manifest = Manifest.decode(data, f"The backup {self.backups / name}")
        if manifest.name != name:
            raise BackupError(
                f"The backup {self.backups / name} is damaged: its manifest is that of another."
            )
        return manifest

    def choose(self, name: str | None) -> Manifest:
        """The manifest of a backup, of the newest when `name` is None."""
        names = self.list_names()
        if name is None and not names:
            left = ", only one that was cut short" if self.has_unfinished() else ""
            raise BackupError(f"There is no whole backup in {self.root}{left}.")
        return self.read_manifest(name or names[-1])

    def entries(self, manifest: Manifest) -> Iterator[Entry]:
        """All objects of a backup, without those that are absent from it."""
        absent = {entry.key for entry in manifest.absent}
        for name in (BLOBS, EXPORTS):
            for entry in iter_entries(self.backups / manifest.name / name):
                if entry.key not in absent:
                    yield entry

    def begin(self, storage_folder: Path | None, data_dir: Path) -> None:
        """Make the folder, if it isn't there.

        Raises:
            UsageError: it lies in what is to be backed up, or is somebody's for other things.
        """
        root = self.root.resolve()
        for inside in (data_dir, storage_folder):
            if inside is not None and root.is_relative_to(inside.resolve()):
                raise UsageError(
                    f"{self.root} lies in {inside}, which is what is backed up: whatever takes one takes both. Choose "
                    "a folder on another disk."
                )
        if self.root.is_dir() and not self.marker.is_file() and not self._find_newest():
            other = next(self._iter_others(), None)
            if other is not None:
                raise UsageError(
                    f"{self.root} holds other things ({other}, …): give backups an empty folder of their own."
                )
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _iter_others(self) -> Iterator[str]:
        """What no backup can have put here, where nothing says whose the folder is: not even an interrupted first
        backup of an earlier version."""
        has_begun = self.backups.is_dir() and self.partial.is_dir()
        for path in sorted(self.root.iterdir()):
            if path.name in (".lock", "lost+found", ERASURES) or path.name.startswith(f".{MARKER}."):
                continue
            if not has_begun or path.name not in (BACKUPS, PARTIAL, *POOL):
                yield path.name
        if not has_begun:
            return
        for folder, is_ours in ((self.backups, is_name), (self.partial, _is_draft)):
            yield from (f"{folder.name}/{path.name}" for path in folder.iterdir() if not is_ours(path.name))
        for top in POOL:
            for below, _, files in os.walk(self.root / top):
                keys = (Path(below, file).relative_to(self.root).as_posix() for file in files)
                yield from (key for key in keys if not is_key(key))

    def claim(self, installation: str | None) -> None:
        """Have the folder be for the backups of this installation. The folder must be locked exclusively.

        Raises:
            UsageError: it is for those of another: each would remove what the other keeps.
        """
        owner = self._find_owner()
        if owner and installation and owner != installation:
            raise UsageError(
                f"{self.root} holds the backups of installation {owner}; this one is {installation}. Give it a folder "
                "of its own."
            )
        if not self.marker.is_file() or (installation and not owner):
            content = {"format": FORMAT, "installation": installation or owner}
            write_whole(self.marker, orjson.dumps(content) + b"\n", mode=0o600, lasting=True)
        for folder in (self.backups, self.partial):
            folder.mkdir(mode=0o700, exist_ok=True)

    def _find_owner(self) -> str | None:
        """The installation whose backups are here, None where nothing says."""
        try:
            owner = orjson.loads(self.marker.read_bytes())["installation"]
            return owner if isinstance(owner, str) else None
        except FileNotFoundError:
            newest = self._find_newest()
            return newest.installation if newest else None
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise BackupError(f"{self.marker} can't be read: remove it, and it is written anew.") from None

    def _find_newest(self) -> Manifest | None:
        for name in reversed(self.list_names()):
            with contextlib.suppress(BackupError):
                return self.read_manifest(name)
        return None

    def clear_partial(self) -> None:
        """Remove an interrupted backup. The folder must be locked exclusively."""
        for path in self.partial.glob("*"):
            if _is_draft(path.name):
                shutil.rmtree(path)

    def prune(self, keep: int | None, keep_days: float | None) -> Pruned:
        """Remove old backups, then objects that none of those left names. The folder must be locked.

        A backup stays that is among the newest `keep`, or younger than `keep_days`; the newest always stays.

        Raises:
            BackupError: one of those that stay is damaged: nothing is removed then.
        """
        names = self.list_folders()
        if keep is None and keep_days is None:
            return Pruned([], 0, 0)
        staying = set(names[-max(keep or 0, 1) :])
        if keep_days is not None:
            oldest = datetime.now(UTC) - timedelta(days=keep_days)
            staying |= {name for name in names if time_of(name) >= oldest}
        named: set[str] = set()
        for name in sorted(staying):
            named.update(entry.key for entry in self.entries(self.read_manifest(name)))
        self.partial.mkdir(mode=0o700, exist_ok=True)
        removed = [name for name in names if name not in staying]
        for name in removed:
            gone = self.partial / f"{PRUNED}{name}"
            os.rename(self.backups / name, gone)
            sync_folder(self.backups)
            shutil.rmtree(gone)
        return Pruned(removed, *self._remove_unnamed(named))

    def _remove_unnamed(self, named: set[str]) -> tuple[int, int]:
        count = size_bytes = 0
        for top in POOL:
            for folder, _, files in os.walk(self.root / top, topdown=False):
                for file in files:
                    path = Path(folder, file)
                    key = path.relative_to(self.root).as_posix()
                    if key not in named and is_key(key):
                        size_bytes += path.stat().st_size
                        path.unlink()
                        count += 1
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
        return count, size_bytes


def _is_draft(name: str) -> bool:
    """Whether this can be the name of something in `partial`."""
    return name == OBJECTS or is_name(name.removeprefix(PRUNED))


class FolderDestination:
    """One backup being made in a folder, which must be locked. Nothing counts before `finish`."""

    def __init__(self, folder: BackupFolder) -> None:
        self.folder = folder
        self.notes: list[str] = []
        self._has_begun = False
        self.name = self._choose_name()
        self.scratch = folder.partial / self.name
        self._objects = folder.partial / OBJECTS
        self._touched: set[Path] = set()
        self._known = self._read_known()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="backup")

    def _choose_name(self) -> str:
        """The time; the second after the newest backup's where a clock was ahead, for the order of names is taken for
        the order in which backups were made."""
        now = datetime.now(UTC)
        names = self.folder.list_folders()
        if not names:
            return make_name(now)
        newest = time_of(names[-1])
        if newest > now:
            self.notes.append(
                f"The backup {names[-1]} is of a time that has not come yet: this machine's clock is wrong, or was "
                "then. This one is named after it."
            )
        return make_name(max(now, newest + timedelta(seconds=1)))

    def _read_known(self) -> dict[str, Entry]:
        """Hashes of exports' objects that earlier backups have; those of blobs are on record."""
        known: dict[str, Entry] = {}
        for name in self.folder.list_names():
            with contextlib.suppress(BackupError):
                for entry in iter_entries(self.folder.backups / name / EXPORTS):
                    known[entry.key] = entry
        return known

    def begin(self, head: Head) -> None:
        """See `making.Destination.begin`."""
        self.folder.claim(head.installation)
        self._has_begun = True
        self.folder.clear_partial()
        self.scratch.mkdir(mode=0o700)
        self._objects.mkdir(mode=0o700)

    def add_dump(self, name: str, chunks: Iterable[bytes]) -> FileFacts:
        """See `making.Destination.add_dump`."""
        return FileFacts(name, *write_file(self.scratch / name, chunks))

    def add_file(self, name: str, path: Path) -> FileFacts:
        """A file of this backup; one made in `scratch` under its own name is there already."""
        target = self.scratch / name
        if target != path:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return FileFacts(name, *write_file(target, [path.read_bytes()]))
        digest, size_bytes = hashlib.sha256(), 0
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
                size_bytes += len(chunk)
            sync_file(file.fileno())
        return FileFacts(name, size_bytes, digest.hexdigest())

    def copy_objects(self, storage: Storage, entries: Iterable[Entry]) -> Iterator[tuple[Entry, str | None]]:
        """Copy what isn't there yet; each with its hash, and `gone` or `damaged` where there is nothing to copy."""
        return map_windowed(self._threads, lambda entry: self._copy(storage, entry), entries, WINDOW)

    def _copy(self, storage: Storage, entry: Entry) -> tuple[Entry, str | None]:
        target = self.folder.root / entry.key
        self._touched.add(target.parent)
        known = self._known.get(entry.key)
        sha256 = entry.sha256 or (known.sha256 if known is not None else "")
        with contextlib.suppress(OSError):
            if target.stat().st_size == entry.size_bytes and sha256:
                return Entry(sha256, entry.size_bytes, entry.key, entry.submission_id), None
        draft = self._objects / uuid.uuid4().hex
        try:
            _, found = write_file(draft, iter_object(storage, entry))
        except BlobDamaged:
            draft.unlink()
            return entry, "damaged"
        except BlobMissing:
            draft.unlink()
            return entry, "gone"
        if entry.sha256 and found != entry.sha256:
            draft.unlink()
            return entry, "damaged"
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        rename_over(draft, target)
        return Entry(found, entry.size_bytes, entry.key, entry.submission_id), None

    def finish(self, manifest: Manifest, erasures: dict[uuid.UUID, datetime]) -> None:
        """Make everything durable, then the backup whole, in one step."""
        append_erasures(self.folder.erasures, erasures)
        folders = {self.folder.root}
        for folder in self._touched:
            while folder != self.folder.root:
                folders.add(folder)
                folder = folder.parent
        for folder in sorted(folders):
            if folder.is_dir():
                sync_folder(folder)
        keys = self.scratch / "keys"
        for folder in (keys / "tls", keys):
            if folder.is_dir():
                sync_folder(folder)
        write_file(self.scratch / MANIFEST, [manifest.encode()])
        sync_folder(self.scratch)
        os.rename(self.scratch, self.folder.backups / self.name)
        sync_folder(self.folder.backups)

    def close(self) -> None:
        """Stop the threads, and remove a backup that was not finished."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        if self._has_begun:
            self.folder.clear_partial()
