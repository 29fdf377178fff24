"""SQL of the log of changes. What writes it are triggers (its migration), in the transaction that makes the change."""

from __future__ import annotations

from fieldpack.server.db.pool import Connection, fetch_count


async def remove_changes(connection: Connection, days: float, *, dry_run: bool = False) -> int:
    """Forget what happened longer ago than this; how much that was. With `dry_run` only say it."""
    old = "FROM changes WHERE at < now() - make_interval(secs => %s)"
    if dry_run:
        return await fetch_count(connection, f"SELECT count(*) {old}", [days * 86400])
    return (await connection.execute(f"DELETE {old}", [days * 86400])).rowcount
