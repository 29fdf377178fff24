"""SQL of the log of changes. What writes it are triggers (its migration), in the transaction that makes the change."""

from __future__ import annotations

from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.changes.rows import ChangeRow
from fieldpack.server.db.columns import columns_of
from fieldpack.server.db.pool import Connection


async def list_changes(
    connection: Connection, collection_id: UUID, after: int, limit: int
) -> list[ChangeRow]:
    """What happened to a collection and all of its own after a change, oldest first.

    Only what no running transaction can come before: whoever goes on from the last one's id misses nothing.
    """
    cursor = await connection.cursor(row_factory=class_row(ChangeRow)).execute(
        f"""
        SELECT {columns_of(ChangeRow, "c")} FROM changes c
        WHERE collection_id = %s AND id > %s AND transaction < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY id LIMIT %s
        """,
        [collection_id, after, limit],
    )
    return await cursor.fetchall()


async def remove_changes(connection: Connection, days: float) -> int:
    """Forget what happened longer ago than this; how much that was."""
    cursor = await connection.execute(
        "DELETE FROM changes WHERE at < now() - make_interval(secs => %s)", [days * 86400]
    )
    return cursor.rowcount
