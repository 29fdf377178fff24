"""A picture keeps every pixel, and loses all that says more than it shows."""

from __future__ import annotations

import io
import zlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fieldpack.errors import PictureError
from fieldpack.pictures import MOST_BYTES, clean_picture
from tests.pictures import (
    ORIENTATION,
    SECRET,
    make_drawing,
    make_exif,
    make_profile,
    make_told,
    save,
    save_moving,
)

TOLD = make_told()


def open_picture(data: bytes) -> Any:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("name", TOLD)
def test_only_what_is_shown_stays(name: str) -> None:
    told = TOLD[name]
    clean = clean_picture(told)
    assert SECRET in told
    assert SECRET not in clean.data
    before, after = open_picture(told), open_picture(clean.data)
    frames = getattr(before, "n_frames", 1)
    assert (after.format, after.size) == (before.format, before.size)
    assert (getattr(after, "n_frames", 1), clean.frames) == (frames, frames)
    for number in range(frames):
        before.seek(number)
        after.seek(number)
        assert after.convert("RGBA").tobytes() == before.convert("RGBA").tobytes()
        assert after.info.get("duration") == before.info.get("duration")
    assert after.info.get("loop") == before.info.get("loop")
    assert after.info.get("icc_profile") == before.info.get("icc_profile")
    turned = before.getexif().get(ORIENTATION, 1)
    assert dict(after.getexif()) == ({} if turned == 1 else {ORIENTATION: turned})
    assert not after.getexif().get_ifd(0x8825)
    assert after.info.keys() & {"comment", "xmp", "Author", "Comment", "XML:com.adobe.xmp"} == set()


@pytest.mark.parametrize("name", TOLD)
def test_a_clean_one_stays_as_it_is(name: str) -> None:
    clean = clean_picture(TOLD[name])
    assert clean_picture(clean.data) == clean


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_the_side_that_is_up_stays_up(format: str, orientation: int) -> None:
    from PIL import ImageOps

    told = save(make_drawing(), format, exif=make_exif(orientation))
    clean = clean_picture(told).data
    shown, wanted = ImageOps.exif_transpose(open_picture(clean)), ImageOps.exif_transpose(open_picture(told))
    assert shown.tobytes() == wanted.tobytes()


def test_a_preview_within_goes_too() -> None:
    """JFIF's own, that of an extension of it, and the pictures after the first of a `.mpo`."""
    plain = save(make_drawing(), "JPEG")
    assert plain[2:6] == b"\xff\xe0\0\x10"
    preview = b"\xff\xe0" + (16 + 3).to_bytes(2) + plain[6:18] + b"\1\1" + b"RGB"
    extension = b"\xff\xe0" + (2 + 6 + len(SECRET)).to_bytes(2) + b"JFXX\0\x13" + SECRET
    multi = b"\xff\xe2" + (2 + 4 + len(SECRET)).to_bytes(2) + b"MPF\0" + SECRET
    told = plain[:2] + preview + extension + multi + plain[20:] + plain
    assert clean_picture(told).data == plain


@pytest.mark.parametrize("name", TOLD)
def test_one_that_is_cut_short_is_told(name: str) -> None:
    whole = clean_picture(TOLD[name]).data
    for size in (*range(0, 64), *range(64, len(whole), len(whole) // 50), len(whole) - 1):
        with pytest.raises(PictureError):
            clean_picture(whole[:size])


@settings(max_examples=400)
@given(
    st.sampled_from(sorted(TOLD)),
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), max_size=12),
)
def test_damage_is_refused_or_harmless(name: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(TOLD[name])
    for at, value in changes:
        data[at % len(data)] = value
    with suppress(PictureError):
        clean = clean_picture(bytes(data))
        assert clean_picture(clean.data) == clean


def make_png(width: int, height: int) -> bytes:
    """A small file that says that it is large."""
    data = bytearray(save(make_drawing(8, 8), "PNG"))
    data[16:24] = width.to_bytes(4) + height.to_bytes(4)
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"hello", "no JPEG"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>', "SVG"),
        (b'\xef\xbb\xbf \n<?xml version="1.0"?><svg/>', "SVG"),
        (b"<!-- --><svg/>", "scripts"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"%PDF-1.7", "PDF"),
        (b"BM" + bytes(60), "BMP"),
        (b"II*\0" + bytes(60), "TIFF"),
        (b"\0\0\0\x18ftypheic" + bytes(60), "HEIC"),
        (make_png(50_000, 50_000), "50,000 × 50,000"),
        (make_png(0, 5), "no width"),
        (make_png(2**31, 1), "pixels"),
        (b"\xff\xd8\xff" + bytes(100), "JPEG"),
        (b"\xff\xd8\xff\xd9", "damaged"),
        (b"\xff\xd8" + b"\xff\xfe\0\2" * 300_000, "damaged"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "damaged"),
        (b"GIF89a" + bytes(7) + b";", "no image"),
        (b"GIF89a\1\0\1\0\0\0\0!\xfe" + b"\1a" * 100_000, "cut short"),
        (b"RIFF\4\0\0\0WEBP", "cut short"),
        (b"RIFF\x0c\0\0\0WEBPABCD\0\0\0\0", "damaged"),
        (b"\xff\xd8\xff" + bytes(MOST_BYTES), "10.0 MB"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_told_in_a_sentence(data: bytes, said: str) -> None:
    with pytest.raises(PictureError, match=said):
        clean_picture(data)


def test_an_animation_that_no_browser_bears_is_refused() -> None:
    gif = save_moving("GIF")
    start = 13 + 3 * 2 ** ((gif[10] & 7) + 1)
    large = gif[:6] + (7000).to_bytes(2, "little") * 2 + gif[10:start] + gif[start:-1] * 6 + b";"
    with pytest.raises(PictureError, match="frames"):
        clean_picture(large)


def test_a_profile_stays_whatever_its_length() -> None:
    """More than one segment of a JPEG can hold."""
    profile = make_profile() + bytes(100_000)
    told = save(make_drawing(), "JPEG", icc_profile=profile)
    assert open_picture(clean_picture(told).data).info["icc_profile"] == profile
