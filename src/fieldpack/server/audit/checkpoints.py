"""Where the chain stood, day by day, kept outside the database: whoever cuts off its end, or makes it anew, is found.

One object a day in storage, `audit/checkpoints/<YYYY-MM-DD>.json`, put once and never changed: the last position, its
hash, and when that was. They go into backups too. Copies elsewhere, where this server can't write, prove the most.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from fieldpack.errors import BlobMissing
from fieldpack.server.audit import queries
from fieldpack.server.audit.rows import HeadRow
from fieldpack.server.audit.service import say_instant
from fieldpack.server.db.pool import Connection, Database
from fieldpack.server.storage import Storage

__all__ = [
    "PREFIX",
    "Checkpoint",
    "keep_checkpoint",
    "make_checkpoint",
    "parse_checkpoint",
    "read_checkpoints",
]

PREFIX = "audit/checkpoints/"
LARGEST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The end of the chain at a time.

    Attributes:
        at: when it was looked at, RFC 3339.
        position: of the last link then.
        hash: its hash, hexadecimal.
    """

    at: str
    position: int
    hash: str

    def line(self) -> bytes:
        """As a line of JSON."""
        content = {"at": self.at, "position": self.position, "hash": self.hash}
        return orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)


def _checkpoint(head: HeadRow) -> Checkpoint:
    return Checkpoint(say_instant(head.now), head.position, head.hash.hex())


async def make_checkpoint(connection: Connection) -> Checkpoint | None:
    """Where the chain stands now; None before its first link."""
    head = await queries.get_head(connection)
    return _checkpoint(head) if head.position else None


async def keep_checkpoint(database: Database, storage: Storage, kept: str) -> str:
    """Keep the first state of the chain that is seen on a day of UTC.

    Args:
        kept: the day that was kept last, as far as the caller knows, `YYYY-MM-DD`; '' for none.

    Returns:
        The day that is kept now.

    Raises:
        StorageError, psycopg.Error: not now.
    """
    async with database.transaction() as connection:
        head = await queries.get_head(connection)
    day = f"{head.now:%Y-%m-%d}"
    if day == kept or not head.position:
        return kept
    key = f"{PREFIX}{day}.json"
    try:
        await storage.size(key)
    except BlobMissing:
        await storage.put(key, _checkpoint(head).line())
    return day


async def put_checkpoints(storage: Storage, checkpoints: Iterable[Checkpoint]) -> None:
    """Put those of a backup back, beside any that are there.

    Raises:
        StorageError: not now.
    """
    for checkpoint in checkpoints:
        name = re.sub(r"[^0-9TZ]", "", checkpoint.at)
        await storage.put(f"{PREFIX}restored-{name}-{checkpoint.position}.json", checkpoint.line())


async def read_checkpoints(storage: Storage) -> tuple[list[Checkpoint], list[str]]:
    """All that are in storage, oldest first; and the keys of those that can't be read.

    Raises:
        StorageError: not right now.
    """
    found: list[Checkpoint] = []
    damaged: list[str] = []
    async for page in storage.iter_objects(PREFIX):
        for entry in page:
            size_bytes = min(entry.size_bytes, LARGEST_BYTES)
            try:
                found.append(parse_checkpoint(await storage.read_range(entry.key, 0, size_bytes)))
            except ValueError:
                damaged.append(entry.key)
    return sorted(found, key=lambda one: one.at), damaged


def parse_checkpoint(line: bytes) -> Checkpoint:
    """A checkpoint from a line of JSON.

    Raises:
        ValueError: it is none.
    """
    try:
        content: dict[str, Any] = orjson.loads(line)
        made = Checkpoint(str(content["at"]), int(content["position"]), str(content["hash"]))
        datetime.fromisoformat(made.at)
        bytes.fromhex(made.hash)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        raise ValueError("This is no checkpoint of the audit log.") from None
    return made
