"""What every request and job of a process shares."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from fieldpack.server.caches import Caches
from fieldpack.server.config import Settings
from fieldpack.server.db.pool import Connection, Database
from fieldpack.server.machine.reserve import Reserve
from fieldpack.server.machine.turns import Turns
from fieldpack.server.notices import Notices
from fieldpack.server.storage import Storage

__all__ = ["Context"]


@dataclass(frozen=True, slots=True)
class Context:
    """What one process shares: settings, database, storage, notices between processes, and what is kept in memory.

    `upgraded_at`: when an installation from before `__Host-` cookies was brought up to date; None for others.
    """

    settings: Settings
    database: Database
    storage: Storage
    notices: Notices
    upgraded_at: datetime | None
    reserve: Reserve
    caches: Caches = field(default_factory=Caches)
    turns: Turns = field(default_factory=Turns)

    @asynccontextmanager
    async def saving(self) -> AsyncIterator[Connection]:
        """A transaction in which a participant's work is saved, once it is its turn.

        Raises:
            Problem: 503, as `Turns.saving`.
            PoolTimeout, psycopg.OperationalError: as `Database.transaction`.
        """
        async with self.turns.saving(), self.database.transaction() as connection:
            yield connection
