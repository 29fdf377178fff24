"""Whether what is sent may still be: asked while a download runs, as an erasure or deletion ends it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from uuid import UUID
from weakref import WeakValueDictionary

from fieldpack.server.context import Context
from fieldpack.server.exports import queries
from fieldpack.server.http.sending.stream import DownloadAborted
from fieldpack.server.machine.metrics import DOWNLOADS, LINK_ERRORS
from fieldpack.server.storage import Buffer, FileRange

__all__ = ["while_current"]

CHECK_SECONDS = 1.0


class _Currency:
    """Whether a build may still be sent: asked once a second for all downloads of it, however many."""

    def __init__(self) -> None:
        self.checked_at = time.monotonic()
        self._current = True
        self._lock = asyncio.Lock()

    async def check(self, context: Context, export_id: UUID, build: UUID, *, at_once: bool) -> bool:
        """The answer of a moment ago will do unless there was news."""
        async with self._lock:
            if at_once or time.monotonic() - self.checked_at > CHECK_SECONDS:
                async with context.database.transaction() as connection:
                    self._current = await queries.is_current(connection, export_id, build)
                self.checked_at = time.monotonic()
            return self._current


class _Currencies(WeakValueDictionary[UUID, _Currency]):
    """Those of the builds that are sent right now."""


async def while_current(
    context: Context, export_id: UUID, build: UUID, source: AsyncGenerator[Buffer | FileRange]
) -> AsyncGenerator[Buffer | FileRange]:
    """The bytes of `source`, as long as this build of the export may exist: an erasure or deletion ends the download.

    Raises:
        DownloadAborted: it may not any more.
    """
    currency = context.caches.get(_Currencies).setdefault(build, _Currency())
    with DOWNLOADS.track_inprogress():
        async with context.notices.subscribed(str(export_id)) as news, contextlib.aclosing(source) as chunks:
            async for chunk in chunks:
                if news.is_set() or time.monotonic() - currency.checked_at > CHECK_SECONDS:
                    told = news.is_set()
                    news.clear()
                    if not await currency.check(context, export_id, build, at_once=told):
                        LINK_ERRORS.labels("withdrawn").inc()
                        raise DownloadAborted("The export was withdrawn while it was being downloaded.")
                yield chunk
                del chunk  # its buffer is wanted for the next one
