"""JPEG (ITU-T T.81 annex B; JFIF 1.02; ICC.1 annex B.4): segments, of which those stay that make up the picture."""

from __future__ import annotations

import re

from fieldpack.errors import PictureError
from fieldpack.pictures.picture import EXIF_MARK, MOST_BLOCKS, Picture, cut_short, find_orientation, make_exif

__all__ = ["clean_jpeg"]

_FILL = re.compile(rb"\xff+")
_END_OF_SCAN = re.compile(
    rb"\xff[^\x00\xd0-\xd7\xff]"
)  # FF00 is a byte of data, D0 to D7 restart the decoder
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_SHOWN = (0xC0, 0xC1, 0xC2)  # baseline, extended and progressive, with Huffman coding
_NOT_SHOWN = (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCC, 0xCD, 0xCE, 0xCF, 0xDC, 0xDE, 0xDF)
_TABLES = (0xC4, 0xDB, 0xDD)  # Huffman tables, quantisation tables, restart interval
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_ICC = b"ICC_PROFILE\0"


def clean_jpeg(data: bytes) -> Picture:
    """A JPEG without metadata, previews, and whatever follows its end.

    Raises:
        PictureError: it is damaged, or of a kind that browsers don't show.
    """
    jfif = adobe = b""
    orientation = 1
    kept: list[bytes] = []
    size: tuple[int, int] | None = None
    scans = 0
    at = 2
    for _ in range(MOST_BLOCKS):
        at = data.find(b"\xff", at)  # what stands between segments belongs to none
        fill = _FILL.match(data, at) if at >= 0 else None
        if fill is None or fill.end() >= len(data):
            raise cut_short("JPEG")
        code = data[fill.end()]
        at = fill.end() + 1
        if code == _EOI:
            break
        length = int.from_bytes(data[at : at + 2])
        body = data[at + 2 : at + length]
        if code == _SOI or code < 0xC0 or 0xD0 <= code <= 0xD7 or length < 2:
            raise PictureError("The JPEG picture is damaged: save it again.")
        if at + length > len(data):
            raise cut_short("JPEG")
        at += length
        if code in _SHOWN:
            if size is not None or len(body) < 6 or body[0] != 8:
                raise PictureError("The JPEG picture is damaged, or of a kind that browsers don't show.")
            size = int.from_bytes(body[3:5]), int.from_bytes(body[1:3])
        elif code in _NOT_SHOWN:
            raise PictureError("The JPEG picture is of a kind that browsers don't show: save it again.")
        elif code == _APP0 and body.startswith(b"JFIF\0") and len(body) >= 14:
            jfif = jfif or _make_segment(_APP0, body[:12] + b"\0\0")  # without its preview
        elif code == _APP1 and body.startswith(EXIF_MARK):
            orientation = orientation if orientation != 1 else find_orientation(body)
        elif code == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
            adobe = adobe or _make_segment(_APP14, body[:12])  # says how colours are coded
        if code in (*_SHOWN, *_TABLES) or (code == _APP2 and body.startswith(_ICC)):
            kept.append(_make_segment(code, body))
        elif code == _SOS:
            if size is None:
                raise PictureError("The JPEG picture is damaged: save it again.")
            found = _END_OF_SCAN.search(data, at)
            if found is None:
                raise cut_short("JPEG")
            kept += [_make_segment(code, body), data[at : found.start()].rstrip(b"\xff")]
            at = found.start()
            scans += 1
    else:
        raise PictureError("The JPEG picture is damaged: save it again.")
    if size is None or not scans:
        raise PictureError("The JPEG picture is damaged: save it again.")
    exif = make_exif(orientation)
    said = _make_segment(_APP1, EXIF_MARK + exif) if exif else b""
    return Picture(
        "image/jpeg", b"".join([b"\xff\xd8", jfif, said, adobe, *kept, b"\xff\xd9"]), size[0], size[1]
    )


def _make_segment(code: int, body: bytes) -> bytes:
    return bytes((0xFF, code)) + (len(body) + 2).to_bytes(2) + body
