"""The rows that the queries of decisions answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fieldpack.server.submissions.review.rules import Decided


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """A decision that is held, or was."""

    id: UUID
    collection_id: UUID
    step: Decided
    count: int  # of how many submissions it is
    submission_id: UUID | None  # the one that it is of, while it is held; None when it is of several
    participant_id: str | None  # of that one
    author_id: UUID  # who made it
    author: str  # their name or e-mail address
    held_at: datetime
    due_at: datetime  # when it is made
    seconds_left: float  # until then, by PostgreSQL's clock; never below 0
    ended_at: datetime | None
    outcome: str | None  # `made`, `undone` or `dropped`; None while it is held
    made: int  # of how many submissions it was made


@dataclass(frozen=True, slots=True)
class RightRow:
    """Who decides, and by what right: kept with a decision, which is made by the same one."""

    researcher_id: UUID
    token_id: UUID | None
    session_id: UUID | None
    is_session: bool
    cap: str | None  # the role that their token allows at most
    address: str | None  # where the request came from


@dataclass(frozen=True, slots=True)
class AheadRow:
    """The decisions that are held."""

    is_any_due: bool
    seconds: float | None  # until the next one is, of those that are not yet


@dataclass(frozen=True, slots=True)
class DueRow:
    """A decision that is to be made, and by what right."""

    id: UUID
    collection_id: UUID
    step: Decided
    review: dict[str, Any] | None
    researcher_id: UUID
    email: str
    first_name: str
    last_name: str
    token_id: UUID | None
    session_id: UUID | None
    is_session: bool
    cap: str | None
    address: str | None


@dataclass(frozen=True, slots=True)
class PendingRow:
    """That a decision on a submission is held."""

    submission_id: UUID
    decision_id: UUID
    step: Decided
    author_id: UUID
    author: str
    due_at: datetime
    seconds_left: float
