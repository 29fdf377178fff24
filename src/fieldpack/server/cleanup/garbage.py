"""Stored objects whose rows are gone: deleted after the commit, and again until it worked.

Rows go first: a leftover object is swept, a lost one is not forgivable.
"""

from __future__ import annotations

import asyncio
import time

import structlog

from fieldpack.errors import StorageError, StorageUnavailable
from fieldpack.server.cleanup import garbage_queries as queries
from fieldpack.server.db.pool import Connection, Database
from fieldpack.server.storage import Storage

__all__ = ["collect_garbage", "count_garbage", "require_collected", "throw_away"]

BATCH = 1000
REQUIRED_SECONDS = 10.0
REQUIRED_POLL_SECONDS = 0.1

log = structlog.get_logger()


async def throw_away(connection: Connection, keys: list[str]) -> None:
    """Have objects deleted once the caller's transaction commits; a key that ends in `/` is a prefix."""
    await queries.insert_garbage(connection, keys)


async def count_garbage(database: Database) -> int:
    """How many keys or prefixes wait to be deleted."""
    async with database.transaction() as connection:
        return await queries.count_garbage(connection)


async def require_collected(database: Database, storage: Storage, prefixes: list[str]) -> None:
    """Collect garbage until nothing below `prefixes` is left of it, also where another process is at it.

    Raises:
        StorageUnavailable: storage does not let us; it is tried again every few seconds.
    """
    deadline = time.monotonic() + REQUIRED_SECONDS
    while True:
        await collect_garbage(database, storage)
        async with database.transaction() as connection:
            left = await queries.has_garbage(connection, prefixes)
        if not left:
            return
        if time.monotonic() > deadline:
            raise StorageUnavailable("Stored objects whose data was erased could not be deleted yet.")
        await asyncio.sleep(REQUIRED_POLL_SECONDS)


async def collect_garbage(database: Database, storage: Storage) -> int:
    """Delete what was thrown away, as far as storage lets us; how many keys are gone."""
    collected = 0
    while True:
        async with database.transaction() as connection:
            keys = await queries.take_garbage(connection, BATCH)
            if not keys:
                return collected
            try:
                await storage.delete([key for key in keys if not key.endswith("/")])
                for key in keys:
                    if key.endswith("/"):
                        await storage.delete_prefix(key)
            except StorageError as error:
                log.warning("garbage.kept", keys=len(keys), error=str(error))
                return collected
            await queries.delete_garbage(connection, keys)
            collected += len(keys)
