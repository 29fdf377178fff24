"""The rows that the queries of responses answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class ChosenRow:
    """An option or unit, and how many active responses chose it."""

    value: bool | int | float | str
    count: int


@dataclass(frozen=True, slots=True)
class ResponseRow:
    """A submission with its answers."""

    id: UUID
    study_id: UUID
    study_name: str
    collection_version: int  # the one that its participant saw
    participant_id: str
    status: str  # as it is stored; one whose time is up may still say ACTIVE
    response: str  # `in_progress`, `active` or `no_submission`
    started_at: datetime
    completed_at: datetime | None
    edited_at: datetime | None  # when an answer was last corrected
    seconds: float | None  # from start to completion
    file_count: int
    answers: dict[str, Any] | None  # the archive's "responses"; None unless the response is active
    note_count: int
    return_requested: datetime | None
    review: dict[str, Any] | None  # message and category of a rejection
    test: bool  # of somebody who tried the study: counted nowhere, in no export
    imported: bool  # it came with an archive
    place: list[str]  # where it stands in the order that was asked for: the texts that a cursor is made of


@dataclass(frozen=True, slots=True)
class PageRows:
    """A page of a list, whether it goes on beyond, and where that was asked, how many all of it has and how many of
    those wait for a review."""

    rows: list[ResponseRow]
    more: bool
    count: int | None
    reviewable: int


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The submissions before and after one in a list; None at its ends."""

    earlier: UUID | None
    later: UUID | None


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file of a submitted response."""

    submission_id: UUID
    instruction_id: UUID
    file_key: UUID
    file_name: str
    content_type: str
    size_bytes: int
    sha256: str  # in hexadecimal
    blob_id: UUID
    thumbnail: (
        str | None
    )  # whether small pictures are `made`, `waiting` or `unreadable`; None: nobody has asked yet
    thumbnail_width: int | None  # of the small one, in pixels
    thumbnail_height: int | None
    has_large: bool  # whether there is also one large enough to look at, of what browsers can't show
    page_count: int | None  # of a document whose pages can be looked at, how many it has
    pages: int  # up to which of them there are pictures, the large one being the first's


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """A question that a collection asks, or asked once."""

    id: UUID
    type: str  # one of `schemas.ITEM_TYPES`; it never changes
    body: dict[str, Any]  # the item as the API takes it, in its latest form
    page_order: int  # of the page that it is on, or was on last
    retired: bool  # left out of the latest version
