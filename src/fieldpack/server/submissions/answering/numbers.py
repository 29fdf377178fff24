"""Numbers as people type them, and the form in which they are stored.

`static/numbers.js` of the pages does the same; a test compares the two. The time is proportional to the length of the
text.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

__all__ = ["Ambiguous", "read_number"]

# invisible marks of direction and characters without width, which some keyboards and clipboards insert
_UNSEEN = (0x061C, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF)
# the characters that `trim` of JavaScript removes
_WHITE = "\t\n\v\f\r \xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_ALIKE = {
    **dict.fromkeys(map(chr, _UNSEEN), ""),
    **{chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},  # full width
    **dict.fromkeys("\xa0\u2009\u202f", " "),
    "\u2019": "'",
    "\u2212": "-",
}
_DECIMAL, _GROUP = "\u066b", "\u066c"  # Arabic marks, which are never ambiguous
MOST_LETTERS = 128  # different characters: a number has fewer, even with every kind of white space
_DIGITS = frozenset("0123456789")
_SHAPE = re.compile(rf"([+-]?)([0-9 ',.{_DECIMAL}{_GROUP}]+)(?:[eE]([+-]?)([0-9]{{1,3}}))?")
_GROUPS = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})++|[0-9]{1,2}(?:,[0-9]{2}(?=,))*+,[0-9]{3}")
_TWO_WAYS = re.compile(r"[1-9][0-9]{0,2}[,.][0-9]{3}")


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """A text that means one number to some people and another to others: `1,234`.

    Attributes:
        whole: the number if the mark groups digits, in its normal form: `1234`.
        decimal: the number if it is the decimal mark: `1.234`.
    """

    whole: str
    decimal: str


def read_number(text: str, *, point_groups: bool = False) -> str | Ambiguous | None:
    """The number that a text means, in its normal form (`-1234.5`, `1e5`). No digit is added or left out.

    Args:
        text: what was typed.
        point_groups: whether the typist's locale may group digits by points, so that `1.234` is ambiguous too.

    Returns:
        None when it is no number.
    """
    shape = _SHAPE.fullmatch(_to_ascii(text).strip(_WHITE))
    if shape is None:
        return None
    sign, body, exponent_sign, exponent = shape.groups()
    split = _split(body)
    if split is None:
        return None
    before = sign.replace("+", "")
    after = "" if exponent is None else f"e{exponent_sign.replace('+', '')}{exponent}"
    whole, fraction = split
    number = f"{before}{whole}{'.' if fraction else ''}{fraction}{after}"
    if _TWO_WAYS.fullmatch(body) and (point_groups or "," in body):
        return Ambiguous(f"{before}{whole}{fraction}{after}", number)
    return number


def _to_ascii(text: str) -> str:
    """The text with characters that mean the same as an ASCII one replaced by it. Digits of another script are
    replaced only if all are of that script."""
    letters = set(text)
    if text.isascii() or len(letters) > MOST_LETTERS:
        return text
    alike = {letter: _ALIKE.get(letter, letter) for letter in letters}
    values = {letter: unicodedata.decimal(same, None) for letter, same in alike.items() if same}
    digits = {letter: value for letter, value in values.items() if value is not None}
    if len({ord(alike[letter]) - value for letter, value in digits.items()}) == 1:
        alike |= {letter: str(value) for letter, value in digits.items()}
    for letter, same in alike.items():
        if letter != same:
            text = text.replace(letter, same)  # for few characters this is much faster than `str.translate`
    return text


def _split(body: str) -> tuple[str, str] | None:
    """The digits before and after the decimal mark; None when marks are where no number has them."""
    marks = set(body) - _DIGITS
    whole, fraction = body, ""
    if marks:
        last = max(marks, key=body.rfind)
        if last in (",", ".", _DECIMAL) and body.count(last) == 1:
            whole, _, fraction = body.partition(last)
            marks.remove(last)
    if marks:
        if len(marks) > 1 or _DECIMAL in marks:
            return None
        mark = marks.pop()
        if _GROUPS.fullmatch(whole.replace(mark, ",")) is None:
            return None
        whole = whole.replace(mark, "")
    return (whole, fraction) if whole or fraction else None
