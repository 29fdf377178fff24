"""The rows that the queries of collections answer.

What a collection says (`body`) is JSON as its researcher sent it and `schemas.py` let it in.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
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
    archived_at: datetime | None  # when it was put aside; None for one in use
    body: dict[str, Any]  # `{name, description, task_details, collection_items}`


@dataclass(frozen=True, slots=True)
class LatestRow:
    """A collection in a list by what happened last."""

    id: UUID
    workspace_id: UUID
    name: str
    active_at: datetime  # when something last happened to it or its studies, to the minute
    archived_at: datetime | None
    state: str  # one of `lists.filters.STATES`
    place: list[str]  # the texts that a cursor is made of


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """A collection in a few numbers, none of which takes a look at its submissions."""

    id: UUID
    pages: int
    questions: int
    responses: int  # active, tests left out
    review: int  # submissions that wait for a review
    storage_bytes: int  # of its participants' files, those on their way included


@dataclass(frozen=True, slots=True)
class CompletedRow:
    """Responses that were completed on a day."""

    collection_id: UUID
    day: date  # UTC
    count: int


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
class ResponseRows:
    """A page of them, how many there are in all, and the bytes of the values of this page."""

    rows: list[ResponseRow]
    count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class FileRow:
    """An uploaded file, and the blob that it is."""

    submission_id: UUID  # whose it is
    file_name: str  # the participant's own
    blob_id: UUID
    size_bytes: int
    content_type: str  # what was detected
    sha256: bytes
