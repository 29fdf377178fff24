"""WebP (RFC 9649 §2): chunks, of which those stay that make up the picture."""

from __future__ import annotations

from collections.abc import Iterator

from fieldpack.errors import PictureError
from fieldpack.pictures.picture import MOST_BLOCKS, Picture, cut_short, find_orientation, make_exif

__all__ = ["clean_webp"]

_HAS_ICC, _HAS_EXIF, _HAS_ALPHA, _IS_ANIMATED = 0x20, 0x08, 0x10, 0x02
_IMAGES = (b"VP8 ", b"VP8L")
_FRAME_HEAD = 16


def clean_webp(data: bytes) -> Picture:
    """A WebP without EXIF, XMP, unknown chunks, and whatever follows its end.

    Raises:
        PictureError: it is damaged.
    """
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise cut_short("WebP")
    chunks = list(_iter_chunks(data[12:end]))
    if not chunks:
        raise cut_short("WebP")
    kind, body = chunks[0]
    if kind in _IMAGES:
        width, height = _measure(kind, body)
        return Picture("image/webp", _make_file([(kind, body)]), width, height)
    if kind != b"VP8X" or len(body) < 10:
        raise PictureError("The WebP picture is damaged: save it again.")
    flags = body[0]
    width, height = _read_size(body[4:7]), _read_size(body[7:10])
    kept: list[tuple[bytes, bytes]] = []
    exif = b""
    frames = 0
    for kind, body in chunks[1:]:
        if kind == b"EXIF":
            exif = exif or make_exif(find_orientation(body))
        elif kind == b"ANMF" and flags & _IS_ANIMATED:
            kept.append((kind, _clean_frame(body, width, height)))
            frames += 1
        elif (
            (kind in _IMAGES and not flags & _IS_ANIMATED and not frames)
            or (kind == b"ALPH" and not flags & _IS_ANIMATED and not frames)
            or (kind == b"ICCP" and not frames)
            or (kind == b"ANIM" and flags & _IS_ANIMATED)
        ):
            if kind in _IMAGES:
                if _measure(kind, body) != (width, height):
                    raise PictureError("The WebP picture is damaged: save it again.")
                frames += 1
            kept.append((kind, body))
    if not frames:
        raise PictureError("The WebP picture holds no image: save it again.")
    has_profile = any(kind == b"ICCP" for kind, _ in kept)
    flags &= _HAS_ALPHA | _IS_ANIMATED
    flags |= (_HAS_ICC if has_profile else 0) | (_HAS_EXIF if exif else 0)
    head = bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    kept = [(b"VP8X", head), *kept, *([(b"EXIF", exif)] if exif else [])]
    return Picture("image/webp", _make_file(kept), width, height, frames)


def _clean_frame(body: bytes, width: int, height: int) -> bytes:
    """A frame of an animation: its place and time, and its image alone."""
    found = [(kind, inner) for kind, inner in _iter_chunks(body[_FRAME_HEAD:]) if kind in (*_IMAGES, b"ALPH")]
    sizes = [_measure(kind, inner) for kind, inner in found if kind in _IMAGES]
    if len(body) < _FRAME_HEAD or len(sizes) != 1 or sizes[0][0] > width or sizes[0][1] > height:
        raise PictureError("The WebP picture is damaged: save it again.")
    return body[:_FRAME_HEAD] + b"".join(_make_chunk(kind, inner) for kind, inner in found)


def _measure(kind: bytes, body: bytes) -> tuple[int, int]:
    """Width and height of image data (RFC 6386 §9.1; RFC 9649 §3.4)."""
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a" and len(body) >= 10:
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    if kind == b"VP8L" and body[:1] == b"\x2f" and len(body) >= 5:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise PictureError("The WebP picture is damaged: save it again.")


def _read_size(field: bytes) -> int:
    return int.from_bytes(field, "little") + 1


def _iter_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    for _ in range(MOST_BLOCKS):
        if at + 8 > len(data):
            return
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + size > len(data):
            raise cut_short("WebP")
        yield data[at : at + 4], data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    raise PictureError("The WebP picture is damaged: save it again.")


def _make_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)


def _make_file(chunks: list[tuple[bytes, bytes]]) -> bytes:
    whole = b"WEBP" + b"".join(_make_chunk(*chunk) for chunk in chunks)
    return b"RIFF" + len(whole).to_bytes(4, "little") + whole
