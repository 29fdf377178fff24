"""Lists of erased submissions, as people and programs write them: whoever one names is found, or the line is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from fieldpack.errors import UsageError
from fieldpack.server.erasures.erasure_list import append_erasures, read_erasures

A, B = UUID("5f3c2a10-0d9e-4b7a-9c61-2f8e7d6a4b31"), UUID("c0ffee00-1234-4abc-8def-0123456789ab")
AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(path: Path, content: bytes, *, is_ours: bool = False) -> dict[UUID, datetime]:
    path.write_bytes(content)
    return read_erasures(path, is_ours=is_ours)


@pytest.mark.parametrize(
    "text",
    [
        "{a}\n{b}\n",
        "{a} 2026-01-01\r\n{b} 2026-01-01\r\n",
        "  {a}\n\t{b}",
        "{a},2026-01-01,asked by mail\n{b},2026-01-01,asked\n",
        "submission_id,erased_at\n{a},\n{b},\n",
        'submission_id;"why"\n"{a}";"asked"\n"{b}";"asked"\n',
        "{a} 2024-01-01 10:00\n{b} # by telephone\n",
        "# whom we erased\n\n{a} {b}\n",
        "{a_hex}\n{b_hex}\n",
        "{a_upper}\n<{b}>\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_whoever_a_list_names_is_found(text: str, encoding: str, tmp_path: Path) -> None:
    content = text.format(a=A, b=B, a_hex=A.hex, b_hex=B.hex, a_upper=str(A).upper())
    assert set(read(tmp_path / "list", content.encode(encoding))) == {A, B}


@pytest.mark.parametrize(
    "line", [str(A)[:-1], str(A) + "0", "ada@example.org", "\x00\xff", "5f3c", "x" + str(A)]
)
def test_a_line_that_names_nobody_is_named(line: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Line 2 of the erasure list .* names no submission"):
        read(tmp_path / "list", f"{B}\n{line}\n".encode("latin-1"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["", "\r\n"])
def test_a_list_that_somebody_saved_goes_on_as_it_is(encoding: str, end: str, tmp_path: Path) -> None:
    path = tmp_path / "list"
    mark = "\ufeff" if encoding.startswith("utf-16") else ""
    path.write_bytes((mark + f"{A}{end}").encode(encoding))
    for _ in range(2):
        append_erasures(path, {A: EPOCH, B: AT})
    assert read_erasures(path, is_ours=False) == {A: EPOCH, B: AT}
    assert path.read_bytes().decode("utf-16" if mark else "utf-8-sig").count(str(B)) == 1


def test_zeros_in_the_place_of_what_was_not_flushed_name_nobody(tmp_path: Path) -> None:
    path = tmp_path / "list"
    append_erasures(path, {A: AT})
    path.write_bytes(path.read_bytes() + bytes(40))
    append_erasures(path, {B: AT})
    assert read_erasures(path, is_ours=True) == {A: AT, B: AT}


def test_a_line_of_ours_that_was_cut_short_names_nobody(tmp_path: Path) -> None:
    path = tmp_path / "list"
    append_erasures(path, {A: AT})
    whole = path.read_bytes()
    for length in range(len(whole)):
        found = read(path, whole[:length], is_ours=True)
        assert set(found) == ({A} if length >= 36 else set())
        append_erasures(path, {B: AT})
        assert read_erasures(path, is_ours=True)[B] == AT
    with pytest.raises(UsageError, match="Line 1"):
        read(path, b"somebody\n", is_ours=True)


def test_times_are_read_where_they_can_be(tmp_path: Path) -> None:
    content = f"{A} 2026-03-04T05:06:07Z\n{B} 2026-99-99\n".encode()
    assert read(tmp_path / "list", content) == {A: AT, B: EPOCH}
