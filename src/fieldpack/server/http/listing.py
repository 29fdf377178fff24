"""Lists: which part of one is asked for, in which order, and which parameters of a request mean nothing.

The parameters of a route are those that its signature declares; there is no second list of them.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

import orjson
from fastapi import Depends, Query, Request

from fieldpack.server.problems import INVALID, Problem, invalid
from fieldpack.server.values.uuids import is_uuid

__all__ = [
    "Page",
    "Paging",
    "ShortPage",
    "envelope",
    "name_ignored",
    "parse_day",
    "parse_ordering",
    "parse_truth",
    "parse_words",
    "prefers_csv",
    "read_cursor",
    "write_cursor",
]

DEFAULT_LIMIT = 200
SHORT_LIMIT = 20
MAX_LIMIT = 1000
MAX_PAGE = 2**43  # times MAX_LIMIT an offset that PostgreSQL can still hold
MAX_HEADER = 1000
_ALTERNATIVES = re.compile(r"\((.*)\)", re.DOTALL)

Limit = Annotated[int | None, Query(ge=1, description=f"Most results to answer, {MAX_LIMIT} at most.")]
Offset = Annotated[int | None, Query(ge=0, le=2**53, description="Results to skip.")]
PageNumber = Annotated[int | None, Query(ge=1, le=MAX_PAGE, description="Which page; the first is 1.")]
PageSize = Annotated[int | None, Query(ge=1, description=f"Results of a page, {MAX_LIMIT} at most.")]


class Paging:
    """`?limit=&offset=`, or `?page=&page_size=`, of every list. More than can be answered is cut to what can.

    Attributes:
        limit: most results to answer.
        offset: results to skip.
    """

    default = DEFAULT_LIMIT

    def __init__(
        self, limit: Limit = None, offset: Offset = None, page: PageNumber = None, page_size: PageSize = None
    ) -> None:
        given = {"limit": limit, "offset": offset, "page": page, "page_size": page_size}
        named = [name for name, value in given.items() if value is not None]
        if (limit is not None or offset is not None) and (page is not None or page_size is not None):
            message = "Use either limit and offset, or page and page_size, not both."
            raise Problem(INVALID, {name: [message] for name in named})
        wanted = limit if limit is not None else page_size
        self.limit = min(self.default if wanted is None else wanted, MAX_LIMIT)
        self.offset = offset or ((page or 1) - 1) * self.limit


class ShortPaging(Paging):
    """The same of a list whose pages are short unless somebody asks for more."""

    default = SHORT_LIMIT


Page = Annotated[Paging, Depends()]
ShortPage = Annotated[ShortPaging, Depends()]

TRUE = ("1", "true", "t", "yes", "y", "on")
FALSE = ("0", "false", "f", "no", "n", "off")
_DAY = re.compile(r"(\d{2})/(\d{2})/(\d{4})", re.ASCII)


def envelope(results: list[Any], count: int) -> dict[str, Any]:
    """The shape of every list but that of exports."""
    return {"results": results, "meta": {"count": count}}


def prefers_csv(request: Request) -> bool:
    """Whether a client asks for a table rather than JSON: by `Accept: text/csv`, before anything else."""
    return request.headers.get("accept", "").partition(",")[0].partition(";")[0].strip() == "text/csv"


def write_cursor(place: list[str]) -> str:
    """Where a row stands in a list, as a text for URLs.

    Args:
        place: what the list is sorted by, and the row's id.
    """
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def read_cursor(name: str, text: str) -> list[str]:
    """The place that `write_cursor` wrote; whether it is one of this list, the database says.

    Raises:
        Problem: 400 under the name of the parameter.
    """
    try:
        place = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError):
        place = None
    if not (isinstance(place, list) and len(place) == 2 and all(isinstance(each, str) for each in place)):
        raise invalid(name, "Must be a cursor that a page of this list gave.")
    if not is_uuid(place[1]):
        raise invalid(name, "Must be a cursor that a page of this list gave.")
    return place


def parse_words(name: str, texts: Iterable[str], known: Collection[str]) -> list[str] | None:
    """The words of a parameter: one, or several as `(active|paused)`; in any case, `_` for a space.

    Returns:
        As they are spelled in `known`; None when nothing was given.

    Raises:
        Problem: 400 for a word that is not known.
    """
    spelled = {_plain(word): word for word in known}
    found: list[str] = []
    for text in texts:
        several = _ALTERNATIVES.fullmatch(text.strip())
        for word in (several[1] if several else text).split("|"):
            if not word.strip():
                continue
            if _plain(word) not in spelled:
                raise invalid(name, f"Must be one of {', '.join(known)}, or several as (a|b).")
            found.append(spelled[_plain(word)])
    return found or None


def _plain(word: str) -> str:
    return word.strip().upper().replace("_", " ").replace("-", " ")


def parse_ordering(text: str | None, known: Mapping[str, str]) -> list[str]:
    """The SQL to sort by, first things first: names as `started_at,-reward`, where `-` is descending.

    Args:
        text: what was asked for.
        known: SQL by name.

    Raises:
        Problem: 400 for a name that is not known.
    """
    found = []
    for part in filter(None, (part.strip() for part in (text or "").split(","))):
        name = part.removeprefix("-")
        if name not in known:
            raise invalid("ordering", f"Must be one of {', '.join(known)}; - before it is descending.")
        found.append(f"{known[name]} {'DESC' if part.startswith('-') else 'ASC'} NULLS LAST")
    return found


def parse_truth(name: str, text: str | None) -> bool | None:
    """A parameter that is yes or no, as people and programs write it; None when it was not given.

    Raises:
        Problem: 400.
    """
    word = (text or "").strip().lower()
    if word in TRUE or word in FALSE:
        return word in TRUE
    if word:
        raise invalid(name, f"Must be one of {', '.join((*TRUE, *FALSE))}.")
    return None


def parse_day(name: str, text: str | None) -> datetime | None:
    """The beginning in UTC of a day that is written as `31/01/2026`; None when it was not given.

    Raises:
        Problem: 400.
    """
    if not text:
        return None
    found = _DAY.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        return datetime(int(found[3]), int(found[2]), int(found[1]), tzinfo=UTC)
    except ValueError:
        raise invalid(name, "Must be a day as DD/MM/YYYY, such as 31/01/2026.") from None


def name_ignored(given: Iterable[str], known: Collection[str]) -> str:
    """The header that names what of a query means nothing: sorted, encoded as in a URL, of bounded length."""
    names = sorted({quote(name, safe="", errors="replace") for name in given if name and name not in known})
    kept: list[str] = []
    for name in names:
        if sum(map(len, kept)) + 2 * len(kept) + len(name) > MAX_HEADER:
            break
        kept.append(name)
    return ", ".join(kept) or (names[0][:MAX_HEADER] if names else "")
