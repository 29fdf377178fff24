"""Small files that are built as their formats say: containers with tracks, packages, tagged pictures, streams."""

from __future__ import annotations

import io
import struct
import wave
import zipfile

import openpyxl
from PIL import Image

__all__ = [
    "asf",
    "box",
    "ebml",
    "element",
    "flv",
    "id3",
    "iso",
    "matroska",
    "mpeg_frames",
    "ogg",
    "ole",
    "package",
    "picture",
    "tiff",
    "transport",
    "wav",
    "workbook",
]


def picture(kind: str, **options: object) -> bytes:
    """A picture as Pillow writes it."""
    target = io.BytesIO()
    Image.effect_noise((32, 32), 50).convert("RGB").save(target, kind, **options)
    return target.getvalue()


def package(*members: tuple[str, str]) -> bytes:
    """A ZIP of these members, in this order."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        for name, content in members:
            made.writestr(name, content)
    return target.getvalue()


def workbook() -> bytes:
    """An Excel workbook as openpyxl writes it."""
    made = openpyxl.Workbook()
    target = io.BytesIO()
    made.save(target)
    return target.getvalue()


def wav(seconds: float = 0.1) -> bytes:
    """A WAV recording of silence."""
    target = io.BytesIO()
    with wave.open(target, "wb") as made:
        made.setnchannels(1)
        made.setsampwidth(2)
        made.setframerate(8000)
        made.writeframes(bytes(int(16000 * seconds)))
    return target.getvalue()


# ISO media (ISO 14496-12)


def box(name: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + name + body


def _track(handler: bytes, number: int) -> bytes:
    header = box(b"tkhd", struct.pack(">IIIII", 7, 0, 0, number, 0), bytes(72))
    described = box(b"hdlr", bytes(8), handler, bytes(12), b"name\0")
    media = box(b"mdia", box(b"mdhd", bytes(24)), described, box(b"minf", box(b"stbl", bytes(2000))))
    return box(b"trak", header, media)


def iso(
    brand: bytes,
    *handlers: bytes,
    compatible: tuple[bytes, ...] = (b"isom",),
    moov_first: bool = False,
    media_bytes: int = 5000,
) -> bytes:
    """A film or recording with tracks of these handlers; without any it has no `moov`.

    Phones write `moov` behind the media, for they know the lengths at the end only.
    """
    beginning = box(b"ftyp", brand, b"\0\0\2\0", *compatible)
    media = box(b"mdat", bytes(media_bytes))
    if not handlers:
        return beginning + media
    tracks = [_track(handler, number) for number, handler in enumerate(handlers, 1)]
    moov = box(b"moov", box(b"mvhd", bytes(100)), *tracks)
    return beginning + (moov + media if moov_first else media + moov)


# Matroska (RFC 9559)


def element(identifier: int, *content: bytes, size: bytes | None = None) -> bytes:
    body = b"".join(content)
    width = (identifier.bit_length() + 7) // 8
    if size is None:
        size = struct.pack(">Q", len(body) | 1 << 56)
    return identifier.to_bytes(width, "big") + size + body


UNKNOWN_SIZE = b"\x01" + b"\xff" * 7


def ebml(doc_type: bytes) -> bytes:
    return element(0x1A45DFA3, element(0x4286, b"\1"), element(0x4282, doc_type))


def matroska(doc_type: bytes, *track_types: int, live: bool = False) -> bytes:
    """A file with tracks of these types: 1 is video, 2 sound, 17 subtitles. Live ones don't know their sizes."""
    tracks = element(
        0x1654AE6B,
        *(element(0xAE, element(0xD7, bytes((n,))), element(0x83, bytes((kind,))), element(0x86, b"A_OPUS"),
                  element(0x63A2, bytes(300))) for n, kind in enumerate(track_types, 1)),
    )  # fmt: skip
    info = element(0x1549A966, element(0x2AD7B1, b"\x0f\x42\x40"))
    cluster = element(0x1F43B675, element(0xE7, b"\0"), bytes(3000), size=UNKNOWN_SIZE if live else None)
    body = element(0xEC, bytes(200)) + info + (tracks if track_types else b"") + cluster
    return ebml(doc_type) + element(0x18538067, body, size=UNKNOWN_SIZE if live else None)


# others


def ogg(*codecs: bytes) -> bytes:
    """Pages that begin streams of these codecs, and one that goes on (RFC 3533 §6)."""
    pages = b""
    for number, content in enumerate((*codecs, bytes(200))):
        content = content.ljust(40, b"\0")
        flags = 2 if number < len(codecs) else 0
        pages += b"OggS\0" + bytes((flags,)) + bytes(8) + struct.pack("<III", number, 0, 0)
        pages += bytes((1, min(len(content), 254))) + content[:254]
    return pages


ASF_SOUND = bytes.fromhex("409e69f84d5bcf11a8fd00805f5c442b")
ASF_FILM = bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b")


def asf(*streams: bytes) -> bytes:
    """A header with these streams, and data (ASF specification §3)."""

    def make(guid: str, content: bytes) -> bytes:
        return bytes.fromhex(guid) + struct.pack("<Q", 24 + len(content)) + content

    objects = [make("a1dcab8c47a9cf118ee400c00c205365", bytes(80))]
    objects += [make("9107dcb7b7a9cf118ee600c00c205365", stream + bytes(54)) for stream in streams]
    header = struct.pack("<I", len(objects)) + b"\1\2" + b"".join(objects)
    return make("3026b2758e66cf11a6d900aa0062ce6c", header) + make(
        "3626b2758e66cf11a6d900aa0062ce6c", bytes(3000)
    )


def transport(*stream_types: int, stride: int = 188) -> bytes:
    """A programme association, its map with these streams, and packets of one (ISO 13818-1 §2.4)."""

    def packet(pid: int, payload: bytes, *, start: bool) -> bytes:
        header = bytes((0x47, (0x40 if start else 0) | pid >> 8, pid & 255, 0x10))
        return bytes(stride - 188) + (header + payload).ljust(188, b"\xff")

    def section(table: int, body: bytes) -> bytes:
        content = b"\0\1\xc1\0\0" + body + bytes(4)
        return b"\0" + bytes((table,)) + struct.pack(">H", 0xB000 | len(content)) + content

    association = section(0, b"\0\1" + struct.pack(">H", 0xE000 | 256))
    entries = b"".join(
        bytes((kind,)) + struct.pack(">HH", 0xE000 | 257 + n, 0xF000) for n, kind in enumerate(stream_types)
    )
    programme = section(2, b"\xe1\1\xf0\0" + entries)
    packets = [packet(0, association, start=True), packet(256, programme, start=True)]
    return b"".join(packets) + b"".join(packet(257, bytes(100), start=False) for _ in range(20))


def mpeg_frames() -> bytes:
    """Frames of MPEG-1 layer III, 128 kbit/s at 44.1 kHz."""
    return (b"\xff\xfb\x90\x64" + bytes(413)) * 12


def id3(size: int, content: bytes) -> bytes:
    """Content behind a tag, which may hold a picture of any size."""
    synchsafe = bytes((size >> shift & 0x7F) for shift in (21, 14, 7, 0))
    return b"ID3\4\0\0" + synchsafe + bytes(size) + content


def tiff(*tags: int, order: str = "<", pad: int = 0) -> bytes:
    """A TIFF whose first directory has these tags behind `pad` bytes of pixels."""
    begin = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + pad) + bytes(pad)
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, 1) for tag in sorted({256, 257, 271, *tags}))
    return begin + struct.pack(f"{order}H", len(entries) // 12) + entries + bytes(4) + bytes(600)


def ole(*names: str) -> bytes:
    """A compound file whose directory has these streams (MS-CFB §2.2, §2.6)."""
    header = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6)
    header = (header + bytes(10) + struct.pack("<II", 1, 1)).ljust(512, b"\0")
    entries = b""
    for name in ("Root Entry", *names):
        text = (name + "\0").encode("utf-16-le")
        entries += text.ljust(64, b"\0") + struct.pack("<H", len(text)) + b"\2\1" + bytes(60)
    return header + bytes(512) + entries.ljust(2048, b"\0")


def flv(flags: int) -> bytes:
    return b"FLV\1" + bytes((flags,)) + b"\0\0\0\x09" + bytes(600)
