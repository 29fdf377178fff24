"""The rules of assigning: a share of what a view shows, to somebody who may review it.

Shares are drawn by the submissions' ids, which are random, so none has only the first or the slowest who took part.
"""

from __future__ import annotations

import math
from typing import Any
from uuid import UUID

from fieldpack.server.accounts.addresses import fold
from fieldpack.server.accounts.permissions.authorization import require
from fieldpack.server.accounts.permissions.roles import ALLOWED, Action, Role
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import write_entry
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import invalid
from fieldpack.server.responses.queries import list_matching
from fieldpack.server.responses.service import View
from fieldpack.server.submissions.assignments import queries
from fieldpack.server.submissions.assignments.rows import ReviewerRow

__all__ = ["assign_share", "describe_reviewer", "list_reviewers", "unassign"]

MOST_AT_ONCE = 100_000
REVIEWERS = [role for role in Role if Action.RESPONSES_REVIEW in ALLOWED[role]]


async def list_reviewers(connection: Connection, caller: Caller, collection_id: UUID) -> list[ReviewerRow]:
    """Those to whom a collection's submissions can be assigned, by name.

    Raises:
        Problem: 404; 403.
    """
    await require(connection, caller, Action.RESPONSES_READ, collection=collection_id)
    return await queries.list_reviewers(connection, collection_id, REVIEWERS)


async def assign_share(
    connection: Connection, caller: Caller, view: View, reviewer: str, percent: float
) -> int:
    """Assign a share of what a view shows to a reviewer; how many submissions that is. What is assigned to somebody
    already stays theirs, so 50 % for one and 50 % for another is all of it.

    Args:
        reviewer: an id or an e-mail address; `me` is the caller.
        percent: of all that the view shows, above 0 and at most 100; a fraction of a submission is rounded up.

    Raises:
        Problem: 400 for somebody who may not review there, or more than can be assigned at once; 404; 403.
    """
    await require(connection, caller, Action.RESPONSES_REVIEW, collection=view.collection.id)
    found = await _find_reviewer(connection, caller, view.collection.id, reviewer)
    matching = await _list_matching(connection, view)
    taken = {row.submission_id for row in await queries.list_assigned(connection, matching)}
    share = [id for id in matching if id not in taken][: math.ceil(len(matching) * percent / 100)]
    count = await queries.insert_assignments(connection, share, found, caller.id) if share else 0
    await write_entry(
        connection,
        caller.actor,
        "assignment.create",
        member_id=found,
        collection_id=view.collection.id,
        count=count,
        **view.wanted.as_details(),
    )
    return count


async def unassign(connection: Connection, caller: Caller, view: View) -> int:
    """Assign what a view shows to nobody; how many submissions were somebody's.

    Raises:
        Problem: 400 for more than can be done at once; 404; 403.
    """
    await require(connection, caller, Action.RESPONSES_REVIEW, collection=view.collection.id)
    count = await queries.delete_assignments(connection, await _list_matching(connection, view))
    await write_entry(
        connection,
        caller.actor,
        "assignment.delete",
        collection_id=view.collection.id,
        count=count,
        **view.wanted.as_details(),
    )
    return count


async def _list_matching(connection: Connection, view: View) -> list[UUID]:
    matching = await list_matching(connection, view.collection.id, view.wanted, MOST_AT_ONCE + 1)
    if len(matching) > MOST_AT_ONCE:
        raise invalid("share", f"At most {MOST_AT_ONCE:,} submissions at once: narrow the filter.")
    return matching


async def _find_reviewer(connection: Connection, caller: Caller, collection_id: UUID, reviewer: str) -> UUID:
    """The id of somebody who may review a collection's submissions."""
    wanted = str(caller.id) if reviewer.strip() == "me" else fold(reviewer.strip())
    for row in await queries.list_reviewers(connection, collection_id, REVIEWERS):
        if wanted in (str(row.id), fold(row.email)):
            return row.id
    raise invalid("reviewer", "Must be the id or the e-mail address of somebody who may review here.")


def describe_reviewer(row: ReviewerRow) -> dict[str, Any]:
    """A reviewer as the API answers them."""
    return {
        "id": row.id,
        "name": row.name,
        "email": row.email,
        "assigned": row.assigned,
        "waiting": row.waiting,
    }
