"""The rows that the queries of providers answer."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class IdentityRow:
    """The researcher that an identity of a provider belongs to."""

    researcher_id: UUID
    workspace_id: UUID | None  # in which the provider's groups made them a member
