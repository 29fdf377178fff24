"""What clients send about webhooks."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, StringConstraints, model_validator

from fieldpack.server.values.json_types import Boolean

EVENT_TYPES = {
    "study.status.change": "A study was published, paused, is full or open again, or ended.",
    "study.progress.change": "A place of a study was taken or freed, or there are more or fewer of them.",
    "submission.status.change": "A submission was started, submitted, reviewed, returned or timed out.",
    "collection.export.complete": "An export of a collection is complete.",
    "collection.export.failed": "An export of a collection has failed, or may not be downloaded any more.",
    "submission.erased": "A submission was erased: whoever holds a copy should delete it.",
}


def _known(value: str) -> str:
    if value not in EVENT_TYPES:
        raise ValueError(f"Must be one of {', '.join(EVENT_TYPES)}.")
    return value


EventType = Annotated[str, AfterValidator(_known)]
Url = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
Secret = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]


class SecretInput(BaseModel):
    """A secret to make, in place of the one there is."""

    workspace_id: str


class SubscriptionInput(BaseModel):
    """A subscription to make."""

    event_type: EventType
    target_url: Url
    workspace_id: str
    is_enabled: Boolean | None = None


class Confirmation(BaseModel):
    """The secret that came with a new subscription."""

    secret: Secret


class SubscriptionPatch(BaseModel):
    """What may change later."""

    event_type: EventType | None = None
    target_url: Url | None = None
    is_enabled: Boolean | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: inner for name, inner in value.items() if inner not in (None, "")}
        return value
