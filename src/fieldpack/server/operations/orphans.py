"""Stored objects that no row refers to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

from fieldpack.server.collections.queries import transaction_time
from fieldpack.server.context import Context
from fieldpack.server.installation.queries import find_restored
from fieldpack.server.storage import PREFIXES, StoredObject
from fieldpack.server.uploads.known import list_known

__all__ = ["find_orphans", "remove_orphans"]


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
    for prefix in PREFIXES:
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


async def remove_orphans(context: Context, hours: float) -> int:
    """Delete orphans; how many there were."""
    removed = 0
    async for page in find_orphans(context, hours):
        await context.storage.delete([entry.key for entry in page])
        removed += len(page)
    return removed
