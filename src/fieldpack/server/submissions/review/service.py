"""The rules of decisions that are held: stored, shown to others, undone, dropped, and made once they are due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from fieldpack.server.accounts.permissions.authorization import require
from fieldpack.server.accounts.permissions.roles import Action, Role
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import write_entry
from fieldpack.server.collections.queries import lock_counter
from fieldpack.server.db.pool import Connection, Database
from fieldpack.server.jobs import MAINTENANCE_QUEUE, defer
from fieldpack.server.problems import FORBIDDEN, Problem, conflict, not_found
from fieldpack.server.submissions.queries import lock_many
from fieldpack.server.submissions.review import queries
from fieldpack.server.submissions.review.rows import DecisionRow, DueRow, PendingRow, RightRow
from fieldpack.server.submissions.review.rules import decide, is_pending, review_of
from fieldpack.server.submissions.rows import SubmissionRow
from fieldpack.server.submissions.schemas import HeldDecision

__all__ = [
    "HOLD_SECONDS",
    "describe_decision",
    "describe_pending",
    "find_own_last",
    "get_decision",
    "hold",
    "list_held",
    "list_pending",
    "make_next",
    "requeue_due",
    "undo",
]

HOLD_SECONDS = 10.0
TASK = "make_decisions"


async def hold(
    connection: Connection, caller: Caller, submission_ids: Sequence[UUID], given: HeldDecision
) -> DecisionRow:
    """Store a decision on submissions of one collection; it is made after `HOLD_SECONDS`, unless it is undone, and of
    those only whose state has not changed meanwhile. What the caller had decided on them before is undone.

    Raises:
        Problem: 404; 403; 409 when somebody else is deciding on one of them, or the state of one does not have the
            decision; then nothing is stored.
    """
    for submission_id in submission_ids[:1]:
        await require(connection, caller, Action.RESPONSES_REVIEW, submission=submission_id)
    rows = await lock_many(connection, list(submission_ids))
    missing = set(submission_ids) - {row.id for row in rows}
    if missing:
        raise not_found("Submission", sorted(missing)[0])
    await _require_review(connection, caller, rows)
    (collection_id,) = {row.collection_id for row in rows}
    for pending in await queries.list_pending(connection, submission_ids):
        if pending.author_id != caller.id:
            raise conflict(
                f"{pending.author} decided on submission {pending.submission_id} a moment ago ({pending.step});"
                " look at it again in a few seconds."
            )
    for row in rows:
        if not is_pending(row, given.action):
            raise conflict(f"Submission {row.id} is {row.status} already.")
    await queries.take_back(connection, caller.id, submission_ids)
    review = {"reasons": [given.message]} if given.action == "REQUEST_RETURN" else review_of(given)
    decision_id = uuid4()
    await queries.insert_decision(
        connection,
        decision_id,
        collection_id,
        given.action,
        review,
        _right_of(caller),
        submission_ids,
        HOLD_SECONDS,
    )
    await write_entry(
        connection,
        caller.actor,
        "decision.hold",
        object_id=decision_id,
        collection_id=collection_id,
        submission_id=submission_ids[0] if len(submission_ids) == 1 else None,
        step=given.action,
        count=len(submission_ids),
    )
    found = await queries.find_decision(connection, decision_id)
    assert found is not None
    return found


async def _require_review(connection: Connection, caller: Caller, rows: Sequence[SubmissionRow]) -> None:
    for study_id in sorted({row.study_id for row in rows}):
        await require(connection, caller, Action.RESPONSES_REVIEW, study=study_id)


async def get_decision(connection: Connection, caller: Caller, decision_id: UUID) -> DecisionRow:
    """One decision, for whoever may read the responses.

    Raises:
        Problem: 404; 403.
    """
    found = await queries.find_decision(connection, decision_id)
    if found is None:
        raise not_found("Decision", decision_id)
    unknown = not_found("Decision", decision_id)
    await require(
        connection,
        caller,
        Action.RESPONSES_READ,
        collection=found.collection_id,
        unknown=unknown,
        foreign=unknown,
    )
    return found


async def list_held(connection: Connection, caller: Caller, collection_id: UUID) -> list[DecisionRow]:
    """The decisions that are held on submissions of a collection, newest first.

    Raises:
        Problem: 404; 403.
    """
    await require(connection, caller, Action.RESPONSES_READ, collection=collection_id)
    return await queries.list_held(connection, collection_id)


async def list_pending(connection: Connection, submission_ids: Sequence[UUID]) -> dict[UUID, PendingRow]:
    """The decisions that are held on these submissions, which the caller was seen to be allowed to read."""
    return {row.submission_id: row for row in await queries.list_pending(connection, submission_ids)}


async def find_own_last(connection: Connection, caller: Caller, collection_id: UUID) -> UUID | None:
    """The last decision of the caller on submissions of a collection that is held still; None when there is none.

    Raises:
        Problem: 404; 403.
    """
    await require(connection, caller, Action.RESPONSES_READ, collection=collection_id)
    held = await queries.list_held(connection, collection_id, caller.id)
    return held[0].id if held else None


async def undo(connection: Connection, caller: Caller, decision_id: UUID) -> DecisionRow:
    """Undo one's own decision, as long as it has not been made; the decision as it was held.

    Raises:
        Problem: 404; 403 for somebody else's; 409 when it was made, or is held no more.
    """
    seen = await get_decision(connection, caller, decision_id)
    await require(connection, caller, Action.RESPONSES_REVIEW, collection=seen.collection_id)
    found = await queries.find_decision(connection, decision_id, lock=True)
    if found is None:
        raise not_found("Decision", decision_id)
    if found.author_id != caller.id:
        raise Problem(FORBIDDEN, f"Only {found.author}, whose decision it is, can undo it.")
    if found.ended_at is not None:
        raise conflict(SENTENCES[found.outcome or "made"])
    await lock_many(connection, await queries.list_submissions(connection, decision_id))
    await queries.take_submissions(connection, decision_id)
    await queries.end_decision(connection, decision_id, "undone")
    await write_entry(
        connection,
        caller.actor,
        "decision.undo",
        object_id=decision_id,
        collection_id=found.collection_id,
        submission_id=found.submission_id,
        step=found.step,
        count=found.count,
    )
    return found


SENTENCES = {
    "made": "It is too late to undo this decision: it has been made.",
    "undone": "This decision was undone already.",
    "dropped": "This decision was dropped, because what it was about had changed: nothing is left to undo.",
}


# making them


async def requeue_due(connection: Connection) -> float | None:
    """Enqueue a job where a decision is to be made. Decisions are rows, so none is lost with a worker, or without.

    Returns:
        Seconds until the next decision is to be made; None when none is held but those.
    """
    ahead = await queries.look_ahead(connection)
    if ahead.is_any_due:
        await defer(connection, TASK, queue=MAINTENANCE_QUEUE, queueing_lock=TASK)
    return ahead.seconds


async def make_next(database: Database, passed_over: Sequence[UUID]) -> UUID | None:
    """Make the decision that has been due for longest, in one transaction; its id, or None when none is due.

    Args:
        passed_over: decisions that are left for later.

    Raises:
        NotMade: something went wrong that is no refusal. The decision is still held.
    """
    async with database.transaction() as connection:
        due = await queries.claim_due(connection, passed_over)
        if due is None:
            return None
        try:
            await _make(connection, due)
        except Exception as error:
            raise NotMade(due.id) from error
    return due.id


class NotMade(Exception):
    """A decision could not be made.

    Attributes:
        decision_id: which.
    """

    def __init__(self, decision_id: UUID) -> None:
        super().__init__(str(decision_id))
        self.decision_id = decision_id


async def _make(connection: Connection, due: DueRow) -> None:
    """Carry a decision out on those of its submissions whose state has not changed, by the right that its author has
    now. The caller has locked the decision."""
    caller = _caller_of(due)
    await lock_counter(connection, due.collection_id)
    rows = await lock_many(connection, await queries.list_submissions(connection, due.id))
    held = await queries.take_submissions(
        connection, due.id
    )  # before their state changes, which would drop them
    count = len(rows)
    try:
        await _require_review(connection, caller, rows)
    except Problem:  # the author's role was taken away meanwhile
        rows = []
    makeable = [row for row in rows if row.id in held and _can(row, due)]
    if makeable:
        await decide(connection, caller.actor, makeable, due.step, due.review)
    if len(makeable) < count:
        await write_entry(
            connection,
            caller.actor,
            "decision.drop",
            object_id=due.id,
            collection_id=due.collection_id,
            step=due.step,
            count=count - len(makeable),
        )
    await queries.end_decision(connection, due.id, "made" if makeable else "dropped", len(makeable))


def _can(row: SubmissionRow, due: DueRow) -> bool:
    try:
        return is_pending(row, due.step)
    except Problem:
        return False


def _right_of(caller: Caller) -> RightRow:
    return RightRow(
        caller.id, caller.token_id, caller.session_id, caller.is_session, caller.cap, caller.address
    )


def _caller_of(due: DueRow) -> Caller:
    return Caller(
        due.researcher_id,
        due.email,
        due.first_name,
        due.last_name,
        due.token_id,
        Role(due.cap) if due.cap else None,
        due.address,
        due.is_session,
        due.session_id,
    )


# what the API answers


def describe_decision(row: DecisionRow) -> dict[str, Any]:
    """A decision as the API answers it."""
    return {
        "id": row.id,
        "collection_id": row.collection_id,
        "action": row.step,
        "status": row.outcome or "held",
        "count": row.count,
        "submission_id": row.submission_id,
        "by": {"id": row.author_id, "name": row.author},
        "held_at": row.held_at,
        "due_at": row.due_at,
        "ended_at": row.ended_at,
        "made": row.made,
    }


def describe_pending(row: PendingRow | None) -> dict[str, Any] | None:
    """The decision that is held on a submission, as lists answer it; None for none."""
    if row is None:
        return None
    return {
        "decision_id": row.decision_id,
        "action": row.step,
        "by": {"id": row.author_id, "name": row.author},
        "due_at": row.due_at,
    }
