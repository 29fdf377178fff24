"""Lists: which part of one is asked for, in which order, and which parameters of a request mean nothing.

The parameters of a route are those that its signature declares; there is no second list of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Query

from fieldpack.server.problems import INVALID, Problem, invalid

__all__ = ["Page", "Paging", "envelope", "name_ignored", "parse_ordering", "parse_words"]

DEFAULT_LIMIT = 200
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

    def __init__(
        self, limit: Limit = None, offset: Offset = None, page: PageNumber = None, page_size: PageSize = None
    ) -> None:
        given = {"limit": limit, "offset": offset, "page": page, "page_size": page_size}
        named = [name for name, value in given.items() if value is not None]
        if (limit is not None or offset is not None) and (page is not None or page_size is not None):
            message = "Use either limit and offset, or page and page_size, not both."
            raise Problem(INVALID, {name: [message] for name in named})
        wanted = limit if limit is not None else page_size
        self.limit = min(DEFAULT_LIMIT if wanted is None else wanted, MAX_LIMIT)
        self.offset = offset or ((page or 1) - 1) * self.limit


Page = Annotated[Paging, Depends()]


def envelope(results: list[Any], count: int) -> dict[str, Any]:
    """The shape of every list but that of exports."""
    return {"results": results, "meta": {"count": count}}


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


def name_ignored(given: Iterable[str], known: Collection[str]) -> str:
    """The header that names what of a query means nothing: sorted, encoded as in a URL, of bounded length."""
    names = sorted({quote(name, safe="", errors="replace") for name in given if name and name not in known})
    kept: list[str] = []
    for name in names:
        if sum(map(len, kept)) + 2 * len(kept) + len(name) > MAX_HEADER:
            break
        kept.append(name)
    return ", ".join(kept) or (names[0][:MAX_HEADER] if names else "")
