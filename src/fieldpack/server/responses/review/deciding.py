"""The rules of deciding on many: on all that a view shows and that waits for a review, or on those that were chosen.

What is done is what a transition of one submission does, by the same rules (`submissions/review/rules.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from fieldpack.server.accounts.permissions.authorization import require
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import conflict, invalid
from fieldpack.server.responses import queries
from fieldpack.server.responses.service import View
from fieldpack.server.selection.filters import MOST_CHOSEN, ResponseFilter
from fieldpack.server.submissions.notes.service import add_note
from fieldpack.server.submissions.review.rows import DecisionRow
from fieldpack.server.submissions.review.service import hold
from fieldpack.server.submissions.schemas import BulkApproval, HeldDecision
from fieldpack.server.submissions.service import approve_many

__all__ = [
    "MOST_AT_ONCE",
    "approve_matching",
    "count_reviewable",
    "hold_chosen",
    "hold_matching",
    "note_chosen",
]

MOST_AT_ONCE = 10_000


async def approve_matching(connection: Connection, caller: Caller, view: View, expected: int) -> int:
    """Approve all that a view shows and that wait for a review, at once; how many.

    Args:
        expected: how many the reviewer was told they are.

    Raises:
        Problem: 400 when they are others by now, or more than can be decided at once; 403.
    """
    found = await _list_reviewable(connection, caller, view)
    if len(found) != expected:
        raise invalid("count", _say_changed(len(found), expected))
    if found:
        given = BulkApproval(submission_ids=[str(each) for each in found])
        await approve_many(connection, caller, given)
    return len(found)


async def hold_matching(
    connection: Connection, caller: Caller, view: View, expected: int, given: HeldDecision
) -> DecisionRow:
    """Decide on all that a view shows and that wait for a review. The decision is held before it is made.

    Raises:
        Problem: 409 when they are others by now, or none; 400 for more than can be decided at once; 403.
    """
    found = await _list_reviewable(connection, caller, view)
    if len(found) != expected or not found:
        raise conflict(_say_changed(len(found), expected))
    return await hold(connection, caller, found, given)


def _say_changed(count: int, expected: int) -> str:
    if not count:
        return "Nothing that is shown waits for a review, or somebody is deciding on it already."
    return f"{count:,} wait for a review by now, not {expected:,}: look again, then decide."


async def _list_reviewable(connection: Connection, caller: Caller, view: View) -> list[UUID]:
    await require(connection, caller, Action.RESPONSES_REVIEW, collection=view.collection.id)
    found = await queries.list_reviewable(connection, view.collection.id, view.wanted, MOST_AT_ONCE + 1)
    if len(found) > MOST_AT_ONCE:
        raise invalid("count", f"At most {MOST_AT_ONCE:,} at once: narrow the filter.")
    return found


async def count_reviewable(connection: Connection, view: View) -> int:
    """How many of what a view shows wait for a review, without those on which a decision is held; counting ends beyond
    what can be decided at once."""
    return await queries.count_reviewable(connection, view.collection.id, view.wanted, MOST_AT_ONCE)


# those that were chosen


async def _require_chosen(
    connection: Connection, view: View, chosen: Sequence[UUID], action: Action
) -> list[UUID]:
    """Those that were chosen, once, all of this collection."""
    await require(connection, view.caller, action, collection=view.collection.id)
    ids = list(dict.fromkeys(chosen))
    if not ids:
        raise invalid("submission", "Choose at least one response.")
    if len(ids) > MOST_CHOSEN:
        raise invalid("submission", f"At most {MOST_CHOSEN} at once.")
    found = await queries.count_matching(
        connection, view.collection.id, ResponseFilter(submission=tuple(ids))
    )
    if found != len(ids):
        raise conflict("Some of these responses were erased meanwhile: look again, then decide.")
    return ids


async def hold_chosen(
    connection: Connection, view: View, chosen: Sequence[UUID], given: HeldDecision
) -> DecisionRow:
    """Decide on responses that were chosen, all or none. The decision is held before it is made.

    Raises:
        Problem: 400 without any; 409 when the state of one does not have the decision, somebody else is deciding on
            it, or it is no more; 403.
    """
    ids = await _require_chosen(connection, view, chosen, Action.RESPONSES_REVIEW)
    return await hold(connection, view.caller, ids, given)


async def note_chosen(connection: Connection, view: View, chosen: Sequence[UUID], text: str) -> int:
    """Write the same note about each of the responses that were chosen; how many.

    Raises:
        Problem: 400 without a text, 409 when one is no more.
    """
    ids = await _require_chosen(connection, view, chosen, Action.RESPONSES_READ)
    if not text:
        raise invalid("message", "A note needs a text.")
    for id in ids:
        await add_note(connection, view.caller, id, text)
    return len(ids)
