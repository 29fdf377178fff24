"""The rows that the queries of collections answer.

What a collection says (`body`) is JSON as its researcher sent it and `schemas.py` let it in.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class CollectionRow:
    """A collection in its latest version."""

    id: UUID
    workspace_id: UUID
    name: str
    description: str | None
    version: int  # from 1, one more for each replacement
    created_at: datetime
    created_by: UUID  # researcher
    last_modified_at: datetime | None
    last_modified_by: UUID | None  # researcher
    body: dict[str, Any]  # `{name, description, task_details, collection_items}`


@dataclass(frozen=True, slots=True)
class PageRow:
    """A page that a collection has or had."""

    id: UUID
    created_at: datetime
    created_by: UUID  # researcher


@dataclass(frozen=True, slots=True)
class ItemRow:
    """An item that a collection has or had, without what it says."""

    id: UUID
    type: str  # one of `schemas.ITEM_TYPES`; it never changes
    created_at: datetime
    created_by: UUID  # researcher
    retired: bool  # left out of the latest version


@dataclass(frozen=True, slots=True)
class PlacedItem:
    """An item of a version that is being written, and where it is."""

    page_order: int  # of its page, from 0
    item_order: int  # on its page, from 0
    body: dict[str, Any]  # as the API answers it


@dataclass(frozen=True, slots=True)
class ResponseFile:
    """A file of an answer."""

    file_key: str  # the upload's id
    file_name: str  # the participant's own
    size_bytes: int
    content_type: str  # what was detected


@dataclass(frozen=True, slots=True)
class ResponseRow:
    """What one active submission answers to one instruction: a value, or files."""

    id: UUID  # of the answer, or of the first file
    instruction_id: UUID
    created_at: datetime
    value: dict[str, Any] | None  # the archive's shape less its type; None for files
    files: list[ResponseFile] | None  # in the order of the archive; None for a value
    participant_id: str
    submission_id: UUID


@dataclass(frozen=True, slots=True)
class FileRow:
    """An uploaded file, and the blob that it is."""

    submission_id: UUID  # whose it is
    file_name: str  # the participant's own
    blob_id: UUID
    size_bytes: int
    content_type: str  # what was detected
    sha256: bytes
