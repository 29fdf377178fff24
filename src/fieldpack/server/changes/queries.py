"""SQL of the log of changes. What writes it are triggers (its migration), in the transaction that makes the change."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.db.pool import Connection, fetch_count

MOST_LATE = 1_000  # ids rise, but a smaller one may be committed later: how many before the newest are looked at again

# what this statement sees and %(snapshot)s did not; what a backup brought from elsewhere has numbers of transactions
# that are still to come here
NEWS = (
    "pg_visible_in_snapshot(transaction, pg_current_snapshot())"
    " AND NOT pg_visible_in_snapshot(transaction, %(snapshot)s::pg_snapshot)"
)


@dataclass(frozen=True, slots=True)
class LookRow:
    """What one look at the log saw."""

    snapshot: str  # as `pg_snapshot`: which transactions it saw
    newest: int  # id
    collection_ids: list[UUID]  # of what the look before did not see


async def look_for_changes(connection: Connection, before: LookRow | None) -> LookRow:
    """Which collections something was logged of since the look before; of none, if there was none."""
    cursor = await connection.cursor(row_factory=class_row(LookRow)).execute(
        f"""
        SELECT pg_current_snapshot()::text AS snapshot, coalesce(max(id), %(newest)s, 0) AS newest,
               coalesce(array_agg(DISTINCT collection_id) FILTER
                   (WHERE {NEWS}), '{{}}') AS collection_ids
        FROM changes
        WHERE id > coalesce(%(newest)s, (SELECT max(id) FROM changes), 0) - %(late)s
        """,
        {
            "snapshot": before.snapshot if before else None,
            "newest": before.newest if before else None,
            "late": MOST_LATE,
        },
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def remove_changes(connection: Connection, days: float, *, dry_run: bool = False) -> int:
    """Forget what happened longer ago than this; how much that was. With `dry_run` only say it."""
    old = "FROM changes WHERE at < now() - make_interval(secs => %s)"
    if dry_run:
        return await fetch_count(connection, f"SELECT count(*) {old}", [days * 86400])
    return (await connection.execute(f"DELETE {old}", [days * 86400])).rowcount
