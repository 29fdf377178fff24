"""Writing the audit log, in the transaction of what is done, and reading it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString, TypeVar
from uuid import UUID

from fieldpack.server.audit import queries
from fieldpack.server.audit.actions import ACTIONS, READS, make_details
from fieldpack.server.audit.rows import ListedRow
from fieldpack.server.db.pool import Connection

__all__ = [
    "OPERATOR",
    "PARTICIPANT",
    "Actor",
    "Wanted",
    "describe_entry",
    "find_and_write",
    "forget",
    "list_entries",
    "write_entries",
    "write_entry",
]


Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, from where, and by what right.

    Attributes:
        type: `researcher`, `participant`, `link` or `operator`.
        researcher_id: the researcher; None for others.
        credential_type: `token`, `session` or `link`.
        credential_id: the id of the token or session; of a link when it expires.
        address: where the request came from; None for participants, whose addresses are kept nowhere.
    """

    type: str
    researcher_id: UUID | None = None
    credential_type: str | None = None
    credential_id: str | None = None
    address: str | None = None


PARTICIPANT = Actor("participant")  # the one whom the entry is about
OPERATOR = Actor("operator")  # whoever has the data folder or the database, at the command line


async def write_entry(
    connection: Connection,
    actor: Actor,
    action: str,
    *,
    object_id: UUID | None = None,
    submission_id: UUID | None = None,
    member_id: UUID | None = None,
    workspace_id: UUID | None = None,
    collection_id: UUID | None = None,
    study_id: UUID | None = None,
    **details: Any,
) -> None:
    """Write an entry in the caller's transaction: it is there if and only if that commits.

    Args:
        action: one of `ACTIONS`; its first word is the type of the object.
        object_id: of what is no person. Without one it is the collection, study or workspace that is named.
        submission_id: the participant whom it is about; the entry gets their subject's id only.
        member_id: the researcher whom it is about, in the same way.
        workspace_id, collection_id, study_id: where it belongs; what follows from the rest can be left out.
        details: by the names of `actions.DETAILS`.

    Raises:
        ValueError: a word that is not in the lists of `actions`.
    """
    await queries.insert_entry(
        connection,
        _make_entry(
            actor,
            action,
            details,
            object_id=object_id,
            submission_id=submission_id,
            member_id=member_id,
            workspace_id=workspace_id,
            collection_id=collection_id,
            study_id=study_id,
        ),
    )


async def find_and_write(
    connection: Connection,
    actor: Actor,
    action: str,
    kind: type[Row],
    found: LiteralString,
    values: dict[str, UUID],
    *,
    object_id: UUID,
    collection_id: UUID,
) -> Row | None:
    """The row that a query finds, and an entry that it was read, in one statement; see `queries.find_and_insert`."""
    entry = _make_entry(actor, action, {}, object_id=object_id, collection_id=collection_id)
    return await queries.find_and_insert(connection, kind, found, values, entry)


def _make_entry(
    actor: Actor,
    action: str,
    details: dict[str, Any],
    *,
    object_id: UUID | None = None,
    submission_id: UUID | None = None,
    member_id: UUID | None = None,
    workspace_id: UUID | None = None,
    collection_id: UUID | None = None,
    study_id: UUID | None = None,
) -> queries.NewEntry:
    if action not in ACTIONS:
        raise ValueError(f"{action} is no action of the audit log")
    kind = action.partition(".")[0]
    of_kind = {"workspace": workspace_id, "collection": collection_id, "study": study_id}
    return queries.NewEntry(
        actor_type=actor.type,
        researcher_id=actor.researcher_id,
        credential_type=actor.credential_type,
        credential_id=actor.credential_id,
        address=actor.address,
        action=action,
        object_type=kind,
        object_id=object_id or of_kind.get(kind),
        submission_id=submission_id,
        member_id=member_id,
        workspace_id=workspace_id,
        collection_id=collection_id,
        study_id=study_id,
        details=make_details(details),
        is_awaited=action not in READS,
    )


async def write_entries(
    connection: Connection, actor: Actor, action: str, submission_ids: Sequence[UUID], **details: Any
) -> None:
    """The same entry about each of these participants, which is no reading of theirs; see `write_entry`."""
    if action not in ACTIONS or action in READS:
        raise ValueError(f"{action} is nothing that is done to submissions")
    await queries.insert_entries(
        connection,
        actor_type=actor.type,
        researcher_id=actor.researcher_id,
        credential_type=actor.credential_type,
        credential_id=actor.credential_id,
        address=actor.address,
        action=action,
        object_type=action.partition(".")[0],
        submission_ids=list(submission_ids),
        details=make_details(details),
    )


async def forget(connection: Connection, submission_id: UUID) -> None:
    """A participant is erased: entries stay, in an unbroken chain, and name nobody any more."""
    await queries.delete_subject(connection, submission_id)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries are asked for; see `queries.list_entries`."""

    since: datetime | None = None
    until: datetime | None = None
    actor: str | None = None
    action: str | None = None
    object_id: UUID | None = None

    def as_details(self) -> dict[str, Any]:
        """What an entry about having looked says of it: nothing that could name a person."""
        return {"since": self.since, "until": self.until, "wanted": self.action}


class UnclearFilter(ValueError):
    """A filter that is none of its kind.

    Attributes:
        name: of the filter, as in `parse_wanted`.
    """

    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(sentence)
        self.name = name


def parse_wanted(
    *, since: str | None, until: str | None, actor: str | None, action: str | None, object: str | None
) -> Wanted:
    """Which entries are asked for, from texts; empty ones are not given.

    Raises:
        UnclearFilter: one of them is none of its kind.
    """
    if action and not any(known.startswith(action) for known in ACTIONS):
        raise UnclearFilter("action", f"Must be one of {', '.join(sorted(ACTIONS))}, or how they begin.")
    object_id = None
    if object:
        try:
            object_id = UUID(object.strip())
        except ValueError:
            raise UnclearFilter("object", f"Must be an id; {object!r} is none.") from None
    return Wanted(
        _parse_time("since", since),
        _parse_time("until", until),
        actor.strip() if actor and actor.strip() else None,
        action or None,
        object_id,
    )


def _parse_time(name: str, text: str | None) -> datetime | None:
    if not text or not text.strip():
        return None
    try:
        at = datetime.fromisoformat(text.strip())
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise UnclearFilter(
            name, f"Must be a day or a time, like 2026-11-26 or 2026-11-26T20:00:00Z; {text!r} is neither."
        ) from None


async def list_entries(
    connection: Connection, workspace_id: UUID | None, wanted: Wanted, limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    """Entries of a workspace (of all when None), newest first, and how many there are."""
    rows, count = await queries.list_entries(
        connection,
        workspace_id=workspace_id,
        since=wanted.since,
        until=wanted.until,
        actor=wanted.actor,
        action=wanted.action,
        object_id=wanted.object_id,
        limit=limit,
        offset=offset,
    )
    return [describe_entry(row) for row in rows], count


def describe_entry(row: ListedRow) -> dict[str, Any]:
    """An entry as the API and the command line answer it."""
    return {
        "id": row.id,
        "at": say_instant(row.at),
        "actor": {
            "type": row.actor_type,
            "subject_id": _text(row.actor_id),
            "researcher_id": _text(row.researcher_id),
            "email": row.researcher,
        },
        "credential": {"type": row.credential_type, "id": row.credential_id} if row.credential_type else None,
        "address": row.address,
        "action": row.action,
        "object": {
            "type": row.object_type,
            "id": _text(row.object_id),
            "subject_id": _text(row.subject_id),
            "submission_id": _text(row.submission_id),
        },
        "workspace_id": _text(row.workspace_id),
        "collection_id": _text(row.collection_id),
        "details": row.details,
        "position": row.position,
    }


def _text(identifier: UUID | None) -> str | None:
    return str(identifier) if identifier else None


def say_instant(at: datetime) -> str:
    """A time to the microsecond in UTC: `2026-11-26T20:05:40.000000Z`."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
