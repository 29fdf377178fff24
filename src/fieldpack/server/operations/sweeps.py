"""Everything that is removed after a time, in one place: for `fieldpack sweep`, and for the periodic jobs.

Nothing here touches what a live row or a link needs. Objects without a row go only when they are older than
`orphan_hours`: a row is there before its object, so an old object without one never gets one.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from fieldpack.server.changes.queries import remove_changes
from fieldpack.server.cleanup.garbage import collect_garbage, count_garbage
from fieldpack.server.collections.queries import transaction_time
from fieldpack.server.context import Context
from fieldpack.server.exports.conversions import maintenance as conversions
from fieldpack.server.exports.maintenance import list_wanted_builds, remove_outdated, remove_surplus
from fieldpack.server.hooks.queries import remove_old_events
from fieldpack.server.imports.sweeps import sweep_unfinished
from fieldpack.server.operations.orphans import find_orphans
from fieldpack.server.pictures.service import sweep_unused
from fieldpack.server.storage import PREFIXES, LocalStorage, Multipart
from fieldpack.server.tickets.queries import sweep_used
from fieldpack.server.uploads.sweeps import sweep_abandoned
from fieldpack.server.values.uuids import is_uuid

__all__ = ["Swept", "abort_unfinished", "remove_leftovers", "sweep"]

STAGING = ".staging"


@dataclass(frozen=True, slots=True)
class Swept:
    """What was removed, or would be.

    Attributes:
        exports_outdated: ids of exports past their age, with no valid link.
        exports_surplus: ids of exports beyond those kept for each collection.
        conversions_outdated: ids of converted files past their age, with no valid link.
    uploads_abandoned: ids of uploads that won't go on.
        imports_unfinished: ids of imports that nobody has come back to.
        pictures_unused: ids of pictures that nothing shows.
        objects_thrown_away: stored objects (or prefixes) whose rows are gone, still waiting to be deleted.
        objects_orphaned: stored objects that no row refers to.
        orphaned_bytes: their size.
        objects_unfinished: multipart uploads that nobody will finish.
        temporary_files: leftovers of dead processes on this machine.
        changes_forgotten: entries of the log of changes past `change_log_days`.
        hook_events_forgotten: events of webhooks that were sent, or given up, before that.
        used_links_forgotten: links for one opening that were used, and have expired.
    """

    exports_outdated: list[str]
    exports_surplus: list[str]
    conversions_outdated: list[str]
    uploads_abandoned: list[str]
    imports_unfinished: list[str]
    pictures_unused: list[str]
    objects_thrown_away: int
    objects_orphaned: int
    orphaned_bytes: int
    objects_unfinished: int
    temporary_files: int
    changes_forgotten: int
    hook_events_forgotten: int
    used_links_forgotten: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


async def sweep(context: Context, *, dry_run: bool = False, with_restored: bool = False) -> Swept:
    """Do what the periodic jobs do, now; with `dry_run` only say what that would be.

    Args:
        with_restored: also remove stored objects without a row that were there when the database was last restored.

    Raises:
        StorageError, psycopg.Error: storage or database does not answer; what was done stays done.
    """
    settings, database = context.settings, context.database
    outdated = await remove_outdated(database, settings.export_max_age_days, dry_run=dry_run)
    surplus = await remove_surplus(database, settings, dry_run=dry_run)
    converted = await conversions.remove_outdated(database, settings.conversion_max_age_days, dry_run=dry_run)
    abandoned = await sweep_abandoned(database, settings.upload_abandoned_days, dry_run=dry_run)
    unfinished = await sweep_unfinished(database, settings.upload_abandoned_days, dry_run=dry_run)
    unused = await sweep_unused(database, settings.picture_unused_days, dry_run=dry_run)
    thrown_away = await count_garbage(database)
    if not dry_run:
        await collect_garbage(database, context.storage)
    orphans = orphaned_bytes = 0
    async for page in find_orphans(context, settings.orphan_hours, with_restored=with_restored):
        orphans += len(page)
        orphaned_bytes += sum(entry.size_bytes for entry in page)
        if not dry_run:
            await context.storage.delete([entry.key for entry in page])
    async with database.transaction() as connection:
        changes = await remove_changes(connection, settings.change_log_days, dry_run=dry_run)
        events = await remove_old_events(connection, settings.change_log_days, dry_run=dry_run)
        used = await sweep_used(connection, dry_run=dry_run)
    return Swept(
        exports_outdated=outdated,
        exports_surplus=[name for name in surplus if name not in set(outdated)],
        conversions_outdated=converted,
        uploads_abandoned=[str(upload) for upload in abandoned],
        imports_unfinished=[str(each) for each in unfinished],
        pictures_unused=[str(picture) for picture in unused],
        objects_thrown_away=thrown_away,
        objects_orphaned=orphans,
        orphaned_bytes=orphaned_bytes,
        objects_unfinished=await abort_unfinished(context, dry_run=dry_run),
        temporary_files=await remove_leftovers(context, dry_run=dry_run),
        changes_forgotten=changes,
        hook_events_forgotten=events,
        used_links_forgotten=used,
    )


async def abort_unfinished(context: Context, *, dry_run: bool = False) -> int:
    """Abort multipart uploads of no build that is wanted, and others that are old; how many."""
    multipart = context.storage.open_multipart()
    if multipart is None:
        return 0
    return await asyncio.to_thread(_abort_unfinished, context, multipart, await _wanted(context), dry_run)


async def _wanted(context: Context) -> tuple[set[UUID], float]:
    """Builds under way, and the Unix time before which what is not of these is old."""
    async with context.database.transaction() as connection:
        before = await transaction_time(connection) - timedelta(hours=context.settings.orphan_hours)
        return await list_wanted_builds(connection), before.timestamp()


def _abort_unfinished(
    context: Context, multipart: Multipart, wanted: tuple[set[UUID], float], dry_run: bool
) -> int:
    builds, before = wanted
    aborted = 0
    for prefix in PREFIXES:
        for entry in list(multipart.iter_unfinished(prefix)):
            parts = entry.key.split("/")
            build = parts[2] if prefix == "exports/" and len(parts) > 2 else ""
            if entry.begun_at.timestamp() >= before or (is_uuid(build) and UUID(build) in builds):
                continue
            aborted += 1
            if not dry_run:
                multipart.abort(entry.key, entry.upload_id)
    return aborted


async def remove_leftovers(context: Context, *, dry_run: bool = False) -> int:
    """Remove temporary files that dead processes of this machine left; how many there were."""
    scratch = context.settings.data_dir / "tmp"
    folders = [scratch, scratch / "exports", scratch / "conversions"]
    if isinstance(context.storage, LocalStorage):
        folders.append(context.storage.root / STAGING)
    before = time.time() - context.settings.orphan_hours * 3600
    return await asyncio.to_thread(_remove_old, folders, before, dry_run)


def _remove_old(folders: list[Path], before: float, dry_run: bool) -> int:
    removed = 0
    for folder in folders:
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path in folders or _changed_at(path) >= before:
                continue
            removed += 1
            if dry_run:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    return removed


def _changed_at(path: Path) -> float:
    """When anything in it changed last; the far future for what went away meanwhile."""
    newest = 0.0
    for found in [path, *path.rglob("*")]:
        with contextlib.suppress(FileNotFoundError):
            newest = max(newest, found.lstat().st_mtime)
    return newest or float("inf")
