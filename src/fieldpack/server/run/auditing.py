"""The audit log at the command line: listed, verified, exported."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from fieldpack.errors import FieldpackError, UsageError
from fieldpack.server.audit import queries, service
from fieldpack.server.audit.checkpoints import Checkpoint, parse_checkpoint, read_checkpoints
from fieldpack.server.audit.sealing import encode_entry
from fieldpack.server.audit.verification import Verdict, verify
from fieldpack.server.config import Settings
from fieldpack.server.db.pool import Connection
from fieldpack.server.installation.queries import find_restored
from fieldpack.server.run.administration import administer
from fieldpack.server.storage import open_storage

__all__ = ["export_log", "list_log", "parse_wanted", "verify_log"]


def parse_wanted(**given: str | None) -> service.Wanted:
    """Which entries are asked for, from options; see `service.parse_wanted`.

    Raises:
        UsageError: one of them is none of its kind.
    """
    try:
        return service.parse_wanted(**given)
    except service.UnclearFilter as error:
        raise UsageError(f"--{error.name}: {error}") from None


def list_log(settings: Settings, wanted: service.Wanted, limit: int) -> list[dict[str, Any]]:
    """The newest entries that are asked for, newest first."""

    async def work(connection: Connection) -> list[dict[str, Any]]:
        entries, _ = await service.list_entries(connection, None, wanted, limit, 0)
        return entries

    return administer(settings, work)


def verify_log(settings: Settings, files: Sequence[Path]) -> Verdict:
    """Look at the whole log, with the checkpoints in storage and those of `files`.

    Raises:
        FieldpackError: a file is none of checkpoints.
    """
    restored_at = administer(settings, find_restored)  # first, as opening storage makes its folder
    storage = open_storage(settings)
    try:
        checkpoints, damaged = asyncio.run(read_checkpoints(storage))
    finally:
        storage.close()
    for path in files:
        checkpoints += _read_lines(path)
    distinct = list(dict.fromkeys(checkpoints))
    verdict = administer(settings, lambda connection: verify(connection, distinct, restored_at))
    for key in damaged:
        verdict.add("checkpoint", 0, None, f"The checkpoint {key} in storage can't be read.")
    return verdict


def _read_lines(path: Path) -> list[Checkpoint]:
    try:
        return [parse_checkpoint(line) for line in path.read_bytes().splitlines() if line.strip()]
    except ValueError:
        raise FieldpackError(
            f"{path} holds something else than checkpoints, which are lines of JSON as in the storage's"
            " audit/checkpoints/."
        ) from None


def export_log(settings: Settings, write: Callable[[bytes], object]) -> int:
    """Hand over every link of the chain, in its order, as a line of JSON; how many.

    A line is `{"position": …, "hash": "…", "entry": {…}}`, where the text of `entry` is what was hashed after the hash
    before it; null for one that is gone.
    """

    async def work(connection: Connection) -> int:
        await queries.begin_snapshot(connection)
        count = 0
        async for seal in queries.iter_seals(connection):
            entry = seal.entry and orjson.Fragment(encode_entry(seal.entry, seal.position, seal.sealed_at))
            line = {"position": seal.position, "hash": seal.hash.hex(), "entry": entry}
            write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
            count += 1
        return count

    return administer(settings, work)
