"""Notices between processes: one connection that LISTENs, and an event for each that waits for news of an object.

What is told of: exports by their ids, and researchers whose sessions or roles changed. A notice may be lost (a restart
of the database, a dropped connection), so it is only ever a hint to look sooner: who waits also looks by itself from
time to time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import psycopg
import structlog

__all__ = ["CHANNEL", "Notices"]

CHANNEL = "fieldpack_exports"
CHANNELS = (CHANNEL, "fieldpack_access")  # the last is that of triggers (migration 36)
RECONNECT_SECONDS = 1.0

log = structlog.get_logger()


class Notices:
    """Wakes waiters of this process when another process (or this one) notifies about an object."""

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
    async def subscribed(
        self, object_id: str, event: asyncio.Event | None = None
    ) -> AsyncIterator[asyncio.Event]:
        """An event that is set when news of the object of this id arrives; clear it before looking.

        Args:
            event: one that is set for other things too, in place of a new one.
        """
        event = event or asyncio.Event()
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
                    for channel in CHANNELS:
                        await connection.execute(f"LISTEN {channel}")
                    for events in self._events.values():
                        for event in events:  # what was told of before this connection was not heard
                            event.set()
                    async for notice in connection.notifies():
                        for event in self._events.get(notice.payload, ()):
                            event.set()
            except psycopg.Error as error:
                log.debug("notices.reconnect", error=str(error))
            await asyncio.sleep(RECONNECT_SECONDS)
