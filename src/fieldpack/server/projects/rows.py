"""The rows that the queries of projects answer."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A project."""

    id: UUID
    workspace_id: UUID
    title: str
    description: str  # '' where none was given
    created_by: UUID  # researcher, who owns it
