"""`collection sync` against servers and folders that mean ill: it touches what it brought, and nothing else."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import pytest

import fieldpack
from fieldpack.archive.readme import render_readme
from fieldpack.cli.root import main
from fieldpack.client.sync import Synced, run, sync_collection
from fieldpack.client.sync.ownership import OLD_STATE, open_state
from fieldpack.client.sync.state import JOURNAL, STATE
from fieldpack.containment import ContainedFolder
from fieldpack.export import open_export
from fieldpack.reading.source import NO_LIMITS, Limits
from fieldpack.text import say_bytes
from tests.disk_order import watch_disk
from tests.hostile_server import COLLECTION, TOKEN, HostileServer, serve_hostile
from tests.unit.archives import ask, make_members, make_zip, write_folder

SURVEY = [ask("file_upload", "Photo", id="photo")]


def make_archive(*people: str) -> dict[str, bytes]:
    """An archive of this collection: a photo of each."""
    rows: list[dict[str, Any]] = [
        {
            "submission_id": person,
            "uploads": {"photo": [("a.jpg", "image/jpeg", hashlib.sha256(person.encode()).digest() * 100)]},
        }
        for person in people
    ]
    members = make_members(SURVEY, rows)
    body = orjson.loads(members["collection.json"])
    body["id"] = COLLECTION
    return {**members, "collection.json": orjson.dumps(body), "README.md": render_readme(body).encode()}


TWO = make_archive("ann", "bob")


def pack(members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A ZIP whose members may be called anything."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo("x")
            info.filename = name
            info.compress_type = method
            archive.writestr(info, content)
    return out.getvalue()


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with serve_hostile(make_zip(TWO)) as serving:
        yield serving


def offer(server: HostileServer, members: Mapping[str, bytes] | bytes) -> None:
    """Give out another archive from now on."""
    server.archive = members if isinstance(members, bytes) else pack(members)
    server.export_id = str(uuid.uuid4())


def sync(server: HostileServer, folder: Path, **how: Any) -> Synced:
    with fieldpack.Client(TOKEN, server.url) as client:
        return sync_collection(client, COLLECTION, folder, **how)


def list_files(folder: Path) -> list[str]:
    """What is in a folder but sync's own notes."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return sorted(name for name in names if not name.startswith(".fieldpack/"))


def downloads(server: HostileServer) -> int:
    return len(server.asked("/download/"))


def write_state(folder: Path, members: object, name: str = STATE) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    body = {"collection_id": COLLECTION, "export_id": None, "members": members}
    (folder / name).write_bytes(orjson.dumps(body))


# What an archive brings

OUTSIDERS = [
    ".fieldpack/sync.json", ".fieldpack/x", ".FIELDPACK/sync.json", ".fieldpack-sync.json", ".git/config", "notes.txt",
    "NOTES.TXT", "README.MD", "FILES/a", "../x", "files/../x", "files/../../x", "/tmp/fieldpack-x", "C:\\x", "C:x",
    "files\\x", "files//x", "files/./x", "files/a\nb", "files/\x1b[2J", "files/\x9b", "files/\u202egpj", "files/\u2028",
]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDERS)
def test_what_is_no_member_is_not_written(
    name: str, server: HostileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    outer = tmp_path / "outer"
    folder = outer / "data"
    sync(server, folder)
    (folder / "notes.txt").write_text("mine")
    (folder / ".git").mkdir()
    (folder / ".git/config").write_text("mine")
    (outer / "x").write_text("mine")
    notes = (folder / STATE).read_bytes()
    offer(server, {**TWO, name: b'{"members": {"../x": [4, 0, 0], "notes.txt": [4, 0, 0]}}'})
    monkeypatch.setenv("PROLIFIC_TOKEN", TOKEN)
    monkeypatch.setenv("PROLIFIC_URL", server.url)
    for _ in range(2):  # the second run has read whatever the first one wrote
        assert main(["collection", "sync", COLLECTION, str(folder)]) == 0
        said = [line for line in capsys.readouterr().err.splitlines() if "stays in the archive" in line]
        assert len(said) == 1
        assert said[0].isprintable()
    assert list_files(folder) == sorted([*TWO, "notes.txt", ".git/config"])
    assert orjson.loads((folder / STATE).read_bytes())["members"] == orjson.loads(notes)["members"]
    assert sorted(p.name for p in outer.iterdir()) == ["data", "x"]
    offer(server, TWO)
    assert sync(server, folder).removed == 0
    for path in (folder / "notes.txt", folder / ".git/config", outer / "x"):
        assert path.read_text() == "mine"


def test_all_together_are_no_bomb(
    server: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bombs = {f"files/{n}": bytes(3 << 20) for n in range(8)}
    offer(server, pack({**TWO, **bombs}, zipfile.ZIP_DEFLATED))
    few = Limits(ratio_from_bytes=20 << 20)
    with pytest.raises(fieldpack.ArchiveError, match=r"ZIP bomb.*--no-limit"):
        sync(server, tmp_path / "data", limits=few)
    assert not (tmp_path / "data").exists()
    done = sync(server, tmp_path / "data", limits=replace(NO_LIMITS, ratio_from_bytes=0))
    assert done.fetched == len(TWO) + 8
    offer(server, pack({**TWO, **bombs, "files/8": b"8"}, zipfile.ZIP_DEFLATED))
    assert sync(server, tmp_path / "data", limits=few).fetched == 1  # what is there already is not unpacked


def test_room_is_looked_at_first(
    server: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = sum(map(len, TWO.values()))
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10}))
    with pytest.raises(
        fieldpack.DownloadError, match=f"10 bytes free and {say_bytes(needed)} are needed: make room"
    ):
        sync(server, tmp_path / "data")
    assert not (tmp_path / "data").exists()
    monkeypatch.setenv("PROLIFIC_TOKEN", TOKEN)
    monkeypatch.setenv("PROLIFIC_URL", server.url)
    assert main(["collection", "sync", COLLECTION, str(tmp_path / "data")]) == 1
    assert main(["collection", "sync", COLLECTION, str(tmp_path / "data"), "--no-limit"]) == 0
    assert list_files(tmp_path / "data") == sorted(TWO)


# What is in the way

KINDS = ["file", "folder", "full folder", "link", "dangling link", "pipe"]


def put(path: Path, kind: str, outside: Path) -> None:
    """Something of somebody's own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "file":
        path.write_text("mine")
    elif kind.endswith("folder"):
        path.mkdir()
        if kind.startswith("full"):
            (path / "deep").write_text("mine")
    elif kind == "link":
        path.symlink_to(outside)
    elif kind == "dangling link":
        path.symlink_to(outside.with_name("nowhere"))
    else:
        os.mkfifo(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["files/cid_a.jpg", "responses.jsonl"])
def test_what_is_in_the_way_stays_and_the_rest_is_brought(
    name: str, kind: str, server: HostileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    outside = tmp_path / "outside"
    outside.write_text("mine")
    folder = tmp_path / "data"
    sync(server, folder)
    (folder / name).unlink(missing_ok=True)
    put(folder / name, kind, outside)
    before = os.lstat(folder / name)
    three = make_archive("ann", "bob", "cid", "dan")
    offer(server, three)
    monkeypatch.setenv("PROLIFIC_TOKEN", TOKEN)
    monkeypatch.setenv("PROLIFIC_URL", server.url)
    for _ in range(2):
        assert main(["collection", "sync", COLLECTION, str(folder)]) == 1
        said = capsys.readouterr().err
        assert f"fieldpack: {name!r} is " in said or f"{name!r} was changed here since it was brought" in said
        assert "1 thing in it is not what was brought. Move it away and run it again." in said
    after = os.lstat(folder / name)
    assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (
        before.st_ino,
        before.st_mtime_ns,
        before.st_mode,
    )
    assert outside.read_text() == "mine"
    for other, content in three.items():
        if other != name:
            assert (folder / other).read_bytes() == content
    if kind == "full folder":
        (folder / name / "deep").unlink()
    (folder / name).rmdir() if kind.endswith("folder") else (folder / name).unlink()
    done = sync(server, folder)
    assert (done.fetched, done.conflicts) == (1, {})
    assert (folder / name).read_bytes() == three[name]
    offer(server, TWO)
    assert sync(server, folder).removed == 2


@pytest.mark.parametrize("where", ["outside", "inside"])
def test_a_linked_folder_is_reported_and_never_followed(
    where: str, server: HostileServer, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    sync(server, folder)
    moved = tmp_path / "moved" if where == "outside" else folder / "moved"
    (folder / "files").rename(moved)
    (folder / "files").symlink_to(moved)
    (moved / "cid_a.jpg").write_text("mine")
    offer(server, make_archive("ann", "cid"))
    done = sync(server, folder)
    assert list(done.conflicts) == ["files"]
    assert "symbolic link" in done.conflicts["files"]
    assert (done.fetched, done.unchanged) == (1, 2)  # responses.jsonl; as many people as before
    assert sorted(path.name for path in moved.iterdir()) == ["ann_a.jpg", "bob_a.jpg", "cid_a.jpg"]
    assert (moved / "cid_a.jpg").read_text() == "mine"
    (folder / "files").unlink()
    moved.rename(folder / "files")
    (folder / "files/cid_a.jpg").unlink()
    done = sync(server, folder)
    assert (done.fetched, done.removed, done.conflicts) == (1, 1, {})


def test_what_was_changed_here_is_kept_and_told(server: HostileServer, tmp_path: Path) -> None:
    sync(server, tmp_path)
    photo = tmp_path / "files/ann_a.jpg"
    photo.write_bytes(b"x" * photo.stat().st_size)
    (tmp_path / "files/bob_a.jpg").unlink()
    done = sync(server, tmp_path)
    assert done.conflicts == {"files/ann_a.jpg": "was changed here since it was brought"}
    assert (done.fetched, done.unchanged) == (1, 3)
    assert photo.read_bytes()[:1] == b"x"
    offer(server, make_archive("bob"))  # erased: what was changed may be worth keeping, so it is told
    for _ in range(2):
        done = sync(server, tmp_path)
        assert "the collection no longer has it" in done.conflicts["files/ann_a.jpg"]
        assert photo.exists()
    photo.unlink()
    assert sync(server, tmp_path).conflicts == {}


def test_a_file_that_was_only_touched_is_still_ours(server: HostileServer, tmp_path: Path) -> None:
    sync(server, tmp_path)
    for path in tmp_path.rglob("*.*"):
        os.utime(path, ns=(1, 1))
    before = downloads(server)
    assert sync(server, tmp_path).transferred_bytes == 0
    assert downloads(server) == before
    offer(server, make_archive("bob"))
    done = sync(server, tmp_path)
    assert (done.removed, done.fetched, done.conflicts) == (1, 3, {})


def test_something_that_appears_meanwhile_is_not_replaced(server: HostileServer, tmp_path: Path) -> None:
    def put_there(progress: Any) -> None:
        if progress.stage == "downloading" and not (tmp_path / "files").exists():
            (tmp_path / "files").mkdir()
            (tmp_path / "files/ann_a.jpg").write_text("mine")
            (tmp_path / "README.md").write_text("mine")

    done = sync(server, tmp_path, on_progress=put_there)
    assert set(done.conflicts) == {"files/ann_a.jpg", "README.md"}
    assert (tmp_path / "files/ann_a.jpg").read_text() == (tmp_path / "README.md").read_text() == "mine"
    assert list((tmp_path / ".fieldpack").iterdir()) == [tmp_path / STATE]


def test_names_that_the_file_system_does_not_take_are_told(server: HostileServer, tmp_path: Path) -> None:
    long = "files/" + "x" * 300
    offer(server, {**TWO, long: b"x"})
    done = sync(server, tmp_path)
    assert done.conflicts == {long: "is no name that this file system takes"}
    assert list_files(tmp_path) == sorted(TWO)


def test_empty_folders_go_with_what_was_in_them(server: HostileServer, tmp_path: Path) -> None:
    offer(server, {**TWO, "files/deep/er/x": b"x", "files/deep/y": b"y"})
    sync(server, tmp_path)
    (tmp_path / "files/mine").mkdir()
    offer(server, {**TWO, "files/deep/y": b"y"})
    assert sync(server, tmp_path).removed == 1
    assert sorted(p.name for p in (tmp_path / "files/deep").iterdir()) == ["y"]
    offer(server, make_archive())
    assert sync(server, tmp_path).removed == 3
    assert list((tmp_path / "files").iterdir()) == [tmp_path / "files/mine"]


# Whose folder it is

LITTER = [".DS_Store", "desktop.ini", "Desktop.ini", "Thumbs.db", "._README.md"]


def test_a_folder_with_other_things_is_refused(server: HostileServer, tmp_path: Path) -> None:
    for name in LITTER:
        (tmp_path / name).write_text("x")
    for name in (".git", "lost+found"):
        (tmp_path / name).mkdir()
    (tmp_path / ".git/config").write_text("mine")
    for other in ("notes.txt", "README.md", "files", ".hidden"):
        (tmp_path / other).write_text("mine")
        with pytest.raises(
            fieldpack.UsageError, match=f"holds other things already.*{other}.*give a new or an empty"
        ):
            sync(server, tmp_path)
        assert not (tmp_path / ".fieldpack").exists()
        (tmp_path / other).unlink()
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(fieldpack.UsageError, match="holds other things already"):
        sync(server, tmp_path)
    (tmp_path / "link").unlink()
    assert downloads(server) == 0
    assert sync(server, tmp_path).fetched == len(TWO)
    (tmp_path / "notes.txt").write_text("mine")  # from now on the folder is known
    assert sync(server, tmp_path).unchanged == len(TWO)


def test_an_extracted_archive_is_taken_for_ours_file_by_file(server: HostileServer, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    four = make_archive("ann", "bob", "cid", "dan")
    write_folder(folder, four)
    (folder / "notes.txt").write_text("mine")
    (folder / "files/ann_a.jpg").write_text("changed")
    (folder / "files/eve_a.jpg").write_text("mine")
    offer(server, make_archive("ann", "bob", "eve"))
    done = sync(server, folder)
    assert set(done.conflicts) == {"files/ann_a.jpg", "files/eve_a.jpg"}
    assert (done.fetched, done.removed, done.unchanged) == (3, 2, 1)  # cid and dan were erased meanwhile
    assert (folder / "files/eve_a.jpg").read_text() == "mine"
    assert (folder / "notes.txt").read_text() == "mine"


def test_what_was_written_into_an_extracted_archive_stays(server: HostileServer, tmp_path: Path) -> None:
    write_folder(tmp_path, make_archive("ann"))
    (tmp_path / "README.md").write_text("my own notes")
    with (tmp_path / "responses.jsonl").open("a") as file:
        file.write('{"submission_id": "mine", "responses": {}}\n')
    done = sync(server, tmp_path)
    assert set(done.conflicts) == {"README.md", "responses.jsonl", "collection.json"}
    assert (tmp_path / "README.md").read_text() == "my own notes"


@pytest.mark.parametrize("name", ["responses.jsonl", "collection.json"])
def test_what_was_edited_in_an_extracted_archive_stays(
    server: HostileServer, tmp_path: Path, name: str
) -> None:
    """Also where it counts as many answers as before, and says that it is the same collection."""
    archive = make_archive("ann", "bob")
    write_folder(tmp_path, archive)
    for path in tmp_path.rglob("*"):
        os.utime(path, ns=(0, path.stat().st_mtime_ns - 10**9))
    mine = archive[name].replace(b"{", b"{ ", 1)
    (tmp_path / name).write_bytes(mine)
    offer(server, make_archive("ann", "bob", "cid"))
    done = sync(server, tmp_path)
    assert name in done.conflicts
    assert (tmp_path / name).read_bytes() == mine


def test_an_extracted_archive_of_another_collection_is_refused(server: HostileServer, tmp_path: Path) -> None:
    write_folder(tmp_path, make_members(SURVEY, []))
    with pytest.raises(fieldpack.UsageError, match="holds other things"):
        sync(server, tmp_path)
    assert list_files(tmp_path) == ["README.md", "collection.json", "responses.jsonl"]


@pytest.mark.parametrize("sha256", ["right", "wrong"])
def test_a_file_that_is_named_often_is_read_once(
    sha256: str, server: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    members = dict(TWO)
    line = orjson.loads(members["responses.jsonl"].splitlines()[0])
    files = line["responses"]["photo"]["value"]
    if sha256 == "wrong":
        files[0]["sha256"] = "0" * 64
    line["responses"]["photo"]["value"] = files * 50
    members["responses.jsonl"] = orjson.dumps(line) + b"\n"
    write_folder(folder, members)
    opened: list[str] = []
    real = ContainedFolder.open

    def note(self: ContainedFolder, name: str) -> BinaryIO:
        opened.append(name)
        return real(self, name)

    monkeypatch.setattr(ContainedFolder, "open", note)
    told: list[int] = []
    with ContainedFolder(folder) as contained:
        open_state(contained, COLLECTION, told.append)
    assert opened.count(files[0]["path"]) == 1
    assert max(told) == len(TWO[files[0]["path"]])


# Notes that are not to be believed


def as_old(folder: Path) -> None:
    """As earlier versions left it: the notes among the members."""
    body = orjson.loads((folder / STATE).read_bytes())
    (folder / OLD_STATE).write_bytes(orjson.dumps(body))
    for path in (folder / ".fieldpack").iterdir():
        path.unlink()
    (folder / ".fieldpack").rmdir()


def test_notes_of_the_old_kind_are_taken_over_and_nothing_is_brought_again(
    server: HostileServer, tmp_path: Path
) -> None:
    sync(server, tmp_path / "data")
    as_old(tmp_path / "data")
    (tmp_path / "data/notes.txt").write_text("mine")
    (tmp_path / "data/.fieldpack-sync.part").write_text("half")
    folder = (tmp_path / "data").rename(tmp_path / "elsewhere")
    before = downloads(server)
    done = sync(server, folder)
    assert (done.fetched, done.unchanged, done.transferred_bytes) == (0, len(TWO), 0)
    assert downloads(server) == before
    assert list_files(folder) == sorted([*TWO, "notes.txt"])
    folder = folder.rename(tmp_path / "again")
    assert sync(server, folder).transferred_bytes == 0


OUTSIDE = [
    "../victim", "/{outer}/victim", "files/../../victim", "files/../notes.txt", "link/victim", "files/link/victim",
    "notes.txt", ".git/config", ".fieldpack/sync.json", "files\\..\\notes.txt", "", ".", "..", "files", "files/",
    "files/dir", "\0", "files/\0",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["new", "old", "journal"])
def test_notes_that_name_what_is_not_ours_remove_nothing(
    kind: str, server: HostileServer, tmp_path: Path
) -> None:
    """Absolute, above, through links, in other folders: with the right size and checksum, too."""
    outer = tmp_path / "outer"
    folder = outer / "data"
    sync(server, folder)
    write_folder(outer, {"victim": b"mine", "data/notes.txt": b"mine", "data/.git/config": b"mine"})
    (folder / "link").symlink_to(outer)
    (folder / "files/link").symlink_to(outer)
    (folder / "files/dir").mkdir()
    (folder / "files/foreign").write_bytes(b"other")
    crc = zlib.crc32(b"mine")
    names = [name.format(outer=outer) for name in OUTSIDE]
    stamp = os.stat(outer / "victim").st_mtime_ns
    forged = {name: [4, crc, stamp] for name in [*names, "files/foreign"]}
    if kind == "journal":
        lines = [orjson.dumps([name, 4, crc]) for name in forged]
        (folder / JOURNAL).write_bytes(b"\n".join([*lines, b"5", b"[]", b"{}", b'["files/x", 1', b"\xff"]))
    else:
        notes = orjson.loads((folder / STATE).read_bytes())
        if kind == "old":
            as_old(folder)
        write_state(folder, {**notes["members"], **forged}, OLD_STATE if kind == "old" else STATE)
    offer(server, make_archive("bob"))
    done = sync(server, folder)
    assert done.removed == 1
    for path in ("victim", "data/notes.txt", "data/.git/config"):
        assert (outer / path).read_bytes() == b"mine"
    assert (folder / "files/foreign").read_bytes() == b"other"
    assert (folder / "link").is_symlink()
    assert (folder / "files/link").is_symlink()
    assert (folder / "files/dir").is_dir()


OURS = b'{"collection_id": "%s", ' % COLLECTION.encode()
WRONG = [
    b"{ torn", b"", b"[]", b"null", b"7", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"members": {}}',
    b'{"collection_id": null, "members": {}}', b'{"collection_id": ["x"], "members": {}}', OURS + b'"members": 5}',
    OURS + b'"members": {"files/ann_a.jpg": 5}}', OURS + b'"members": {"files/ann_a.jpg": [true, 1, 2]}}',
    OURS + b'"members": {"files/ann_a.jpg": [1, 2]}}', OURS + b'"members": {"files/ann_a.jpg": [-1, 2, 3]}}',
    OURS + b'"members": {"files/ann_a.jpg": [1e99, 2, 3]}}', OURS + b'"export_id": ["x"], "members": []}',
    OURS + b'"members": {"files/ann_a.jpg": ["1", "2", "3"]}}', OURS + b'"members": {"files/ann_a.jpg": [1, {}, []]}}',
]  # fmt: skip


@pytest.mark.parametrize("body", WRONG, ids=range(len(WRONG)))
def test_damaged_notes_cost_time_and_nothing_else(body: bytes, server: HostileServer, tmp_path: Path) -> None:
    sync(server, tmp_path)
    (tmp_path / STATE).write_bytes(body)
    done = sync(server, tmp_path)
    assert (done.fetched, done.unchanged, done.conflicts) == (0, len(TWO), {})
    assert sync(server, tmp_path).transferred_bytes == 0


GONE, EDITED = "files/bob_a.jpg", "files/ann_a.jpg"
SENSELESS = [None, 5, [], [1, 2], [1, 2, 3, 4], ["10", 1, 1], [True, 1, 2], [1.0, 2, 3], {"size": 1}]


@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize("entry", ["as it was", "not there", *SENSELESS], ids=str)
def test_what_the_notes_do_not_vouch_for_is_looked_at(
    entry: Any, is_old: bool, server: HostileServer, tmp_path: Path
) -> None:
    """Whatever became of the entry of a file that is gone: the export is the same, and the file comes back."""
    sync(server, tmp_path)
    (tmp_path / GONE).unlink()
    notes = orjson.loads((tmp_path / STATE).read_bytes())
    if entry == "not there":
        notes["members"]["../x"] = notes["members"].pop(GONE)
    elif entry != "as it was":
        notes["members"][GONE] = entry
    (tmp_path / STATE).write_bytes(orjson.dumps(notes))
    if is_old:
        as_old(tmp_path)
    done = sync(server, tmp_path)
    assert (done.fetched, done.unchanged, done.conflicts) == (1, len(TWO) - 1, {})
    assert (tmp_path / GONE).read_bytes() == TWO[GONE]
    assert sync(server, tmp_path).transferred_bytes == 0


@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize("is_longer", [False, True])
def test_what_was_changed_is_told_whatever_version_wrote_the_notes(
    is_old: bool, is_longer: bool, server: HostileServer, tmp_path: Path
) -> None:
    sync(server, tmp_path)
    photo = tmp_path / EDITED
    photo.write_bytes(b"x" * (photo.stat().st_size + is_longer))
    if is_old:
        as_old(tmp_path)
    for _ in range(2):
        assert sync(server, tmp_path).conflicts == {EDITED: "was changed here since it was brought"}
    offer(server, make_archive("bob"))
    for _ in range(2):
        assert "the collection no longer has it" in sync(server, tmp_path).conflicts[EDITED]
        assert photo.exists()


def test_huge_notes_are_not_read(server: HostileServer, tmp_path: Path) -> None:
    sync(server, tmp_path)
    os.truncate(tmp_path / STATE, 50 << 30)
    assert sync(server, tmp_path).unchanged == len(TWO)
    assert (tmp_path / STATE).stat().st_size < 10_000


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (".fieldpack", "file"),
        (".fieldpack", "link"),
        (".fieldpack", "pipe"),
        (STATE, "link"),
        (STATE, "pipe"),
    ],
)
def test_something_where_the_notes_should_be(
    name: str, kind: str, server: HostileServer, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "draft-1").write_text("mine")
    put(tmp_path / "data" / name, kind, outside)
    with pytest.raises(fieldpack.UsageError, match="move it away"):
        sync(server, tmp_path / "data")
    assert [path.name for path in outside.iterdir()] == ["draft-1"]


def test_another_collections_folder_is_refused(server: HostileServer, tmp_path: Path) -> None:
    sync(server, tmp_path)
    notes = orjson.loads((tmp_path / STATE).read_bytes())
    (tmp_path / STATE).write_bytes(orjson.dumps({**notes, "collection_id": "other\x1b[2J"}))
    with pytest.raises(fieldpack.UsageError, match="choose another folder"):
        sync(server, tmp_path)


# What a run that was cut short leaves


class Killed(BaseException):
    """Stands for a process that is gone: what it would do on its way out is not done."""


def kill_at(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    """Have the process end just before the `number`th call of a function of `os`."""
    real = getattr(os, name)
    calls = iter(range(1, 10**6))
    dead: list[bool] = []

    def call(*args: Any, **how: Any) -> Any:
        if dead or next(calls) == number:
            dead.append(True)
            raise Killed
        return real(*args, **how)

    monkeypatch.setattr(os, name, call)
    if name == "fsync":  # whatever follows does not happen either
        for other in ("link", "replace", "unlink", "rmdir"):
            before = getattr(os, other)
            monkeypatch.setattr(os, other, lambda *a, before=before, **k: call() if dead else before(*a, **k))
    else:
        for other in ("fsync", "unlink", "rmdir", "link", "replace"):
            if other != name:
                before = getattr(os, other)
                monkeypatch.setattr(
                    os, other, lambda *a, before=before, **k: call() if dead else before(*a, **k)
                )


@pytest.mark.parametrize("name", ["fsync", "link", "replace"])
@pytest.mark.parametrize("number", [1, 2, 4, 7, 11])
def test_a_killed_run_is_gone_on_with(
    name: str, number: int, server: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it ends: the next run knows its files, brings what is missing, removes what was erased, though
    the collection changed in between."""
    monkeypatch.setattr(run, "BATCH_FILES", 2)
    sync(server, tmp_path)
    offer(server, make_archive("ann", "cid", "dan", "eve"))
    with monkeypatch.context() as patched:
        kill_at(patched, name, number)
        with contextlib.suppress(Killed):
            sync(server, tmp_path)
    last = make_archive("ann", "dan", "fay")
    offer(server, last)
    done = sync(server, tmp_path)
    assert done.conflicts == {}
    assert list_files(tmp_path) == sorted(last)
    for member, content in last.items():
        assert (tmp_path / member).read_bytes() == content
    assert [path.name for path in (tmp_path / ".fieldpack").iterdir()] == ["sync.json"]
    assert open_export(tmp_path).verify().ok


# What the disk has, and when


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    return watch_disk(monkeypatch)


def test_members_are_on_the_disk_before_the_notes_vouch_for_them(
    server: HostileServer, tmp_path: Path, order: list[tuple[str, str]]
) -> None:
    """Data, journal, name, folder, notes: each is flushed before the next is made."""
    folder = (tmp_path / "data").resolve()
    sync(server, folder)
    notes = folder / ".fieldpack"
    vouched = max(i for i, step in enumerate(order) if step == ("place", str(folder / STATE)))
    for name in TWO:
        placed = order.index(("place", str(folder / name)))
        draft = order[placed + 1][1]
        written = max(i for i, step in enumerate(order[:placed]) if step == ("fsync", draft))
        announced = max(
            i for i, step in enumerate(order[:placed]) if step == ("fsync", str(folder / JOURNAL))
        )
        assert written < announced < placed
        for parent in (folder / name).parents:
            if parent.is_relative_to(folder):
                assert ("fsync", str(parent)) in order[placed:vouched], parent
    assert order[vouched - 1] == ("fsync", order[vouched + 1][1])
    assert ("fsync", str(notes)) in order[vouched:]
    assert ("fsync", str(folder)) in order[vouched:]
    assert ("fsync", str(notes)) in order[order.index(("fsync", str(folder / JOURNAL))) - 1 :]
    assert order[-1] == ("remove", str(folder / JOURNAL))


def test_what_is_erased_is_off_the_disk_before_the_notes_forget_it(
    server: HostileServer, tmp_path: Path, order: list[tuple[str, str]]
) -> None:
    folder = (tmp_path / "data").resolve()
    sync(server, folder)
    offer(server, make_archive("bob"))
    order.clear()
    sync(server, folder)
    removed = order.index(("remove", str(folder / "files/ann_a.jpg")))
    forgotten = order.index(("place", str(folder / STATE)))
    assert ("fsync", str(folder / "files")) in order[removed:forgotten]


def test_many_small_files_wait_for_the_disk_together(
    server: HostileServer, tmp_path: Path, order: list[tuple[str, str]]
) -> None:
    """Besides a flush of each file, it costs a few of folders and notes for each batch."""
    offer(server, {**TWO, **{f"files/{n}": b"x" for n in range(300)}})
    sync(server, tmp_path / "data")
    flushes = sum(kind == "fsync" for kind, _ in order)
    batches = -(-300 // run.BATCH_FILES) + 2
    assert flushes - 305 <= batches * 3 + 12


@pytest.mark.parametrize("link", ["files", ".fieldpack", "files/deep"])
def test_where_no_steps_can_be_taken_the_way_is_resolved_and_compared(
    link: str, server: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows: the same is written, and no link is followed."""
    monkeypatch.setattr("fieldpack.containment._STEPS", False)
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = tmp_path / "data"
    offer(server, {**TWO, "files/deep/x": b"x", "../y": b"y"})
    assert sync(server, folder).fetched == len(TWO) + 1
    assert list_files(folder) == sorted([*TWO, "files/deep/x"])
    (folder / link).rename(outside / "moved")
    (folder / link).symlink_to(outside / "moved")
    before = sorted(path.name for path in (outside / "moved").rglob("*"))
    offer(server, make_archive("bob", "cid", "dan"))
    if link == ".fieldpack":
        with pytest.raises(fieldpack.UsageError, match=r"\.fieldpack is a link where a folder should be"):
            sync(server, folder)
    else:
        assert list(sync(server, folder).conflicts) == [link]
    assert sorted(path.name for path in (outside / "moved").rglob("*")) == before


def test_a_folder_among_the_notes_is_named(server: HostileServer, tmp_path: Path) -> None:
    offer(server, make_archive("ann"))
    sync(server, tmp_path)
    (tmp_path / ".fieldpack/draft-0").mkdir()
    with pytest.raises(fieldpack.FieldpackError, match=r"\.fieldpack/draft-0"):
        sync(server, tmp_path)


def test_a_link_that_leads_nowhere_is_told(server: HostileServer, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(tmp_path / "nowhere")
    with pytest.raises(fieldpack.UsageError, match=r"leads nowhere: make the folder"):
        sync(server, tmp_path / "data")
    (tmp_path / "nowhere").mkdir()
    assert sync(server, tmp_path / "data").fetched == len(TWO)
