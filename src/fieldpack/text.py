"""Text that others wrote, made safe for a terminal, file names and spreadsheets; sizes and counts in words."""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby
from typing import Literal

__all__ = [
    "CONTROL",
    "FORMULA",
    "NUMBER",
    "RESERVED_BY_WINDOWS",
    "escape_json",
    "holds_control",
    "is_device_name",
    "is_kept_by_windows",
    "make_cell_safe",
    "make_line",
    "make_plain",
    "normalise",
    "say_bytes",
    "say_count",
    "say_fault",
]

CONTROL = (
    "\x00-\x1f\x7f-\x9f"  # control characters, C0 and C1
    "\u2028\u2029"  # line and paragraph separators: line breaks to many programs
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional formatting: shows gpj.exe as exe.jpg
    "\ud800-\udfff"  # lone surrogates: not encodable
)
"""Characters that no name of a file has, for use within a regular expression's brackets."""

RESERVED_BY_WINDOWS = '<>:"|?*'

FORMULA = "^'*[=+\\-@\t\r\n＝＋－＠]"
"""What makes Excel, LibreOffice and Google Sheets take a cell for a formula (OWASP, "CSV Injection"), full-width forms
included: a pattern that `re` and Arrow read alike. Apostrophes before it count, so that one more can be taken back."""
NUMBER = "^[+-]?[0-9]+(\\.[0-9]+)?$"
"""Of what begins so, what is a plain number and runs nothing."""

_FORMULA, _NUMBER = re.compile(FORMULA), re.compile(NUMBER)
_HOLDS_CONTROL = re.compile(f"[{CONTROL}]")
_HOLDS_RESERVED = re.compile(f"[{RESERVED_BY_WINDOWS}]")
# Microsoft, "Naming Files, Paths, and Namespaces": reserved with any extension, spaces before it ignored
_DEVICE = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[1-9¹²³])\s*(?:\.|\Z)", re.IGNORECASE)

_SHORT = 256  # characters, of which every order is sorted at once

_JOINERS = "\u200c\u200d"
"""They are invisible, but Persian and emoji need them, and they have no effect on other text."""

_UNPRINTABLE_IN_JSON = re.compile("[\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def holds_control(text: str) -> bool:
    """Whether any of `CONTROL` is in it."""
    return _HOLDS_CONTROL.search(text) is not None


def is_device_name(name: str) -> bool:
    """Whether Windows keeps a file name for a device."""
    return _DEVICE.match(name) is not None


def is_kept_by_windows(name: str) -> bool:
    """Whether a file name means something else on Windows: a device, a stream of another file, or the name without
    its trailing dots and spaces."""
    return is_device_name(name) or _HOLDS_RESERVED.search(name) is not None or name != name.rstrip(". ")


def make_plain(text: str) -> str:
    """`text` on one line, without characters that could act on a terminal or reverse the direction of text.

    Control characters (C0, DEL, C1), line and paragraph separators, bidirectional formatting and whatever
    else shows as nothing become spaces.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _JOINERS else " " for c in text)


def make_line(text: str, limit: int | None = None) -> str:
    """`text` as `make_plain` has it, with single spaces; longer than `limit` it is cut with `…`."""
    text = " ".join(make_plain(text).split())
    return text if limit is None or len(text) <= limit else text[: limit - 1].rstrip() + "…"


def make_cell_safe(text: str) -> str:
    """`text` as a cell that no spreadsheet runs: an apostrophe is put before what looks like a formula."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def normalise(text: str, form: Literal["NFC", "NFKD"] = "NFC") -> str:
    """`text` in a normal form of Unicode (UAX #15), in time proportional to its length.

    `unicodedata` alone puts marks that follow one another in order by comparing each with all before it, so a
    stranger's text of nothing else takes time with the square of its length. Here they are in order before.
    """
    if len(text) > _SHORT and not text.isascii():
        apart = "".join(unicodedata.normalize("NFD" if form == "NFC" else form, each) for each in text)
        runs = groupby(apart, lambda each: unicodedata.combining(each) > 0)
        text = "".join(
            "".join(sorted(run, key=unicodedata.combining) if marks else run) for marks, run in runs
        )
    return unicodedata.normalize(form, text)


def escape_json(text: str) -> str:
    """The same JSON document with nothing in it that could act on a terminal.

    JSON itself escapes the characters below U+0020 in strings; the others of their kind may stand in it as
    they are, so a terminal would get them.
    """
    return _UNPRINTABLE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def say_bytes(size: float) -> str:
    """A number of bytes for a person, in powers of 1,000: `1 byte`, `512 bytes`, `48.2 MB`, `250 MB`."""
    if size < 999.5:
        return say_count(round(size), "byte")
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        size /= 1000
        if size < 99.95:
            return f"{size:.1f} {unit}"
        if size < 999.5:
            return f"{size:.0f} {unit}"
    return f"{size:,.0f} PB"


def say_count(count: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `1 file`, `1,200 files`, `2 studies` (of `study`, `studies`)."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def say_fault(said: str) -> str:
    """What a check of ours says, of how pydantic hands it on: without the words that it puts in front."""
    return said.removeprefix("Value error, ")
