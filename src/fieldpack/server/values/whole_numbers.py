"""Whole numbers in addresses and forms."""

from __future__ import annotations

__all__ = ["read_whole"]

MOST_DIGITS = 18  # more than anything here counts to; of thousands Python makes no number


def read_whole(text: str) -> int | None:
    """The number that ASCII digits say; None for anything else, and for more digits than any count has."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS else None
