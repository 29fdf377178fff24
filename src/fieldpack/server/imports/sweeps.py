"""What is cleared away in time: imports that nobody has come back to."""

from __future__ import annotations

from uuid import UUID

from fieldpack.server.db.pool import Database
from fieldpack.server.imports import queries

__all__ = ["sweep_unfinished"]


async def sweep_unfinished(database: Database, days: float, *, dry_run: bool = False) -> list[UUID]:
    """Remove what unfinished imports have made, of which nothing was heard for `days`; their ids. Files that a killed
    one has left without rows go at once."""
    async with database.transaction() as connection:
        found = await queries.list_unfinished(connection, days)
    if dry_run:
        return [row.id for row in found]
    async with database.transaction() as connection:
        if await queries.has_left(connection) and await queries.is_idle(connection):
            await queries.throw_away_left(connection)
    swept = []
    for each in found:
        async with database.transaction() as connection:
            row = await queries.find_import(connection, each.id, lock=True)
            if row is None or row.completed_at is not None or row.updated_at != each.updated_at:
                continue
            if await queries.is_idle(connection):
                await queries.delete_import(connection, row)
                swept.append(row.id)
    return swept
