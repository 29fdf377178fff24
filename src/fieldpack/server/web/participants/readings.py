"""What a page says about a typed number, and what it asks where the text may mean two. With scripts
`static/readings.js` does this while one types."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.numbers import get_group_symbol

from fieldpack.server.submissions.answering.numbers import Ambiguous, read_number
from fieldpack.server.web.catalogue import Catalogue
from fieldpack.server.web.preferences import preferred_languages

__all__ = ["find_chosen", "groups_by_point", "is_asked", "view_reading"]

_LIKE_GROUPS = re.compile(r"(-?[1-9][0-9]{0,2})\.([0-9]{3})")
_EXTENSION = re.compile(r"-[a-z0-9]-.*", re.IGNORECASE)


def groups_by_point(accept_language: str) -> bool:
    """Whether the first locale of an `Accept-Language` header that is known groups digits by points."""
    return next(filter(None, map(_group_mark, preferred_languages(accept_language))), "") == "."


@lru_cache(maxsize=256)
def _group_mark(language: str) -> str | None:
    tag = _EXTENSION.sub("", language)
    for name in (tag, tag.partition("-")[0]):
        try:
            return get_group_symbol(Locale.parse(name, sep="-"))
        except (UnknownLocaleError, ValueError, TypeError):
            continue
    return None


def is_asked(text: str, *, point_groups: bool) -> bool:
    """Whether a page asks about a text that is one number for the API."""
    return isinstance(read_number(text, point_groups=point_groups), Ambiguous) and isinstance(
        read_number(text), str
    )


def find_chosen(text: str, chosen: str) -> str | None:
    """The number that the participant chose for a text; None unless it is one of the two that the text may mean."""
    found = read_number(text, point_groups=True)
    return chosen if isinstance(found, Ambiguous) and chosen in (found.whole, found.decimal) else None


def view_reading(text: str, catalogue: Catalogue, *, point_groups: bool) -> dict[str, Any]:
    """What to show beside a text: `said`, empty where there is nothing worth saying, or `asked` with its two
    `choices`."""
    found = read_number(text, point_groups=point_groups)
    if isinstance(found, Ambiguous):
        return {
            "said": "",
            "asked": catalogue.text("number.ask", text=text.strip()),
            "choices": [
                {"value": found.whole, "label": catalogue.text("number.whole", number=found.whole)},
                {"value": found.decimal, "label": _in_words(found.decimal, catalogue)},
            ],
        }
    said = ""
    if found is not None and found != text.strip():
        said = catalogue.text("number.read", number=_in_words(found, catalogue))
    return {"said": said, "asked": "", "choices": []}


def _in_words(number: str, catalogue: Catalogue) -> str:
    """A number written so that its decimal point is not read as a mark between groups."""
    found = _LIKE_GROUPS.fullmatch(number)
    if found is None:
        return number
    return catalogue.text("number.thousandths", number=number, whole=found[1], fraction=found[2])
