"""What is cleared away in time: uploads that were abandoned."""

from __future__ import annotations

from uuid import UUID

from fieldpack.server.db.pool import Database
from fieldpack.server.uploads import queries
from fieldpack.server.uploads.service import remove_uploads

__all__ = ["sweep_abandoned"]

BATCH = 500


async def sweep_abandoned(database: Database, days: float, *, dry_run: bool = False) -> list[UUID]:
    """Remove uploads that won't go on: without a byte for `days`, or of a returned submission; their ids.

    Failed ones, of which nothing is stored any more, go with them.
    """
    swept: list[UUID] = []
    while True:
        async with database.transaction() as connection:
            rows = await queries.list_abandoned(connection, days, BATCH)
        if dry_run:
            return [row.id for row in rows]
        for row in rows:
            async with database.transaction() as connection:
                await queries.lock_study(connection, row.study_id)
                await queries.lock_submission(connection, row.submission_id)
                if await queries.is_abandoned(connection, row.id, days):
                    swept += await remove_uploads(connection, row.study_id, row.submission_id, [row.id])
        if len(rows) < BATCH:
            return swept
