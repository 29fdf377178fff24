"""Short plain names made of longer texts, and names told apart where two are alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from fieldpack.text import normalise

__all__ = ["Numbers", "Variants", "make_slug"]

_SLUG_LENGTH = 40


class Numbers:
    """Numbers to put behind texts that are alike, each once behind the same beginning.

    They go on from the last one there, so that as many texts as a stranger's archive may have cost no more than a look
    at each. The beginning counts, and not the whole text, because texts that are cut to make room for the number are
    alike when their beginnings are.
    """

    def __init__(self) -> None:
        self._last: dict[tuple[str, int], int] = {}

    def take(self, cut: Callable[[int], str], after: int = 1) -> int:
        """The next number.

        Args:
            cut: what stands in front of a number of so many digits.
            after: what it is larger than.
        """
        number = after + 1
        while True:
            digits = len(str(number))
            key = cut(digits), digits
            number = max(number, self._last.get(key, 0) + 1)
            if len(str(number)) == digits:
                self._last[key] = number
                return number


def _fold(name: str) -> str:
    """What names that are the same but for case, or for how their letters are put together, have in common."""
    return normalise(name).casefold()


class Variants:
    """Tells names apart that are alike but for case, or for how their letters are put together: the first keeps its
    name, the next get the number 2, 3, …"""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(map(_fold, taken))
        self._numbers = Numbers()

    def add(self, name: str, number_it: Callable[[int], str], cut: Callable[[int], str] | None = None) -> str:
        """`name` when it is free, else the next free of `number_it(2)`, `number_it(3)`, …

        Args:
            name: what is wanted.
            number_it: the name with a number.
            cut: what is left of it in front of a number of so many digits, where it has to be cut for that.
        """
        unique = name
        while _fold(unique) in self._taken:
            unique = number_it(
                self._numbers.take(lambda digits: _fold(cut(digits) if cut is not None else name))
            )
        self._taken.add(_fold(unique))
        return unique


def make_slug(text: str) -> str:
    """Lower-case ASCII letters, digits and `_`, at most 40, not beginning with a digit; empty if nothing is
    left."""
    plain = normalise(text, "NFKD").encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")
    if len(slug) > _SLUG_LENGTH:
        cut = slug[: _SLUG_LENGTH + 1].rpartition("_")[0]
        slug = cut if len(cut) > _SLUG_LENGTH // 2 else slug[:_SLUG_LENGTH]
    return f"q_{slug}" if slug[:1].isdigit() else slug.strip("_")
