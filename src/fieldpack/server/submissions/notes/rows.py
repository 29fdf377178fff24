"""The rows that the queries of notes answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class NoteRow:
    """What a researcher wrote about a submission."""

    id: UUID
    text: str
    created_at: datetime
    author: str  # name or e-mail address
    author_id: UUID
