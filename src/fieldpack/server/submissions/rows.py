"""The rows that the queries of submissions answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fieldpack.server.studies.resuming import Resume


@dataclass(frozen=True, slots=True)
class SubmissionRow:
    """A submission that was not erased."""

    id: UUID
    study_id: UUID
    collection_id: UUID
    collection_version: int  # the version that its participant sees, also after later changes
    participant_id: str
    session_id: str | None
    ordinal: int  # from 1, among the participant's submissions to the study
    status: str  # one of `service.STATUSES`, as it is stored: see `lifecycle.state_of`
    response: str  # `in_progress`, `active` or `no_submission`, as it is stored
    holds_place: bool  # one of the study's places is taken by it
    started_at: datetime
    deadline_at: datetime | None  # when the study's maximum time is over; None for no end
    completed_at: datetime | None
    study_code: str | None  # the study's completion code when it was started
    entered_code: str | None  # the completion code that was handed in
    return_requested: datetime | None  # when the researcher asked for its return
    activated_counter: int | None  # the collection's counter when its response became active
    deactivated_counter: int | None  # the same when it stopped being active
    edited_at: datetime | None  # when an answer was last corrected
    workspace_id: UUID  # of the study
    study_fields: dict[str, Any]  # `fields` of the study: what its researcher gave
    study_resume: Resume  # what participants need besides their ids, to go on
    overdue: bool  # past its deadline, and not stored as timed out yet
    test: bool  # somebody tries the study
    imported: bool  # it came with an archive
    has_siblings: bool  # the participant has others to this study
    open: bool  # its answers and files may still change

    @property
    def submitted(self) -> bool:
        """Whether its participant handed it in; what a researcher made of its status says nothing of that."""
        return self.activated_counter is not None


@dataclass(frozen=True, slots=True)
class HeldRow:
    """The submission of a token, with what a write needs of it; none of it ever changes."""

    id: UUID
    study_id: UUID
    collection_id: UUID
    collection_version: int  # the one that its participant sees


@dataclass(frozen=True, slots=True)
class Key:
    """What opens a submission: a token that was sent."""

    token_sha256: bytes
    made_before: datetime | None = None  # it must be older than this; None for any


class NotOpened(Exception):
    """A key opens the submission no more."""


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """A saved answer."""

    id: UUID  # one that was cleared and given again has another
    instruction_id: UUID
    value: dict[str, Any]  # in the shape of the archive, without `type`
    revision: int  # from 1, one more for each change
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class HeldAnswer:
    """An answer to be saved for whoever has the token."""

    instruction_id: UUID
    value: dict[str, Any]  # in the shape of the archive, without `type`
    seen: int | None  # the revision that must still be saved; 0 for none, None for any


@dataclass(frozen=True, slots=True)
class SavedRow:
    """An answer that was just saved."""

    instruction_id: UUID
    revision: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class FilePlace:
    """Where a file of a submission stands in the archive."""

    upload_id: UUID
    position: int  # among the files of its submission, from 0
    path: str  # its member name
