"""SQL of the log of changes. What writes it are triggers (its migration), in the transaction that makes the change."""

from __future__ import annotations

from fieldpack.server.db.pool import Connection


async def remove_changes(connection: Connection, days: float) -> int:
    """Forget what happened longer ago than this; how much that was."""
    cursor = await connection.execute(
        "DELETE FROM changes WHERE at < now() - make_interval(secs => %s)", [days * 86400]
    )
    return cursor.rowcount
