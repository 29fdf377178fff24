"""One attempt at a conversion: claimed, converted beside a watch on its export, stored, completed."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import structlog

from fieldpack.archive.members import RESPONSES
from fieldpack.errors import BlobMissing, StorageFull
from fieldpack.server.cleanup.garbage import collect_garbage, throw_away
from fieldpack.server.context import Context
from fieldpack.server.exports.build.ends import Interrupted, Superseded, WornOut
from fieldpack.server.exports.conversions import queries
from fieldpack.server.exports.conversions.keys import conversion_prefix, converted_key
from fieldpack.server.exports.conversions.rows import ConvertingRow
from fieldpack.server.exports.conversions.running import Limits, Outcome, run_child
from fieldpack.server.exports.keys import archive_name, stored_key
from fieldpack.server.exports.queries import find_archive
from fieldpack.server.exports.serve.reading import open_archive

__all__ = ["claim_conversion", "make_conversion", "work_folder"]

MIB = 1 << 20
WATCH_SECONDS = 1.0
MOST_ATTEMPTS = 10
READ_SHARE = 0.9  # of the progress: while the responses are read

log = structlog.get_logger()


def work_folder(context: Context, conversion_id: UUID, attempt: UUID) -> Path:
    """Where a job keeps what it is making, on this machine; each attempt has its own."""
    return context.settings.data_dir / "tmp" / "conversions" / f"{conversion_id}-{attempt}"


async def claim_conversion(
    context: Context, conversion_id: UUID, export_id: UUID, build: UUID
) -> ConvertingRow | None:
    """A new attempt at a conversion; None where it is not wanted any more. What other attempts left goes.

    Args:
        conversion_id: which.
        export_id, build: what it is made of.
    """
    async with context.database.transaction() as connection:
        row = await queries.claim(connection, conversion_id)
    await asyncio.to_thread(_clear_earlier, context, conversion_id)
    if row is None:
        await _discard_unless_complete(context, conversion_id, export_id, build)
    return row


async def make_conversion(context: Context, row: ConvertingRow, stop: threading.Event) -> None:
    """Make a conversion complete, unless its export is over, or another worker took it over, meanwhile.

    Raises:
        Interrupted: `stop` was set.
        NotConverted, WornOut: it can't be made.
        OSError, StorageError, psycopg.Error: a fault that may pass; the conversion is still generating.
    """
    async with context.database.transaction() as connection:
        export = await find_archive(connection, row.export_id)
    if export is None:
        return
    if row.attempts > MOST_ATTEMPTS:
        raise WornOut(f"{MOST_ATTEMPTS} workers died of it or gave it up.")
    if context.reserve.is_low():
        raise StorageFull("The disk of the data folder is nearly full.")
    folder = work_folder(context, row.id, row.attempt)
    await asyncio.to_thread(folder.mkdir, parents=True, mode=0o700)
    key = converted_key(row.export_id, row.export_build, row.id, row.attempt)
    try:
        archive = await open_archive(context, export)
        lines = await context.storage.size(stored_key(export.id, export.build, RESPONSES))
        read = 0.0

        def note(offset: int) -> None:
            nonlocal read
            if offset <= lines:
                read = max(read, READ_SHARE * offset / max(lines, 1))

        settings = context.settings
        limits = Limits(
            settings.conversion_memory_mb * MIB,
            settings.conversion_seconds,
            settings.conversion_file_mb * MIB,
        )
        name = archive_name(export.collection_id, export.created_at)
        working = asyncio.create_task(
            run_child(archive, export.size_bytes, row.format, name, folder, limits, note)
        )
        try:
            await _watch(context, row, working, lambda: read, stop)
        finally:
            working.cancel()
            await asyncio.wait({working})
        outcome = working.result()
        sha256 = await asyncio.to_thread(_hash, outcome.path)
        await context.storage.run(context.storage.put_file_blocking, key, outcome.path)
        await _complete(context, row, outcome, sha256)
        log.info("conversion.made", format=row.format, size_bytes=outcome.size_bytes)
    except (Superseded, BlobMissing):
        async with context.database.transaction() as connection:
            wanted = await queries.report_progress(connection, row, 0)
            if not wanted:
                await throw_away(connection, [key])
        if wanted:
            raise
        await collect_garbage(context.database, context.storage)
        log.info("conversion.superseded", format=row.format)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _watch(
    context: Context,
    row: ConvertingRow,
    working: asyncio.Task[Outcome],
    progress: Callable[[], float],
    stop: threading.Event,
) -> None:
    """Wait for the child; leave it at once when its export is over or the worker stops.

    Raises:
        Superseded, Interrupted, StorageFull: as said.
    """
    async with context.notices.subscribed(str(row.export_id)) as news:
        while not working.done():
            news.clear()
            told = asyncio.ensure_future(news.wait())
            try:
                await asyncio.wait(
                    {working, told}, timeout=WATCH_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                told.cancel()
            if stop.is_set():
                raise Interrupted
            async with context.database.transaction() as connection:
                if not await queries.report_progress(connection, row, progress()):
                    raise Superseded
            if not working.done() and context.reserve.is_low():
                raise StorageFull("The disk of the data folder is nearly full.")


async def _complete(context: Context, row: ConvertingRow, outcome: Outcome, sha256: bytes) -> None:
    async with context.database.transaction() as connection:
        done = await queries.complete(
            connection,
            row,
            outcome.size_bytes,
            sha256,
            (outcome.rows, outcome.columns),
            outcome.warnings,
        )
    if not done:
        raise Superseded


async def _discard_unless_complete(
    context: Context, conversion_id: UUID, export_id: UUID, build: UUID
) -> None:
    """Throw away what a worker that was killed may have stored of a conversion that has no row any more."""
    async with context.database.transaction() as connection:
        if await queries.find_by_id(connection, conversion_id) is not None:
            return
        await throw_away(connection, [conversion_prefix(export_id, build, conversion_id)])
    await collect_garbage(context.database, context.storage)


def _clear_earlier(context: Context, conversion_id: UUID) -> None:
    """Remove files of attempts whose worker was killed: they may hold erased answers."""
    for folder in (context.settings.data_dir / "tmp" / "conversions").glob(f"{conversion_id}-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _hash(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
