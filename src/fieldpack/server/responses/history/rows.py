"""Rows of a submission's history, as their queries give them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

__all__ = ["ChangeRow"]


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """A change of a submission, as triggers logged it."""

    at: datetime
    type: str  # `submission.status`, `submission.response` or `submission.corrected`
    status: str  # from then on
    response: str
    test: bool
