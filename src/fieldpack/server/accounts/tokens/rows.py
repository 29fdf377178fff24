"""The rows that the queries of tokens answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class TokenRow:
    """An API token, without its text, which is not stored."""

    id: UUID
    name: str  # given by whoever made it
    researcher_id: UUID
    researcher: str  # their e-mail address
    role: str | None  # one of `roles.Role`: what it allows at most; None for all that its researcher may
    created_at: datetime
    expires_at: datetime | None  # None for never
    last_used_at: datetime | None  # to the minute
    last_used_address: str | None  # from which it was used then
    revoked_at: datetime | None
