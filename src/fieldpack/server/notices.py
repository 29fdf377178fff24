"""Notices between processes: one connection that LISTENs, and an event for each waiter on an export.

A notice may be lost (a restarted database, a dropped connection), so it is only ever a hint to look
sooner: who waits also looks by itself once a second.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import psycopg
import structlog

__all__ = ["CHANNEL", "Notices"]

CHANNEL = "fieldpack_exports"
RECONNECT_SECONDS = 1.0

log = structlog.get_logger()


class Notices:
    """Wakes waiters of this process when another process (or this one) notifies about an export."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._events: dict[str, set[asyncio.Event]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Listen from now on, in a task of the running event loop."""
        self._task = asyncio.create_task(self._listen(), name="notices")

    async def stop(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @contextlib.asynccontextmanager
    async def subscribed(self, object_id: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set when news of the export of this id arrives; clear it before looking."""
        event = asyncio.Event()
        self._events.setdefault(object_id, set()).add(event)
        try:
            yield event
        finally:
            waiting = self._events[object_id]
            waiting.discard(event)
            if not waiting:
                del self._events[object_id]

    async def _listen(self) -> None:
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
                async with connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    async for notice in connection.notifies():
                        for event in self._events.get(notice.payload, ()):
                            event.set()
            except psycopg.Error as error:
                log.debug("notices.reconnect", error=str(error))
            await asyncio.sleep(RECONNECT_SECONDS)
