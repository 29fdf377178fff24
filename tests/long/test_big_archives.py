"""ZIP64: many members, large members, far members, and the values at each boundary."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import pytest

from fieldpack.archive.layout import DEFLATED, STORED, BlobRange, IndexSummary, IndexWriter, Member
from tests.unit import strict_zip
from tests.whole_archives import iter_spans, open_index

GIB = 1 << 30
NOON = 1_772_366_400
BLOB = bytes(16)
MARK = 0xFFFFFFFF

GO_READER = """\
package main

import (
	"archive/zip"
	"fmt"
	"io"
	"os"
)

func main() {
	archive, err := zip.OpenReader(os.Args[1])
	if err != nil {
		panic(err)
	}
	var total int64
	for _, file := range archive.File {
		content, err := file.Open()
		if err != nil {
			panic(err)
		}
		copied, err := io.Copy(io.Discard, content)
		if err != nil {
			panic(err)
		}
		total += copied
		if file.Modified.Unix() != 1772366400 || file.Mode() != 0644 || file.NonUTF8 {
			panic(file.Name)
		}
	}
	fmt.Println(len(archive.File), total)
}
"""


def lay_out(file: io.BytesIO, members: Iterable[Member]) -> IndexSummary:
    writer = IndexWriter(file)
    writer.add_all(members)
    return writer.finish()


def write_sparse(path: Path, members: list[Member], contents: dict[bytes, bytes]) -> None:
    """The archive as a file; a blob that `contents` lacks is all zeros, and left as a hole."""
    file = io.BytesIO()
    summary = lay_out(file, members)
    with path.open("wb") as out:
        for span in iter_spans(open_index(file), file):
            if isinstance(span, bytes):
                out.write(span)
            elif span.blob in contents:
                out.write(contents[span.blob][span.offset : span.offset + span.length])
            else:
                out.seek(span.length, os.SEEK_CUR)
    assert path.stat().st_size == summary.size_bytes


def zeros_crc32(length: int) -> int:
    crc32, block = 0, bytes(8 << 20)
    for _ in range(length // len(block)):
        crc32 = zlib.crc32(block, crc32)
    return zlib.crc32(block[: length % len(block)], crc32)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """70,000 small members, which a 16-bit count can't tell."""
    path = tmp_path_factory.mktemp("many") / "many.zip"
    contents = {number.to_bytes(16, "big"): b"%d" % number for number in range(70_000)}
    members = [
        Member(f"files/é{n:06}_a.txt", STORED, len(data), len(data), zlib.crc32(data), NOON, blob)
        for n, (blob, data) in enumerate(contents.items())
    ]
    write_sparse(path, members, contents)
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A member over 4 GiB (of zeros), and one that starts past 4 GiB."""
    path = tmp_path_factory.mktemp("large") / "large.zip"
    size = 4 * GIB + 12_345
    texts = {b"first".ljust(16): b"first", b"last".ljust(16): b"after four gibibytes"}
    first, last = (
        Member(f"files/{number}.txt", STORED, len(data), len(data), zlib.crc32(data), NOON, blob)
        for number, (blob, data) in enumerate(texts.items())
    )
    zeros = Member("files/video.mp4", STORED, size, size, zeros_crc32(size), NOON, BLOB)
    write_sparse(path, [first, zeros, last], texts)
    return path


def test_zipfile_reads_many_members(many: Path) -> None:
    with zipfile.ZipFile(many) as archive:
        assert len(archive.namelist()) == 70_000
        assert archive.testzip() is None
        assert archive.read("files/é069999_a.txt") == b"69999"


def test_zipfile_reads_a_large_member(large: Path) -> None:
    with zipfile.ZipFile(large) as archive:
        assert archive.testzip() is None
        assert archive.getinfo("files/video.mp4").file_size == 4 * GIB + 12_345
        assert archive.getinfo("files/1.txt").header_offset > 4 * GIB
        assert archive.read("files/1.txt") == b"after four gibibytes"


@pytest.mark.parametrize("command", [["unzip", "-tqq"], ["7z", "t"]], ids=["unzip", "7z"])
@pytest.mark.parametrize("archive", ["many", "large"])
def test_other_programs_find_no_fault(
    archive: str, command: list[str], request: pytest.FixtureRequest
) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    path: Path = request.getfixturevalue(archive)
    done = subprocess.run([*command, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "Warnings" not in done.stdout


def test_go_reads_them(many: Path, large: Path, tmp_path: Path) -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip("go is not installed")
    source, program = tmp_path / "read.go", tmp_path / "read"
    source.write_text(GO_READER)
    environment = {
        **os.environ,
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "",
        "GO111MODULE": "off",
        "CGO_ENABLED": "0",
    }
    subprocess.run([go, "build", "-o", program, source], check=True, env=environment, cwd=tmp_path)
    for path, expected in ((many, "70000 338890"), (large, f"3 {4 * GIB + 12_345 + 25}")):
        assert subprocess.check_output([program, path], text=True).strip() == expected


def parse_layout(members: list[Member]) -> list[strict_zip.Entry]:
    """Parse an archive of declared sizes, whose contents nobody has: headers and directory are enough."""
    file = io.BytesIO()
    summary = lay_out(file, members)
    index = open_index(file)

    def read(offset: int, length: int) -> bytes:
        pieces = list(iter_spans(index, file, offset, offset + length))
        assert not any(isinstance(piece, BlobRange) for piece in pieces)
        return b"".join(piece for piece in pieces if isinstance(piece, bytes))

    return strict_zip.parse(read, summary.size_bytes)


@pytest.mark.parametrize("size", [MARK - 1, MARK, MARK + 1, 5 << 40])
@pytest.mark.parametrize("compressed", [7, MARK - 1, MARK, MARK + 1])
def test_sizes_at_the_boundary(size: int, compressed: int) -> None:
    members = [
        Member("responses.jsonl", DEFLATED, compressed, size, 1, NOON, BLOB),
        Member("small", STORED, 3, 3, 2, NOON, BLOB),
        Member("video", STORED, size, size, 3, NOON, BLOB),
        Member("again", DEFLATED, compressed, size, 3, NOON, BLOB),
        Member("last", DEFLATED, 5, 9, 3, NOON, BLOB),
    ]
    entries = parse_layout(members)
    assert [(e.name, e.compressed_bytes, e.size_bytes) for e in entries] == [
        (m.name, m.compressed_bytes, m.size_bytes) for m in members
    ]
    assert entries[0].version == entries[0].local_version == (45 if max(size, compressed) >= MARK else 20)


@pytest.mark.parametrize("offset", [MARK - 1, MARK, MARK + 1, 1 << 44])
def test_offsets_at_the_boundary(offset: int) -> None:
    sizes = []
    left = offset
    while left > 3 * GIB:  # a few members, none large but where it must be
        step = min(left // 2, 3 * GIB) if offset < 1 << 40 else left - 1000
        sizes.append(step - 30 - 1 - 9 - (20 if step - 40 >= MARK else 0))
        left = offset - sum(size + 40 + (20 if size >= MARK else 0) for size in sizes)
    sizes.append(left - 40)
    members = [Member("a", STORED, size, size, 0, NOON, BLOB) for size in sizes]
    assert parse_layout(members)[-1].offset < offset
    file = io.BytesIO()
    assert lay_out(file, members).directory_offset == offset
    entries = parse_layout([*members, Member("last", STORED, 3, 3, 0, NOON, BLOB)])
    assert entries[-1].offset == offset
    assert entries[-1].version == (45 if offset >= MARK else 10)
    assert entries[-1].local_version == 10


@pytest.mark.parametrize("count", [65_534, 65_535, 65_536])
def test_counts_at_the_boundary(count: int) -> None:
    file = io.BytesIO()
    summary = lay_out(file, (Member(f"{n}", STORED, 0, 0, 0, NOON, BLOB) for n in range(count)))
    plain = summary.directory_offset + summary.directory_bytes + 22
    assert summary.size_bytes == plain + (76 if count >= 65_535 else 0)
    whole = b"".join(piece for piece in iter_spans(open_index(file), file) if isinstance(piece, bytes))
    assert len(whole) == summary.size_bytes
    assert len(strict_zip.parse(lambda offset, length: whole[offset : offset + length], len(whole))) == count


def test_any_range_of_a_large_archive_needs_little() -> None:
    file = io.BytesIO()
    members = (Member(f"files/{n:07}", STORED, 20_480, 20_480, n, NOON, BLOB) for n in range(300_000))
    summary = lay_out(file, members)
    assert summary.size_bytes > 4 * GIB
    index = open_index(file)
    for start in (0, 3 * GIB, MARK - 100, MARK, summary.directory_offset - 1):
        parts = list(index.plan(start, start + 1))
        assert len(parts) == 1
        assert len(list(iter_spans(index, file, start, start + 1))) == 1
    (piece,) = iter_spans(index, file, 5 * GIB, 5 * GIB + 1)
    number = (5 * GIB) // (20_480 + 30 + 13 + 9)
    assert isinstance(piece, BlobRange)
    assert (piece.member_no, piece.name) == (number, f"files/{number:07}")
