"""Connections to PostgreSQL: an async pool for requests, a plain connection for job threads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool

__all__ = ["Connection", "Database"]

Connection = psycopg.AsyncConnection[DictRow]


async def _configure(connection: Connection) -> None:
    """JSON is read by orjson, to which a number is at most a double: what it reads it can write again."""
    set_json_loads(orjson.loads, connection)


class Database:
    """The pool of one process.

    Args:
        url: libpq URL or conninfo.
        max_size: most connections this process opens.
    """

    def __init__(self, url: str, *, max_size: int = 16) -> None:
        self.url = url
        self.pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=max_size,
            open=False,
            timeout=20,
            check=AsyncConnectionPool.check_connection,
            configure=_configure,
            kwargs={"row_factory": dict_row, "options": "-c timezone=UTC"},
        )

    async def open(self) -> None:
        await self.pool.open(wait=True)

    async def close(self) -> None:
        await self.pool.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        async with self.pool.connection() as connection:
            yield connection

    def connect(self) -> psycopg.Connection[Any]:
        """A blocking connection of its own, in autocommit, for a job thread; close it after use."""
        return psycopg.connect(self.url, autocommit=True, options="-c timezone=UTC")
