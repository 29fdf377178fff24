"""E-mail addresses of researchers: what is one, and when two are the same. No HTTP, no SQL."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["fold", "is_address", "of_address"]

_ADDRESS = re.compile(r"[^@\s]+@[^@\s]*[^@\s.]")
# first letters of the categories of what is not seen: control, format, unassigned, space
_UNSEEN = ("C", "Z")


def fold(text: str) -> str:
    """What addresses are compared by: two are the same whose small letters are."""
    return text.lower()


def of_address(text: str) -> dict[str, str]:
    """The values that a query takes for whoever has an address (`queries.OF_ADDRESS`)."""
    return {"given": text, "small": fold(text)}


def is_address(text: str) -> bool:
    """Whether a new account, or an invitation, may have this address. A wrong one just receives nothing.

    None has what is not seen, or what other programs take for something else (`ſ` for `s`, `ß` for `ss`, `Ｋ` for `k`):
    somebody else's could be written so, and look like it or be taken for it.
    """
    small = fold(text)
    return (
        _ADDRESS.fullmatch(text) is not None
        and unicodedata.normalize("NFKC", text) == text
        and small == text.casefold()
        and len(small) == len(text)  # İ has a small letter of two characters, and not in every database
        and not any(unicodedata.category(character).startswith(_UNSEEN) for character in text)
    )
