"""The rows that the queries of tokens answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class TokenRow:
    """An API token, without its text, which nobody has."""

    id: UUID
    name: str  # what its maker knows it by
    researcher_id: UUID
    researcher: str  # their e-mail address
    role: str | None  # one of `roles.Role`: what it allows at most; None for all that its researcher may
    created_at: datetime
    expires_at: datetime | None  # None for never
    last_used_at: datetime | None  # to the minute
    last_used_address: str | None  # where from, at that time
    revoked_at: datetime | None
