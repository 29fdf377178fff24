"""A backup counts once the disk has all of it, and an erasure before anybody is told of it."""

from __future__ import annotations

import gzip
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from fieldpack.server.backup.folder import BackupFolder, FolderDestination
from fieldpack.server.backup.format import BLOBS, DUMP, EXPORTS, MANIFEST, Entry, Manifest
from fieldpack.server.erasures.erasure_list import append_erasures
from fieldpack.server.storage import blob_key
from fieldpack.server.storage.local import LocalStorage
from tests.disk_order import watch_disk

Step = tuple[str, str]
AT = datetime(2026, 3, 4, tzinfo=UTC)


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "storage", tmp_path / "tmp")


@pytest.fixture
def folder(tmp_path: Path) -> BackupFolder:
    root = tmp_path.resolve() / "kept"
    root.mkdir()
    return BackupFolder(root)


def make_backup(folder: BackupFolder, storage: LocalStorage, data: bytes) -> tuple[str, Entry]:
    """A backup of one object."""
    entry = Entry(hashlib.sha256(data).hexdigest(), len(data), blob_key(str(uuid4())))
    storage.put_blocking(entry.key, data)
    destination = FolderDestination(folder, folder.begin(None, storage.root))
    dump = destination.add_dump(DUMP, [b"rows"])
    for listed, lines in ((BLOBS, entry.line()), (EXPORTS, "")):
        (destination.scratch / listed).write_bytes(gzip.compress(lines.encode()))
    files = [dump, *(destination.add_file(each, destination.scratch / each) for each in (BLOBS, EXPORTS))]
    key = folder.root.parent / "key.pem"
    key.write_bytes(b"key")
    files.append(destination.add_file("keys/tls/key.pem", key))
    assert [problem for _, problem in destination.copy_objects(storage, [entry])] == [None]
    manifest = Manifest(destination.name, "", "", None, "", 17, 17, True, files, {}, 1, len(data))
    destination.finish(manifest, {UUID(int=1): AT})
    destination.close()
    return destination.name, entry


def test_everything_of_a_backup_is_on_the_disk_before_it_counts(
    folder: BackupFolder, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = watch_disk(monkeypatch)
    with folder.locked():
        name, entry = make_backup(folder, storage, b"photo")
    scratch = folder.partial / name
    written = steps.index(("fsync", str(scratch / MANIFEST)))
    counts = steps.index(("place", str(folder.backups / name)))
    for file in (DUMP, BLOBS, EXPORTS, "keys/tls/key.pem"):
        assert ("fsync", str(scratch / file)) in steps[:written], file
    for below in ("keys/tls", "keys"):
        assert ("fsync", str(scratch / below)) in steps[:written], below
    placed = steps.index(("place", str(folder.root / entry.key)))
    assert ("fsync", steps[placed + 1][1]) in steps[:placed]
    for parent in (folder.root / entry.key).parents:
        if parent.is_relative_to(folder.root):
            assert ("fsync", str(parent)) in steps[placed:written], parent
    assert ("fsync", str(folder.erasures)) in steps[:written]
    assert ("fsync", str(scratch)) in steps[written:counts]
    assert ("fsync", str(folder.backups)) in steps[counts:]


def test_a_backup_no_longer_counts_before_anything_of_it_is_removed(
    folder: BackupFolder, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with folder.locked():
        made = [make_backup(folder, storage, data) for data in (b"first", b"second")]
        steps = watch_disk(monkeypatch)
        pruned = folder.prune(1, None)
    assert (pruned.backups, pruned.objects) == ([made[0][0]], 1)
    moved = steps.index(("from", str(folder.backups / made[0][0])))
    removed = min(i for i, (what, _) in enumerate(steps) if what == "remove")
    assert ("fsync", str(folder.backups)) in steps[moved:removed]
    assert [(folder.root / entry.key).exists() for _, entry in made] == [False, True]


def test_an_erasure_is_on_the_disk_before_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path.resolve() / "erasures.txt"
    steps = watch_disk(monkeypatch)
    append_erasures(path, {UUID(int=1): AT})
    assert steps == [("fsync", str(path)), ("fsync", str(path.parent))]
