"""The rows of the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class EntryRow:
    """One entry, as it is hashed: nothing in it names a person."""

    id: int  # in order of writing; one of a transaction that was undone is missing
    at: datetime  # when its transaction began
    actor_type: str  # `researcher`, `participant`, `link` (whoever has it) or `operator` (the command line)
    actor_id: UUID | None  # the subject who acted; what it means is in `audit_subjects`
    credential_type: str | None  # `token`, `session` or `link`
    credential_id: (
        str | None
    )  # the token's or session's id; of a link when it expires, in microseconds of Unix time
    address: str | None  # of a researcher or of whoever has a link; never of a participant
    action: str  # `<object>.<verb>`, of `actions.ACTIONS`
    object_type: str
    object_id: UUID | None  # of what is no person
    subject_id: UUID | None  # the person whom it is about
    workspace_id: UUID | None
    collection_id: UUID | None
    details: dict[str, Any]  # of `actions.DETAILS`


@dataclass(frozen=True, slots=True)
class HeadRow:
    """The end of the chain."""

    position: int  # 0 before the first seal
    hash: bytes  # of 32 zeros then
    now: datetime


@dataclass(frozen=True, slots=True)
class SealRow:
    """One link of the chain, and the entry that it seals."""

    position: int
    entry_id: int
    sealed_at: datetime
    hash: bytes  # SHA-256
    entry: EntryRow | None  # None when it is gone


@dataclass(frozen=True, slots=True)
class TailRow:
    """What was written and is not sealed yet."""

    count: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True)
class ListedRow:
    """An entry for people: with what its subjects mean, as long as they mean something."""

    id: int
    at: datetime
    actor_type: str
    actor_id: UUID | None
    researcher_id: UUID | None  # whom `actor_id` means
    researcher: str | None  # their e-mail address
    credential_type: str | None
    credential_id: str | None
    address: str | None
    action: str
    object_type: str
    object_id: UUID | None
    subject_id: UUID | None
    submission_id: UUID | None  # whom `subject_id` means; None once they are erased
    workspace_id: UUID | None
    collection_id: UUID | None
    details: dict[str, Any]
    position: int | None  # in the chain; None until it is sealed
