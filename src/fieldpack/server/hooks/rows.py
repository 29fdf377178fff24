"""The rows that the queries of webhooks answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class SecretRow:
    """What signs the events of a workspace."""

    id: UUID
    value: str
    workspace_id: UUID


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """Where events of one type are sent."""

    id: UUID
    workspace_id: UUID
    event_type: str
    target_url: str
    is_enabled: bool
    confirmation_sha256: bytes  # of the secret that confirms it
    confirmed_at: datetime | None
    failing_since: datetime | None  # None when the last event arrived
    noticed_at: datetime | None  # when it was said that it will be disabled
    disabled_at: datetime | None  # when it was disabled for failing


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """A subscription that has something to be sent, and no job that does it."""

    id: UUID
    is_failing: bool  # nothing arrived since something failed


@dataclass(frozen=True, slots=True)
class DueRow:
    """An event whose turn has come."""

    id: UUID
    resource_id: UUID


@dataclass(frozen=True, slots=True)
class MessageRow:
    """An event as it is to be sent now."""

    id: UUID
    payload: dict[str, Any]
    target_url: str
    secret: str


@dataclass(frozen=True, slots=True)
class EventRow:
    """Something to be told, or told."""

    id: UUID
    event_type: str
    resource_id: UUID
    payload: dict[str, Any]
    status: str  # `PENDING`, `SUCCEEDED` or `FAILED`
    failures: int  # since it was last queued
    next_at: datetime  # when it is tried, or tried again
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One try to tell an event."""

    event_id: UUID
    at: datetime
    target_url: str | None  # where it went; None for tries of before that was kept
    seconds: float
    status_code: int | None  # None when there was no answer
    answer: str | None  # its beginning
    error: str | None  # why it counts as failed, for people


@dataclass(frozen=True, slots=True)
class BacklogRow:
    """What waits to be sent."""

    count: int
    age_seconds: float  # of the oldest
