"""What the columns of a table are called: by the question, its id or a slug, and unique in every case."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from fieldpack.archive.slugs import Variants, make_slug
from fieldpack.reading.model import Instruction

__all__ = ["Columns", "Names"]

Columns = Literal["question", "id", "slug"]


class Names:
    """Chooses column names; of two that look the same but for case the second gets ` (2)`, or `_2` in slugs."""

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

    def name_detail(self, question: str, detail: str) -> str:
        """A column beside a question's own, such as its `unit`."""
        if self.style == "id":
            return self.add(f"{question}.{detail}")
        if self.style == "slug":
            return self.add(f"{question}_{make_slug(detail) or 'part'}")
        return self.add(f"{question} ({detail})")

    def name_option(self, question: str, label: str, value: str) -> str:
        """The one-hot column of an option."""
        if self.style == "id":
            return self.add(f"{question}.{value}")
        if self.style == "slug":
            return self.add(f"{question}_{make_slug(label) or make_slug(value) or 'option'}")
        return self.add(f"{question}: {' '.join(label.split())}")
