"""Rows of health checks and metrics, as their queries give them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

__all__ = [
    "DatabaseRow",
    "FailedExportRow",
    "FailedJobRow",
    "HealthRow",
    "JobsRow",
    "StoredRow",
    "SweepRow",
    "TableRow",
]


@dataclass(frozen=True, slots=True)
class JobsRow:
    """The jobs of one queue in one state."""

    queue: str
    status: str  # "todo", "doing" or "failed"
    count: int
    age_seconds: float  # of the oldest; 0 where there is none


@dataclass(frozen=True, slots=True)
class TableRow:
    """What a table of the database takes, its indexes included."""

    name: str
    size_bytes: int
    rows: int  # as the database estimates them


@dataclass(frozen=True, slots=True)
class StoredRow:
    """What is stored, by what the database knows of it."""

    kind: str  # `uploads`, `pictures`, `thumbnails` or `under_way`
    objects: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class DatabaseRow:
    """The database as a whole."""

    version: str  # PostgreSQL's
    schema: str  # ours: the latest migration
    size_bytes: int


@dataclass(frozen=True, slots=True)
class HealthRow:
    """Figures that say whether somebody has to do something."""

    workers: int  # processes of workers that were heard of within half a minute
    overdue_seconds: float  # how long the oldest job that could run has waited
    failed_jobs: int
    failed_exports: int  # within the last days
    garbage: int  # stored objects that were thrown away more than a minute ago, and are there still
    unlisted: int  # erasures that no list outside the database has, for more than a minute


@dataclass(frozen=True, slots=True)
class FailedJobRow:
    """A job that failed and will not be tried again by itself."""

    id: int
    task: str
    queue: str
    attempts: int
    failed_at: datetime | None
    reason: str | None  # None where it failed before reasons were kept


@dataclass(frozen=True, slots=True)
class FailedExportRow:
    """An export that failed; whoever may export requests it again."""

    id: UUID
    collection_id: UUID
    created_at: datetime
    reason: str | None


@dataclass(frozen=True, slots=True)
class SweepRow:
    """A sweep that somebody asked for."""

    id: UUID
    dry_run: bool
    requested_at: datetime
    finished_at: datetime | None  # None while it is under way
    result: (
        dict[str, Any] | None
    )  # what was removed, or would be; None before it is done, or when it could not be
    reason: str | None  # why it could not be done
