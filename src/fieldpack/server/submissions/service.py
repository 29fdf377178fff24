"""What researchers do with submissions: look, review, ask back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from ..accounts.service import Caller
from ..collections.queries import lock_counter, raise_counter
from ..db.pool import Connection
from ..problems import conflict, invalid, not_found
from ..routing import is_uuid
from . import queries
from .lifecycle import state_of
from .schemas import BulkApproval, SubmissionTransition

__all__ = ["approve_many", "describe_submission", "get_submission", "request_return", "transition"]

STATUSES = (
    "ACTIVE",
    "APPROVED",
    "AWAITING REVIEW",
    "REJECTED",
    "RESERVED",
    "RETURNED",
    "TIMED-OUT",
    "PARTIALLY APPROVED",
    "SCREENED OUT",
)
# action: states it leads from; in the state it leads to it changes nothing
ORIGINS = {
    "APPROVE": ("AWAITING REVIEW", "REJECTED", "PARTIALLY APPROVED", "TIMED-OUT"),
    "REJECT": ("AWAITING REVIEW", "PARTIALLY APPROVED", "TIMED-OUT"),
    "COMPLETE": ("ACTIVE",),
}
TARGETS = {"APPROVE": "APPROVED", "REJECT": "REJECTED", "COMPLETE": "AWAITING REVIEW"}


def describe_submission(row: dict[str, Any]) -> dict[str, Any]:
    """A submission as lists answer it."""
    completed: datetime | None = row["completed_at"]
    status, response = state_of(row)
    return {
        "id": row["id"],
        "participant_id": row["participant_id"],
        "participant": row["participant_id"],
        "study_id": row["study_id"],
        "started_at": row["started_at"],
        "completed_at": completed,
        "is_complete": completed is not None,
        "time_taken": int((completed - row["started_at"]).total_seconds()) if completed else 0,
        "reward": round(row["study_fields"].get("reward", 0)),
        "status": status,
        "study_code": row["study_code"],
        "entered_code": row["entered_code"],
        "return_requested": row["return_requested"],
        "response": response,
    }


async def get_submission(
    connection: Connection, caller: Caller, submission_id: UUID, *, lock: bool = False
) -> dict[str, Any]:
    """A submission to a study of the caller's."""
    row = await queries.find_submission(connection, submission_id, caller.id, lock=lock)
    if row is None:
        raise not_found("Submission", submission_id)
    return row


async def count_submissions(connection: Connection, study_id: UUID) -> dict[str, int]:
    """How many submissions are in each state; every state is there."""
    counts = await queries.count_by_status(connection, study_id)
    return {**{status: counts.get(status, 0) for status in STATUSES}, "TOTAL": sum(counts.values())}


def _require_origin(row: dict[str, Any], action: str) -> bool:
    """Whether there is something to do; 409 when the submission's state has no such step."""
    if row["status"] == TARGETS[action]:
        return False
    reviewable = row["status"] != "TIMED-OUT" or row["response"] == "active"
    if row["status"] not in ORIGINS[action] or not reviewable:
        raise conflict(f"A submission that is {row['status']} can't {action}: submission {row['id']}.")
    return True


async def _count_changes(connection: Connection, rows: Iterable[dict[str, Any]]) -> None:
    """Tell exports that a status they show has changed."""
    for collection_id in sorted({row["collection_id"] for row in rows if row["response"] == "active"}):
        await raise_counter(connection, collection_id)


async def transition(
    connection: Connection, caller: Caller, submission_id: UUID, given: SubmissionTransition
) -> dict[str, Any]:
    """Approve, reject or complete one submission."""
    seen = await get_submission(connection, caller, submission_id)
    await lock_counter(connection, seen["collection_id"])
    row = await get_submission(connection, caller, submission_id, lock=True)
    pending = _require_origin(row, given.action)
    if pending:
        await _count_changes(connection, [row])
    if pending or given.completion_code:
        review = {"message": given.message, "rejection_category": given.rejection_category}
        await queries.set_reviewed(
            connection,
            [submission_id],
            TARGETS[given.action],
            review if any(review.values()) else None,
            given.completion_code,
        )
    row = await get_submission(connection, caller, submission_id)
    return {
        "id": row["id"],
        "completed_at": row["completed_at"],
        "entered_code": row["entered_code"],
        "participant": row["participant_id"],
        "started_at": row["started_at"],
        "status": row["status"],
        "study_id": row["study_id"],
    }


async def approve_many(connection: Connection, caller: Caller, given: BulkApproval) -> dict[str, Any]:
    """Approve all of them, or none when one is unknown or in another state."""
    ids = given.submission_ids or []
    malformed = [text for text in ids if not is_uuid(text)]
    if malformed:
        raise invalid("submission_ids", f"There is no submission {malformed[0]}.")
    study_id = UUID(given.study_id) if given.study_id and is_uuid(given.study_id) else None
    if given.study_id and study_id is None:
        raise invalid("study_id", f"There is no study {given.study_id}.")
    wanted = [UUID(text) for text in ids]
    participants = given.participant_ids or []
    seen = await queries.find_many(connection, wanted, study_id, participants, caller.id)
    _require_found(set(wanted) - {row["id"] for row in seen}, "submission_ids", "submission")
    _require_found(
        set(participants) - {row["participant_id"] for row in seen}, "participant_ids", "participant"
    )
    await _count_changes(connection, [row for row in seen if _require_origin(row, "APPROVE")])
    seen = await queries.find_many(connection, wanted, study_id, participants, caller.id, lock=True)
    pending = [row for row in seen if _require_origin(row, "APPROVE")]
    await queries.set_reviewed(connection, [row["id"] for row in pending], "APPROVED", None, None)
    return {"message": f"{len(pending)} submissions approved.", "submission_ids": [row["id"] for row in seen]}


def _require_found(missing: set[Any], field: str, kind: str) -> None:
    if missing:
        raise invalid(field, f"There is no {kind} {sorted(map(str, missing))[0]} in your studies.")


async def request_return(
    connection: Connection, caller: Caller, submission_id: UUID, reasons: list[str]
) -> dict[str, Any]:
    """Ask the participant to return their submission; from then on they may, even after submitting."""
    row = await get_submission(connection, caller, submission_id, lock=True)
    if row["status"] == "RETURNED":
        raise conflict("This submission was returned already.")
    await queries.request_return(connection, submission_id, reasons)
    row = await get_submission(connection, caller, submission_id)
    return {
        "id": row["id"],
        "status": row["status"],
        "participant": row["participant_id"],
        "return_requested": row["return_requested"],
    }
