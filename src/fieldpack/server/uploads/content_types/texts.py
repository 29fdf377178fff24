"""Content without a signature: text, and what markup it is."""

from __future__ import annotations

import codecs
import re

from fieldpack.filetypes import CONTROLS, TEXTS, WEB_TAGS
from fieldpack.server.uploads.content_types.looking import Look, Types

__all__ = ["find_text", "look_at_mention", "look_at_program", "look_at_word"]

_CONTROLS = re.compile(CONTROLS.encode())
_END = b"\x1a"  # what older programs put at the end of a text
_TAG = re.compile(r"<(?:!doctype\s+)?(?:[\w.-]+:)?([a-z][\w.-]*)", re.I)
_SKIPPED = (("<?", "?>"), ("<!--", "-->"))
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def find_text(head: bytes) -> Types:
    """The types that a text can be, by its first element if it is markup; nothing if it is no text."""
    text = _decode(head)
    if text is None:
        return ()
    rest = text.lstrip()
    is_xml = rest[:5] == "<?xml"
    while skipped := next((pair for pair in _SKIPPED if rest.startswith(pair[0])), None):
        end = rest.find(skipped[1], len(skipped[0]))
        rest = rest[end + len(skipped[1]) :].lstrip() if end >= 0 else ""
    found = _TAG.match(rest)
    tag = found.group(1).lower() if found else ""
    if tag in WEB_TAGS and (tag == "html" or not is_xml):
        return ("html",)
    if tag == "svg":
        return ("svg",)
    if is_xml:
        return ("xml", "text")
    return ("text", "xml") if tag else ("text",)


def _decode(head: bytes) -> str | None:
    """Text in UTF-8, in UTF-16 or UTF-32 with its mark, or any 8-bit code without control characters; else None.

    The last is what spreadsheet programs save as CSV in much of the world.
    """
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            try:
                text = codecs.getincrementaldecoder(encoding)().decode(head[len(mark) :])
            except UnicodeDecodeError:
                return None
            return None if "\0" in text else text
    head = head.removesuffix(_END)
    if not head or _CONTROLS.search(head):
        return None
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return head.decode("latin-1")


def look_at_word(types: Types, head: bytes, length: int) -> Look:
    """What begins like a format with letters for a signature: it may be a text all the same."""
    return find_text(head) or tuple(each for each in types if each not in TEXTS)
    yield  # it needs no more than the head


def look_at_mention(types: Types, head: bytes, length: int) -> Look:
    """A PDF may begin a little later than at its first byte; so may a text that only speaks of one."""
    return (types[0], *find_text(head))
    yield  # it needs no more than the head


def look_at_program(types: Types, head: bytes, length: int) -> Look:
    """Programs for DOS and Windows begin with two letters, as a text may."""
    at = int.from_bytes(head[60:64], "little")
    is_program = (
        head[at : at + 2] in (b"PE", b"NE", b"LE")
        or b"This program" in head
        or _CONTROLS.search(head[:64]) is not None
    )
    return ("program",) if is_program else find_text(head)
    yield  # it needs no more than the head
