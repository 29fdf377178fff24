"""The rows that the queries of reviews answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class ApprovedRow:
    """A submission that was approved, wholly or in part."""

    id: UUID
    participant_id: str
    study_id: UUID
    study_name: str
    status: str
    completed_at: datetime | None
    reward: int  # the study's, in minor units
    percentage: float | None  # of it, that the decision gave; None for all of it
