"""What researchers and participants send about submissions."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from fieldpack.server.tickets.hosted import MOST_CHARACTERS as TOKEN_CHARACTERS
from fieldpack.server.tickets.personal import MOST_CHARACTERS
from fieldpack.server.values.entries import Entry
from fieldpack.server.values.json_types import Boolean, Number
from fieldpack.server.values.participant_ids import ParticipantId
from fieldpack.server.values.placeholders import NamedParticipantId, is_no_session

MANY = 10_000

Code = Annotated[str, StringConstraints(max_length=200)]


class StartInput(BaseModel):
    """Who takes part, as the recruiting service names them (`PROLIFIC_PID` and `SESSION_ID`)."""

    participant_id: NamedParticipantId
    session_id: Annotated[str, StringConstraints(max_length=200)] | None = None
    resume_code: Annotated[str, StringConstraints(max_length=200, strip_whitespace=True)] | None = None
    link: Annotated[str, StringConstraints(max_length=MOST_CHARACTERS)] | None = None
    prolific_token: Annotated[str, StringConstraints(max_length=TOKEN_CHARACTERS)] | None = None

    @field_validator("session_id")
    @classmethod
    def _blank_is_none(cls, value: str | None) -> str | None:
        return None if not value or is_no_session(value) else value


RejectionCategory = Literal[
    "TOO_QUICKLY",
    "TOO_SLOWLY",
    "FAILED_INSTRUCTIONS",
    "INCOMP_LONGITUDINAL",
    "FAILED_CHECK",
    "LOW_EFFORT",
    "MALINGERING",
    "NO_CODE",
    "BAD_CODE",
    "NO_DATA",
    "UNSUPP_DEVICE",
    "OTHER",
]


class CompletionCodeData(BaseModel):
    """What goes with a completion code that pays a part. It is stored with the decision; nobody is paid here."""

    percentage_of_reward: Annotated[Number | None, Field(gt=0, le=100)] = None
    message_to_participant: Annotated[str | None, Field(max_length=20_000)] = None


class _Decision(BaseModel):
    """What is said with a decision."""

    action: str
    message: Annotated[str | None, Field(max_length=20_000, validate_default=True)] = None
    rejection_category: Annotated[RejectionCategory | None, Field(validate_default=True)] = None

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, value: Any) -> Any:
        """Clients send every field that they know; an empty one was not given."""
        if isinstance(value, dict):
            return {name: inner for name, inner in value.items() if inner not in (None, "")}
        return value

    @field_validator("message", "rejection_category")
    @classmethod
    def _reason(cls, value: str | None, info: ValidationInfo) -> str | None:
        action = info.data.get("action")
        if action == "REJECT" and not (value or "").strip():
            raise ValueError("A rejection needs this: the participant is told why.")
        if action == "REQUEST_RETURN" and info.field_name == "message" and not (value or "").strip():
            raise ValueError("Asking for a return needs this: the participant is told why.")
        return value


class SubmissionTransition(_Decision):
    """A researcher's decision."""

    action: Literal["APPROVE", "REJECT", "COMPLETE", "UNREJECT", "RETURN", "UNRETURN", "SCREEN_OUT", "START"]
    completion_code: Code | None = None
    completion_code_data: CompletionCodeData | None = None


class HeldDecision(_Decision):
    """A researcher's decision that is held for a while before it is made, so that it can be undone."""

    action: Literal["APPROVE", "REJECT", "REQUEST_RETURN"]


class SubmissionPatch(BaseModel):
    """The fields of a submission that may be changed."""

    test: Boolean


class BulkApproval(BaseModel):
    """Either `submission_ids`, or `study_id` and `participant_ids`."""

    submission_ids: Annotated[list[Entry[str]], Field(max_length=MANY)] | None = None
    study_id: str | None = None
    participant_ids: Annotated[list[Entry[ParticipantId]], Field(max_length=MANY)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: inner for name, inner in value.items() if inner not in (None, "", [])}
        return value

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        by_participant = self.study_id is not None and self.participant_ids is not None
        if (self.submission_ids is not None) == by_participant:
            raise ValueError("give either submission_ids, or study_id and participant_ids")
        return self


class ReturnRequest(BaseModel):
    """Why a participant is asked to return their submission."""

    request_return_reasons: Annotated[
        list[Entry[Annotated[str, StringConstraints(max_length=2_000)]]], Field(max_length=100)
    ]
