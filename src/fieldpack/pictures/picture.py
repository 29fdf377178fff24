"""What all formats of pictures have in common: a cleaned picture, its faults, and EXIF's orientation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fieldpack.errors import PictureError

__all__ = ["EXIF_MARK", "MOST_BLOCKS", "Picture", "cut_short", "find_orientation", "make_exif"]

MOST_BLOCKS = 200_000
"""Blocks (the formats say segment or chunk) that a picture may have; a real one has some thousand at most."""
EXIF_MARK = b"Exif\0\0"
_ORIENTATION = 0x0112
_SHORT = 3


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture without metadata.

    Attributes:
        content_type: what it is, such as `image/png`.
        width, height: in pixels, before any orientation is applied.
        frames: how many it has; 1 where nothing moves.
    """

    content_type: str
    data: bytes
    width: int
    height: int
    frames: int = 1


def cut_short(name: str) -> PictureError:
    """What to raise when the end of a picture is missing."""
    return PictureError(f"The {name} picture is cut short: copy or save it again.")


def find_orientation(exif: bytes) -> int:
    """Which side is up, 1 to 8, by a block of EXIF (a TIFF header and its first directory; CIPA DC-008 §4.6).

    1, which is as it is stored, where it says nothing or can't be read.
    """
    tiff = exif.removeprefix(EXIF_MARK)
    order: Literal["little", "big"] | None = (
        "little" if tiff[:4] == b"II*\0" else "big" if tiff[:4] == b"MM\0*" else None
    )
    if order is None:
        return 1

    def read(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], order)

    directory = read(4, 4)
    for number in range(read(directory, 2)):
        entry = directory + 2 + 12 * number
        if entry + 12 > len(tiff):
            break
        if read(entry, 2) == _ORIENTATION and read(entry + 2, 2) == _SHORT:
            found = read(entry + 8, 2)
            return found if 1 <= found <= 8 else 1
    return 1


def make_exif(orientation: int) -> bytes:
    """A block of EXIF that says nothing but which side is up; nothing where that is as it is stored."""
    if orientation == 1:
        return b""
    entry = (
        _ORIENTATION.to_bytes(2) + _SHORT.to_bytes(2) + (1).to_bytes(4) + orientation.to_bytes(2) + b"\0\0"
    )
    return b"MM\0*" + (8).to_bytes(4) + (1).to_bytes(2) + entry + (0).to_bytes(4)
