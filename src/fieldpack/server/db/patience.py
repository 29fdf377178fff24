"""How long a request waits for PostgreSQL: as long as it answers, not much longer when it does not.

A server that hangs (its processes stopped, its machine frozen, the network swallowing packets) keeps a query waiting
for ever, and no setting of the server's own helps. So a request whose answer is late asks on another connection: when
nobody answers there either, it hangs up. A query that PostgreSQL says it is at work on goes on: it may be a long list
on a busy machine, or wait for a lock while a table is written anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool

__all__ = ["PatientConnection", "Probe", "keep_alive"]

LOOK_SECONDS = 2.5  # after which PostgreSQL is asked whether it still answers
ASK_SECONDS = 2.0  # within which it must answer that
ASK_AGAIN_SECONDS = 1.0
LONGEST_SECONDS = 6.0
LONGEST_AT_WORK_SECONDS = 60.0
CHECK_SECONDS = 1.0
FRESH_SECONDS = 1.0  # so long after an answer another one is counted on

# A peer that is gone without a word is noticed within a minute.
KEEP_ALIVE = {
    "keepalives_idle": "20",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "40000",
}

T = TypeVar("T")


def keep_alive(url: str) -> str:
    """Connection parameters as in `url`, with those that notice a dead peer, unless it has its own."""
    given = conninfo_to_dict(url)
    return make_conninfo(url, **{name: value for name, value in KEEP_ALIVE.items() if name not in given})


def hang_up(connection: psycopg.AsyncConnection[Any]) -> None:
    """End a connection from this side: whoever waits for an answer on it gets an `OperationalError` at once.

    Cancelling the waiting task instead would ask the server to cancel its query, and wait for that.
    """
    with (
        contextlib.suppress(OSError, psycopg.Error),
        socket.socket(fileno=os.dup(connection.fileno())) as line,
    ):
        line.shutdown(socket.SHUT_RDWR)


class Probe:
    """Asks a PostgreSQL whether it answers, on a connection of its own; callers at the same time share one answer."""

    def __init__(self, url: str) -> None:
        self._url = make_conninfo(url, connect_timeout=2)
        self._asking: asyncio.Task[frozenset[int] | None] | None = None

    async def ask(self) -> frozenset[int] | None:
        """The process ids of the backends that run a query; None when there is no answer in time."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="probe")
        return await asyncio.shield(self._asking)

    async def _ask(self) -> frozenset[int] | None:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + ASK_SECONDS
        try:
            async with asyncio.timeout_at(ends_at):
                connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
        except (psycopg.Error, TimeoutError):
            return None
        end = loop.call_at(ends_at, hang_up, connection)
        try:
            async with connection:
                cursor = await connection.execute("SELECT pid FROM pg_stat_activity WHERE state = 'active'")
                return frozenset(row[0] for row in await cursor.fetchall())
        except psycopg.Error:
            return None
        finally:
            end.cancel()


class PatientConnection(psycopg.AsyncConnection[DictRow]):
    """A connection on which no step takes much longer than `LONGEST_SECONDS`, unless PostgreSQL is at work on it.

    What takes too long fails with `OperationalError`, and the connection is lost. A step is a statement, or a piece of
    what a `COPY` transfers.

    Attributes:
        probe: set by the pool; without one every step may take for ever.
    """

    probe: Probe | None = None
    _checking = False
    _answered_at = 0.0  # on the clock of the event loop

    async def check(self) -> None:
        """Raise `OperationalError` unless it answers right now. One that did a moment ago is not asked again, unless
        there is something to read on it, such as that the other side has hung up."""
        if asyncio.get_running_loop().time() - self._answered_at < FRESH_SECONDS and not self._is_readable():
            return
        self._checking = True
        try:
            await AsyncConnectionPool.check_connection(self)
        finally:
            self._checking = False

    def _is_readable(self) -> bool:
        looking = select.poll()
        looking.register(self.fileno(), select.POLLIN)
        return bool(looking.poll(0))

    async def wait(self, *arguments: Any, **options: Any) -> Any:
        """What every step passes through, in psycopg."""
        if self.probe is None:
            return await super().wait(*arguments, **options)
        loop = asyncio.get_running_loop()
        watch: asyncio.Task[None] | None = None

        def look() -> None:
            nonlocal watch
            watch = loop.create_task(self._watch(), name="patience")

        late = (
            loop.call_later(CHECK_SECONDS, hang_up, self)
            if self._checking
            else loop.call_later(LOOK_SECONDS, look)
        )
        try:
            outcome = await super().wait(*arguments, **options)
            self._answered_at = loop.time()
            return outcome
        finally:
            late.cancel()
            if watch is not None:
                watch.cancel()

    async def _watch(self) -> None:
        assert self.probe is not None
        loop = asyncio.get_running_loop()
        began = loop.time() - LOOK_SECONDS
        while (at_work := await self.probe.ask()) is not None:
            waited = loop.time() - began
            longest = LONGEST_AT_WORK_SECONDS if self.info.backend_pid in at_work else LONGEST_SECONDS
            if waited >= longest:
                break
            await asyncio.sleep(min(ASK_AGAIN_SECONDS, longest - waited))
        hang_up(self)
