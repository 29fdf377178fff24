"""GIF (GIF89a specification; Netscape's looping): blocks, of which those stay that make up the picture."""

from __future__ import annotations

from fieldpack.errors import PictureError
from fieldpack.pictures.picture import MOST_BLOCKS, Picture, cut_short

__all__ = ["clean_gif"]

_IMAGE, _EXTENSION, _TRAILER = 0x2C, 0x21, 0x3B
_GRAPHIC_CONTROL, _APPLICATION, _PLAIN_TEXT = 0xF9, 0xFF, 0x01
_LOOPING = (b"NETSCAPE2.0", b"ANIMEXTS1.0")


def clean_gif(data: bytes) -> Picture:
    """A GIF without comments, plain texts, other programs' data, and whatever follows its end.

    Raises:
        PictureError: it is damaged.
    """
    if len(data) < 13:
        raise cut_short("GIF")
    width, height = int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    at = 13 + _table_bytes(data[10])
    kept = [data[:at]]
    frames = 0
    control = b""  # what it says is of the next image or plain text
    for _ in range(MOST_BLOCKS):
        if at >= len(data):
            raise cut_short("GIF")
        kind, start = data[at], at
        if kind == _TRAILER:
            break
        if kind == _IMAGE:
            if at + 10 > len(data):
                raise cut_short("GIF")
            right = int.from_bytes(data[at + 5 : at + 7], "little")
            below = int.from_bytes(data[at + 7 : at + 9], "little")
            if right * below > max(width * height, 1) * 4:
                raise PictureError("The GIF picture has frames much larger than itself: save it again.")
            at = _skip_blocks(data, at + 10 + _table_bytes(data[at + 9]) + 1)
            kept += [control, data[start:at]]
            control = b""
            frames += 1
        elif kind == _EXTENSION:
            label = data[at + 1] if at + 1 < len(data) else 0
            at = _skip_blocks(data, at + 2)
            block = data[start:at]
            if label == _GRAPHIC_CONTROL and len(block) == 8:
                control = block
            elif label == _PLAIN_TEXT:
                control = b""
            elif label == _APPLICATION and block[3:14] in _LOOPING and block[14:16] == b"\x03\x01":
                kept.append(block[:18] + b"\0")
        else:
            raise PictureError("The GIF picture is damaged: save it again.")
    else:
        raise PictureError("The GIF picture is damaged: save it again.")
    if not frames:
        raise PictureError("The GIF picture holds no image: save it again.")
    return Picture("image/gif", b"".join([*kept, bytes([_TRAILER])]), width, height, frames)


def _table_bytes(flags: int) -> int:
    """Size of the table of colours that follows, if one does."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _skip_blocks(data: bytes, at: int) -> int:
    """Where the run of data blocks that begins at `at` has ended."""
    while at < len(data):
        size = data[at]
        at += 1 + size
        if not size:
            return at
    raise cut_short("GIF")
