"""Telling that an export waits because its storage does not answer, which the job itself may not hear for minutes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from fieldpack.errors import StorageError
from fieldpack.server.context import Context
from fieldpack.server.exports import queries
from fieldpack.server.exports.rows import ExportRow

__all__ = ["find_reason", "note_waiting", "watch_storage"]

SAY_AFTER = timedelta(seconds=10)  # a hiccup is nobody's business
PROBE_SECONDS = 3.0
ANSWER_SECONDS = 4.0

log = structlog.get_logger()


def find_reason(row: ExportRow) -> str | None:
    """Why a generating export waits, once it has for a while."""
    if row.waiting_since is None or datetime.now(UTC) - row.waiting_since < SAY_AFTER:
        return None
    return row.waiting_reason


def explain(error: BaseException) -> str:
    """Why an export waits, for whoever waits for it."""
    said = " ".join(str(error).split()).rstrip(".") or f"no answer within {ANSWER_SECONDS:.0f} s"
    return f"The storage does not answer: {said}. The export goes on by itself once it does."


async def note_waiting(
    context: Context, export_id: UUID, error: BaseException | None, seconds: float = 0
) -> None:
    """Keep why this export waits, or with None that it does not. It had waited for `seconds` by now."""
    reason = None if error is None else explain(error)
    try:
        async with context.database.transaction() as connection:
            await queries.set_waiting(connection, export_id, reason, seconds)
    except (psycopg.Error, PoolTimeout, OSError) as fault:  # then nobody could read it either
        log.warning("export.waiting_not_noted", export_id=str(export_id), error=str(fault))


@contextlib.asynccontextmanager
async def watch_storage(context: Context, export_id: UUID) -> AsyncIterator[None]:
    """While a job is at work on an export, look whether its storage answers."""
    watching = asyncio.create_task(_watch(context, export_id))
    try:
        yield
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


async def _watch(context: Context, export_id: UUID) -> None:
    while True:
        await asyncio.sleep(PROBE_SECONDS)
        asked = asyncio.get_running_loop().time()
        fault: BaseException | None = None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await context.storage.probe()
        except (StorageError, OSError, TimeoutError) as error:
            fault = error
        waited = asyncio.get_running_loop().time() - asked + PROBE_SECONDS
        await note_waiting(context, export_id, fault, waited if fault else 0)
