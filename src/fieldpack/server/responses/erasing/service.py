"""The rules of erasing: what would go is shown first, how many were shown is said again, and what went is proved.

A proof names the submission by its random id, which says nothing of the person, and never by the participant's.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from fieldpack.server.accounts.permissions.authorization import require
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import write_entry
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.erasures.queries import count_reach, find_proof, list_proofs
from fieldpack.server.erasures.rows import ProofRow, ReachRow
from fieldpack.server.exports.erasure import list_holding
from fieldpack.server.exports.rows import ReachableRow
from fieldpack.server.problems import Problem, conflict, invalid, not_found
from fieldpack.server.responses.erasing import queries
from fieldpack.server.responses.service import View, read_view
from fieldpack.server.submissions.service import erase_submission, get_submission
from fieldpack.server.values.participant_ids import parse_participant_id
from fieldpack.text import say_count

__all__ = [
    "MOST_ERASED",
    "Reach",
    "Run",
    "Selection",
    "describe_proof",
    "describe_reach",
    "erase_selected",
    "find_reach",
    "find_reach_of",
    "get_proof",
    "is_named",
    "list_collection_proofs",
    "read_selection",
]

MOST_ERASED = 10_000  # that are selected at once
ERASING_SECONDS = 10.0  # of one request; what is left by then, the next one goes on with


@dataclass(frozen=True, slots=True)
class Selection:
    """Who is meant: what a view shows, of that the participants who are named.

    Attributes:
        participants: as they were given, each once; None for everybody whom the view shows.
    """

    view: View
    participants: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Reach:
    """What an erasure would remove.

    Attributes:
        submission_ids: the submissions.
        removed: how much is of them.
        exports: those that would not be downloadable any more, or are begun again.
        unknown: participants who were named, and have no submission here.
    """

    submission_ids: list[UUID]
    removed: ReachRow
    exports: list[ReachableRow]
    unknown: list[str]


@dataclass(frozen=True, slots=True)
class Run:
    """What was erased by one request.

    Attributes:
        batch: names all that is erased together, also by the requests that go on with it.
        proofs: what was erased now, in the order of their ids.
        left: how many of those who are meant are still there.
    """

    batch: UUID
    proofs: list[ProofRow]
    left: int


def is_named(typed: str, participant_id: str) -> bool:
    """Whether a participant's id was typed, as it is kept or in a way that means the same."""
    return participant_id in _spell(typed)


def _spell(typed: str) -> set[str]:
    """What a participant's id that somebody typed or copied can be kept as."""
    spelt = {typed.strip()}
    with contextlib.suppress(ValueError):
        spelt.add(parse_participant_id(typed))
    return spelt


async def read_selection(
    connection: Connection,
    caller: Caller,
    collection_id: UUID,
    parameters: Sequence[tuple[str, str]],
    participants: Sequence[str] | None,
) -> Selection:
    """Who is meant, by the filter in parameters of a URL and by participants who are named.

    Raises:
        Problem: 404 and 403 as `authorization.require` says; 400 for a malformed filter, for nobody at all, or for
            more names than `MOST_ERASED`.
    """
    await require(connection, caller, Action.SUBMISSION_ERASE, collection=collection_id)
    view = await read_view(connection, caller, collection_id, parameters)
    named = None
    if participants is not None:
        named = tuple(dict.fromkeys(each.strip() for each in participants if each.strip()))
        if len(named) > MOST_ERASED:
            raise invalid("participant_ids", f"At most {MOST_ERASED:,} at once.")
    if not named and view.wanted.is_everything:
        raise invalid(
            "participant_ids",
            "Name at least one participant, or narrow by a filter. All that a collection holds is erased with"
            " the collection, or by `fieldpack collection erase`.",
        )
    return Selection(view, named or None)


async def _list_meant(connection: Connection, selection: Selection) -> list[UUID]:
    people = None
    if selection.participants is not None:
        people = sorted({spelt for each in selection.participants for spelt in _spell(each)})
    collection_id = selection.view.collection.id
    found = await queries.list_meant(
        connection, collection_id, selection.view.wanted, people, MOST_ERASED + 1
    )
    if len(found) > MOST_ERASED:
        raise invalid("count", f"At most {MOST_ERASED:,} at once: narrow the filter.")
    return found


async def find_reach(connection: Connection, selection: Selection) -> Reach:
    """What it would do to erase a selection. Nothing is changed.

    Raises:
        Problem: 400 for more than can be erased at once.
    """
    view = selection.view
    ids = await _list_meant(connection, selection)
    unknown: list[str] = []
    if selection.participants is not None:
        spelt = {each: _spell(each) for each in selection.participants}
        everything = sorted({text for texts in spelt.values() for text in texts})
        present = await queries.list_present(connection, view.collection.id, everything)
        unknown = [each for each, texts in spelt.items() if not texts & present]
    await write_entry(
        connection,
        view.caller.actor,
        "submission.list",
        collection_id=view.collection.id,
        count=len(ids),
        **view.wanted.as_details(),
    )
    return await _find(connection, view.collection.id, ids, unknown)


async def find_reach_of(
    connection: Connection, caller: Caller, submission_id: UUID
) -> tuple[str, UUID, Reach]:
    """Whose a submission is, of which collection, and what it would do to erase it. Nothing is changed.

    Raises:
        Problem: 404 and 403 as `authorization.require` says.
    """
    row = await get_submission(connection, caller, submission_id, Action.SUBMISSION_ERASE)
    await write_entry(connection, caller.actor, "submission.read", submission_id=submission_id)
    reach = await _find(connection, row.collection_id, [submission_id], [])
    return row.participant_id, row.collection_id, reach


async def _find(connection: Connection, collection_id: UUID, ids: list[UUID], unknown: list[str]) -> Reach:
    removed = await count_reach(connection, ids)
    return Reach(ids, removed, await list_holding(connection, collection_id, ids), unknown)


async def erase_selected(
    context: Context,
    caller: Caller,
    collection_id: UUID,
    parameters: Sequence[tuple[str, str]],
    participants: Sequence[str] | None,
    expected: int,
    batch: UUID | None = None,
    seconds: float = ERASING_SECONDS,
) -> Run:
    """Erase a selection, one submission after another, until none is left or the time is up; at least one.

    Args:
        expected: how many they are, as whoever wants this was shown.
        batch: of an earlier request, to go on with it.
        seconds: how long to go on.

    Raises:
        Problem: 409 when they are more or fewer by now; as `read_selection` says.
        StorageUnavailable: as `erase_submission` says.
    """
    until = time.monotonic() + seconds
    run = batch or uuid4()
    async with context.database.transaction() as connection:
        ids = await _list_meant(
            connection, await read_selection(connection, caller, collection_id, parameters, participants)
        )
    if len(ids) != expected:
        raise conflict(
            f"{say_count(len(ids), 'submission')} would be erased by now, not {expected:,}: nothing was erased."
            " Look again, then erase."
        )
    done = 0
    for submission_id in ids:
        if done and time.monotonic() > until:
            break
        try:
            await erase_submission(context, caller, submission_id, run)
        except Problem as problem:
            if problem.type.status != 404:  # somebody else has erased it
                raise
        done += 1
    async with context.database.transaction() as connection:
        found = [await find_proof(connection, collection_id, each) for each in ids[:done]]
    return Run(run, [proof for proof in found if proof is not None], len(ids) - done)


async def get_proof(
    connection: Connection, caller: Caller, collection_id: UUID, submission_id: UUID
) -> ProofRow:
    """What an erasure removed, and what is there of it now.

    Raises:
        Problem: 404 and 403 as `authorization.require` says; 404 for what was not erased in this collection.
    """
    await require(connection, caller, Action.SUBMISSION_ERASE, collection=collection_id)
    proof = await find_proof(connection, collection_id, submission_id)
    if proof is None:
        raise not_found("Erasure", submission_id)
    return proof


async def list_collection_proofs(
    connection: Connection,
    caller: Caller,
    collection_id: UUID,
    batch: UUID | None,
    limit: int,
    offset: int,
) -> tuple[list[ProofRow], int]:
    """What was erased in a collection, newest first, and how many they are.

    Args:
        batch: only those that were asked for together.

    Raises:
        Problem: 404 and 403 as `authorization.require` says.
    """
    await require(connection, caller, Action.SUBMISSION_ERASE, collection=collection_id)
    return await list_proofs(connection, collection_id, batch, limit, offset)


def describe_reach(reach: Reach) -> dict[str, Any]:
    """What would go, as the API answers it."""
    return {
        "submissions": reach.removed.submissions,
        "answers": reach.removed.answers,
        "files": reach.removed.files,
        "size_bytes": reach.removed.file_bytes,
        "notes": reach.removed.notes,
        "exports": [
            {"export_id": each.id, "created_at": each.created_at, "status": each.status}
            for each in reach.exports
        ],
        "unknown_participant_ids": reach.unknown,
    }


def describe_proof(proof: ProofRow) -> dict[str, Any]:
    """What went, as the API answers it."""
    return {
        "submission_id": proof.submission_id,
        "collection_id": proof.collection_id,
        "erased_at": proof.erased_at,
        "batch": proof.batch,
        "answers": proof.answers,
        "files": proof.files,
        "size_bytes": proof.file_bytes,
        "notes": proof.notes,
        "stored_objects": proof.objects,
        "exports": proof.exports,
        "left": {"rows": proof.rows_left, "stored_objects": proof.objects_left},
        "listed": proof.is_listed,
    }
