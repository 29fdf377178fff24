"""Which collections are meant: read from a URL's parameters, checked, and written back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from fieldpack.server.http.listing import parse_truth
from fieldpack.server.problems import invalid

__all__ = ["STATES", "Archived", "CollectionFilter", "State", "parse_filter"]

State = Literal["open", "paused", "ended", "draft"]
STATES: tuple[State, ...] = get_args(State)
"""`open`: participants can take part in a study of it; `paused`: in none, but one is paused; `ended`: all that were
published are full or stopped; `draft`: none was published."""

Archived = Literal["no", "yes", "all"]
MOST_TEXT = 500


@dataclass(frozen=True, slots=True)
class CollectionFilter:
    """Which collections are meant; all of what is given holds."""

    search: str | None = None  # in name or description, in any case; or the id
    state: State | None = None
    mine: bool = False  # made by whoever asks
    review: bool = False  # with submissions that wait for one
    archived: Archived = "no"

    def parameters(self) -> list[tuple[str, str]]:
        """The filter as parameters of a URL; none for all that are not archived."""
        found = [("search", self.search)] if self.search else []
        found += [("state", self.state)] if self.state else []
        found += [("mine", "yes")] if self.mine else []
        found += [("review", "yes")] if self.review else []
        return found + ([("archived", self.archived)] if self.archived != "no" else [])


def parse_filter(parameters: Iterable[tuple[str, str]]) -> CollectionFilter:
    """The filter that parameters of a URL say; others are passed over, and so are empty ones, as forms send them.

    Raises:
        Problem: 400 by name.
    """
    given = {name: text.strip() for name, text in parameters if text.strip()}
    search = given.get("search")
    if search is not None and ("\0" in search or len(search) > MOST_TEXT):
        raise invalid("search", f"Must be a text of at most {MOST_TEXT} characters, without U+0000.")
    state = given.get("state", "").lower() or None
    if state is not None and state not in STATES:
        raise invalid("state", f"Must be one of {', '.join(STATES)}.")
    return CollectionFilter(
        search,
        state,
        bool(parse_truth("mine", given.get("mine"))),
        bool(parse_truth("review", given.get("review"))),
        _parse_archived(given.get("archived")),
    )


def _parse_archived(text: str | None) -> Archived:
    if (text or "").lower() == "all":
        return "all"
    return "yes" if parse_truth("archived", text) else "no"
