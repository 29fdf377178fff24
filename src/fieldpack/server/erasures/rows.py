"""Rows of erasures, as their queries give them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

__all__ = ["ErasureRow", "ProofRow", "ReachRow"]


@dataclass(frozen=True, slots=True)
class ErasureRow:
    """One erased submission that is not listed everywhere."""

    submission_id: UUID
    erased_at: datetime
    stored: bool  # storage has it; lists beside backups may not


@dataclass(frozen=True, slots=True)
class ReachRow:
    """What an erasure removes of one submission, or of several together."""

    submissions: int
    answers: int
    files: int
    file_bytes: int
    notes: int


@dataclass(frozen=True, slots=True)
class ProofRow:
    """What an erasure removed, and what is there of it now. The counts are None where it was before they were
    recorded."""

    submission_id: UUID
    collection_id: UUID
    erased_at: datetime
    batch: UUID | None  # those that were asked for together
    answers: int | None
    files: int | None
    file_bytes: int | None
    notes: int | None
    objects: int  # stored files that were thrown away
    exports: list[UUID]  # that may not be downloaded any more, or were begun again
    rows_left: int  # answers, files, notes and keys of the participant that the database has now
    objects_left: int  # stored objects that storage has not deleted yet
    is_listed: bool  # in the list that keeps a restore from bringing it back
