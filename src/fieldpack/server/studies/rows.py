"""The rows that the queries of studies answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from fieldpack.server.studies.resuming import Resume


@dataclass(frozen=True, slots=True)
class TargetedStudy:
    """What was sent of a study, with a meaning here or not."""

    id: UUID
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StudyRow:
    """A study, and the researcher who made it."""

    id: UUID
    workspace_id: UUID
    collection_id: UUID
    project_id: UUID | None
    created_by: UUID  # researcher
    status: str  # one of `service.STATUSES`
    name: str
    total_available_places: int
    places_taken: int  # by participants who started, until they return or run out of time
    maximum_allowed_time: int | None  # minutes; None for no end, as earlier versions kept
    max_submissions_per_participant: int  # -1 for no limit
    max_concurrent_submissions: int  # of one participant; -1 for no limit
    resume: Resume  # what participants need besides their ids, to go on
    fields: dict[str, Any]  # everything else that was sent, with a meaning here or not
    created_at: datetime
    published_at: datetime | None  # for the first time
    publish_at: datetime | None  # when it is to be published, while it is SCHEDULED
    test: bool  # a copy for trying: its submissions are tests
    # ids of earlier studies that its filters name: of its workspace, or with a role of its creator
    known_studies: list[str]
    known_groups: list[str]  # ids of participant groups that its filters and codes name, in its workspace
    researcher_email: str
    researcher_first_name: str
    researcher_last_name: str


@dataclass(frozen=True, slots=True)
class StudyColumns:
    """What is written of a study when it is created or changed: each field is a column of its table."""

    workspace_id: UUID
    collection_id: UUID
    project_id: UUID | None
    created_by: UUID  # researcher
    name: str
    total_available_places: int
    resume: Resume
    fields: dict[str, Any] = field(default_factory=dict)  # as in `StudyRow`
    maximum_allowed_time: int | None = None  # minutes; None for no end
    max_submissions_per_participant: int = 1  # -1 for no limit
    max_concurrent_submissions: int = -1  # -1 for no limit
