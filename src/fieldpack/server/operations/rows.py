"""Rows of health checks and metrics, as their queries give them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["JobsRow"]


@dataclass(frozen=True, slots=True)
class JobsRow:
    """The jobs of one queue in one state."""

    queue: str
    status: str  # "todo", "doing" or "failed"
    count: int
    age_seconds: float  # of the oldest; 0 where there is none
