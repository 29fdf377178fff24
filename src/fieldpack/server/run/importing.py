"""Imports from the command line, whether or not a server is running."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import orjson

from fieldpack.errors import UsageError
from fieldpack.files import replace_file
from fieldpack.reading.reader import OpenArchive
from fieldpack.server.cleanup.garbage import collect_garbage
from fieldpack.server.config import Settings
from fieldpack.server.context import Context
from fieldpack.server.imports import queries, service
from fieldpack.server.imports.checking import Tell
from fieldpack.server.imports.rows import UnfinishedRow
from fieldpack.server.installation.marker import claim_storage
from fieldpack.server.installation.opening import open_context
from fieldpack.server.run.administration import opened_database
from fieldpack.server.values.uuids import is_uuid
from fieldpack.text import make_cell_safe

__all__ = ["discard_import", "import_archive", "list_imports"]

T = TypeVar("T")


def _run(settings: Settings, work: Callable[[Context], Awaitable[T]]) -> T:
    """`work` with the installation, whose database and storage belong together."""

    async def run(url: str) -> T:
        await claim_storage(settings, url)
        async with open_context(settings, url) as context:
            return await work(context)

    with opened_database(settings) as url:
        return asyncio.run(run(url))


def import_archive(
    settings: Settings,
    archive: OpenArchive,
    workspace_id: UUID | None,
    email: str | None,
    tell: Tell,
    *,
    dry_run: bool = False,
    choose_map: Callable[[service.Imported], Path | None],
) -> service.Imported:
    """See `service.import_archive`.

    Args:
        choose_map: says where the map of ids is written, once it is known whether there is one; None for nowhere.
    """

    async def work(context: Context) -> service.Imported:
        done = await service.import_archive(context, archive, workspace_id, email, tell, dry_run=dry_run)
        path = None if dry_run else choose_map(done)
        if path is not None:
            await asyncio.to_thread(_write_map, context, done, path)
        return done

    return _run(settings, work)


def _write_map(context: Context, done: service.Imported, path: Path) -> None:
    """The ids that were made anew: as CSV, or as JSON where the file's name says so."""
    as_json = path.suffix.lower() == ".json"
    with (
        replace_file(path) as draft,
        draft.open("wb") as out,
        context.database.connect() as connection,
    ):
        out.write(b"[" if as_json else b"kind,old_id,new_id\r\n")
        for number, row in enumerate(queries.iter_renamed(connection, done.import_id)):
            if as_json:
                entry = {"kind": row.kind, "old_id": row.old_id, "new_id": str(row.new_id)}
                out.write((b",\n " if number else b"\n ") + orjson.dumps(entry))
            else:
                old = make_cell_safe(row.old_id).replace('"', '""')
                out.write(f'{row.kind},"{old}",{row.new_id}\r\n'.encode())
        if as_json:
            out.write(b"\n]\n")


def list_imports(settings: Settings) -> list[UnfinishedRow]:
    """Imports that have not come to their end."""
    return _run(settings, service.list_unfinished)


def discard_import(settings: Settings, text: str) -> int:
    """Remove what an unfinished import has made; how many submissions that was.

    Raises:
        UsageError: `text` is no id.
    """
    if not is_uuid(text):
        raise UsageError(f"{text!r} is not the id of an import; `fieldpack import --list` shows them.")

    async def work(context: Context) -> int:
        async with context.database.transaction() as connection:
            row = await service.discard(connection, UUID(text))
        await collect_garbage(context.database, context.storage)
        return row.submissions

    return _run(settings, work)
