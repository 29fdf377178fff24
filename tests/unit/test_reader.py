"""Reading an archive as objects, from a file, a folder and a link; extracting it."""

from __future__ import annotations

import gc
import io
import os
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from fieldpack.archive.layout import STORED, BlobRange, IndexWriter, Member
from fieldpack.errors import ApiError, ArchiveError, FieldpackError, TransportError, UsageError
from fieldpack.export import open_export
from fieldpack.reading.extract import extract_export
from fieldpack.reading.lines import iter_blocks
from tests.unit.archives import START, ask, make_members, make_zip, option, write_folder, write_zip
from tests.whole_archives import iter_archive, open_index

SURVEY = [
    ask("free_text", "Name?", id="name", helper_text="kept"),
    ask("multiple_choice", "One", id="one", options=[option("a", "A", exclusive=True, colour="red")]),
    ask("file_upload", "Photo of it", id="photo", max_file_count=3),
    ask("file_upload", "Photo of it", id="other"),
    ask("rich_text", "", id="text", content="<p>Hi</p>"),
]
ROWS: list[dict[str, Any]] = [
    {
        "submission_id": f"sub{n}",
        "answers": {"name": {"value": f"n{n}"}, "one": {"value": ["a"]}},
        "uploads": {
            "photo": [("a.jpg", "image/jpeg", b"x" * (n + 1)), ("b.png", "image/png", b"y")],
            "other": [("a.jpg", "image/jpeg", b"z")],
        },
    }
    for n in range(4)
]
MEMBERS = make_members(SURVEY, ROWS)


@pytest.fixture(params=["zip", "folder"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "zip":
        return write_zip(tmp_path / "a.zip", MEMBERS)
    return write_folder(tmp_path / "a", MEMBERS)


def test_objects(source: Path) -> None:
    with open_export(source) as export:
        assert export.collection.name == "Collection"
        assert export.collection.export["submission_count"] == 4
        name, one, photo, *_ = export.instructions
        assert name.extra["helper_text"] == "kept"
        assert one.options[0].exclusive
        assert one.options[0].extra == {"colour": "red"}
        assert photo.extra["max_file_count"] == 3
        assert [item.is_question for item in export.instructions] == [True, True, True, True, False]
        assert export.get_instruction("Name?") is name
        with pytest.raises(UsageError, match="Several questions read"):
            export.get_instruction("photo of it")
        with pytest.raises(UsageError, match="no question"):
            export.get_instruction("nothing")
        submissions = list(export)
        assert [s.submission_id for s in submissions] == ["sub0", "sub1", "sub2", "sub3"]
        first = submissions[0]
        assert first.started_at == START
        assert first.answers["name"].text == "n0"
        assert first.answers["one"].choices[0].value == "a"
        assert len(list(export.iter_files())) == 12
        file = submissions[2].answers["photo"].files[0]
        assert file.file_name == "a.jpg"
        with export.open_file(file) as opened:
            assert opened.read() == b"xxx"
        assert export.verify().ok


def test_unknown_fields_are_kept() -> None:
    members = make_members(SURVEY, [])
    line = {"submission_id": "s", "responses": {"name": {"value": "x", "seen": 1}}, "score": {"a": 1}}
    members["responses.jsonl"] = b"\xef\xbb\xbf" + orjson.dumps(line)
    submission = next(iter(open_export(io.BytesIO(make_zip(members)))))
    assert submission.extra == {"score": {"a": 1}}
    assert submission.answers["name"].extra == {"seen": 1}
    assert submission.completed_at is None


def test_extract_whole_by_and_selected(source: Path, tmp_path: Path) -> None:
    with open_export(source) as export:
        whole = export.extract(tmp_path / "whole")
        assert sorted(p.relative_to(tmp_path / "whole").as_posix() for p in whole.paths) == sorted(MEMBERS)
        export.extract(tmp_path / "sub", by="submission")
        assert sorted(p.name for p in (tmp_path / "sub" / "sub1").iterdir()) == ["a-2.jpg", "a.jpg", "b.png"]
        export.extract(tmp_path / "ins", by="instruction")
        assert sorted(p.name for p in (tmp_path / "ins").iterdir()) == ["photo_of_it", "photo_of_it_other"]
        assert len(list((tmp_path / "ins" / "photo_of_it").iterdir())) == 8
        flat = export.extract(tmp_path / "flat", by="flat", types=["image/png"], submissions=["sub0", "sub3"])
        assert [path.name for path in flat.paths] == ["sub0_b.png", "sub3_b.png"]
        some = export.extract(tmp_path / "some", instructions=["other"], types=[".JPG"])
        assert len(some.paths) == 4
        assert some.paths[0].parent.name == "files"
        with pytest.raises(UsageError, match="has no submission nobody"):
            export.extract(tmp_path / "none", submissions=["nobody"])
        with pytest.raises(FieldpackError, match="use --force"):
            export.extract(tmp_path / "flat", by="flat")
        calls: list[tuple[int, int]] = []
        export.extract(tmp_path / "flat", by="flat", force=True, progress=lambda *a: calls.append(a))
        assert calls[-1] == (18, 18)


def test_extract_needs_room_and_a_folder(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_text("x")
    with open_export(source) as export:
        with pytest.raises(FieldpackError, match="can't be written to") as refused:
            export.extract(tmp_path / "taken")
        assert not isinstance(refused.value, UsageError)  # it was asked for rightly
        monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10}))
        with pytest.raises(FieldpackError, match="10 bytes free"):
            export.extract(tmp_path / "full")
        assert not (tmp_path / "full").exists()


def test_an_interrupted_extraction_leaves_whole_files_only(source: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done > 5:
            raise KeyboardInterrupt

    with open_export(source) as export:
        with pytest.raises(KeyboardInterrupt):
            export.extract(tmp_path / "out", by="flat", progress=stop)
        left = list((tmp_path / "out").iterdir())
        assert left
        for path in left:
            assert path.read_bytes() == MEMBERS[f"files/{path.name}"]
        assert len(export.extract(tmp_path / "out", by="flat", force=True).paths) == 12


def test_files_called_like_a_half_written_one_survive(tmp_path: Path) -> None:
    uploads = [("a.jpg.part", "image/jpeg", b"one"), ("a.jpg", "image/jpeg", b"two")]
    members = make_members(SURVEY, [{"submission_id": "s", "uploads": {"other": uploads}}])
    mine = tmp_path / "out" / "s_a.jpg.part"
    mine.parent.mkdir()
    mine.write_text("mine")
    with open_export(write_zip(tmp_path / "a.zip", members)) as export:
        export.extract(tmp_path / "whole")
        assert (tmp_path / "whole/files/s_a.jpg.part").read_bytes() == b"one"
        assert (tmp_path / "whole/files/s_a.jpg").read_bytes() == b"two"
        first = next(file for file in export.iter_files() if file.file_name == "a.jpg")
        extract_export(export, mine.parent, by="flat", files=[first])
    assert mine.read_text() == "mine"
    assert sorted(path.name for path in mine.parent.iterdir()) == ["s_a.jpg", "s_a.jpg.part"]


def test_a_file_that_was_handed_in_stays_open(tmp_path: Path) -> None:
    with write_zip(tmp_path / "a.zip", MEMBERS).open("rb") as file:
        with open_export(file) as export:
            assert len(list(export)) == 4
        assert not file.closed


def test_files_named_but_missing_are_told(tmp_path: Path) -> None:
    path = next(name for name in MEMBERS if name.startswith("files/"))
    members = {name: content for name, content in MEMBERS.items() if name != path}
    with open_export(write_zip(tmp_path / "a.zip", members)) as export:
        assert export.extract(tmp_path / "out", by="flat").missing == [path]
        assert export.files()["present"].sum() == 11
        assert export.summarize().files_missing == 1


def test_streaming_takes_constant_memory(tmp_path: Path) -> None:
    def measure(count: int) -> int:
        members = make_members(SURVEY, [])
        members["responses.jsonl"] = make_members(SURVEY, ROWS[:1])["responses.jsonl"] * count
        path = write_zip(tmp_path / f"{count}.zip", members)
        gc.collect()
        tracemalloc.start()
        with open_export(path) as export:
            seen = sum(1 for _ in export)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert seen == count
        return peak

    measure(10)
    assert measure(8_000) < measure(1_000) + (3 << 20)


def test_blocks_keep_lines_whole_and_numbered() -> None:
    data = b"".join(b"x" * n + b"\n" for n in range(50)) + b"end"
    for size in (1, 2, 7, 100, 10_000):
        blocks = list(iter_blocks(io.BytesIO(data), "m", block_bytes=size))
        assert b"".join(block for _, block in blocks) == data
        line = 1
        for first, block in blocks:
            assert first == line
            line += block.count(b"\n")


@dataclass
class Served:
    """One archive behind HTTP, with what goes wrong and what was sent."""

    data: Any  # bytes, or what can be measured and sliced like them
    etag: str | None = '"v1"'
    ranges: bool = True
    status: int = 206
    breaks: int = 0
    is_generous: bool = False
    requests: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    sent_bytes: int = 0
    url: str = ""


@pytest.fixture(autouse=True)
def _do_not_wait_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fieldpack.reading.remote._PAUSE_SECONDS", 0.01)


@contextmanager
def serve(served: Served) -> Iterator[Served]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            served.requests.append(self.path)
            served.headers.append(dict(self.headers.items()))
            if "round" in self.path or "moved" in self.path:
                return self.answer(302, b"", {"Location": self.path.replace("moved", "here")})
            if "expired" in self.path or served.status >= 400:
                status = 403 if "expired" in self.path else served.status
                body = orjson.dumps(
                    {"error": {"error_code": 1, "detail": "The link has expired: ask again."}}
                )
                return self.answer(status, body, {})
            data, size = served.data, len(served.data)
            changed = self.headers.get("If-Range") not in (None, served.etag)
            if not served.ranges or changed or not wanted:
                return self.answer(200, data, {"ETag": served.etag or ""})
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start = max(0, size - int(last)) if not first else int(first)
            stop = size if not first or not last else min(size, int(last) + 1)
            if served.is_generous:
                start = 0
            headers = {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}
            if served.etag:
                headers["ETag"] = served.etag
            return self.answer(206, data[start:stop], headers)

        def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if served.breaks and len(served.requests) > 1:
                served.breaks -= 1
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
                return
            try:
                self.wfile.write(body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
            served.sent_bytes += len(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_port}/a.zip?signature=secret"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def large() -> bytes:
    """20 MB in 200 files."""
    rows = [
        {
            "answers": {"name": {"value": f"n{n}"}},
            "uploads": {"photo": [("a.jpg", "image/jpeg", bytes(100_000))]},
        }
        for n in range(200)
    ]
    return make_zip(make_members(SURVEY, rows))


def test_a_link_is_read_piecemeal(large: bytes) -> None:
    with serve(Served(large)) as served, open_export(served.url) as export:
        assert "secret" not in export.label
        frame = export.to_pandas()
        assert len(frame) == 200
        assert served.sent_bytes < len(large) // 50
        assert len(served.requests) <= 8
        file = next(export.iter_files())
        before = served.sent_bytes
        with export.open_file(file) as opened:
            assert opened.read() == bytes(100_000)
        assert served.sent_bytes - before < 200_000
        assert all("Authorization" not in headers for headers in served.headers)
        assert all(headers.get("If-Range") == '"v1"' for headers in served.headers[1:])


class Computed:
    """2 GiB in 2,000 files, none of which is there: the layout computes what is asked for."""

    def __init__(self) -> None:
        self._zeros = bytes(1 << 20)
        rows = [{"answers": {"name": {"value": f"n{n}"}}, "submission_id": f"s{n}"} for n in range(2000)]
        members = make_members(SURVEY, rows)
        entry = {"file_name": "a.jpg", "content_type": "image/jpeg", "size_bytes": 1 << 20}
        lines = [orjson.loads(line) for line in members["responses.jsonl"].splitlines()]
        for line in lines:
            path = f"files/{line['submission_id']}_a.jpg"
            line["responses"]["photo"] = {"type": "file_upload", "value": [{"path": path, **entry}]}
        members["responses.jsonl"] = b"".join(orjson.dumps(line) + b"\n" for line in lines)
        self._blobs = [*members.values(), self._zeros]
        crc = zlib.crc32(self._zeros)
        listed = [
            Member(name, STORED, len(data), len(data), zlib.crc32(data), 0, number.to_bytes(16, "big"))
            for number, (name, data) in enumerate(members.items())
        ]
        last = len(members).to_bytes(16, "big")
        paths = [line["responses"]["photo"]["value"][0]["path"] for line in lines]
        listed += [Member(path, STORED, 1 << 20, 1 << 20, crc, 0, last) for path in paths]
        self._file = io.BytesIO()
        writer = IndexWriter(self._file)
        writer.add_all(listed)
        self._size = writer.finish().size_bytes
        self._index = open_index(self._file)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        def open_blob(blob: BlobRange) -> io.BytesIO:
            return io.BytesIO(self._blobs[int.from_bytes(blob.blob, "big")])

        return b"".join(iter_archive(self._index, self._file, open_blob, part.start, part.stop))


def test_tables_of_2_gib_behind_a_link_take_under_a_hundredth() -> None:
    with serve(Served(Computed())) as served, open_export(served.url) as export:
        assert len(served.data) > 2000 << 20
        assert len(export.to_pandas()) == 2000
        assert len(export.files()) == 2000
        assert served.sent_bytes < len(served.data) // 100
        with export.open_file(export.files()["path"].iloc[-1]) as opened:
            assert opened.read() == bytes(1 << 20)


def test_more_than_was_asked_for_is_not_taken(large: bytes) -> None:
    """The answer says how much it is; that much would be held in memory."""
    with serve(Served(large, is_generous=True)) as served:
        with pytest.raises(ArchiveError, match="answered with more bytes than were asked for"):
            open_export(served.url)
        assert len(served.requests) == 1


def test_a_link_that_leads_on(large: bytes) -> None:
    with serve(Served(large)) as served:
        with open_export(served.url + "&moved") as export:
            assert len(export.to_arrow()) == 200
        with pytest.raises(TransportError, match="not a link that can be opened") as caught:
            open_export(served.url + "&round")
        assert "secret" not in str(caught.value)
    with pytest.raises(TransportError, match="not a link that can be opened"):
        open_export("http://")


def test_a_link_to_this_machine_needs_no_proxy(large: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serve(Served(large)) as served, open_export(served.url) as export:
        assert len(export.to_arrow()) == 200


def test_a_link_survives_broken_connections(large: bytes) -> None:
    with serve(Served(large, breaks=4)) as served, open_export(served.url) as export:
        assert len(export.to_arrow()) == 200
        assert served.breaks == 0


def test_an_archive_that_changes_is_noticed(large: bytes) -> None:
    for etag in ('"v2"', None):
        with serve(Served(large)) as served, open_export(served.url) as export:
            served.etag = etag
            with pytest.raises(ArchiveError, match="changed while it was being read"):
                export.to_arrow()


def test_a_link_without_ranges_and_a_refused_one(large: bytes) -> None:
    with serve(Served(large, ranges=False)) as served, pytest.raises(ArchiveError, match="no ranges"):
        open_export(served.url)
    assert served.sent_bytes <= len(large)
    with (
        serve(Served(large, status=410)) as served,
        pytest.raises(ApiError, match="has expired: ask again") as caught,
    ):
        open_export(served.url)
    assert caught.value.status == 410
    assert "secret" not in str(caught.value)
    with pytest.raises(TransportError, match="can't be read"):
        open_export("http://user:secret@127.0.0.1:9/a.zip", http=httpx.Client(timeout=0.2, trust_env=False))


@dataclass
class FakeState:
    status: str
    url: str | None


class Links:
    """A client of a server that hands out a link that has expired, then a good one."""

    def __init__(self, *urls: str | None) -> None:
        self._urls = list(urls)
        self.asked: list[tuple[str, str]] = []

    def get_export(self, collection_id: str, export_id: str) -> FakeState:
        self.asked.append((collection_id, export_id))
        url = self._urls.pop(0)
        return FakeState("complete" if url else "generating", url)


def test_an_export_of_a_server_asks_for_a_fresh_link(large: bytes) -> None:
    with serve(Served(large)) as served:
        client = Links(served.url + "&expired", served.url)
        with open_export(client=client, collection_id="c", export_id="e") as export:
            assert len(export.to_arrow()) == 200
        assert client.asked == [("c", "e")] * 2
    with pytest.raises(UsageError, match="is not ready to be read: it is generating"):
        open_export(client=Links(None), collection_id="c", export_id="e")
    with pytest.raises(UsageError, match="Give open_export"):
        open_export()


BYSTANDERS = (
    *(".DS_Store", "files/.DS_Store", "files/._photo.jpg", "__MACOSX/files/._x.jpg"),
    *("Thumbs.db", "files/Thumbs.db", "desktop.ini", "files/.directory"),
    *(
        ".fieldpack/sync.json",
        ".fieldpack-sync.json",
        ".fieldpack-sync.part",
        "more.zip.part",
        "more.zip.part.json",
    ),
    f"files/.{'0a' * 16}.part",
)


def test_a_folder_that_is_no_archive_is_not_gone_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody names `/tmp`, or their home."""
    (tmp_path / "home" / "files").mkdir(parents=True)

    def walk(*given: object, **_: object) -> None:
        raise AssertionError("it is gone through")

    monkeypatch.setattr(os, "walk", walk)
    with pytest.raises(ArchiveError, match="is not an export"):
        open_export(tmp_path / "home")


def test_what_systems_and_fieldpack_put_into_a_folder_is_no_part_of_the_archive(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a", MEMBERS)
    with open_export(folder) as export:
        whole = export.verify()
    for name in BYSTANDERS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    with open_export(folder) as export:
        assert export.verify().findings == whole.findings
        assert set(export.members) == set(MEMBERS)
    # what is nobody's is still said, and no name that a participant's file may have is passed over
    for name in ("files/stray.jpg", "files/0a1b-backup.zip.part", "notes.txt"):
        (folder / name).write_bytes(b"x")
        with open_export(folder) as export:
            said = [finding.message for finding in export.verify().findings if finding not in whole.findings]
        assert len(said) == 1, said
        assert repr(name) in said[0]
        (folder / name).unlink()
