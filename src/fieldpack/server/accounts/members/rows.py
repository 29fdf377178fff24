"""The rows that the queries of members answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class MembershipRow:
    """A researcher with a role in a workspace, or on a collection."""

    id: UUID  # the researcher's
    email: str
    first_name: str
    last_name: str
    role: str  # one of `roles.Role`
    created_at: datetime  # when they were first given a role here
    is_proven: bool  # whether the account is known to be of whoever has the address


@dataclass(frozen=True, slots=True)
class NarrowerRow(MembershipRow):
    """A researcher with a role on one collection of a workspace."""

    collection_id: UUID
    collection_name: str
