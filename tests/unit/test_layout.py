"""The archive as a view: every range equals the slice of the whole, and the whole is a strict ZIP."""

from __future__ import annotations

import io
import random
import shutil
import subprocess
import zipfile
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldpack.archive.index import PAGE_ENTRY, PAGE_MEMBERS
from fieldpack.archive.layout import (
    DEFLATED,
    FOOTER_BYTES,
    STORED,
    BlobRange,
    Index,
    IndexSummary,
    IndexWriter,
    Member,
    PageRange,
    Span,
)
from fieldpack.archive.naming import MemberNames
from fieldpack.archive.zipstructs import dos_date_time
from fieldpack.errors import ArchiveError
from tests.unit import strict_zip
from tests.whole_archives import iter_archive, iter_spans, open_index, write_archive

NOON = 1_772_366_400  # 2026-03-01T12:00:00Z


class Content:
    """Members and what is stored for them."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.stored: dict[bytes, bytes] = {}
        self.plain: dict[str, bytes] = {}

    def add(self, name: str, data: bytes, *, deflate: bool = False, modified_at: int = NOON) -> None:
        blob = len(self.members).to_bytes(16, "big")
        stored = data
        if deflate:
            compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
            stored = compressor.compress(data) + compressor.flush()
        self.stored[blob] = stored
        self.plain[name] = data
        self.members.append(
            Member(
                name,
                DEFLATED if deflate else STORED,
                len(stored),
                len(data),
                zlib.crc32(data),
                modified_at,
                blob,
            )
        )

    def open(self, piece: BlobRange) -> io.BytesIO:
        return io.BytesIO(self.stored[piece.blob])

    def index(self, page_members: int = 512) -> tuple[Index, io.BytesIO, IndexSummary]:
        file = io.BytesIO()
        writer = IndexWriter(file, page_members=page_members)
        writer.add_all(self.members)
        summary = writer.finish()
        return open_index(file), file, summary

    def whole(self) -> bytes:
        out = io.BytesIO()
        write_archive(out, self.members, self.open)
        return out.getvalue()


def example() -> Content:
    content = Content()
    content.add("responses.jsonl", b'{"submission_id": "1"}\n' * 300, deflate=True)
    content.add("collection.json", b"{}", deflate=True)
    content.add("README.md", "# Grüße\n".encode(), deflate=True)
    names = MemberNames("0198c0de")
    for number, name in enumerate(("a.jpg", "A.JPG", "", "été 😀.png", "صورة.jpg", "x" * 500 + ".mp4")):
        content.add(
            names.add(name), random.Random(number).randbytes(number * 1000), modified_at=NOON + number
        )
    return content


@st.composite
def contents(draw: st.DrawFn) -> Content:
    content, names = Content(), MemberNames("id")
    for name, data, deflate, modified_at in draw(
        st.lists(
            st.tuples(
                st.text(alphabet=st.characters(codec=None), max_size=12),
                st.binary(max_size=60),
                st.booleans(),
                st.integers(-(2**40), 2**40),
            ),
            max_size=12,
        )
    ):
        content.add(names.add(name), data, deflate=deflate, modified_at=modified_at)
    return content


@given(contents(), st.integers(1, 5), st.data())
@settings(deadline=None, max_examples=150)
def test_every_range_is_the_slice_of_the_whole(
    content: Content, page_members: int, data: st.DataObject
) -> None:
    index, file, summary = content.index(page_members)
    whole = b"".join(iter_archive(index, file, content.open))
    assert len(whole) == index.size_bytes == summary.size_bytes
    assert whole == content.whole(), "the page size changes no byte"
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, len(whole) + 5))
    assert b"".join(iter_archive(index, file, content.open, start, stop)) == whole[start:stop]
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == content.plain
    entries = strict_zip.parse(lambda offset, length: whole[offset : offset + length], len(whole))
    assert [entry.name for entry in entries] == [member.name for member in content.members]


def test_every_single_cut_of_a_small_archive() -> None:
    content = Content()
    content.add("a", b"12345", deflate=True)
    content.add("empty", b"")
    content.add("b", b"0123456789")
    index, file, _ = content.index(page_members=2)
    whole = content.whole()
    for start in range(len(whole) + 1):
        for stop in range(start, len(whole) + 1):
            assert b"".join(iter_archive(index, file, content.open, start, stop)) == whole[start:stop]


def test_spans_name_the_blob_and_where_in_it() -> None:
    content = example()
    index, file, _ = content.index()
    spans = list(iter_spans(index, file))
    pieces = [span for span in spans if isinstance(span, BlobRange)]
    filled = [member for member in content.members if member.compressed_bytes]
    assert [(p.name, p.blob, p.size_bytes, p.crc32, p.method) for p in pieces] == [
        (m.name, m.blob, m.compressed_bytes, m.crc32, m.method) for m in filled
    ]
    assert all((p.offset, p.length) == (0, p.size_bytes) for p in pieces)
    assert [content.members[p.member_no].name for p in pieces] == [p.name for p in pieces]
    assert index.deflated_count == 3
    start = sum(len(s) if isinstance(s, bytes) else s.length for s in spans[:-2]) - 10
    (piece,) = iter_spans(index, file, start, start + 4)
    assert isinstance(piece, BlobRange)
    assert (piece.offset, piece.length, piece.size_bytes) == (
        pieces[-1].size_bytes - 10,
        4,
        pieces[-1].size_bytes,
    )


def test_headers_of_empty_members_are_gathered() -> None:
    content = Content()
    for number in range(100):
        content.add(f"{number}", b"")
    index, file, _ = content.index()
    spans: list[Span] = list(iter_spans(index, file))
    assert len(spans) == 3
    assert all(isinstance(span, bytes) for span in spans)


def test_members_can_be_listed_by_page() -> None:
    content = example()
    index, file, _ = content.index(page_members=4)
    listed = []
    for page in range(index.page_count):
        _, offset, length = index.page_range(page)
        found = list(index.members(page, file.getvalue()[offset : offset + length]))
        assert index.page_span(page) == (
            found[0].offset,
            found[-1].content_offset + found[-1].compressed_bytes,
        )
        listed += found
    assert [(m.name, m.blob, m.size_bytes) for m in listed] == [
        (m.name, m.blob, m.size_bytes) for m in content.members
    ]
    whole = content.whole()
    assert all(
        whole[m.content_offset : m.content_offset + m.compressed_bytes] == content.stored[m.blob]
        for m in listed
    )


def test_a_range_in_the_middle_needs_one_page() -> None:
    content = Content()
    for number in range(5000):
        content.add(f"files/{number}", b"0123456789")
    index, _, _ = content.index()
    middle = index.directory_offset // 2
    parts = list(index.plan(middle, middle + 20))
    assert len(parts) == 1
    assert isinstance(parts[0], PageRange)
    assert parts[0].length < 60_000


def test_same_members_same_bytes_and_tag_and_any_change_another_tag() -> None:
    content = example()
    _, first_file, first = content.index()
    _, second_file, second = content.index()
    assert (first, first_file.getvalue()) == (second, second_file.getvalue())
    assert first.etag.startswith('"')
    assert first.etag.endswith('"')
    for field, value in (("modified_at", NOON + 2), ("crc32", 7), ("blob", b"q" * 16), ("name", "files/z")):
        changed = example()
        changed.members[-1] = Member(**{**changed.members[-1]._asdict(), field: value})
        assert changed.index()[2].etag != first.etag, field


def test_an_archive_without_members() -> None:
    index, file, summary = Content().index()
    assert summary.size_bytes == 22
    whole = b"".join(iter_archive(index, file, Content().open))
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.namelist() == []


@pytest.mark.parametrize(
    ("modified_at", "dos", "timestamp"),
    [
        (datetime(2026, 3, 1, 12, 30, 59, tzinfo=UTC), (2026, 3, 1, 12, 30, 58), True),
        (datetime(1979, 12, 31, 23, 59, 59, tzinfo=UTC), (1980, 1, 1, 0, 0, 0), True),
        (datetime(1980, 1, 1, tzinfo=UTC), (1980, 1, 1, 0, 0, 0), True),
        (datetime(1969, 12, 31, tzinfo=UTC), (1980, 1, 1, 0, 0, 0), False),
        (datetime(2038, 1, 19, 3, 14, 7, tzinfo=UTC), (2038, 1, 19, 3, 14, 6), True),
        (datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC), (2038, 1, 19, 3, 14, 8), False),
        (datetime(2107, 12, 31, 23, 59, 59, tzinfo=UTC), (2107, 12, 31, 23, 59, 58), False),
        (datetime(2108, 1, 1, tzinfo=UTC), (2107, 12, 31, 23, 59, 58), False),
        (datetime(9999, 1, 1, tzinfo=UTC), (2107, 12, 31, 23, 59, 58), False),
    ],
)
def test_times(modified_at: datetime, dos: tuple[int, ...], timestamp: bool) -> None:
    seconds = int(modified_at.timestamp())
    content = Content()
    content.add("a", b"x", modified_at=seconds)
    whole = content.whole()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.infolist()[0].date_time == dos
    (entry,) = strict_zip.parse(lambda offset, length: whole[offset : offset + length], len(whole))
    assert entry.timestamp == (seconds if timestamp else None)
    assert dos_date_time(seconds) == entry.dos


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "dir/"},
        {"name": "x" * 70_000},
        {"name": "\ud800"},
        {"method": 12},
        {"compressed_bytes": 1},
        {"size_bytes": -1, "compressed_bytes": -1},
        {"crc32": 2**32},
        {"crc32": -1},
        {"blob": b"short"},
    ],
)
def test_impossible_members_are_refused(change: dict[str, object]) -> None:
    member = Member(**{**Member("a", STORED, 3, 3, 0, NOON, bytes(16))._asdict(), **change})
    writer = IndexWriter(io.BytesIO())
    with pytest.raises(ArchiveError):
        writer.add(**member._asdict())
    assert writer.member_count == 0


def test_a_finished_index_takes_no_more() -> None:
    writer = IndexWriter(io.BytesIO())
    writer.finish()
    with pytest.raises(ArchiveError, match="finished"):
        writer.add_all([Member("a", STORED, 0, 0, 0, NOON, bytes(16))])
    with pytest.raises(ArchiveError, match="finished"):
        writer.finish()


def test_a_damaged_index_is_noticed() -> None:
    content = example()
    index, file, summary = content.index(page_members=4)
    raw = file.getvalue()
    assert summary.index_bytes == len(raw)
    needed = Index.bytes_needed(raw[-FOOTER_BYTES:])
    assert Index.open(raw[-needed:]) == Index.open(raw) == index
    with pytest.raises(ArchiveError, match="needed"):
        Index.open(raw[-needed + 1 :])
    for broken in (raw[: -FOOTER_BYTES + 2], raw[:-1], b"", b"PK" * 100):
        with pytest.raises(ArchiveError):
            open_index(io.BytesIO(broken))
    for at in range(len(raw)):
        damaged = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        with pytest.raises(ArchiveError):
            list(iter_spans(open_index(io.BytesIO(damaged)), io.BytesIO(damaged)))


def test_a_blob_cut_short_is_an_error_not_a_short_archive() -> None:
    content = example()
    content.stored[content.members[-1].blob] = b"too short"
    with pytest.raises(ArchiveError, match="cut short"):
        content.whole()


def test_the_document_gives_the_index_s_figures() -> None:
    text = (Path(__file__).parents[2] / "docs" / "archive.md").read_text(encoding="utf-8")
    assert f"| footer | {FOOTER_BYTES} bytes, below |" in text
    assert f"for each run of `P` members ({PAGE_MEMBERS}; " in text
    assert f"| page table | per page, {PAGE_ENTRY.size} bytes: " in text


def read_with_zipfile(path: Path, target: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        archive.extractall(target)


def read_with_unzip(path: Path, target: Path) -> None:
    subprocess.run(["unzip", "-tqq", path], check=True, capture_output=True)
    subprocess.run(
        ["unzip", "-qq", path, "-d", target], check=True, env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}
    )


def read_with_7z(path: Path, target: Path) -> None:
    tested = subprocess.run(["7z", "t", path], check=True, capture_output=True, text=True)
    assert "Warnings" not in tested.stdout
    subprocess.run(["7z", "x", f"-o{target}", path], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("program", "read"), [("python", read_with_zipfile), ("unzip", read_with_unzip), ("7z", read_with_7z)]
)
def test_other_programs_extract_the_same(program: str, read: object, tmp_path: Path) -> None:
    if program != "python" and shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    content, path = example(), tmp_path / "a.zip"
    path.write_bytes(content.whole())
    assert callable(read)
    read(path, tmp_path / "out")
    found = {
        file.relative_to(tmp_path / "out").as_posix(): file.read_bytes()
        for file in (tmp_path / "out").rglob("*")
        if file.is_file()
    }
    assert found == content.plain
    if program != "python":
        extracted = tmp_path / "out" / content.members[3].name
        assert int(extracted.stat().st_mtime) == content.members[3].modified_at
        assert extracted.stat().st_mode & 0o777 == 0o644
