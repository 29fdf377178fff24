"""The rows that the queries of one's own account answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class OwnTokenRow:
    """An API token of the caller's that is good for something."""

    id: UUID
    name: str
    created_at: datetime
    last_used_at: datetime | None  # to the minute
