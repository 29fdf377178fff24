"""Closer looks into packages: ZIP, the older Office's file systems, TIFF."""

from __future__ import annotations

from collections.abc import Iterator

from fieldpack.archive.zipstructs import CENTRAL, CENTRAL_SIGNATURE, END_SIGNATURE
from fieldpack.server.uploads.content_types.looking import MOST_READ_BYTES, Look, Types

__all__ = ["look_at_ole", "look_at_tiff", "look_at_zip"]

_PARTS = (
    ("word/", "word"),
    ("xl/", "excel"),
    ("ppt/", "powerpoint"),
    ("visio/", "visio"),
    ("Documents/1/", "xps"),
    ("FixedDocSeq.fdseq", "xps"),
    ("FixedDocumentSequence.fdseq", "xps"),
    ("Index/Document.iwa", "iwork"),
    ("Index.zip", "iwork"),
    ("index.apxl", "iwork"),
    ("index.xml.gz", "iwork"),
)
_PACKAGE = ("[Content_Types].xml", "_rels/.rels")
_STATED = (
    ("application/epub+zip", "epub"),
    ("application/hwp+zip", "hwpx"),
    ("application/vnd.oasis.opendocument.text", "odt"),
    ("application/vnd.oasis.opendocument.spreadsheet", "ods"),
    ("application/vnd.oasis.opendocument.presentation", "odp"),
    ("application/vnd.oasis.opendocument.graphics", "odg"),
    ("application/vnd.oasis.opendocument.formula", "odf"),
)


def look_at_zip(types: Types, head: bytes, length: int) -> Look:
    """What a package says it is, else the names of its members (ECMA-376-2, ODF 1.3 part 2 §3.3)."""
    name_bytes = int.from_bytes(head[26:28], "little")
    first = head[30 : 30 + name_bytes].decode("utf-8", "replace")
    if first == "mimetype":
        at = 30 + name_bytes + int.from_bytes(head[28:30], "little")
        said = head[at : at + 80].decode("latin-1")
        stated = next((kind for start, kind in _STATED if said.startswith(start)), None)
        return (stated,) if stated else ("zip",)
    names = {first}
    tail = yield max(0, length - MOST_READ_BYTES), MOST_READ_BYTES
    end = tail.rfind(END_SIGNATURE)
    if end >= 0 and len(tail) >= end + 22:
        size, at = (int.from_bytes(tail[end + n : end + n + 4], "little") for n in (12, 16))
        directory = yield at, min(size, MOST_READ_BYTES)
        names |= set(_iter_names(directory))
    found = tuple(
        dict.fromkeys(kind for part, kind in _PARTS if any(name.startswith(part) for name in names))
    )
    if "iwork" in found:
        return ("iwork",)
    if {"content.xml", "META-INF/manifest.xml"} <= names:
        return tuple(kind for _, kind in _STATED if kind.startswith("od"))  # its name decides
    if "META-INF/container.xml" in names:
        return ("epub",)
    if any(name.startswith(_PACKAGE) for name in names) or first.startswith(
        ("word/", "xl/", "ppt/", "docProps/")
    ):
        return found if len(found) == 1 else (*found, "office", "zip")
    return ("zip",)


def _iter_names(directory: bytes) -> Iterator[str]:
    """Names in a central directory (APPNOTE 6.3.10 §4.3.12), as far as it was read."""
    at = 0
    while at + CENTRAL.size <= len(directory):
        signature, *_, name, extra, comment, _, _, _, _ = CENTRAL.unpack_from(directory, at)
        if signature != CENTRAL_SIGNATURE:
            return
        at += CENTRAL.size
        yield directory[at : at + name].decode("utf-8", "replace")
        at += name + extra + comment


_STREAMS = {
    "WordDocument": "doc",
    "Workbook": "xls",
    "Book": "xls",
    "PowerPoint Document": "ppt",
    "__properties_version1.0": "msg",
    "EncryptedPackage": "locked",
}


def look_at_ole(types: Types, head: bytes, length: int) -> Look:
    """The names in the directory's first sectors (MS-CFB §2.6). Several are there where one document holds another."""
    shift = int.from_bytes(head[30:32], "little")
    sector = 1 << shift if shift in (9, 12) else 512
    directory = yield (int.from_bytes(head[48:52], "little") + 1) * sector, 4096
    found = []
    for at in range(0, len(directory) - 127, 128):
        size = int.from_bytes(directory[at + 64 : at + 66], "little")
        name = directory[at : at + max(0, min(size, 64) - 2)].decode("utf-16-le", "replace")
        if name in _STREAMS:
            found.append(_STREAMS[name])
    return tuple(dict.fromkeys(found)) or ("ole",)


_DNG_VERSION = 50706


def look_at_tiff(types: Types, head: bytes, length: int) -> Look:
    """Whether the first directory has the tag of a DNG (TIFF 6.0 §2, DNG 1.7 chapter 4)."""
    order: str = "little" if head[:2] == b"II" else "big"
    big = order == "big"
    at = int.from_bytes(head[4:8], "big" if big else "little")
    data = yield at, 2 + 12 * 512
    count = int.from_bytes(data[:2], "big" if big else "little")
    tags = {
        int.from_bytes(data[n : n + 2], "big" if big else "little")
        for n in range(2, min(2 + 12 * count, len(data) - 11), 12)
    }
    return ("dng",) if _DNG_VERSION in tags else ("tiff",)
