"""The rows that the queries of participant groups answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A participant group, and how many are in it."""

    id: UUID
    workspace_id: UUID
    name: str
    description: str | None
    participant_count: int


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A participant in a group."""

    participant_id: str
    created_at: datetime
