"""Closer looks at streams without a container's header: MPEG audio, tagged audio, transport streams."""

from __future__ import annotations

from fieldpack.server.uploads.content_types.looking import Look, Types, narrow
from fieldpack.server.uploads.content_types.texts import find_text

__all__ = ["look_at_mpeg_audio", "look_at_tagged", "look_at_transport"]

STREAM_BYTES = 64 * 1024
_AFTER_TAG = (
    (b"fLaC", "flac"),
    (b"MAC ", "ape"),
    (b"TTA", "tta"),
    (b"wvpk", "wavpack"),
    (b"ADIF", "aac"),
)
# ISO 13818-1 table 2-34, and ATSC A/53 for AC-3
_VIDEO_STREAMS = {0x01, 0x02, 0x10, 0x1B, 0x20, 0x21, 0x24, 0x25, 0x33, 0x42, 0xD1, 0xEA}
_AUDIO_STREAMS = {0x03, 0x04, 0x0F, 0x11, 0x1C, 0x2D, 0x2E, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87}


def _find_mpeg_audio(data: bytes) -> str | None:
    """The type of a frame that begins here: ADTS (ISO 13818-7 §6.2) or layers II and III (ISO 11172-3 §2.4.1.3)."""
    if len(data) < 4 or data[0] != 0xFF:
        return None
    if data[1] & 0xF6 == 0xF0:
        return "aac"
    layer, version = data[1] >> 1 & 3, data[1] >> 3 & 3
    sound = data[1] >= 0xE0 and layer in (1, 2) and version != 1
    return "mp3" if sound and data[2] >> 4 != 15 and data[2] >> 2 & 3 != 3 else None


def look_at_mpeg_audio(types: Types, head: bytes, length: int) -> Look:
    """Whether what looks like a frame's first two bytes goes on as one."""
    return types if _find_mpeg_audio(head) else ()
    yield  # it needs no more than the head


def look_at_tagged(types: Types, head: bytes, length: int) -> Look:
    """What comes after the tag, which can be long: it may hold pictures (ID3 2.4.0 §3.1)."""
    at = 0
    for _ in range(4):
        data = yield at, 16
        if data[:3] != b"ID3" or len(data) < 10:
            break
        size = 0
        for byte in data[6:10]:
            size = size << 7 | byte & 0x7F
        at += 10 + size + (10 if data[5] & 0x10 else 0)
    found = _find_mpeg_audio(data) or next(
        (kind for start, kind in _AFTER_TAG if data.startswith(start)), None
    )
    return (found,) if found in types else types[:2]


def look_at_transport(types: Types, head: bytes, length: int) -> Look:
    """The streams that the programme map lists (ISO 13818-1 §2.4.4.8)."""
    if found := find_text(head):
        return found
    types = tuple(each for each in types if each != "text")
    data = yield 0, STREAM_BYTES
    step, at = (188, 0) if head[:1] == b"G" and head[188:189] == b"G" else (192, 4)
    maps: set[int] = set()
    media: set[str] = set()
    while at + 188 <= len(data):
        packet = data[at : at + 188]
        at += step
        pid = int.from_bytes(packet[1:3], "big") & 0x1FFF
        if packet[0] != 0x47 or not packet[1] & 0x40 or (pid and pid not in maps):
            continue
        start = 5 + packet[4] if packet[3] & 0x20 else 4
        section = packet[start + 1 + packet[start] :] if start < 188 else b""
        if len(section) < 12:
            continue
        end = min(3 + (int.from_bytes(section[1:3], "big") & 0xFFF) - 4, len(section))
        if pid == 0:
            entries = range(8, end - 3, 4)
            maps |= {
                int.from_bytes(section[n + 2 : n + 4], "big") & 0x1FFF
                for n in entries
                if section[n : n + 2] != b"\0\0"
            }
            continue
        n = 12 + (int.from_bytes(section[10:12], "big") & 0xFFF)
        while n + 5 <= end:
            media.add(
                "video" if section[n] in _VIDEO_STREAMS else "audio" if section[n] in _AUDIO_STREAMS else ""
            )
            n += 5 + (int.from_bytes(section[n + 3 : n + 5], "big") & 0xFFF)
        if media - {""}:
            break
    return narrow(types, media)
