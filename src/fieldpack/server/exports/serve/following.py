"""Waiting until what a job makes is over: an export, or a conversion of one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar
from uuid import UUID

from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection

__all__ = ["wait_until_over"]

POLL_SECONDS = 1.0  # a notice may be lost


class Made(Protocol):
    """A row of what a job makes."""

    @property
    def status(self) -> str:
        """`generating` until it is over."""


Row = TypeVar("Row", bound=Made)


async def wait_until_over(
    context: Context, id: UUID, seconds: float, find: Callable[[Connection, UUID], Awaitable[Row | None]]
) -> Row | None:
    """The row once it is no longer generating, or as it is when the time is up; None when it is gone.

    Args:
        find: looks the row up by its id.
    """
    deadline = time.monotonic() + seconds
    async with context.notices.subscribed(str(id)) as news:
        while True:
            news.clear()
            async with context.database.transaction() as connection:
                found = await find(connection, id)
            left = deadline - time.monotonic()
            if found is None or found.status != "generating" or left <= 0:
                return found
            try:
                await asyncio.wait_for(news.wait(), min(left, POLL_SECONDS))
            except TimeoutError:
                continue
