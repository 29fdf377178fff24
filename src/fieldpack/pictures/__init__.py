"""Pictures that researchers show: what they are, and the same picture without what says more than it shows.

A picture is read as its format has it and put together anew from the parts that make it up. Its image data is copied,
never decoded and encoded again, so nothing of it is lost. What else a camera or a program wrote into it (place, time,
device, author, comments, previews, whatever follows the end) is left out. A colour profile stays, animation stays, and
of EXIF the one tag that says which side is up.
"""

from __future__ import annotations

from collections.abc import Callable

from fieldpack.errors import PictureError
from fieldpack.pictures.gif import clean_gif
from fieldpack.pictures.jpeg import clean_jpeg
from fieldpack.pictures.picture import Picture
from fieldpack.pictures.png import SIGNATURE as PNG_SIGNATURE
from fieldpack.pictures.png import clean_png
from fieldpack.pictures.webp import clean_webp
from fieldpack.text import say_bytes

__all__ = ["MOST_BYTES", "Picture", "clean_picture"]

MOST_BYTES = 10_000_000
MOST_PIXELS = 50_000_000
"""A browser takes 4 bytes for each of them to show a picture, however small its file is."""
MOST_MOVING_PIXELS = 1_000_000_000
"""Of all frames of an animation together."""

_OTHERS = (
    ((b"<svg", b"<?xml", b"<!doctype svg"), "SVG can hold scripts: save it as PNG"),
    ((b"<html", b"<!doctype html"), "this is a web page: save the picture itself"),
    ((b"%pdf",), "this is PDF: save the page as PNG or JPEG"),
    ((b"bm",), "this is BMP: save it as PNG"),
    ((b"ii*\0", b"mm\0*"), "this is TIFF: save it as JPEG or PNG"),
)


def clean_picture(data: bytes) -> Picture:
    """A JPEG, PNG, WebP or GIF picture without metadata. Cleaning a clean one changes nothing.

    Raises:
        PictureError: it is no such picture, is cut short or damaged, or is too large.
    """
    if not data:
        raise PictureError("The file is empty.")
    if len(data) > MOST_BYTES:
        raise PictureError(f"A picture may have at most {say_bytes(MOST_BYTES)}.")
    picture = _find_format(data)(data)
    if picture.width < 1 or picture.height < 1:
        raise PictureError("The picture has no width or no height.")
    size = f"{picture.width:,} × {picture.height:,} pixels"
    if picture.width * picture.height > MOST_PIXELS:
        raise PictureError(f"The picture has {size}; {MOST_PIXELS:,} together are possible: make it smaller.")
    if picture.width * picture.height * picture.frames > MOST_MOVING_PIXELS:
        raise PictureError(
            f"The animation has {picture.frames:,} frames of {size}, which is more than browsers show: "
            "make it shorter or smaller."
        )
    return picture


def _find_format(data: bytes) -> Callable[[bytes], Picture]:
    """What reads this, by the first bytes alone: no name is trusted."""
    if data.startswith(b"\xff\xd8\xff"):
        return clean_jpeg
    if data.startswith(PNG_SIGNATURE):
        return clean_png
    if data.startswith((b"GIF87a", b"GIF89a")):
        return clean_gif
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return clean_webp
    raise PictureError(f"This is no JPEG, PNG, WebP or GIF picture{_guess(data)}.")


def _guess(data: bytes) -> str:
    beginning = data[:1000].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if data[4:8] == b"ftyp":
        return "; this is HEIC, AVIF or a film: save it as JPEG"
    for signs, advice in _OTHERS:
        if beginning.startswith(signs):
            return f"; {advice}"
    return "; <svg> can hold scripts: save it as PNG" if b"<svg" in beginning else ""
