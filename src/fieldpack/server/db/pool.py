"""Connections to PostgreSQL: an async pool for requests, a plain connection for job threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, LiteralString

import orjson
import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row, scalar_row
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from fieldpack.archive.records import dump_json
from fieldpack.server.db.cursors import SharingCursor
from fieldpack.server.db.patience import LOOK_SECONDS, PatientConnection, Probe, keep_alive
from fieldpack.server.db.server_role import as_owner

__all__ = ["Connection", "Database", "begin_in_pipeline", "end_in_pipeline", "fetch_count"]

Connection = psycopg.AsyncConnection[DictRow]

# pages are read at random nearly as quickly as in order: else what is planned while tables are small reads all of them
OPTIONS = "-c timezone=UTC -c random_page_cost=1.1"
QUEUE_SECONDS = 20.0
CONNECT_SECONDS = 5
RECONNECT_SECONDS = 5.0  # after it the next who wants a connection tries, rather than a back-off of minutes


async def fetch_count(
    connection: Connection, query: LiteralString, values: Sequence[Any] | Mapping[str, Any] = ()
) -> int:
    """The number that a query such as `SELECT count(*) …` answers."""
    row = await (await connection.cursor(row_factory=scalar_row).execute(query, values)).fetchone()
    return int(row or 0)


@asynccontextmanager
async def begin_in_pipeline(connection: Connection) -> AsyncIterator[None]:
    """A pipeline whose first statement begins the transaction, where none has begun: psycopg would wait for that one.

    To be the first that is done in `Database.transaction`, which ends it as any other.
    """
    begins = not connection.autocommit and connection.info.transaction_status is TransactionStatus.IDLE
    if begins:
        await connection.set_autocommit(True)
    async with connection.pipeline():
        if begins:
            await connection.execute("BEGIN")
        yield


async def end_in_pipeline(connection: Connection) -> None:
    """End a transaction by the last statement of a pipeline, without a round trip of its own."""
    await connection.execute("COMMIT")


class Database:
    """The pool of one process.

    Args:
        url: libpq URL or conninfo.
        max_size: most connections this process opens.
        patient: for requests: what takes too long fails (`patience.py`). Jobs wait as long as it takes.
    """

    def __init__(self, url: str, *, max_size: int = 16, patient: bool = False) -> None:
        self.url = keep_alive(url)
        self._probe = Probe(self.url) if patient else None
        self._returning: asyncio.Task[None] | None = None
        self.pool: AsyncConnectionPool[PatientConnection] = AsyncConnectionPool(
            self.url,
            connection_class=PatientConnection,
            min_size=1,
            max_size=max_size,
            open=False,
            timeout=QUEUE_SECONDS,
            reconnect_timeout=RECONNECT_SECONDS,
            check=PatientConnection.check,
            configure=self._configure,
            kwargs={
                "row_factory": dict_row,
                "cursor_factory": SharingCursor,
                "options": OPTIONS,
                "connect_timeout": CONNECT_SECONDS,
            },
        )

    async def _configure(self, connection: PatientConnection) -> None:
        """JSON is read by orjson, to which a number is at most a double: what it reads it can write again. It writes
        every script as it is, where `json` would take six bytes for a character of most."""
        set_json_loads(orjson.loads, connection)
        set_json_dumps(dump_json, connection)
        connection.probe = self._probe

    async def open(self) -> None:
        """Open the pool; raises `psycopg_pool.PoolTimeout` when no connection can be made."""
        await self.pool.open(wait=True)

    async def close(self) -> None:
        """Close all connections."""
        await self.pool.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One transaction: committed when the block ends, rolled back when it raises.

        Raises:
            PoolTimeout, psycopg.OperationalError: PostgreSQL does not answer, or all connections are in use for long.
        """
        connection = await self._take()
        try:
            if connection.autocommit:  # whoever had it before needed that
                await connection.set_autocommit(False)
            async with connection:
                yield connection
        finally:
            await self.pool.putconn(connection)

    @asynccontextmanager
    async def statements(self) -> AsyncIterator[Connection]:
        """A connection on which each statement is a transaction of its own, and so are those of each pipeline: without
        a BEGIN, all that is sent until a Sync is one (libpq's manual, Pipeline Mode).

        Raises:
            PoolTimeout, psycopg.OperationalError: as `transaction`.
        """
        connection = await self._take()
        try:
            if not connection.autocommit:
                await connection.set_autocommit(True)
            yield connection
        finally:
            await self.pool.putconn(connection)

    async def _take(self) -> PatientConnection:
        if self._probe is None:
            return await self.pool.getconn()
        if self.pool.get_stats()["pool_available"]:
            try:
                return await self.pool.getconn(LOOK_SECONDS)
            except PoolTimeout:  # those that were there do not answer
                await self._require_answer()
        taking = asyncio.create_task(self.pool.getconn())
        try:
            while not taking.done():
                await asyncio.wait({taking}, timeout=LOOK_SECONDS)
                if not taking.done():
                    await self._require_answer(taking)
        except BaseException:
            taking.add_done_callback(self._give_back)
            taking.cancel()
            raise
        return taking.result()

    async def _require_answer(self, taking: asyncio.Task[PatientConnection] | None = None) -> None:
        assert self._probe is not None
        if await self._probe.ask() is None and not (taking is not None and taking.done()):
            raise PoolTimeout("the database does not answer")

    def _give_back(self, taken: asyncio.Task[PatientConnection]) -> None:
        """Close a connection that no request waits for any more."""
        if not taken.cancelled() and taken.exception() is None:
            self._returning = asyncio.create_task(self.pool.putconn(taken.result()))

    def connect(self) -> psycopg.Connection[Any]:
        """A blocking connection of its own, in autocommit, for a job thread; close it after use."""
        return psycopg.connect(self.url, autocommit=True, options=OPTIONS)

    def connect_as_owner(self) -> psycopg.Connection[Any]:
        """The same as the role that owns the embedded database, for what clears its files."""
        return psycopg.connect(as_owner(self.url), autocommit=True, options=OPTIONS)
