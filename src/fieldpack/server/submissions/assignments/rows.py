"""The rows that the queries of assignments answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class AssignedRow:
    """To whom a submission is assigned."""

    submission_id: UUID
    researcher_id: UUID
    name: str  # name or e-mail address
    assigned_at: datetime


@dataclass(frozen=True, slots=True)
class ReviewerRow:
    """Somebody who may review a collection's submissions, and how many of these are assigned to them."""

    id: UUID
    name: str  # name or e-mail address
    email: str
    assigned: int
    waiting: int  # of them those that wait for a review
