"""The rows that the queries of the pages answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fieldpack.server.studies.resuming import Resume


@dataclass(frozen=True, slots=True)
class ContactRow:
    """What a study's researcher shows of themselves to participants, and their account."""

    contact: str | None  # text as they wrote it
    shows_account: bool  # whether name and address of the account may be shown
    email: str
    first_name: str
    last_name: str


@dataclass(frozen=True, slots=True)
class ResumableRow:
    """A submission that this browser has the token of."""

    id: UUID
    participant_id: str
    session_id: str | None
    response: str  # `in_progress`, `active` or `no_submission`
    status: str
    again: bool  # it is over, and the participant may begin another one


@dataclass(frozen=True, slots=True)
class StudyCountsRow:
    """A study, with how many of its submissions are in which state."""

    id: UUID
    collection_id: UUID
    name: str
    status: str
    places_taken: int
    total_available_places: int
    resume: Resume  # what participants need besides their ids, to go on
    fields: dict[str, Any]  # everything else that was sent
    known_groups: list[str]  # ids of participant groups that its filters and codes name
    # ids of earlier studies that its filters name: of its workspace, or with a role of its creator
    known_studies: list[str]
    active: int  # participants at work
    review: int  # submissions that wait for a review
    approved: int  # wholly or in part
    other: int


@dataclass(frozen=True, slots=True)
class StudyLinkRow:
    """A study as a list of collections shows it: what it is, and for whom."""

    id: UUID
    collection_id: UUID
    name: str
    status: str
    places_taken: int
    total_available_places: int
    resume: Resume  # what participants need besides their ids, to go on
    fields: dict[str, Any]  # what else its researcher gave
    known_groups: list[str]  # as of `StudyCountsRow`
    known_studies: list[str]
    all_studies: int  # how many its collection has
