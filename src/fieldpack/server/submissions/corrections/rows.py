"""The rows that the queries of corrections answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class NewCorrection:
    """A change that a researcher makes to an answer."""

    id: UUID
    submission_id: UUID
    instruction_id: UUID
    version: int  # of the answer from then on; what the participant handed in is version 1
    before: dict[str, Any] | None  # the archive's response; None for none
    after: dict[str, Any] | None
    before_files: list[UUID] | None  # uploads of a response of files, in its order
    after_files: list[UUID] | None
    reason: str
    created_at: datetime
    author_id: UUID


@dataclass(frozen=True, slots=True)
class CorrectionRow(NewCorrection):
    """A change that a researcher made to an answer."""

    author: str  # name or e-mail address


@dataclass(frozen=True, slots=True)
class LineRow:
    """What is stored of a submission's line in responses.jsonl."""

    line_end: str  # see `exports.line_queries`
    now: datetime  # by the database's clock, after every lock was taken


@dataclass(frozen=True, slots=True)
class ReplacedRow:
    """A file of a response that another is to replace, or has replaced."""

    id: UUID  # of the upload: the key that the API calls it by
    instruction_id: UUID
    position: int | None  # among the files of its submission; None once it was replaced
    path: str | None  # its member name, in the same way


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file whose bytes are stored already, as the blob of the same id."""

    id: UUID
    file_name: str
    size_bytes: int
    crc32: int
    sha256: bytes
    content_type: str
