"""Rows of conversions, as their queries give them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

__all__ = ["ConversionRow", "ConvertedFile", "ConvertingRow"]


@dataclass(frozen=True, slots=True)
class ConversionRow:
    """A conversion as requests see it."""

    id: UUID
    export_id: UUID
    export_build: UUID  # of the export that it is made of
    collection_id: UUID
    format: str  # one of `formats.FORMATS`
    status: Literal["generating", "complete", "failed"]
    progress: float  # 0 to 1
    created_at: datetime
    completed_at: datetime | None
    size_bytes: int | None
    sha256: bytes | None  # 32 bytes
    row_count: int | None  # of a table
    column_count: int | None
    warnings: list[str]  # what the format could not hold, a sentence each
    failure_reason: str | None  # for the person who asked for it; only of a failed one


@dataclass(frozen=True, slots=True)
class ConvertingRow:
    """A conversion that a job has just claimed, with the attempt that is the job's own."""

    id: UUID
    export_id: UUID
    export_build: UUID
    format: str
    attempt: UUID  # names the job that may finish it
    attempts: int  # this one included


@dataclass(frozen=True, slots=True)
class ConvertedFile:
    """A complete conversion of an export that may be downloaded."""

    id: UUID
    export_id: UUID
    export_build: UUID
    collection_id: UUID
    export_created_at: datetime
    format: str
    attempt: UUID
    size_bytes: int
    sha256: bytes
