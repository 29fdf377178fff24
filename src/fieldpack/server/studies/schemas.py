"""What clients send about studies.

Clients of the hosted service send every field that they know, most of them empty: `""`, `0`, `null` and `{}` count as
not given. Unknown fields are stored as they came.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from fieldpack.archive.records import parse_time
from fieldpack.errors import InvalidTime
from fieldpack.server.studies.resuming import Resume
from fieldpack.server.studies.targeting import ENFORCED_FILTERS
from fieldpack.server.values.entries import Entry
from fieldpack.server.values.json_types import Boolean, Integer
from fieldpack.server.values.urls import is_web_url

MAX_PLACES = 10_000_000
MAX_MINUTES = 60 * 24 * 365


def _moment(value: Any) -> datetime:
    try:
        return parse_time(value if isinstance(value, str) else "")
    except InvalidTime:
        raise ValueError(
            "Must be a time in RFC 3339 with its offset, such as 2026-01-31T09:30:00Z."
        ) from None


Moment = Annotated[
    datetime, PlainValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})
]


def drop_empty(value: Any) -> Any:
    """`value` without the members that count as not given. The content of the other members stays as it is."""
    if not isinstance(value, dict):
        return value
    return {name: inner for name, inner in value.items() if not _is_empty(inner)}


def _is_empty(value: Any) -> bool:
    is_zero = isinstance(value, int | float) and not isinstance(value, bool) and value == 0
    return is_zero or value is None or value in ("", {})


def _web_url(value: str) -> str:
    if not is_web_url(value) or " " in value:
        raise ValueError("Must be an http or https URL such as https://example.org/done.")
    return value


ShortText = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]


class Sparse(BaseModel):
    """Base of all input: empty is the same as absent, and unknown fields are kept."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, value: Any) -> Any:
        return cls.drop(value)

    @classmethod
    def drop(cls, value: Any) -> Any:
        """What is left of what was sent."""
        return drop_empty(value)


class CompletionCode(Sparse):
    """A code that a participant is given, or a researcher hands in, and what happens then."""

    code: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None
    code_type: Annotated[str, StringConstraints(max_length=200)] = "COMPLETED"
    actor: Literal["participant", "researcher"] = "participant"
    actions: list[Entry[dict[str, Any]]] = []

    @classmethod
    def drop(cls, value: Any) -> Any:
        """`code: null` says that there is none, which is something else than not saying it."""
        if isinstance(value, dict) and "code" in value and value["code"] is None:
            return {**drop_empty(value), "code": None}
        return drop_empty(value)


def _check_codes(codes: list[CompletionCode] | None) -> list[CompletionCode] | None:
    """Only a participants' code that is alone and does nothing can be without a text."""
    participants = [code for code in codes or [] if code.actor == "participant"]
    for code in codes or []:
        if code.code is None and (code.actor != "participant" or code.actions or len(participants) > 1):
            raise ValueError(
                "code may only be null where it is the participants' only one and has no actions."
            )
    return codes


def _check_filter(filter: Any) -> Any:
    """Filters that are kept to must be what they seem; all others are kept as they came."""
    if isinstance(filter, dict) and filter.get("filter_id") in ENFORCED_FILTERS:
        values = filter.get("selected_values")
        texts = isinstance(values, list) and all(isinstance(value, str) and value.strip() for value in values)
        if values is not None and not texts:
            raise ValueError("selected_values must be a list of ids.")
    return filter


class SubmissionsConfig(Sparse):
    """How often one participant may take part; -1 for no limit."""

    max_submissions_per_participant: Annotated[Integer, Field(ge=-1, le=1_000_000)] = 1
    max_concurrent_submissions: Annotated[Integer, Field(ge=-1, le=1_000_000)] = -1


class StudyFields(Sparse):
    """Every field that has a meaning here; all others are stored as they came."""

    internal_name: Annotated[str, StringConstraints(max_length=2_000)] | None = None
    description: Annotated[str, StringConstraints(max_length=200_000)] | None = None
    reward: Annotated[Integer, Field(ge=0, le=10**12)] | None = None
    estimated_completion_time: Annotated[Integer, Field(ge=1, le=MAX_MINUTES)] | None = None
    maximum_allowed_time: Annotated[Integer, Field(ge=1, le=MAX_MINUTES)] | None = None
    completion_codes: Annotated[list[Entry[CompletionCode]] | None, AfterValidator(_check_codes)] = None
    completion_code: Annotated[str, StringConstraints(max_length=200)] | None = None
    completion_code_action: Annotated[str, StringConstraints(max_length=200)] | None = None
    completion_url: Annotated[str, StringConstraints(max_length=4_000), AfterValidator(_web_url)] | None = (
        None
    )
    device_compatibility: list[Entry[str]] | None = None
    peripheral_requirements: list[Entry[Any]] | None = None
    eligibility_requirements: list[Entry[Any]] | None = None
    filters: list[Entry[Annotated[Any, AfterValidator(_check_filter)]]] | None = None
    submissions_config: SubmissionsConfig | None = None
    project: Annotated[str, StringConstraints(max_length=200)] | None = None
    contact: Annotated[str, StringConstraints(max_length=2_000, strip_whitespace=True)] | None = None
    contact_shows_account: Boolean | None = None
    is_external_study_url_secure: Boolean | None = None
    resume: Resume | None = None


class StudyInput(StudyFields):
    """A study to create."""

    name: ShortText
    total_available_places: Annotated[Integer, Field(ge=1, le=MAX_PLACES)]
    data_collection_method: Literal["AI_TASK_BUILDER_COLLECTION"]
    data_collection_id: ShortText


class StudyPatch(StudyFields):
    """What may change later."""

    name: ShortText | None = None
    total_available_places: Annotated[Integer, Field(ge=1, le=MAX_PLACES)] | None = None
    data_collection_method: Literal["AI_TASK_BUILDER_COLLECTION"] | None = None
    data_collection_id: ShortText | None = None


class StudyTransition(BaseModel):
    """One step of a study's life."""

    action: Literal["PUBLISH", "PAUSE", "START", "STOP", "SCHEDULE_PUBLISH", "CANCEL_PUBLISH"]
    publish_at: Annotated[Moment | None, Field(validate_default=True)] = None

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, value: Any) -> Any:
        return drop_empty(value)

    @field_validator("publish_at")
    @classmethod
    def _is_given(cls, value: datetime | None, info: ValidationInfo) -> datetime | None:
        if info.data.get("action") == "SCHEDULE_PUBLISH" and value is None:
            raise ValueError("SCHEDULE_PUBLISH needs this: when to publish, such as 2026-01-31T09:30:00Z.")
        return value


class StudyClone(BaseModel):
    """How a study is cloned."""

    block_previous_participants: Boolean | None = None
