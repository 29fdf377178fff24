"""What a decision does to submissions: the one place, for transitions, for many at once, and for what was held."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from fieldpack.server.audit.service import Actor, write_entries
from fieldpack.server.collections.queries import raise_counter
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import conflict
from fieldpack.server.submissions import queries
from fieldpack.server.submissions.rows import SubmissionRow
from fieldpack.server.submissions.schemas import HeldDecision, SubmissionTransition

__all__ = ["ORIGINS", "Decided", "Review", "decide", "is_pending", "review_of", "set_decided"]

Decided = Literal["APPROVE", "REJECT", "REQUEST_RETURN"]
Review = dict[str, Any]  # what was said with a decision
# action: states it leads from; in the state it leads to it changes nothing
ORIGINS = {
    "APPROVE": ("AWAITING REVIEW", "REJECTED", "PARTIALLY APPROVED", "TIMED-OUT"),
    "REJECT": ("AWAITING REVIEW", "PARTIALLY APPROVED", "TIMED-OUT"),
}
TARGETS = {"APPROVE": "APPROVED", "REJECT": "REJECTED"}


def is_pending(row: SubmissionRow, action: Decided) -> bool:
    """Whether a decision changes anything.

    Raises:
        Problem: 409 when the submission's state does not have it.
    """
    if action == "REQUEST_RETURN":
        if row.status == "RETURNED":
            raise conflict("This submission was returned already.")
        return True
    if row.status == TARGETS[action]:
        return False
    reviewable = row.status != "TIMED-OUT" or row.response == "active"
    if row.status not in ORIGINS[action] or not reviewable:
        raise conflict(f"A submission that is {row.status} can't {action}: submission {row.id}.")
    return True


def review_of(given: SubmissionTransition | HeldDecision) -> Review | None:
    """What is stored of a decision besides the status; None when nothing was said."""
    review: Review = {"message": given.message, "rejection_category": given.rejection_category}
    if isinstance(given, SubmissionTransition) and given.completion_code_data is not None:
        review["completion_code_data"] = given.completion_code_data.model_dump(exclude_none=True)
    return review if any(review.values()) else None


async def decide(
    connection: Connection,
    actor: Actor,
    rows: Sequence[SubmissionRow],
    action: Decided,
    review: Review | None,
) -> None:
    """Carry a decision out on all of these submissions, or on none; each has its entry in the audit log.

    The caller has locked the counters of their collections, and then them.

    Args:
        review: what was said with it, as `review_of` has it; for `REQUEST_RETURN` the `reasons`, a list of texts.

    Raises:
        Problem: 409 when the state of one does not have the decision.
    """
    pending = [row for row in rows if is_pending(row, action)]
    ids = [row.id for row in rows]
    if action == "REQUEST_RETURN":
        await queries.request_return(
            connection, [row.id for row in pending], (review or {}).get("reasons", [])
        )
        await write_entries(connection, actor, "submission.request_return", ids)
        return
    await set_decided(connection, pending, TARGETS[action], review)
    await write_entries(connection, actor, "submission.transition", ids, step=action)


async def set_decided(
    connection: Connection, rows: Sequence[SubmissionRow], status: str, review: Review | None
) -> None:
    """Store a decision on locked submissions, and raise the counter, because exports show the status."""
    for collection_id in sorted({row.collection_id for row in rows if row.response == "active"}):
        await raise_counter(connection, collection_id)
    await queries.set_reviewed(connection, [row.id for row in rows], status, review)
