"""Folders of backups: whose they are, in which order, what is removed of them, and what the disk has when."""

from __future__ import annotations

import gzip
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from fieldpack.errors import BackupError, UsageError
from fieldpack.server.backup.folder import BackupFolder, FolderDestination
from fieldpack.server.backup.format import BLOBS, DUMP, EXPORTS, MANIFEST, MARKER, Entry, Head, Manifest
from fieldpack.server.backup.verification import verify_folder
from fieldpack.server.erasures.erasure_list import append_erasures
from fieldpack.server.storage import blob_key
from fieldpack.server.storage.local import LocalStorage
from tests.disk_order import watch_disk

Step = tuple[str, str]
INSTALLATION = str(uuid4())
AT = datetime(2026, 3, 4, tzinfo=UTC)


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "storage", tmp_path / "tmp")


@pytest.fixture
def folder(tmp_path: Path) -> BackupFolder:
    root = tmp_path.resolve() / "kept"
    root.mkdir()
    return BackupFolder(root)


def make_backup(
    folder: BackupFolder, storage: LocalStorage, data: bytes, installation: str = INSTALLATION
) -> tuple[str, Entry]:
    """A backup of one object, as `making` makes it."""
    folder.begin(None, storage.root)
    entry = Entry(hashlib.sha256(data).hexdigest(), len(data), blob_key(str(uuid4())))
    storage.put_blocking(entry.key, data)
    destination = FolderDestination(folder)
    destination.begin(Head("", installation, "", 17, 17))
    dump = destination.add_dump(DUMP, [b"rows"])
    for listed, lines in ((BLOBS, entry.line()), (EXPORTS, "")):
        (destination.scratch / listed).write_bytes(gzip.compress(lines.encode()))
    files = [dump, *(destination.add_file(each, destination.scratch / each) for each in (BLOBS, EXPORTS))]
    key = folder.root.parent / "key.pem"
    key.write_bytes(b"key")
    files.append(destination.add_file("keys/tls/key.pem", key))
    assert [problem for _, problem in destination.copy_objects(storage, [entry])] == [None]
    manifest = Manifest(destination.name, "", "", installation, "", 17, 17, True, files, {}, 1, len(data))
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


@pytest.mark.parametrize(
    "there",
    [
        "backups",
        "partial",
        "blobs",
        "exports",
        "exports/2024/a.csv",
        "partial/x/y",
        "backups/20260101T000000Z",
    ],
)
def test_a_folder_of_other_things_is_left_alone(
    there: str, folder: BackupFolder, storage: LocalStorage
) -> None:
    """Also where they are called as ours are: `exports` and `backups` stand beside each other on many servers."""
    path = folder.root / there
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix or path.name == "y":
        path.write_bytes(b"precious")
    else:
        path.mkdir()
    before = sorted(folder.root.rglob("*"))
    with pytest.raises(UsageError, match="holds other things"):
        make_backup(folder, storage, b"photo")
    assert sorted(folder.root.rglob("*")) == before


def test_a_first_backup_of_an_earlier_version_that_was_cut_short_is_gone_on_with(
    folder: BackupFolder, storage: LocalStorage
) -> None:
    key = blob_key(str(uuid4()))
    for name in ("backups", "partial/20260101T000000Z", "partial/objects", Path(key).parent.as_posix()):
        (folder.root / name).mkdir(parents=True)
    for name in ("partial/20260101T000000Z/database.dump", key, "erasures.txt", f".{MARKER}.7.part.json"):
        (folder.root / name).write_bytes(b"")
    with folder.locked():
        name, _ = make_backup(folder, storage, b"photo")
    assert (folder.list_names(), list(folder.partial.iterdir())) == ([name], [])


def test_what_was_put_into_a_folder_of_backups_since_stays(
    folder: BackupFolder, storage: LocalStorage
) -> None:
    with folder.locked():
        make_backup(folder, storage, b"first")
        kept = [folder.root / name for name in ("blobs/x", "exports/2024/a.csv", "partial/notes", "notes")]
        for path in kept:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"precious")
        make_backup(folder, storage, b"second")
        pruned = folder.prune(1, None)
    assert (len(pruned.backups), pruned.objects) == (1, 1)
    assert [path.read_bytes() for path in kept] == [b"precious"] * 4


def test_a_folder_is_of_one_installation(folder: BackupFolder, storage: LocalStorage) -> None:
    with folder.locked():
        name, entry = make_backup(folder, storage, b"first")
        for _ in range(2):
            with pytest.raises(UsageError, match="of installation"):
                make_backup(folder, storage, b"other", str(uuid4()))
            folder.marker.unlink(
                missing_ok=True
            )  # as in one of an earlier version: its manifests say whose it is
        assert (folder.list_names(), (folder.root / entry.key).read_bytes()) == ([name], b"first")
        make_backup(folder, storage, b"second")
    assert len(folder.list_names()) == 2
    assert folder.marker.is_file()


def test_names_are_in_the_order_of_making_whatever_the_clock_says(
    folder: BackupFolder, storage: LocalStorage
) -> None:
    with folder.locked():
        name, _ = make_backup(folder, storage, b"of a clock that was ahead")
        ahead = "20991231T235959Z"
        place = (folder.backups / name).rename(folder.backups / ahead)
        (place / MANIFEST).write_text((place / MANIFEST).read_text().replace(name, ahead))
        destination = FolderDestination(folder)
        assert "a time that has not come yet" in destination.notes[0]
        destination.close()
        made = [make_backup(folder, storage, data)[0] for data in (b"second", b"third")]
        assert folder.list_names() == [ahead, *made]
        assert folder.choose(None).name == made[-1]
        pruned = folder.prune(1, None)
    assert (pruned.backups, folder.list_names()) == ([ahead, made[0]], made[1:])


def test_a_backup_that_lost_its_manifest_is_named(folder: BackupFolder, storage: LocalStorage) -> None:
    with folder.locked():
        names = [make_backup(folder, storage, data)[0] for data in (b"first", b"second")]
        (folder.backups / names[0] / MANIFEST).unlink()
        with pytest.raises(BackupError, match=names[0]):
            folder.prune(2, None)
    found = verify_folder(folder.root, None, quick=False, tell=lambda *_: None)
    assert [(check.name, check.manifest is not None) for check in found] == [
        (names[0], False),
        (names[1], True),
    ]
    assert found[0].problems
