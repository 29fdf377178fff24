"""Closer looks into containers of sound and pictures: which tracks there are."""

from __future__ import annotations

from fieldpack.server.uploads.content_types.looking import Look, Types, narrow
from fieldpack.server.uploads.content_types.texts import find_text

__all__ = ["look_at_asf", "look_at_boxes", "look_at_ebml", "look_at_ogg", "look_at_pictures"]

MOST_BOXES = 400
_WITHIN = {b"moov": 0, b"trak": 1, b"mdia": 2}
_HANDLERS = {b"vide": "video", b"soun": "audio"}
_SOUND_BRANDS = (b"M4A ", b"M4B ", b"M4P ")


def _brands(head: bytes) -> list[bytes]:
    """Compatible brands of a file type box (ISO 14496-12 §4.3)."""
    end = min(int.from_bytes(head[:4], "big"), 512, len(head))
    return [head[start : start + 4] for start in range(16, end - 3, 4)]


def look_at_pictures(types: Types, head: bytes, length: int) -> Look:
    """A HEIF file whose first brand says only that it is one (ISO 23008-12 §10)."""
    brands = set(_brands(head))
    if brands & {b"avif", b"avis"}:
        return ("avif",)
    if any(brand[:3] in (b"hei", b"hev") for brand in brands):
        return ("heic",)
    return ("heif",)
    yield  # it needs no more than the head


def look_at_boxes(types: Types, head: bytes, length: int) -> Look:
    """ISO media and QuickTime: the handlers of the tracks (ISO 14496-12 §8.4.3)."""
    if head[:1] >= b"\x09" and (found := find_text(head)):
        return found  # a word that is also the name of a box
    media: set[str] = set()
    ends = [length]
    at = 0
    for _ in range(MOST_BOXES):
        while ends and at + 8 > ends[-1]:
            at = max(at, ends.pop())
        if not ends:
            break
        data = yield at, 20
        if len(data) < 8:
            break
        size, name, header = int.from_bytes(data[:4], "big"), data[4:8], 8
        if size == 1:
            size, header = int.from_bytes(data[8:16], "big"), 16
        elif size == 0:
            size = ends[-1] - at
        if size < header:
            break
        if _WITHIN.get(name) == len(ends) - 1:
            ends.append(min(at + size, ends[-1]))
            at += header
            continue
        if name == b"hdlr" and len(ends) == 4:
            handler = yield at + header + 8, 4
            media.add(_HANDLERS.get(handler, ""))
        at += size
    if not media - {""} and not set(_brands(head)).isdisjoint(_SOUND_BRANDS):
        media.add("audio")
    return narrow(tuple(each for each in types if each != "text"), media)


def _vint(data: bytes, at: int, *, marked: bool) -> tuple[int | None, int]:
    """A variable-size integer (RFC 8794 §4) and where it ends; None for an unknown size or a broken one."""
    first = data[at] if at < len(data) else 0
    width = 9 - first.bit_length()
    if width > 8 or at + width > len(data):
        return None, at + 1
    value = int.from_bytes(data[at : at + width], "big")
    if not marked:
        value &= (1 << 7 * width) - 1
        if value == (1 << 7 * width) - 1:
            return None, at + width
    return value, at + width


_DOC_TYPE, _SEGMENT, _CLUSTER, _TRACKS, _TRACK, _TRACK_TYPE = (
    0x4282,
    0x18538067,
    0x1F43B675,
    0x1654AE6B,
    0xAE,
    0x83,
)
_TRACK_TYPES = {1: "video", 2: "audio"}


def look_at_ebml(types: Types, head: bytes, length: int) -> Look:
    """Matroska and WebM: the document's type and the types of the tracks (RFC 9559 §5.1.4.1)."""
    size, at = _vint(head, 4, marked=False)
    end = at + min(size or 0, 1024)
    name = b""
    while at < end:
        element, at = _vint(head, at, marked=True)
        size, at = _vint(head, at, marked=False)
        if element is None or size is None:
            break
        if element == _DOC_TYPE:
            name = head[at : at + size]
        at += size
    family = "webm" if name.rstrip(b"\0") == b"webm" else "matroska"
    types = tuple(each for each in types if each.startswith(family))
    media: set[str] = set()
    at = end
    for _ in range(MOST_BOXES):
        data = yield at, 12
        element, begin = _vint(data, 0, marked=True)
        size, begin = _vint(data, begin, marked=False)
        if element is None or element == _CLUSTER or (size is None and element not in (_SEGMENT, _TRACKS)):
            break
        if element == _TRACK_TYPE and size:
            value = yield at + begin, min(size, 8)
            media.add(_TRACK_TYPES.get(int.from_bytes(value, "big"), ""))
        at += begin + (0 if element in (_SEGMENT, _TRACKS, _TRACK) else size or 0)
    return narrow(types, media)


_OGG_CODECS = (
    (b"\x80theora", "video"),
    (b"\x01video", "video"),
    (b"BBCD", "video"),
    (b"OVP80", "video"),
    (b"\x01vorbis", "audio"),
    (b"OpusHead", "audio"),
    (b"Speex", "audio"),
    (b"\x7fFLAC", "audio"),
    (b"fLaC", "audio"),
    (b"PCM     ", "audio"),
    (b"\x01audio", "audio"),
)


def look_at_ogg(types: Types, head: bytes, length: int) -> Look:
    """Ogg: the pages that begin a stream each name their codec (RFC 3533 §4)."""
    media: set[str] = set()
    at = 0
    for _ in range(32):
        page = yield at, 27 + 255 + 16
        if page[:4] != b"OggS" or len(page) < 28 or not page[5] & 2:
            break
        segments = page[26]
        content = page[27 + segments : 27 + segments + 16]
        media |= {medium for start, medium in _OGG_CODECS if content.startswith(start)}
        at += 27 + segments + sum(page[27 : 27 + segments])
    return narrow(types, media)


_STREAM_PROPERTIES = bytes.fromhex("9107dcb7b7a9cf118ee600c00c205365")
_ASF_MEDIA = {
    bytes.fromhex("409e69f84d5bcf11a8fd00805f5c442b"): "audio",
    bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b"): "video",
}


def look_at_asf(types: Types, head: bytes, length: int) -> Look:
    """Windows Media: the types of the streams (ASF specification 01.20.06 §3.3)."""
    media: set[str] = set()
    end = min(int.from_bytes(head[16:24], "little"), length)
    at = 30
    for _ in range(MOST_BOXES):
        if at + 24 > end:
            break
        data = yield at, 40
        size = int.from_bytes(data[16:24], "little")
        if data[:16] == _STREAM_PROPERTIES:
            media.add(_ASF_MEDIA.get(data[24:40], ""))
        if len(data) < 24 or size < 24:
            break
        at += size
    return narrow(types, media)
