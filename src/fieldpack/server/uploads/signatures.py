"""What a file is, told by its first bytes and never by what its sender claims.

`judge` decides whether content is of an accepted type. Formats that browsers and phones make, and containers
that many formats share (ISO media, RIFF, Matroska, ZIP, XML), are told apart here, each by its published
signature; everything else is asked of puremagic, which knows some thousand signatures but takes a HEIC
picture for an MP4 film and any ZIP for a Word document.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection
from dataclasses import dataclass

import puremagic

from .kinds import (
    AAC,
    AIFF,
    AMR,
    AVI,
    AVIF,
    BMP,
    BZIP2,
    EPUB,
    EXCEL,
    FLAC,
    GIF,
    GZIP,
    HEIC,
    HEIF,
    HTML,
    JPEG,
    KNOWN_EXTENSIONS,
    M4A,
    MATROSKA,
    MOV,
    MP3,
    MP4,
    MPEG,
    OFFICE,
    OGG_AUDIO,
    OGG_VIDEO,
    OLE,
    OPEN_DOCUMENTS,
    PDF,
    PNG,
    PROGRAM,
    RAR,
    RTF,
    SEVEN_ZIP,
    SLIDES,
    SVG,
    TAGGED,
    TAR,
    TEXT,
    THREE_GP,
    TIFF,
    WAV,
    WEBM,
    WEBP,
    WORD,
    XML,
    XZ,
    ZIP,
    Kind,
)

__all__ = [
    "ENOUGH_BYTES",
    "HEAD_BYTES",
    "Kind",
    "Verdict",
    "accepts_empty",
    "detect",
    "extension_of",
    "judge",
]

HEAD_BYTES = 4096
"""With this much of a file, or all of it, `judge` always decides."""
ENOUGH_BYTES = 512
"""With less of a longer file, `judge` decides only by a signature that stands at its very beginning."""
CONFIDENT = 0.6
OCTETS = "application/octet-stream"


_PREFIXES: tuple[tuple[bytes, Kind], ...] = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    (b"II+\0", TIFF),
    (b"MM\0+", TIFF),
    (b"fLaC", FLAC),
    (b"ID3", TAGGED),
    (b"#!AMR", AMR),
    (b"{\\rtf1", RTF),
    (b"%PDF-", PDF),
    (b"\x1f\x8b\x08", GZIP),
    (b"\xfd7zXZ\0", XZ),
    (b"7z\xbc\xaf\x27\x1c", SEVEN_ZIP),
    (b"Rar!\x1a\x07", RAR),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE),
    (b"\0\0\1\xba", MPEG),
    (b"\0\0\1\xb3", MPEG),
    (b"\x7fELF", PROGRAM),
    (b"\xca\xfe\xba\xbe", PROGRAM),
    (b"\xce\xfa\xed\xfe", PROGRAM),
    (b"\xcf\xfa\xed\xfe", PROGRAM),
)
_SIGNATURES = tuple(prefix for prefix, _ in _PREFIXES)
_RIFF = {b"WEBP": WEBP, b"WAVE": WAV, b"AVI ": AVI}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_HEIF_BRANDS = {b"mif1", b"mif2", b"msf1", b"miaf"}
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_OLD_QUICKTIME = (b"moov", b"mdat", b"wide", b"pnot", b"skip", b"free")
_OFFICE_PARTS = ("[Content_Types].xml", "_rels/", "docProps/", "customXml/", "word/", "xl/", "ppt/")
_MARKUP = re.compile(r"(?:\s|<\?.*?\?>|<!--.*?-->)*<(!doctype\s+)?(?:[\w.-]+:)?([a-z][\w.-]*)", re.S | re.I)
_WEB_TAGS = {"html", "head", "body", "script", "iframe", "object", "embed", "style", "meta", "frameset"}
_CONTROLS = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]")
_EXTENSION = re.compile(r"\.\w{1,16}\Z")


def extension_of(file_name: str) -> str:
    """The extension of a name, in small letters and with its dot; empty if it has none.

    What follows the last dot is one if it is letters and digits, as those that can be accepted are.
    """
    found = _EXTENSION.search(file_name)
    return found.group().lower() if found else ""


def detect(head: bytes) -> Kind | None:
    """The kind of a file that begins with `head`; None when nothing tells."""
    for prefix, kind in _PREFIXES:
        if head.startswith(prefix):
            return kind
    for look in (_detect_media, _detect_archive, _detect_text):
        found = look(head)
        if found is not None:
            return found
    return None


def _detect_media(head: bytes) -> Kind | None:
    form = head[8:12]
    if head[4:8] == b"ftyp":
        return _detect_iso_media(head)
    if head[4:8] in _OLD_QUICKTIME and head[:2] in (b"\0\0", b"\0\1"):
        return MOV
    if head[:4] in (b"RIFF", b"RF64") and form in _RIFF:
        return _RIFF[form]
    if head[:4] == b"FORM" and form in (b"AIFF", b"AIFC"):
        return AIFF
    if head[:4] == b"\x1aE\xdf\xa3":
        return WEBM if b"webm" in head[:256] else MATROSKA
    if head[:4] == b"OggS":
        return OGG_VIDEO if b"\x80theora" in head[:256] else OGG_AUDIO
    if (
        head[:2] == b"BM"
        and head[6:10] == b"\0\0\0\0"
        and int.from_bytes(head[14:18], "little") in _BMP_HEADERS
    ):
        return BMP
    if len(head) > 3 and head[0] == 0xFF:
        # MPEG audio (ISO 11172-3 §2.4.1.3) of layer II or III, or ADTS (ISO 13818-7 §6.2)
        if head[1] & 0xF6 == 0xF0:
            return AAC
        layer, version = head[1] >> 1 & 3, head[1] >> 3 & 3
        if (
            head[1] >= 0xE0
            and layer in (1, 2)
            and version != 1
            and head[2] >> 4 != 15
            and head[2] >> 2 & 3 != 3
        ):
            return MP3
    return None


def _detect_iso_media(head: bytes) -> Kind:
    """By brand (ISO 14496-12 §4.3, registered at mp4ra.org)."""
    end = min(int.from_bytes(head[:4], "big"), 256, len(head))
    brands = [head[8:12]] + [head[start : start + 4] for start in range(16, end - 3, 4)]
    major, others = brands[0], set(brands)
    if major in (b"avif", b"avis") or (major in _HEIF_BRANDS and others & {b"avif", b"avis"}):
        return AVIF
    if major in _HEIC_BRANDS or (major in _HEIF_BRANDS and others & _HEIC_BRANDS):
        return HEIC
    if major in _HEIF_BRANDS:
        return HEIF
    if major == b"qt  ":
        return MOV
    if major in (b"M4A ", b"M4B ", b"M4P "):
        return M4A
    if major[:3] in (b"3gp", b"3g2"):
        return THREE_GP
    return MP4


def _detect_archive(head: bytes) -> Kind | None:
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"):
        return _detect_zip(head)
    if head[:3] == b"BZh" and head[4:10] == b"1AY&SY":
        return BZIP2
    if head[257:262] == b"ustar":
        return TAR
    if head[:2] == b"MZ":
        at = int.from_bytes(head[60:64], "little")
        if (
            head[at : at + 2] in (b"PE", b"NE", b"LE")
            or b"This program" in head
            or _CONTROLS.search(head[:64])
        ):
            return PROGRAM
    if head[:1024].lstrip(b"\xef\xbb\xbf\0\t\r\n\f ").startswith(b"%PDF-"):
        return PDF
    return None


def _detect_zip(head: bytes) -> Kind:
    """By the name of the first member: a package of either standard begins with one of its own parts."""
    length = int.from_bytes(head[26:28], "little")
    name = head[30 : 30 + length].decode("utf-8", "replace")
    if name == "mimetype":
        stated = head[30 + length + int.from_bytes(head[28:30], "little") :][:80]
        if stated.startswith(b"application/epub+zip"):
            return EPUB
        for kind in OPEN_DOCUMENTS.values():
            if stated.startswith(kind.content_type.encode()):
                return kind
        return ZIP
    if not name.startswith(_OFFICE_PARTS):
        return ZIP
    found = [kind for part, kind in ((b"word/", WORD), (b"xl/", EXCEL), (b"ppt/", SLIDES)) if part in head]
    return found[0] if len(found) == 1 else OFFICE


def _detect_text(head: bytes) -> Kind | None:
    text = _decode(head)
    if text is None:
        return None
    found = _MARKUP.match(text)
    if found is not None:
        tag = found.group(2).lower()
        if tag in _WEB_TAGS:
            return HTML
        if tag == "svg":
            return SVG
        if text.lstrip().startswith("<?xml"):
            return XML
    return TEXT


def _decode(head: bytes) -> str | None:
    """Text in UTF-8, UTF-16 with its mark, or any 8-bit code without control characters; else None.

    The last is what spreadsheet programs save as CSV in much of the world.
    """
    encodings = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
    for mark, encoding in encodings:
        if head.startswith(mark):
            try:
                text = codecs.getincrementaldecoder(encoding)().decode(head[2:])
            except UnicodeDecodeError:
                return None
            return None if "\0" in text else text
    if not head or _CONTROLS.search(head):
        return None
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return head.decode("latin-1")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`content_type` is for the record; `refusal` says why the content may not stay, or is None if it may."""

    content_type: str
    refusal: str | None = None


def judge(head: bytes, file_name: str, accepted: Collection[str], *, whole: bool) -> Verdict | None:
    """Decide on a file by its beginning; None when more bytes are needed first.

    A file of another accepted type than its name says is fine, and goes on record as what it is. A name
    without an extension is fine when its content is of a type that is accepted.

    Args:
        head: its first bytes, `HEAD_BYTES` of them when there are as many.
        file_name: the participant's name for it.
        accepted: extensions with their dots, in small letters.
        whole: `head` is all there is.
    """
    if not whole and len(head) < ENOUGH_BYTES and not head.startswith(_SIGNATURES):
        return None
    kind = detect(head)
    if not whole and len(head) < HEAD_BYTES and kind in (None, TEXT, XML, ZIP):
        return None
    extension = extension_of(file_name)
    if extension not in accepted:
        extension = ""
    unknown = {each for each in accepted if each not in KNOWN_EXTENSIONS}
    fits_unknown = extension in unknown if extension else bool(unknown)
    if kind is None:
        return _judge_by_library(head, extension, accepted, fits_unknown)
    if not kind.extensions.keys().isdisjoint(accepted):
        return Verdict(kind.extensions.get(extension, kind.content_type))
    if fits_unknown and (kind.container or kind is TEXT):
        return Verdict("text/plain" if kind is TEXT else OCTETS)
    return Verdict(kind.content_type, _refuse(kind.label, accepted))


def _judge_by_library(head: bytes, extension: str, accepted: Collection[str], fits_unknown: bool) -> Verdict:
    try:
        matches = puremagic.magic_string(head)
    except (puremagic.PureError, ValueError):
        matches = []
    for match in matches:
        if match.extension in accepted and match.extension not in KNOWN_EXTENSIONS:
            return Verdict(match.mime_type or OCTETS)
    best = matches[0] if matches else None
    if best is not None and best.confidence >= CONFIDENT and best.mime_type:
        return Verdict(best.mime_type, _refuse(best.name or best.mime_type, accepted))
    if fits_unknown:
        return Verdict(OCTETS)
    return Verdict(OCTETS, _refuse("", accepted))


def _refuse(label: str, accepted: Collection[str]) -> str:
    names = ", ".join(sorted(accepted))
    if label:
        return f"The content of this file is {label}, which is not accepted here. Accepted: {names}."
    return f"The content of this file is of no type that is accepted here. Accepted: {names}."


def accepts_empty(accepted: Collection[str]) -> bool:
    """Whether a file without a byte can be of an accepted type: text can, and what is unknown here."""
    return any(extension in TEXT.extensions or extension not in KNOWN_EXTENSIONS for extension in accepted)
