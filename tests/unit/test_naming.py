"""Names that every system takes, unique within a submission without regard to case."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fieldpack.archive.members import explain_outsider
from fieldpack.archive.naming import MAX_NAME_BYTES, MemberNames, safe_name
from tests.whole_archives import member_paths

HOSTILE = st.text(
    alphabet=st.one_of(
        st.characters(codec=None),
        st.sampled_from('./\\ :*?"<>|\x00\x1f\x7f\x85\u202e\u2066\u061c\u200f\ud800CONPRNAUXLTcom19²é\u0301'),
    ),
    max_size=400,
)
COLLIDING = st.sampled_from(["a.jpg", "A.JPG", "a-2.jpg", "ß", "SS", "é", "e\u0301"])
DEVICES = ["CON", "PRN", "AUX", "NUL", *(f"{kind}{n}" for kind in ("COM", "LPT") for n in "123456789¹²³")]


@pytest.mark.parametrize(
    ("file_name", "expected"),
    [
        ("receipt.jpg", "receipt.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\photo.jpg", "photo.jpg"),
        ("a/b\\c.txt", "c.txt"),
        ("folder/", "file"),
        ("", "file"),
        ("...", "file"),
        (" . . ", "file"),
        ("\x00\u202e", "file"),
        ("a\x00b", "ab"),
        ("a..b....c", "a.b.c"),
        (".\x00.x", "x"),
        (".htaccess", "htaccess"),
        (" photo.jpg. ", "photo.jpg"),
        ("\u202egpj.exe", "gpj.exe"),
        ("e\u0301te\u0301.png", "été.png"),
        ("e\u200e\u0301.png", "é.png"),
        ('<a>:"b|c?d*.txt', "abcd.txt"),
        ("a\ud83d.txt", "a.txt"),
        ("CON", "_CON"),
        ("con.txt", "_con.txt"),
        ("nul .txt", "_nul .txt"),
        ("Aux.tar.gz", "_Aux.tar.gz"),
        ("COM¹.log", "_COM¹.log"),
        ("console.txt", "console.txt"),
        ("COM10", "COM10"),
        ("CON" + " " * 200 + "x.jpg", "_CON.jpg"),
        ("😀.jpeg", "😀.jpeg"),
    ],
)
def test_safe_name(file_name: str, expected: str) -> None:
    assert safe_name(file_name) == expected


@given(st.lists(HOSTILE, max_size=5))
def test_whatever_is_given_out_is_a_member(file_names: list[str]) -> None:
    assert all(explain_outsider(path) is None for path in member_paths("0198c0de", file_names))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("extension", ["", ".txt", ".tar.gz", " .x"])
def test_device_names_are_not_device_names_any_more(device: str, extension: str) -> None:
    for name in (device, device.lower()):
        assert safe_name(name + extension).partition(".")[0].strip().upper() not in DEVICES


@pytest.mark.parametrize(
    ("file_name", "extension"),
    [
        ("😀" * 75 + ".jpeg", ".jpeg"),
        ("é" * 150 + ".tar.gz", ".gz"),
        ("x" * 500 + ".mp4", ".mp4"),
        ("x" * 190 + " ." * 20 + "y" * 30 + ".mp4", ".mp4"),
    ],
)
def test_long_names_keep_their_extension(file_name: str, extension: str) -> None:
    name = safe_name(file_name)
    assert name.endswith(extension)
    assert MAX_NAME_BYTES - 20 <= len(name.encode()) <= MAX_NAME_BYTES
    second = member_paths("id", [file_name, file_name])[1].removeprefix("files/id_")
    assert second.endswith("-2" + extension)
    assert len(second.encode()) <= MAX_NAME_BYTES


@given(HOSTILE)
@example("CON" + " " * 195 + "x.j")
@example("a" * 197 + ". . ..b")
def test_any_name_becomes_safe(file_name: str) -> None:
    name = safe_name(file_name)
    assert safe_name(name) == name
    assert 0 < len(name.encode()) <= MAX_NAME_BYTES
    assert unicodedata.is_normalized("NFC", name)
    assert ".." not in name
    assert not re.search(r'[/\\<>:"|?*\x00-\x1f\x7f-\x9f]', name)
    assert not re.search("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", name)
    assert name == name.strip().strip(".")
    assert name.partition(".")[0].strip().upper() not in DEVICES


@given(
    st.lists(
        st.one_of(HOSTILE, st.sampled_from(["a.jpg", "A.JPG", "a-2.jpg", "ß", "SS", "é", "e\u0301"])),
        max_size=30,
    )
)
def test_paths_are_unique_without_regard_to_case(file_names: list[str]) -> None:
    paths = member_paths("0198c0de", file_names)
    assert len({unicodedata.normalize("NFC", path.casefold()) for path in paths}) == len(file_names)
    for path in paths:
        assert path.startswith("files/0198c0de_")
        assert len(path.removeprefix("files/0198c0de_").encode()) <= MAX_NAME_BYTES
        assert path.count("/") == 1
    assert paths == member_paths("0198c0de", file_names)


def test_numbers_stand_before_the_extension_and_never_collide() -> None:
    names = MemberNames("s")
    given_names = ["PICT0008.JPG", "pict0008.jpg", "pict0008-2.jpg", "Pict0008.Jpg", "x", "X"]
    assert [names.add(name) for name in given_names] == [
        "files/s_PICT0008.JPG",
        "files/s_pict0008-2.jpg",
        "files/s_pict0008-2-2.jpg",
        "files/s_Pict0008-3.Jpg",
        "files/s_x",
        "files/s_X-2",
    ]


def test_many_of_the_same_name_take_no_quadratic_time() -> None:
    paths = member_paths("s", ["image.jpg"] * 20_000)
    assert paths[-1] == "files/s_image-20000.jpg"


def test_the_longest_name_can_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / (f"{'0' * 36}_" + safe_name("é" * 500 + ".jpeg"))
    path.write_bytes(b"x")
    assert os.listdir(tmp_path) == [path.name]
