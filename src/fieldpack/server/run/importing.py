"""Imports from the command line, whether or not a server is running."""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import orjson

from fieldpack.errors import FieldpackError, UsageError
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
    map_file: Path | None = None,
) -> tuple[service.Imported, Path | None]:
    """See `service.import_archive`.

    Args:
        map_file: where ids that were made anew are listed; a file in the current folder, if there are any, unless
            given.

    Returns:
        What was made, and where the ids are listed, if they are.

    Raises:
        UsageError: `map_file` can't be written; nothing was imported.
        FieldpackError: it can't be written any more; all was imported.
    """
    if map_file is not None:
        _require_writable(map_file)

    async def work(context: Context) -> tuple[service.Imported, Path | None]:
        done = await service.import_archive(context, archive, workspace_id, email, tell, dry_run=dry_run)
        if not dry_run:
            await collect_garbage(context.database, context.storage)
        if dry_run or (map_file is None and not done.renamed):
            return done, None
        path = map_file or Path(f"{done.collection_id}-import-ids.csv")
        try:
            await asyncio.to_thread(_write_map, context, done, path)
        except OSError as error:
            raise FieldpackError(
                f"The archive is imported, as collection {done.collection_id}, but the list of new ids can't be "
                f"written to {path}: {_reason(error)}. The same command, with another --map if need be, writes it, and "
                "imports nothing again."
            ) from error
        return done, path

    return _run(settings, work)


def _require_writable(path: Path) -> None:
    """Try a file beside the one that is to be made, and leave nothing.

    Raises:
        UsageError: none can be made there.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UsageError(
            f"--map can't be written to {path}: {_reason(error)}. Nothing was imported."
        ) from error


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower().rstrip(".")


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
