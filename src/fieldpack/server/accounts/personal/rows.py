"""The rows that the queries of one's own account answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class OwnTokenRow:
    """A valid API token of the caller."""

    id: UUID
    name: str
    role: str | None  # what it allows at most; None for all that its researcher may
    created_at: datetime
    expires_at: datetime | None  # None for one that is good until it is revoked
    last_used_at: datetime | None  # to the minute
    last_used_address: str | None
