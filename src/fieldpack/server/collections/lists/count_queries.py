"""SQL that adds to the counts of collections what differs from them."""

from __future__ import annotations

from fieldpack.server.db.pool import Connection

__all__ = ["COUNTS", "add_differences"]

COUNTS = (
    "started",
    "under_way",
    "responses",
    "review",
    "approved",
    "rejected",
    "returned",
    "timed_out",
    "erased",
    "files",
)
"""What is counted of a collection: columns of `collection_counts`, and of what differs from them."""

_NAMES = ", ".join(COUNTS)
_SUMS = ", ".join(f"sum({name})" for name in COUNTS)
_ADDED = ", ".join(f"{name} = k.{name} + excluded.{name}" for name in COUNTS)


async def add_differences(connection: Connection, most: int) -> int:
    """Add up to so many differences to the counts, in one statement: who reads sees them once, before and after.

    Those of a collection that is gone are dropped. Locks the differences that it takes, those that another process has
    locked left to it, and the counts, in the order of their collections.

    Returns:
        How many there were.
    """
    cursor = await connection.execute(
        f"""
        WITH gone AS (
            DELETE FROM collection_differences d USING (
                SELECT id FROM collection_differences ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED) taken
            WHERE d.id = taken.id RETURNING d.*
        ), known AS (
            SELECT g.* FROM gone g JOIN collections c ON c.id = g.collection_id
        ), counts AS (
            INSERT INTO collection_counts AS k (collection_id, {_NAMES})
            SELECT collection_id, {_SUMS} FROM known GROUP BY 1 ORDER BY 1
            ON CONFLICT (collection_id) DO UPDATE SET {_ADDED}
        ), days AS (
            INSERT INTO collection_days AS k (collection_id, day, responses)
            SELECT collection_id, day, sum(responses) FROM known WHERE day IS NOT NULL
            GROUP BY 1, 2 HAVING sum(responses) <> 0 ORDER BY 1, 2
            ON CONFLICT (collection_id, day) DO UPDATE SET responses = k.responses + excluded.responses
        )
        SELECT count(*) AS count FROM gone
        """,
        [most],
    )
    row = await cursor.fetchone()
    assert row is not None
    count: int = row["count"]
    return count
