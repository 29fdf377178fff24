"""The chain: every second what was written is sealed, each entry by a hash over the one before and itself.

Requests write entries without waiting for each other, so ids are not the order in which transactions commit: one that
began earlier may show its entry later. So the order is the sealer's own. It looks at every entry that is new, and again
at those of the last minutes for what was late; now and then at all, for what was later still.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from datetime import datetime

import orjson
import psycopg
import structlog
from psycopg_pool import PoolTimeout

from fieldpack.errors import FieldpackError
from fieldpack.server.audit import queries
from fieldpack.server.audit.checkpoints import keep_checkpoint
from fieldpack.server.audit.rows import EntryRow
from fieldpack.server.audit.service import say_instant
from fieldpack.server.db.pool import Database
from fieldpack.server.storage import Storage

__all__ = ["Sealer", "encode_entry", "hash_entry", "seal_every_second"]

SEAL_SECONDS = 1.0
LATE_SECONDS = 300.0
LOOK_AT_ALL_SECONDS = 6 * 3600.0
BATCH = 2000

log = structlog.get_logger()


def encode_entry(entry: EntryRow, position: int, sealed_at: datetime) -> bytes:
    """What is hashed: JSON (RFC 8259) in UTF-8, names sorted, no spaces, times to the microsecond in UTC."""
    return orjson.dumps(
        {
            "action": entry.action,
            "actor_id": entry.actor_id,
            "actor_type": entry.actor_type,
            "address": entry.address,
            "at": say_instant(entry.at),
            "collection_id": entry.collection_id,
            "credential_id": entry.credential_id,
            "credential_type": entry.credential_type,
            "details": entry.details,
            "id": entry.id,
            "object_id": entry.object_id,
            "object_type": entry.object_type,
            "position": position,
            "sealed_at": say_instant(sealed_at),
            "subject_id": entry.subject_id,
            "workspace_id": entry.workspace_id,
        },
        option=orjson.OPT_SORT_KEYS,
    )


def hash_entry(before: bytes, encoded: bytes) -> bytes:
    """The hash of a link: SHA-256 over the hash before it and what `encode_entry` made."""
    return hashlib.sha256(before + encoded).digest()


class Sealer:
    """Seals for one process; of several, one has its turn at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._after = 0  # no entry up to this id is unsealed
        self._looked_at_all = float("-inf")
        self._seen: deque[tuple[float, int]] = deque()  # when which id was the last

    async def seal(self) -> int:
        """Seal what is there; how many entries. 0 while another process is at it."""
        sealed = 0
        while (count := await self._seal_batch()) == BATCH:
            sealed += count
        return sealed + count

    async def _seal_batch(self) -> int:
        async with self._database.transaction() as connection:
            if not await queries.take_turn(connection):
                return 0
            after = self._begin()
            last = await queries.find_last_id(connection)
            entries = await queries.list_unsealed(connection, after, BATCH)
            if entries:
                head = await queries.get_head(connection)
                before, hashes = head.hash, []
                for position, entry in enumerate(entries, head.position + 1):
                    before = hash_entry(before, encode_entry(entry, position, head.now))
                    hashes.append(before)
                ids = [entry.id for entry in entries]
                await queries.insert_seals(connection, head.position + 1, head.now, ids, hashes)
        if len(entries) < BATCH:
            self._end(last)
        return len(entries)

    def _begin(self) -> int:
        now = time.monotonic()
        if now - self._looked_at_all > LOOK_AT_ALL_SECONDS:
            return 0
        while self._seen and now - self._seen[0][0] > LATE_SECONDS:
            self._after = self._seen.popleft()[1]
        return self._after

    def _end(self, last: int) -> None:
        now = time.monotonic()
        if now - self._looked_at_all > LOOK_AT_ALL_SECONDS:
            self._looked_at_all = now
        if not self._seen or self._seen[-1][1] != last:
            self._seen.append((now, last))


async def seal_every_second(database: Database, storage: Storage) -> None:
    """Seal until cancelled, and keep a checkpoint for each day."""
    sealer = Sealer(database)
    kept = ""
    while True:
        try:
            await sealer.seal()
            kept = await keep_checkpoint(database, storage, kept)
        except (psycopg.Error, PoolTimeout, FieldpackError, OSError) as error:
            log.warning("audit.unsealed", error=str(error).strip())
        await asyncio.sleep(SEAL_SECONDS)
