"""SQL of tickets that are good for one time."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from fieldpack.server.db.pool import Connection, fetch_count

__all__ = ["is_used", "link_ticket", "sweep_used", "use_ticket"]


async def use_ticket(
    connection: Connection, id: str, expires_at: datetime, submission_id: UUID | None = None
) -> bool:
    """Use up a ticket, with what was begun or resumed by it; False when it was used before."""
    cursor = await connection.execute(
        """
        INSERT INTO used_tickets (id, expires_at, submission_id) VALUES (%s, %s, %s)
        ON CONFLICT (id) DO NOTHING RETURNING id
        """,
        [id, expires_at, submission_id],
    )
    return await cursor.fetchone() is not None


async def is_used(connection: Connection, id: str) -> bool:
    """Whether a ticket was used up."""
    cursor = await connection.execute("SELECT 1 FROM used_tickets WHERE id = %s", [id])
    return await cursor.fetchone() is not None


async def link_ticket(connection: Connection, id: str, submission_id: UUID) -> None:
    """Say which submission a used ticket led to, so that it is forgotten with that."""
    await connection.execute(
        "UPDATE used_tickets SET submission_id = %s WHERE id = %s AND submission_id IS NULL",
        [submission_id, id],
    )


async def sweep_used(connection: Connection, *, dry_run: bool = False) -> int:
    """Forget what has expired, and would be refused for that; how many those were. With `dry_run` only say it."""
    old = "FROM used_tickets WHERE expires_at < now() - interval '1 hour'"
    if dry_run:
        return await fetch_count(connection, f"SELECT count(*) {old}")
    return (await connection.execute(f"DELETE {old}")).rowcount
