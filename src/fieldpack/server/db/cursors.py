"""A cursor that shares the event loop while it makes rows of a long result."""

from __future__ import annotations

import asyncio

import psycopg
from psycopg.rows import Row

__all__ = ["SharingCursor"]

ROWS_AT_ONCE = 500  # made into rows in a few milliseconds


class SharingCursor(psycopg.AsyncCursor[Row]):
    """As psycopg's own, but a long result is made into rows in steps, between which others have their turn.

    What was found has arrived when it is fetched, so psycopg makes rows of all of it without a pause: tens of thousands
    would hold up everybody whom the process serves, for a few tenths of a second.
    """

    async def fetchall(self) -> list[Row]:
        """All rows that are left."""
        rows = await self.fetchmany(ROWS_AT_ONCE)
        step = rows
        while len(step) == ROWS_AT_ONCE:
            await asyncio.sleep(0)
            step = await self.fetchmany(ROWS_AT_ONCE)
            rows += step
        return rows
