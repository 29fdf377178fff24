"""The rules of lists of collections: whose, which of them, and what is said of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from psycopg.errors import DataError

from fieldpack.server.accounts.permissions.authorization import require_somewhere, roles_that
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.collections.lists import queries
from fieldpack.server.collections.lists.filters import CollectionFilter
from fieldpack.server.collections.rows import CollectionRow, LatestRow, SummaryRow
from fieldpack.server.db.pool import Connection
from fieldpack.server.http.listing import read_cursor, write_cursor
from fieldpack.server.problems import invalid

__all__ = ["DAYS", "LatestPage", "Listed", "list_collections", "list_latest"]

DAYS = 30
"""How far back completions are shown, today included."""


async def list_collections(
    connection: Connection,
    caller: Caller,
    workspace_id: UUID,
    wanted: CollectionFilter,
    limit: int,
    offset: int,
    *,
    project_id: UUID | None = None,
    order: str = "created",
) -> tuple[list[CollectionRow], int]:
    """The collections of a workspace that the caller may see, and how many they are.

    Args:
        project_id: only those that a study of this project is of.
        order: one of `queries.ORDERS`: newest first, or by what happened last.

    Raises:
        Problem: 403 and 404 as `require_somewhere` says; 400 for another order.
    """
    if order not in queries.ORDERS:
        raise invalid("sort", f"Must be one of {', '.join(queries.ORDERS)}.")
    await require_somewhere(connection, caller, Action.COLLECTION_READ, workspace_id)
    roles = roles_that(caller, Action.COLLECTION_READ)
    return await queries.list_collections(
        connection, workspace_id, caller.id, roles, wanted, limit, offset, project_id=project_id, order=order
    )


@dataclass(frozen=True, slots=True)
class Listed:
    """A collection in a list by what happened last.

    Attributes:
        row: the collection.
        summary: what there is of it.
        days: how many responses were completed on each of the last `DAYS` days, oldest first.
    """

    row: LatestRow
    summary: SummaryRow
    days: list[tuple[date, int]]


@dataclass(frozen=True, slots=True)
class LatestPage:
    """A page of that list; the cursors of the pages before and after it, None at its ends."""

    collections: list[Listed]
    before: str | None
    after: str | None


async def list_latest(
    connection: Connection,
    caller: Caller,
    workspace_ids: Sequence[UUID],
    wanted: CollectionFilter,
    limit: int,
    *,
    after: str | None = None,
    before: str | None = None,
) -> LatestPage:
    """A page of the caller's collections, latest first: the first, the one after a cursor, or the one before one.

    Args:
        workspace_ids: in which; of one in which the caller may see none, none are found.

    Raises:
        Problem: 400 for a cursor that is none.
    """
    backwards = before is not None
    name, text = ("upto", before) if backwards else ("after", after)
    place = read_cursor(name, text) if text else None
    roles = roles_that(caller, Action.COLLECTION_READ)
    try:
        async with connection.transaction():
            found = await queries.list_latest(
                connection,
                list(workspace_ids),
                caller.id,
                roles,
                wanted,
                limit + 1,
                place,
                backwards=backwards,
            )
    except DataError:
        raise invalid(name, "This cursor is of another list.") from None
    more = len(found) > limit
    rows = (found[1:] if backwards else found[:limit]) if more else found
    ids = [row.id for row in rows]
    summaries = await queries.summarise(connection, ids)
    today = datetime.now(UTC).date()
    since = today - timedelta(days=DAYS - 1)
    completed = {
        (row.collection_id, row.day): row.count
        for row in await queries.list_completed(connection, ids, since)
    }
    days = [since + timedelta(days=number) for number in range(DAYS)]
    has_before, has_after = (more, bool(rows)) if backwards else (place is not None and bool(rows), more)
    return LatestPage(
        [
            Listed(row, summaries[row.id], [(day, completed.get((row.id, day), 0)) for day in days])
            for row in rows
            if row.id in summaries  # deleted a moment ago
        ],
        write_cursor(rows[0].place) if has_before else None,
        write_cursor(rows[-1].place) if has_after else None,
    )
