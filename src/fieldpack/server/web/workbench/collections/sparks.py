"""Completions over the last days as a line of small bars, for a list: drawn as SVG, and said in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from fieldpack.server.web.catalogue import Catalogue

__all__ = ["HEIGHT", "STEP", "Spark", "draw_spark"]

STEP, HEIGHT = 4, 24  # of a day's bar with the gap after it, and of the highest bar; the drawing's own units


@dataclass(frozen=True, slots=True)
class Spark:
    """A small chart of bars.

    Attributes:
        width: of the drawing.
        bars: of each day with completions, where its bar begins, and how high it is.
        text: what it says.
    """

    width: int
    bars: list[tuple[int, float]]
    text: str


def draw_spark(days: Sequence[tuple[date, int]], catalogue: Catalogue) -> Spark:
    """A bar for each day, the highest one as high as the drawing.

    Args:
        days: every day that is shown, oldest first, with how many were completed on it.
    """
    most = max((count for _, count in days), default=0)
    bars = [
        (number * STEP, round(max(count * HEIGHT / most, 1), 2))
        for number, (_, count) in enumerate(days)
        if count > 0
    ]
    total = sum(count for _, count in days)
    text = catalogue.text("home.completed", count=total, days=len(days))
    if most > 0:
        best = next(day for day, count in days if count == most)
        text = catalogue.text("home.completed_most", said=text, day=f"{best:%Y-%m-%d}", most=most)
    return Spark(len(days) * STEP, bars, text)
