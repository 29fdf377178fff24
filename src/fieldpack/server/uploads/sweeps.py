"""What is cleared away in time: uploads that were abandoned, and objects that no row refers to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

from ..collections.queries import transaction_time
from ..context import Context
from ..db.pool import Connection, Database
from ..installation_queries import find_restored
from ..routing import is_uuid
from ..storage import StoredObject
from . import queries
from .service import remove_uploads

__all__ = ["find_orphans", "list_known", "remove_orphans", "sweep_abandoned"]

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
            return [row["id"] for row in rows]
        for row in rows:
            async with database.transaction() as connection:
                await queries.lock_study(connection, row["study_id"])
                await queries.lock_submission(connection, row["submission_id"])
                if await queries.is_abandoned(connection, row["id"], days):
                    swept += await remove_uploads(
                        connection, row["study_id"], row["submission_id"], [row["id"]]
                    )
        if len(rows) < BATCH:
            return swept


async def find_orphans(
    context: Context, hours: float, *, with_restored: bool = False
) -> AsyncIterator[list[StoredObject]]:
    """Objects older than `hours` that no row refers to, a page at a time, over everything that is stored.

    An object's row is there before it, so what has none, and is not brand new, never gets one. But after the database
    was taken back to an earlier time, rows of what was stored before that may be lost: such objects are left out
    unless `with_restored`.
    """
    async with context.database.transaction() as connection:
        restored_at = await find_restored(connection)
    for prefix in ("blobs/", "uploads/", "exports/"):
        async for page in context.storage.iter_objects(prefix):
            async with context.database.transaction() as connection:
                before = await transaction_time(connection) - timedelta(hours=hours)
                old = [
                    entry
                    for entry in page
                    if entry.modified_at < before
                    and (with_restored or restored_at is None or entry.modified_at > restored_at)
                ]
                known = await list_known(connection, prefix, [entry.key for entry in old])
            orphans = [entry for entry in old if entry.key not in known]
            if orphans:
                yield orphans


async def list_known(connection: Connection, prefix: str, keys: list[str]) -> set[str]:
    """Which of these keys some row needs. A key that is not one of ours is left alone: someone else's."""
    parts = {key: key.split("/") for key in keys}
    at = {"blobs/": 2, "uploads/": 1, "exports/": 1}[prefix]
    ids = {key: UUID(part[at]) for key, part in parts.items() if len(part) > at and is_uuid(part[at])}
    foreign = set(keys) - set(ids)
    if prefix == "exports/":
        builds = await queries.list_known_builds(connection, list(set(ids.values())))
        return foreign | {
            key
            for key, id in ids.items()
            if (str(id), parts[key][2]) in {(str(a), str(b)) for a, b in builds}
        }
    chunks = await queries.list_known_keys(connection, keys)
    if prefix == "uploads/":
        return foreign | chunks
    uploads = await queries.list_known_uploads(connection, list(ids.values()))
    return foreign | chunks | {key for key, id in ids.items() if id in uploads}


async def remove_orphans(context: Context, hours: float) -> int:
    """Delete orphans; how many there were."""
    removed = 0
    async for page in find_orphans(context, hours):
        await context.storage.delete([entry.key for entry in page])
        removed += len(page)
    return removed
