"""The rows that the queries of the log of changes answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """Something that happened."""

    id: int  # rises for each object
    at: datetime  # when the transaction that did it began
    type: str  # `submission.status`, `study.progress` …: see the migration that makes the triggers
    object_id: UUID
    workspace_id: UUID
    collection_id: UUID
    study_id: UUID | None
    detail: dict[str, Any]  # what it is since then, such as its status; nothing of a person
