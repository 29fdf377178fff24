"""Which collections something is logged of, for those of this process who wait to hear it.

The log is looked at twice a second while somebody waits. Nothing is done where the change is made: PostgreSQL lets
transactions that notify commit one after the other, each with a flush of its own, and participants would wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from fieldpack.server.changes import queries
from fieldpack.server.db.pool import Database

__all__ = ["News"]

PAUSE_SECONDS = 0.5  # between two looks

log = structlog.get_logger()


class News:
    """Wakes those who wait for a collection when something was logged of it. It may be missed, where one transaction
    ends long after a thousand later changes: who waits also looks by itself from time to time.
    """

    def __init__(self) -> None:
        self._events: dict[UUID, set[asyncio.Event]] = {}
        self._task: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def subscribed(self, database: Database, collection_id: UUID) -> AsyncIterator[asyncio.Event]:
        """An event that is set when something was logged of a collection; clear it before looking what it was."""
        event = asyncio.Event()
        self._events.setdefault(collection_id, set()).add(event)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look(database), name="news")
        try:
            yield event
        finally:
            waiting = self._events[collection_id]
            waiting.discard(event)
            if not waiting:
                del self._events[collection_id]
            if not self._events and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _look(self, database: Database) -> None:
        """Tell of what was logged since the last look, again and again."""
        seen = None
        while True:
            try:
                async with database.statements() as connection:
                    found = await queries.look_for_changes(connection, seen)
            except (psycopg.Error, PoolTimeout) as error:
                log.debug("news.again", error=str(error))
            else:
                # what came before the first look is not known
                changed = self._events if seen is None else found.collection_ids
                for collection_id in changed:
                    for event in self._events.get(collection_id, ()):
                        event.set()
                seen = found
            await asyncio.sleep(PAUSE_SECONDS)
