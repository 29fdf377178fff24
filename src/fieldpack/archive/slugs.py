"""Short plain names made of longer texts, and names told apart where two are alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from fieldpack.text import normalise

__all__ = ["Variants", "make_slug"]

_SLUG_LENGTH = 40


class Variants:
    """Tells names apart without regard to case: the first keeps its name, the next get the number 2, 3, …

    Numbers go on from the last one of the same name, so that as many names as a stranger's archive may have
    cost no more than a look at each.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._last = {name.casefold(): 1 for name in taken}

    def add(self, name: str, number_it: Callable[[int], str]) -> str:
        """`name` when it is free, else the next free of `number_it(2)`, `number_it(3)`, …"""
        key = name.casefold()
        unique, number = name, self._last.get(key, 0)
        while unique.casefold() in self._last:
            number += 1
            unique = number_it(number)
        self._last[key] = max(number, 1)
        self._last.setdefault(unique.casefold(), 1)
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
