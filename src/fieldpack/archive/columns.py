"""What the columns of a table are called: by the question, its id or a slug, and unique in every case."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Literal

from fieldpack.archive.model import Instruction

__all__ = ["Columns", "Names", "Variants", "make_slug"]

Columns = Literal["question", "id", "slug"]

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


class Names:
    """Gives out column names; two that are equal but for case get ` (2)`, or `_2` in slugs."""

    def __init__(self, style: Columns, taken: Iterable[str] = ()) -> None:
        self.style = style
        self._variants = Variants(taken)

    def add(self, name: str) -> str:
        """`name`, or the next free variant of it."""
        pattern = "{}_{}" if self.style == "slug" else "{} ({})"
        return self._variants.add(name, lambda number: pattern.format(name, number))

    def name_question(self, instruction: Instruction, position: int) -> str:
        """The column of an instruction; `position` counts from 1 and names what has no other name."""
        if self.style == "id":
            return self.add(instruction.id)
        if self.style == "slug":
            return self.add(make_slug(instruction.description) or f"q{position}")
        return self.add(" ".join(instruction.title.split()))

    def name_part(self, question: str, part: str) -> str:
        """A column beside a question's own, such as its `unit`."""
        if self.style == "id":
            return self.add(f"{question}.{part}")
        if self.style == "slug":
            return self.add(f"{question}_{make_slug(part) or 'part'}")
        return self.add(f"{question} ({part})")

    def name_option(self, question: str, label: str, value: str) -> str:
        """The one-hot column of an option."""
        if self.style == "id":
            return self.add(f"{question}.{value}")
        if self.style == "slug":
            return self.add(f"{question}_{make_slug(label) or make_slug(value) or 'option'}")
        return self.add(f"{question}: {' '.join(label.split())}")


def make_slug(text: str) -> str:
    """Lower-case ASCII letters, digits and `_`, at most 40, not beginning with a digit; empty if nothing is
    left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")
    if len(slug) > _SLUG_LENGTH:
        cut = slug[: _SLUG_LENGTH + 1].rpartition("_")[0]
        slug = cut if len(cut) > _SLUG_LENGTH // 2 else slug[:_SLUG_LENGTH]
    return f"q_{slug}" if slug[:1].isdigit() else slug.strip("_")
