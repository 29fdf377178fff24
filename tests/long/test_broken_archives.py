"""Damaged, hostile and foreign archives: a clear error or a right partial reading, no file outside."""

from __future__ import annotations

import contextlib
import io
import os
import random
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from fieldpack.archive.zipstructs import END, ZIP64_END, ZIP64_LOCATOR
from fieldpack.cli.root import main
from fieldpack.containment import ContainedFolder
from fieldpack.errors import ArchiveError, FieldpackError
from fieldpack.export import Export, open_export
from fieldpack.reading.reader import open_source
from fieldpack.reading.source import NO_LIMITS, Limits, Member, Source
from fieldpack.text import say_bytes
from tests.unit.archives import ask, make_members, make_zip, option

SURVEY = [
    ask("multiple_choice", "One", id="one", options=[option("a", "A"), option("b", "B")]),
    ask("file_upload", "Photo", id="photo"),
]
ROWS: list[dict[str, Any]] = [
    {
        "answers": {"one": {"value": ["a"]}},
        "uploads": {"photo": [("a.jpg", "image/jpeg", bytes(random.Random(n).randbytes(300)))]},
    }
    for n in range(3)
]
MEMBERS = make_members(SURVEY, ROWS)
WHOLE = make_zip(MEMBERS)


def open_bytes(data: bytes, limits: Limits | None = None) -> Export:
    return open_export(io.BytesIO(data), limits=limits)


def use_everything(data: bytes, target: Path, limits: Limits | None = None) -> list[str]:
    """Do all that can be done with an archive; give the errors met, each of ours."""
    errors: list[str] = []
    steps: list[Callable[[Export], object]] = [
        lambda export: export.collection,
        lambda export: list(export),
        lambda export: export.to_arrow(),
        lambda export: export.answers("arrow"),
        lambda export: export.files("arrow"),
        lambda export: export.summarize(),
        lambda export: [export.open_file(name).read() for name in export.members],
        lambda export: errors.extend(f.message for f in export.verify().findings if f.level == "error"),
        lambda export: export.extract(target / "all", force=True),
        lambda export: export.extract(target / "by", by="submission", force=True),
        lambda export: export.extract(target / "flat", by="flat", force=True),
    ]
    try:
        export = open_bytes(data, limits)
    except FieldpackError as error:
        return [str(error)]
    with export:
        for step in steps:
            try:
                step(export)
            except FieldpackError as error:
                errors.append(str(error))
    return errors


def list_outside(target: Path) -> list[Path]:
    inside = target / "target"
    return [path for path in target.rglob("*") if not path.is_relative_to(inside)]


def pack(members: dict[str, bytes], *, infos: dict[str, zipfile.ZipInfo] | None = None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr((infos or {}).get(name, name), content)
    return out.getvalue()


def get_boundaries() -> list[int]:
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as archive:
        starts = [info.header_offset for info in archive.infolist()]
        return [0, *starts[1:], archive.start_dir, len(WHOLE) - 22]


def test_truncated_at_every_boundary_and_at_random(tmp_path: Path) -> None:
    cuts = set(get_boundaries()) | {cut + 7 for cut in get_boundaries()}
    cuts |= {random.Random(5).randrange(len(WHOLE)) for _ in range(30)}
    for cut in sorted(cut for cut in cuts if cut < len(WHOLE)):
        with pytest.raises(ArchiveError) as caught:
            open_bytes(WHOLE[:cut])
        expected = "is empty" if cut == 0 else "cut short" if cut >= 4 else "is not a ZIP"
        assert expected in str(caught.value), cut


def test_flipped_bytes_never_end_in_a_traceback(tmp_path: Path) -> None:
    rng = random.Random(11)
    noticed = 0
    for round_ in range(150):
        data = bytearray(WHOLE)
        for _ in range(rng.choice([1, 1, 3])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        target = tmp_path / str(round_) / "target"
        target.mkdir(parents=True)
        noticed += bool(use_everything(bytes(data), target))
        assert list_outside(target.parent) == []
    assert noticed > 100


def test_a_wrong_crc_names_the_member(tmp_path: Path) -> None:
    path = next(name for name in MEMBERS if name.startswith("files/"))
    at = WHOLE.index(MEMBERS[path])
    data = bytearray(WHOLE)
    data[at + 10] ^= 0xFF
    with open_bytes(bytes(data)) as export:
        with pytest.raises(ArchiveError, match="don't match its CRC-32") as caught:
            export.open_file(path).read()
        assert caught.value.member == path
        assert len(list(export)) == 3
        report = export.verify()
        assert not report.ok
        assert [finding.member for finding in report.findings] == [path]
        with pytest.raises(ArchiveError, match="CRC-32"):
            export.extract(tmp_path / "out")
    assert not (tmp_path / "out" / path).exists()
    assert not list(tmp_path.rglob("*.part"))


def test_broken_compression_names_the_member(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in MEMBERS.items():
            archive.writestr(name, content)
    data = bytearray(out.getvalue())
    with open_bytes(bytes(data)) as export:
        assert len(export.to_arrow()) == 3
    at = data.index(b"responses.jsonl") + len("responses.jsonl") + 20
    data[at : at + 40] = bytes(byte ^ 0x55 for byte in data[at : at + 40])
    (tmp_path / "target").mkdir()
    errors = use_everything(bytes(data), tmp_path / "target")
    assert len(errors) >= 10
    assert all("responses.jsonl" in error for error in errors)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_names() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in ("responses.jsonl", "collection.json", "responses.jsonl"):
            archive.writestr(name, "{}")
    with pytest.raises(ArchiveError, match=r"has the member 'responses\.jsonl' twice"):
        open_bytes(out.getvalue())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../evil", "climbs out"),
        ("files/../../evil", "climbs out"),
        ("/tmp/fieldpack-evil", "absolute path"),
        ("C:\\evil", "absolute path"),
        ("files\\..\\evil", "climbs out"),
        ("files//evil", "empty or '.' parts"),
    ],
)
def test_names_that_lead_elsewhere(name: str, reason: str, tmp_path: Path) -> None:
    members = make_members(SURVEY, ROWS[:1])
    line = orjson.loads(members["responses.jsonl"])
    line["responses"]["photo"]["value"][0]["path"] = name
    members["responses.jsonl"] = orjson.dumps(line)
    info = zipfile.ZipInfo("x")
    info.filename = name
    data = pack({**members, name: b"evil"}, infos={name: info})
    target = tmp_path / "target"
    target.mkdir()
    errors = use_everything(data, target)
    assert any(reason in error for error in errors)
    assert list_outside(tmp_path) == []
    assert not Path("/tmp/fieldpack-evil").exists()
    with open_bytes(data) as export:
        assert len(export.to_arrow()) == 1
        for by in (None, "submission", "flat"):
            done = export.extract(target / f"again-{by}", by=by)
            assert list(done.ignored) == [name]
            assert reason in done.ignored[name]
            assert list_files(target / f"again-{by}") == (sorted(members) if by is None else [])


def list_files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


OUTSIDERS = [
    ".fieldpack/sync.json", ".fieldpack-sync.json", ".git/config", "notes.txt", "README.MD", "Responses.jsonl",
    "FILES/a.jpg", "Files/a.jpg", "files", "files.txt", ".bashrc", "deep/files/a.jpg", "responses.jsonl/x",
]  # fmt: skip
UNWRITABLE = [
    "files/a\nb",
    "files/\x1b[2Ja",
    "files/a\x7f",
    "files/a\x9b2J",
    "files/\u202egpj.exe",
    "files/a\u2028b",
]


@pytest.mark.parametrize("name", OUTSIDERS + UNWRITABLE)
def test_what_is_no_member_stays_in_the_archive(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever it is called, and where a folder keeps something of that name already."""
    archive = tmp_path / "a.zip"
    archive.write_bytes(pack({**MEMBERS, name: b"evil"}))
    assert main(["extract", str(archive), "-o", str(tmp_path / "out"), "--force"]) == 0
    assert list_files(tmp_path / "out") == sorted(MEMBERS)
    shown = capsys.readouterr().err
    assert "stays in the archive" in shown
    assert len(shown.splitlines()) == 1
    assert shown.removesuffix("\n").isprintable()
    assert main(["verify", str(archive)]) == (1 if name in UNWRITABLE else 0)
    shown = capsys.readouterr().out
    assert "is left in the archive by extract and sync" in shown
    assert all(line.isprintable() for line in shown.splitlines())
    assert not [c for c in shown if c not in "\n" and not c.isprintable()]
    with open_export(archive) as export:
        assert len(export.to_arrow()) == 3


def test_files_with_odd_names_can_be_sorted_out(tmp_path: Path) -> None:
    """Under a name of ours, a file that can't be written under its own is brought all the same."""
    members = make_members(SURVEY, ROWS[:1])
    line = orjson.loads(members["responses.jsonl"])
    line["responses"]["photo"]["value"][0]["path"] = "files/a\x1b\nb.jpg"
    members["responses.jsonl"] = orjson.dumps(line)
    with open_bytes(pack({**members, "files/a\x1b\nb.jpg": b"photo"})) as export:
        assert not export.extract(tmp_path / "flat", by="flat").ignored
        assert "files/a\x1b\nb.jpg" in export.extract(tmp_path / "whole").ignored
    assert list_files(tmp_path / "flat") == ["ab.jpg"]


def test_names_that_are_one_file_do_not_replace_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system that ignores case: the second is not put in the first one's place."""
    move = ContainedFolder.move
    monkeypatch.setattr(
        ContainedFolder,
        "move",
        lambda self, name, target, *, replacing: move(self, name, target.lower(), replacing=replacing),
    )
    members = {**MEMBERS, "files/X": b"one", "files/x": b"two"}
    members["responses.jsonl"] = members.pop("responses.jsonl")
    with open_bytes(pack(members)) as export, pytest.raises(FieldpackError, match="is there already"):
        export.extract(tmp_path / "out", force=True)
    assert (tmp_path / "out/files/x").read_bytes() == b"one"


def test_a_symlink_is_no_file(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("files/link")
    info.create_system = 3
    info.external_attr = 0o120777 << 16
    data = pack({**MEMBERS, "files/link": b"/etc/passwd"}, infos={"files/link": info})
    with open_bytes(data) as export:
        with pytest.raises(ArchiveError, match="symbolic link"):
            export.open_file("files/link")
        with pytest.raises(ArchiveError, match="symbolic link"):
            export.extract(tmp_path / "out")
        assert len(export.extract(tmp_path / "photos", by="flat").paths) == 3
    assert not (tmp_path / "out").exists()


def test_links_in_an_extracted_folder_and_in_the_target(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    open_bytes(WHOLE).extract(folder)
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (folder / "files" / "link").symlink_to(secret)
    with (
        open_export(folder) as export,
        pytest.raises(ArchiveError, match="not read: files/link is a symbolic"),
    ):
        export.open_file("files/link")
    with open_export(folder) as export, pytest.raises(ArchiveError, match="no name that can stand below"):
        export.open_file("../secret")
    outside = tmp_path / "outside"
    outside.mkdir()
    target = tmp_path / "target"
    target.mkdir()
    (target / "files").symlink_to(outside)
    deep = pack({"files/deep/er/x": b"", **MEMBERS})
    for data in (WHOLE, deep):
        with pytest.raises(
            FieldpackError, match=r"files is a symbolic link where a folder should be: move it"
        ):
            open_bytes(data).extract(target, force=True)
        assert list(outside.iterdir()) == []
    (target / "files").unlink()
    (target / "inside").mkdir()
    (target / "files").symlink_to("inside")
    with pytest.raises(FieldpackError, match="symbolic link where a folder should be"):
        open_bytes(WHOLE).extract(target, force=True)
    assert list((target / "inside").iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "file"])
def test_force_replaces_files_and_nothing_else(kind: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    target = tmp_path / "target"
    target.mkdir()
    taken = target / "README.md"
    if kind == "folder":
        (taken / "deep").mkdir(parents=True)
    elif kind == "pipe":
        os.mkfifo(taken)
    elif kind == "link":
        taken.symlink_to(outside)
    else:
        taken.write_text("old")
    with open_bytes(WHOLE) as export:
        with pytest.raises(FieldpackError, match="is there already; use --force"):
            export.extract(target)
        if kind in ("folder", "pipe"):
            with pytest.raises(FieldpackError, match="and can't be replaced: move it away"):
                export.extract(target, force=True)
        else:
            export.extract(target, force=True)
            assert taken.read_bytes() == MEMBERS["README.md"]
            assert not taken.is_symlink()
    assert outside.read_text() == "mine"


def test_bombs(tmp_path: Path) -> None:
    data = pack({**MEMBERS, "files/bomb": b"x"})
    few = Limits(ratio_from_bytes=20 << 20)
    real = pack({**MEMBERS, "files/bomb": bytes(30 << 20)})
    assert len(real) < 1 << 20
    with open_bytes(real, few) as export:
        with pytest.raises(ArchiveError, match="ZIP bomb"):
            export.open_file("files/bomb")
        with pytest.raises(ArchiveError, match="ZIP bomb"):
            export.extract(tmp_path / "out")
        assert not export.verify().ok
    for enough in (Limits(), Limits(ratio=2000, ratio_from_bytes=0), NO_LIMITS):
        with open_bytes(real, enough) as export, export.open_file("files/bomb") as opened:
            assert sum(len(chunk) for chunk in iter(lambda: opened.read(1 << 20), b"")) == 30 << 20
    with pytest.raises(ArchiveError, match=r"the limit is 1\.0 kB"):
        open_bytes(WHOLE, Limits(extract_bytes=1000)).extract(tmp_path / "out")
    with pytest.raises(ArchiveError, match="members; more than 2 are not read"):
        open_bytes(data, Limits(members=2))
    long = make_members(SURVEY, [])
    long["responses.jsonl"] = b'{"submission_id": "' + b"x" * 5_000_000
    with pytest.raises(ArchiveError, match="line 1 is longer than 1,000,000 bytes"):
        open_bytes(make_zip(long), Limits(line_bytes=1_000_000)).to_arrow()
    with pytest.raises(ArchiveError, match=r"collection\.json is too large"):
        _ = open_bytes(WHOLE, Limits(metadata_bytes=10)).collection


def test_members_that_share_bytes() -> None:
    data = bytearray(pack(MEMBERS))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        start = archive.start_dir
        first = archive.infolist()[0].header_offset
    second = data.index(b"PK\x01\x02", start + 4)
    data[second + 42 : second + 46] = struct.pack("<L", first)
    with pytest.raises(ArchiveError, match=r"overlap|damaged"):
        open_bytes(bytes(data))


def test_a_bomb_of_many_members(tmp_path: Path) -> None:
    """None of them is one, but all together are: nothing is written."""
    many = pack({**MEMBERS, **{f"files/{n}": bytes(3 << 20) for n in range(8)}})
    few = Limits(ratio_from_bytes=20 << 20)
    with open_bytes(many, few) as export:
        assert export.open_file("files/0").read(1) == b"\0"
        with pytest.raises(ArchiveError, match=r"ZIP bomb.*--no-limit.*Nothing was written"):
            export.extract(tmp_path / "out")
        assert not (tmp_path / "out").exists()
        assert any("ZIP bomb" in finding.message for finding in export.verify().findings)
    with open_bytes(many, replace(NO_LIMITS, ratio_from_bytes=0)) as export:
        assert len(export.extract(tmp_path / "out").paths) == len(MEMBERS) + 8


def test_the_limit_is_of_the_sum_and_stored_members_never_count() -> None:
    def packed(packed_bytes: int, size_bytes: int) -> Member:
        return Member("files/x", size_bytes, packed_bytes, 0, is_compressed=True)

    gib = 1 << 30
    stored = Member("files/v", 10**15, 10**15, 0)
    limits = Limits()
    assert limits.explain_bomb([packed(1, gib), stored]) is None
    assert limits.explain_bomb([packed(1, gib), packed(1, 1), stored]) is not None
    assert limits.explain_bomb([packed(gib, 100 * gib)]) is None
    assert limits.explain_bomb([packed(gib, 100 * gib), packed(0, 1)]) is not None
    assert limits.explain_bomb([packed(gib, 2), packed(1, 100 * gib)]) is None
    assert NO_LIMITS.explain_bomb([packed(1, 10**15)]) is None


def test_a_bomb_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 1.1 GB in 1.1 MB: refused at once, whatever is done with it."""
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in MEMBERS.items():
            file.writestr(name, content)
        with file.open("files/bomb", "w", force_zip64=True) as out:
            for _ in range(1100):
                out.write(bytes(1_000_000))
    assert main(["extract", str(archive), "-o", str(tmp_path / "out")]) == 1
    shown = capsys.readouterr().err
    assert "1.1 GB (a ZIP bomb?); if it is meant to, give --no-limit" in shown
    assert not (tmp_path / "out").exists()
    assert main(["verify", str(archive)]) == 1
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10}))
    small = tmp_path / "b.zip"
    small.write_bytes(WHOLE)
    assert main(["extract", str(small), "-o", str(tmp_path / "out")]) == 1
    needed = sum(map(len, MEMBERS.values()))
    assert (
        f"has 10 bytes free and {say_bytes(needed)} are needed: make room"
        in capsys.readouterr().err.split("\n")[-2]
    )
    assert main(["extract", str(small), "-o", str(tmp_path / "out"), "--no-limit"]) == 0


def test_a_member_whose_own_header_reaches_further(tmp_path: Path) -> None:
    """The directory is sound, but a member's header claims a longer name: its data would be the next one's."""
    data = bytearray(pack(MEMBERS))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
    for info, what in ((infos[-2], "the next"), (infos[-1], "the directory")):
        forged = bytearray(data)
        at = info.header_offset + 28  # length of the extra fields
        forged[at : at + 2] = struct.pack("<H", 200)
        with open_bytes(bytes(forged)) as export:
            with pytest.raises(ArchiveError, match="overlaps what follows it") as caught:
                export.open_file(info.filename)
            assert caught.value.member == info.filename, what
            with pytest.raises(ArchiveError):
                export.extract(tmp_path / what)
            assert not (tmp_path / what / info.filename).exists()
            assert not export.verify().ok
    start = data.rindex(b"PK\x01\x02")
    data[start + 20 : start + 24] = struct.pack("<L", infos[-1].compress_size + 60)
    data[start + 24 : start + 28] = struct.pack("<L", infos[-1].compress_size + 60)
    with pytest.raises(ArchiveError, match="reaches into the directory"):
        open_bytes(bytes(data))


def test_reading_a_member_whole_is_opening_it_and_reading_to_its_end(tmp_path: Path) -> None:
    """The same bytes or the same refusal, whatever is broken: the short way round the library is no way past checks."""

    def outcome(read: Callable[[str], bytes], name: str) -> bytes | tuple[str, str | None]:
        try:
            return read(name)
        except ArchiveError as error:
            return str(error), error.member

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number, (name, content) in enumerate(MEMBERS.items()):
            archive.writestr(name, content, zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED)
        archive.writestr("files/Straße.txt", b"hello")
        headers = [info.header_offset for info in archive.infolist()]
    chance = random.Random(7)
    flipped = [at * 8 + bit for at in headers for bit in range(8 * 30)]  # of what comes before each name
    flipped += [chance.randrange(8 * len(packed.getvalue())) for _ in range(400)]
    path, seen = tmp_path / "a.zip", set()
    for bit in flipped:
        data = bytearray(packed.getvalue())
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        try:
            source = open_source(path, Limits())
        except ArchiveError:
            continue
        with contextlib.closing(source):
            for name in source.members():
                whole = outcome(source.read, name)
                assert whole == outcome(partial(_read_to_end, source), name), (bit, name)
                seen.add(type(whole))
    assert seen == {bytes, tuple}


def _read_to_end(source: Source, name: str) -> bytes:
    with source.open(name) as opened:
        return opened.read()


def test_encrypted_members(tmp_path: Path) -> None:
    data = bytearray(WHOLE)
    at = data.rindex(b"PK\x01\x02")
    data[at + 8] |= 1
    with open_bytes(bytes(data)) as export:
        name = list(export.members)[-1]
        with pytest.raises(ArchiveError, match="it is encrypted"):
            export.open_file(name)
        assert len(list(export)) == 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"hello", "is not a ZIP archive"),
        (b'{"error": {"status": 404}}', "is not a ZIP but JSON"),
        (b"<!DOCTYPE html><html></html>", "is not a ZIP but a web page"),
        (b"PK\x05\x06" + bytes(18), "is not an export"),
        (pack({"holiday.jpg": b"x"}), "is not an export"),
    ],
)
def test_not_an_export(data: bytes, message: str) -> None:
    with pytest.raises(ArchiveError, match=message):
        open_bytes(data)


def test_no_such_file_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="does not exist"):
        open_export(tmp_path / "none.zip")
    with pytest.raises(ArchiveError, match="is not an export"):
        open_export(tmp_path)
    if os.getuid() != 0:
        path = tmp_path / "a.zip"
        path.write_bytes(WHOLE)
        path.chmod(0)
        with pytest.raises(ArchiveError, match="permission denied"):
            open_export(path)


def test_names_that_are_not_utf8() -> None:
    data = pack({**MEMBERS, "files/ü": b"x"}).replace("files/ü".encode(), b"files/\xff\xfe")
    with pytest.raises(ArchiveError, match="not the UTF-8 it claims"):
        open_bytes(data)


def test_utf8_names_without_the_flag_are_read_as_utf8() -> None:
    data = bytearray(pack({**MEMBERS, "files/ü": b"x"}))
    for signature, at in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
        data[data.rindex(signature) + at] &= ~0x08
    with open_bytes(bytes(data)) as export:
        assert "files/ü" in export.members


@pytest.mark.parametrize(
    ("collection", "message"),
    [
        (b"{", "line 1 is not JSON"),
        (b"\xff\xfe{\x00", "is not JSON in UTF-8"),
        (b"[]", "it is not a JSON object"),
        (b'{"instructions": 5}', "its instructions are not a list"),
        (b'{"instructions": [{}]}', r"instructions\[0\]: it is not an object with an id"),
        (b'{"instructions": [{"id": "a"}, {"id": "a"}]}', "the instruction a is there twice"),
        (b'{"created_at": "never"}', "created_at is not a time"),
    ],
)
def test_a_collection_that_can_not_be_read(collection: bytes, message: str) -> None:
    export = open_bytes(make_zip({**MEMBERS, "collection.json": collection}))
    with pytest.raises(ArchiveError, match=message) as caught:
        export.to_arrow()
    assert caught.value.member == "collection.json"
    assert any("collection.json" in finding.message for finding in export.verify(contents=False).findings)


def test_without_collection_json_questions_are_known_by_their_ids() -> None:
    members = {name: content for name, content in MEMBERS.items() if name != "collection.json"}
    with open_bytes(make_zip(members)) as export:
        frame = export.to_pandas()
        assert frame["one"].tolist() == [["a"]] * 3
        assert len(export.files()) == 3
        assert export.summarize().notes
        with pytest.raises(ArchiveError, match=r"has no collection\.json"):
            _ = export.collection
        assert not export.verify().ok


def test_without_responses() -> None:
    members = {name: content for name, content in MEMBERS.items() if name != "responses.jsonl"}
    with open_bytes(make_zip(members)) as export:
        assert export.collection.name == "Collection"
        with pytest.raises(ArchiveError, match=r"has no responses\.jsonl"):
            export.to_arrow()
        assert [f.message for f in export.verify().findings if "missing" in f.message]


def test_an_archive_packed_again_in_a_folder() -> None:
    data = pack(
        {**{f"export 1/{n}": c for n, c in MEMBERS.items()}, "__MACOSX/export 1/._responses.jsonl": b"x"}
    )
    with open_bytes(data) as export:
        assert export.verify().ok
        assert len(export.to_arrow()) == 3


@pytest.mark.parametrize(
    ("at", "what"),
    [(6, "flags"), (8, "compression"), (10, "time"), (14, "CRC-32"), (18, "sizes"), (22, "sizes")],
)
def test_verify_holds_headers_and_directory_together(at: int, what: str) -> None:
    """zipfile goes by the directory alone; programs that read from the start do not."""
    path = next(name for name in MEMBERS if name.startswith("files/"))
    data = bytearray(WHOLE)
    data[WHOLE.index(path.encode()) - 30 + at] ^= 1
    report = open_bytes(bytes(data)).verify()
    assert [(finding.level, finding.member) for finding in report.findings] == [("error", path)]
    assert f"another {what} than the directory" in report.findings[0].message


def test_verify_tells_of_bytes_that_belong_to_nothing() -> None:
    assert open_bytes(WHOLE).verify().findings == []
    for data in (b"junk" + WHOLE, WHOLE + b"junk", b"ju" + WHOLE + b"nk"):
        report = open_bytes(data).verify()
        assert report.ok
        assert [f.message for f in report.findings] == ["4 bytes of the ZIP belong to no member."]
    streamed = io.BytesIO()
    with zipfile.ZipFile(Unseekable(streamed), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("files")
        for name, content in MEMBERS.items():
            archive.writestr(name, content)
    assert open_bytes(streamed.getvalue()).verify().findings == []


class Unseekable(io.RawIOBase):
    """Makes zipfile write sizes after the data, as it does to a pipe."""

    def __init__(self, out: io.BytesIO) -> None:
        self._out = out

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._out.write(data)


def test_verify_finds_each_disagreement() -> None:
    def find(change: Callable[[dict[str, bytes]], object]) -> list[str]:
        members = dict(MEMBERS)
        change(members)
        report = open_bytes(make_zip(members)).verify()
        assert report.as_dict()["ok"] == report.ok
        return [f"{finding.level}: {finding.message}" for finding in report.findings]

    path = next(name for name in MEMBERS if name.startswith("files/"))
    lines = MEMBERS["responses.jsonl"].splitlines(keepends=True)
    other = lines[0].replace(b'"one"', b'"two"')

    assert find(lambda members: None) == []
    found = find(lambda members: members.pop(path))
    assert len(found) == 1
    assert "which the archive doesn't hold" in found[0]
    assert "belongs to no answer" in find(lambda members: members.update({"files/x": b""}))[0]
    assert "SHA-256 differs" in find(lambda members: members.update({path: bytes(300)}))[0]
    assert "has 4 bytes; line 1 says 300" in find(lambda members: members.update({path: b"four"}))[0]
    assert "counts 3 submissions; responses.jsonl has 2" in "".join(
        find(lambda members: members.update({"responses.jsonl": b"".join(lines[:2])}))
    )
    assert "is there twice" in find(lambda m: m.update({"responses.jsonl": b"".join([*lines, lines[0]])}))[0]
    assert "which collection.json doesn't list" in "".join(
        find(lambda m: m.update({"responses.jsonl": b"".join([other, *lines[1:]])}))
    )
    assert "line 2 is not JSON" in "".join(
        find(lambda m: m.update({"responses.jsonl": b"".join([lines[0], b"{\n", lines[2]])}))
    )
    gone = lines[0].replace(b'["a"]', b'["z"]')
    warned = find(lambda m: m.update({"responses.jsonl": b"".join([gone, *lines[1:]])}))
    assert warned == ["warning: responses.jsonl line 1: 'z' is no option of 'One' (any more)."]
    many = [b'{"submission_id": "s%d", "responses": {"one": {"value": ["z"]}}}\n' % n for n in range(1100)]
    report = open_bytes(make_zip({**MEMBERS, "responses.jsonl": b"".join([*many, b"{\n"])})).verify()
    assert [finding.level for finding in report.findings].count("warning") == 1000
    assert "line 1101 is not JSON" in "".join(finding.message for finding in report.findings)
    assert (report.left_out, report.warnings_left_out) == (0, 100)
    assert find(lambda m: m.pop("README.md")) == ["warning: README.md is missing."]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_that_are_neither_stored_nor_deflated_are_not_read(tmp_path: Path, method: int) -> None:
    """`zipfile` inflates as much of them at a time as there is, whatever size they claim."""
    for name in ("files/a.jpg", "responses.jsonl"):
        members = {**MEMBERS, name: bytes(1 << 20)}
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for each, content in members.items():
                archive.writestr(each, content, method if each == name else zipfile.ZIP_DEFLATED)
        with open_bytes(out.getvalue()) as export:
            with pytest.raises(ArchiveError, match=r"compressed by (bzip2|LZMA), which is not read"):
                export.open_file(name)
            with pytest.raises(ArchiveError, match="which is not read"):
                export.extract(tmp_path / "out")
            assert not export.verify().ok


def test_a_member_that_lies_very_deep_stays_in_the_archive(tmp_path: Path) -> None:
    """Each of its folders would cost whoever writes it, and a name has room for 32,000."""
    deep, shallow = "files/" + "a/" * 20_000 + "b", "files/" + "a/" * 15 + "b"
    data = pack({**MEMBERS, deep: b"x", shallow: b"y"})
    with open_bytes(data) as export:
        written = export.extract(tmp_path / "out")
    assert (tmp_path / "out" / shallow).read_bytes() == b"y"
    assert list(written.ignored) == [deep]
    assert "more than 16 folders deep" in written.ignored[deep]


class Hollow(io.RawIOBase):
    """A large file of zeros, as a sparse one or one behind a link is: what is at its end, and at one other place."""

    def __init__(self, size: int, tail: bytes, at: int = 0, there: bytes = b"") -> None:
        self._size = size
        self._parts = {at: there, size - len(tail): tail}
        self._position = self.read_bytes = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        count = max(0, min(len(view), self._size - self._position))
        view[:count] = bytes(count)
        for start, part in self._parts.items():
            for number, byte in enumerate(part):
                if 0 <= start + number - self._position < count:
                    view[start + number - self._position] = byte
        self._position += count
        self.read_bytes += count
        return count


GIB = 1 << 30


@pytest.mark.parametrize("begins", [b"", b"PK\x01\x02", b"PK\x03\x04"])
@pytest.mark.parametrize("entries", [0, 1, 10, 10_000, 20_000_000, 20_000_001, 1 << 40])
@pytest.mark.parametrize("is_zip64", [True, False])
def test_a_directory_that_can_not_be_one_is_not_read(is_zip64: bool, entries: int, begins: bytes) -> None:
    size, directory = 3 * GIB, 5 * GIB // 2
    if is_zip64:
        end = ZIP64_END.pack(b"PK\x06\x06", 44, 45, 45, 0, 0, entries, entries, directory, 0)
        end += ZIP64_LOCATOR.pack(b"PK\x06\x07", 0, size - 98, 1)
        end += END.pack(b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    else:
        end = END.pack(b"PK\x05\x06", 0, 0, entries & 0xFFFF, entries & 0xFFFF, directory, 0, 0)
    if begins == b"PK\x01\x02" and 13_000 < (entries if is_zip64 else entries & 0xFFFF) <= 20_000_000:
        return  # of so many members it can be, as far as can be seen
    file = Hollow(size, end, size - len(end) - directory, begins)
    with pytest.raises(
        ArchiveError, match=r"more than 20,000,000 are not read|not a ZIP|damaged|can't be one of"
    ):
        open_export(io.BufferedReader(file))
    assert file.read_bytes < 1 << 20
