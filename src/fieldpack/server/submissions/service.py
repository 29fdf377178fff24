"""What researchers do with submissions: read, review, ask for a return, erase."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fieldpack.server.accounts.permissions.authorization import require
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import write_entry
from fieldpack.server.collections.queries import lock_counter
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.erasures.erasure_list import keep_erasure
from fieldpack.server.exports.erasure import require_withdrawn
from fieldpack.server.problems import INVALID, Problem, conflict, invalid, not_found
from fieldpack.server.studies.completion_codes import code_given, find_researcher_code, handle
from fieldpack.server.submissions import lifecycle, queries
from fieldpack.server.submissions.lifecycle import follow_groups, state_of
from fieldpack.server.submissions.lists.queries import count_by_status
from fieldpack.server.submissions.review.rules import Review, decide, is_pending, review_of, set_decided
from fieldpack.server.submissions.rows import SubmissionRow
from fieldpack.server.submissions.schemas import BulkApproval, SubmissionTransition
from fieldpack.server.submissions.steps import STEPS, take_step
from fieldpack.server.values.statuses import STATUSES
from fieldpack.server.values.uuids import is_uuid
from fieldpack.text import say_count

__all__ = [
    "approve_many",
    "describe_submission",
    "erase_submission",
    "get_submission",
    "request_return",
    "transition",
]

COMPLETABLE = ("ACTIVE", "AWAITING REVIEW")
COMPLETED = ("AWAITING REVIEW", "APPROVED")  # states that a researchers' code leads to
NEVER_IN_BULK = ("REJECTED", "RETURNED")


def describe_submission(row: SubmissionRow) -> dict[str, Any]:
    """A submission as lists answer it."""
    completed = row.completed_at
    status, response = state_of(row)
    return {
        "id": row.id,
        "participant_id": row.participant_id,
        "participant": row.participant_id,
        "study_id": row.study_id,
        "ip": None,  # addresses of participants are not stored
        "started_at": row.started_at,
        "completed_at": completed,
        "is_complete": completed is not None,
        "time_taken": int((completed - row.started_at).total_seconds()) if completed else 0,
        "reward": row.study_fields.get("reward", 0),
        "status": status,
        "study_code": code_given(row.study_fields["completion_codes"], row.study_code)[0],
        "entered_code": row.entered_code,
        "return_requested": row.return_requested,
        "has_siblings": row.has_siblings,
        "test": row.test,
        "imported": row.imported,
        "response": response,
    }


async def get_submission(
    connection: Connection,
    caller: Caller,
    submission_id: UUID,
    action: Action = Action.SUBMISSIONS_READ,
    *,
    lock: bool = False,
) -> SubmissionRow:
    """A submission, for whoever may do `action` with it.

    Raises:
        Problem: 404 and 403 as `authorization.require` says.
    """
    await require(connection, caller, action, submission=submission_id)
    row = await queries.find_submission(connection, submission_id, lock=lock)
    if row is None:
        raise not_found("Submission", submission_id)
    return row


async def count_submissions(connection: Connection, study_id: UUID) -> dict[str, int]:
    """How many submissions are in each state; every state is there."""
    counts = await count_by_status(connection, study_id)
    return {**{status: counts.get(status, 0) for status in STATUSES}, "TOTAL": sum(counts.values())}


async def transition(
    connection: Connection, caller: Caller, submission_id: UUID, given: SubmissionTransition
) -> dict[str, Any]:
    """Approve, reject or complete one submission, or take one of `STEPS`.

    Raises:
        Problem: 404; 403; 400 for a completion code that is not a researchers' one; 409 when its state has no such
            step.
    """
    seen = await get_submission(connection, caller, submission_id, Action.RESPONSES_REVIEW)
    if given.action in STEPS:
        await take_step(connection, submission_id, given.action)
        await write_entry(
            connection, caller.actor, "submission.transition", submission_id=submission_id, step=given.action
        )
        return _describe_step(await get_submission(connection, caller, submission_id))
    await lock_counter(connection, seen.collection_id)
    row = await get_submission(connection, caller, submission_id, Action.RESPONSES_REVIEW, lock=True)
    if given.action == "COMPLETE":
        await _complete(connection, row, given.completion_code, review_of(given))
        await write_entry(
            connection, caller.actor, "submission.transition", submission_id=submission_id, step=given.action
        )
    elif given.action in ("APPROVE", "REJECT"):
        await decide(connection, caller.actor, [row], given.action, review_of(given))
    return _describe_step(await get_submission(connection, caller, submission_id))


def _describe_step(row: SubmissionRow) -> dict[str, Any]:
    """A submission as a transition answers it."""
    return {
        "id": row.id,
        "completed_at": row.completed_at,
        "entered_code": row.entered_code,
        "participant": row.participant_id,
        "started_at": row.started_at,
        "status": row.status,
        "study_id": row.study_id,
    }


async def _complete(
    connection: Connection, row: SubmissionRow, text: str | None, review: Review | None
) -> None:
    """Store a researchers' code, and carry out its actions, once."""
    code = find_researcher_code(row.study_fields["completion_codes"], text)
    if code is None:
        raise invalid(
            "completion_code", "Must be one of the study's completion codes whose actor is researcher."
        )
    status, _ = state_of(row)
    if row.entered_code == text and status in COMPLETED:
        return
    if status not in COMPLETABLE:
        raise conflict(f"A submission that is {status} can't COMPLETE: submission {row.id}.")
    handling = handle(code)
    if handling.status != status:
        await set_decided(connection, [row], handling.status, review)
    await queries.set_entered_code(connection, row.id, text)
    await follow_groups(connection, row, handling)
    if handling.return_reasons is not None and row.return_requested is None:
        await queries.request_return(connection, [row.id], list(handling.return_reasons))


async def approve_many(connection: Connection, caller: Caller, given: BulkApproval) -> dict[str, Any]:
    """Approve all submissions that are named, or none.

    Named by id, each must be one that can be approved. Named by participant, those of theirs that wait for a review are
    approved.

    Raises:
        Problem: 400 naming what is unknown, or was rejected, returned or has no response; 403 when the caller may not
            review all of them; 409 for another state.
    """
    ids = given.submission_ids or []
    malformed = [text for text in ids if not is_uuid(text)]
    if malformed:
        raise invalid("submission_ids", f"There is no submission {malformed[0]}.")
    study_id = UUID(given.study_id) if given.study_id and is_uuid(given.study_id) else None
    if given.study_id and study_id is None:
        raise invalid("study_id", f"There is no study {given.study_id}.")
    if study_id is not None:  # first, because the errors below tell whether a participant took part
        unknown = invalid("study_id", f"There is no study {study_id} in your workspaces.")
        await require(connection, caller, Action.RESPONSES_REVIEW, study=study_id, unknown=unknown)
    wanted = [UUID(text) for text in ids]
    participants = given.participant_ids or []
    seen = await queries.find_many(connection, wanted, study_id, participants, caller.id)
    _require_found(set(wanted) - {row.id for row in seen}, "submission_ids", "submission")
    for study in sorted({row.study_id for row in seen} - {study_id}):
        await require(connection, caller, Action.RESPONSES_REVIEW, study=study)
    for collection_id in sorted({row.collection_id for row in seen}):
        await lock_counter(connection, collection_id)
    rows = await queries.find_many(connection, wanted, study_id, participants, caller.id, lock=True)
    meant = _meant_by_id(rows) if ids else _meant_by_participant(rows, participants)
    pending = [row for row in meant if row.status != "APPROVED"]
    await decide(connection, caller.actor, pending, "APPROVE", None)
    return {
        "message": f"{say_count(len(pending), 'submission')} approved.",
        "submission_ids": [row.id for row in meant],
    }


def _meant_by_id(rows: list[SubmissionRow]) -> list[SubmissionRow]:
    """The submissions that are named by id. Raises a 400 naming those that can't be approved in bulk."""
    refused = [
        f"Submission {row.id} " + (f"is {row.status}." if row.status in NEVER_IN_BULK else "has no response.")
        for row in rows
        if row.status != "APPROVED" and (row.status in NEVER_IN_BULK or row.response != "active")
    ]
    if refused:
        raise Problem(INVALID, {"submission_ids": refused})
    for row in rows:
        is_pending(row, "APPROVE")
    return rows


def _meant_by_participant(rows: list[SubmissionRow], participants: list[str]) -> list[SubmissionRow]:
    """The participants' submissions that wait for a review or are approved. Raises a 400 naming who has neither."""
    meant = [
        row
        for row in rows
        if row.status in ("APPROVED", "AWAITING REVIEW")
        or (row.status == "TIMED-OUT" and row.response == "active")
    ]
    having = {row.participant_id for row in meant}
    missing = [
        f"Participant {participant} has no submission to this study that awaits review."
        for participant in dict.fromkeys(participants)
        if participant not in having
    ]
    if missing:
        raise Problem(INVALID, {"participant_ids": missing})
    return meant


def _require_found(missing: set[Any], field: str, kind: str) -> None:
    if missing:
        raise invalid(field, f"There is no {kind} {sorted(map(str, missing))[0]} in your studies.")


async def request_return(
    connection: Connection, caller: Caller, submission_id: UUID, reasons: list[str]
) -> dict[str, Any]:
    """Ask the participant to return their submission. From then on they may, even after submitting.

    Raises:
        Problem: 404; 403; 409 when its state has no such step.
    """
    row = await get_submission(connection, caller, submission_id, Action.RESPONSES_REVIEW, lock=True)
    await decide(connection, caller.actor, [row], "REQUEST_RETURN", {"reasons": reasons})
    row = await get_submission(connection, caller, submission_id)
    return {
        "id": row.id,
        "status": row.status,
        "participant": row.participant_id,
        "return_requested": row.return_requested,
    }


async def erase_submission(
    context: Context, caller: Caller, submission_id: UUID, batch: UUID | None = None
) -> int:
    """Erase a participant's data: answers, files, and every export that contains them; returns the number of these
    exports.

    Args:
        batch: of those that were asked for together.

    Raises:
        Problem: as `lifecycle.erase`.
        StorageUnavailable: storage can't delete or list right now. The erasure stands; deleting is tried again until it
            succeeds.
    """
    async with context.database.transaction() as connection:
        export_ids = await lifecycle.erase(connection, caller, submission_id, batch)
    await require_withdrawn(context, export_ids)
    await keep_erasure(context, submission_id)
    return len(export_ids)
