"""PNG (W3C PNG, third edition, §5 and §11): chunks, of which those stay that make up the picture."""

from __future__ import annotations

import zlib

from fieldpack.errors import PictureError
from fieldpack.pictures.picture import MOST_BLOCKS, Picture, cut_short, find_orientation, make_exif

__all__ = ["SIGNATURE", "clean_png"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = frozenset(
    (
        *(b"IHDR", b"PLTE", b"IDAT", b"tRNS"),
        *(b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"cICP", b"mDCV", b"cLLI"),  # colours
        *(b"bKGD", b"pHYs"),
        *(b"acTL", b"fcTL", b"fdAT"),  # animation
    )
)
_IS_ANCILLARY = 0x20  # bit of the first letter, §5.4: who does not know such a chunk passes over it


def clean_png(data: bytes) -> Picture:
    """A PNG without texts, times, EXIF, private chunks, and whatever follows its end.

    Raises:
        PictureError: it is damaged.
    """
    kept: list[bytes] = []
    size: tuple[int, int] | None = None
    orientation, frames, has_data = 1, 0, False
    at = len(SIGNATURE)
    for _ in range(MOST_BLOCKS):
        length = int.from_bytes(data[at : at + 4])
        kind = data[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(data):
            raise cut_short("PNG")
        body = data[at + 8 : end - 4]
        if zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            raise PictureError("The PNG picture is damaged: save it again.")
        at = end
        if (kind == b"IHDR") != (size is None) or (kind == b"IHDR" and length != 13):
            raise PictureError("The PNG picture is damaged: save it again.")
        if kind == b"IHDR":
            size = int.from_bytes(body[:4]), int.from_bytes(body[4:8])
        elif kind == b"IEND":
            break
        elif kind == b"eXIf":
            orientation = find_orientation(body)
        elif kind == b"fcTL":
            frames += 1
        elif kind not in _KEPT and not kind[0] & _IS_ANCILLARY:
            raise PictureError("The PNG picture has parts that no browser knows: save it again.")
        has_data = has_data or kind == b"IDAT"
        if kind in _KEPT:
            kept.append(_make_chunk(kind, body))
    else:
        raise PictureError("The PNG picture is damaged: save it again.")
    if size is None or not has_data:
        raise PictureError("The PNG picture is damaged: save it again.")
    exif = make_exif(orientation)
    if exif:
        kept.insert(1, _make_chunk(b"eXIf", exif))
    whole = b"".join([SIGNATURE, *kept, _make_chunk(b"IEND", b"")])
    return Picture("image/png", whole, size[0], size[1], max(frames, 1))


def _make_chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)
