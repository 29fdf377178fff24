"""The check in passing agrees with the standard library, however the bytes are cut."""

from __future__ import annotations

import io
import random
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldpack.client.download.verify import StreamVerifier, verify_file
from fieldpack.errors import ArchiveError
from tests.hostile_server import make_archive

MEMBERS = st.lists(
    st.tuples(st.text("aé/-.", min_size=1, max_size=12), st.binary(max_size=300), st.booleans()), max_size=8
)


def build(members: list[tuple[str, bytes, bool]], *, comment: bytes = b"", zip64: bool = False) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.comment = comment
        for number, (name, data, is_deflated) in enumerate(members):
            info = zipfile.ZipInfo(f"{number}-{name}")
            info.compress_type = zipfile.ZIP_DEFLATED if is_deflated else zipfile.ZIP_STORED
            with archive.open(info, "w", force_zip64=zip64) as member:
                member.write(data)
    return target.getvalue()


def verify(data: bytes, cuts: list[int]) -> bool:
    verifier = StreamVerifier()
    view = memoryview(data)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        verifier.feed(view[start:end])
    return verifier.finish()


@settings(deadline=None)
@given(MEMBERS, st.lists(st.integers(0, 5000), max_size=40), st.booleans(), st.binary(max_size=20))
def test_good_archives_pass_however_they_are_cut(
    members: list[tuple[str, bytes, bool]], cuts: list[int], zip64: bool, comment: bytes
) -> None:
    assert verify(build(members, comment=comment, zip64=zip64), cuts)


def test_byte_by_byte() -> None:
    data = build([("a", b"x" * 70, True), ("b", b"y", False), ("c", b"", False)])
    assert verify(data, list(range(len(data))))


@settings(deadline=None)
@given(MEMBERS.filter(bool), st.integers(0), st.integers(1, 255))
def test_a_flipped_byte_never_passes_where_zipfile_refuses(
    members: list[tuple[str, bytes, bool]], at: int, flip: int
) -> None:
    data = bytearray(build(members))
    data[at % len(data)] ^= flip
    try:
        is_good = verify(bytes(data), [100, 200])
    except ArchiveError:
        is_good = False
    if is_good:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None


@settings(deadline=None)
@given(MEMBERS.filter(bool), st.integers(0))
def test_a_cut_archive_never_passes(members: list[tuple[str, bytes, bool]], at: int) -> None:
    data = build(members)
    assert not verify(data[: at % len(data)], [50, 100])


@pytest.mark.parametrize("tail", [b"\0", b"more", b"PK\x05\x06" + b"\0" * 18])
def test_bytes_after_the_end_do_not_pass(tail: bytes) -> None:
    assert not verify(build([("a", b"x", False)]) + tail, [])


def test_data_descriptors_are_left_to_the_second_pass(tmp_path: Path) -> None:
    data = make_archive(descriptors=True)
    assert not verify(data, [])
    (tmp_path / "a.zip").write_bytes(data)
    verify_file(tmp_path / "a.zip")


def test_damage_names_the_member_as_soon_as_it_is_over() -> None:
    data = bytearray(make_archive(members=3))
    data[data.index(b"files/1.bin") + 500] ^= 1
    verifier = StreamVerifier()
    with pytest.raises(ArchiveError, match=r"'files/1.bin' is damaged: its CRC-32 is wrong") as caught:
        verifier.feed(memoryview(data)[: data.index(b"files/2.bin")])
    assert caught.value.member == "files/1.bin"


def test_a_deflated_member_that_outgrows_its_header_is_refused() -> None:
    data = bytearray(build([("bomb", b"\0" * 5_000_000, True)]))
    data[22:26] = (1000).to_bytes(4, "little")
    with pytest.raises(ArchiveError, match="longer than its header says"):
        verify(bytes(data), [])


def test_what_is_no_zip_is_refused_by_the_second_pass(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(random.Random(1).randbytes(1000))
    with pytest.raises(ArchiveError, match="not a whole ZIP"):
        verify_file(tmp_path / "a.zip")
