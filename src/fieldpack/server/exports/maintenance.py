"""Periodic: old exports are removed; generating exports without a job get one."""

from __future__ import annotations

from uuid import UUID

import structlog
from procrastinate import JobContext

from fieldpack.server.config import Settings
from fieldpack.server.db.pool import Connection, Database
from fieldpack.server.exports import queries
from fieldpack.server.exports.build import part_queries
from fieldpack.server.exports.service import remove_exports
from fieldpack.server.jobs import EXPORTS_QUEUE, MAINTENANCE_QUEUE, WorkerContext, blueprint, defer

__all__ = ["list_wanted_builds", "remove_outdated", "remove_surplus", "requeue_lost"]

log = structlog.get_logger()


async def requeue_lost(connection: Connection) -> None:
    """Enqueue a job for every export that is generating without one."""
    for row in await queries.list_lost(connection):
        export_id = row.id
        log.warning("export.requeued", export_id=str(export_id))
        if row.in_parts:
            await part_queries.requeue_parts(connection, export_id, row.build)
            continue
        await defer(
            connection,
            "export",
            queue=EXPORTS_QUEUE,
            queueing_lock=f"export:{export_id}",
            export_id=str(export_id),
        )


async def remove_outdated(database: Database, days: float, *, dry_run: bool = False) -> list[str]:
    """Remove exports past their age whose links have all expired; their ids."""
    async with database.transaction() as connection:
        export_ids = await queries.list_outdated(connection, days)
        if not dry_run:
            await remove_exports(connection, export_ids)
    return [str(export_id) for export_id in export_ids]


async def remove_surplus(database: Database, settings: Settings, *, dry_run: bool = False) -> list[str]:
    """Remove exports beyond those kept for each collection, as when links have expired or a setting was lowered;
    their ids."""
    async with database.transaction() as connection:
        export_ids = await queries.list_surplus(
            connection, settings.exports_kept, settings.exports_kept_with_links
        )
        if not dry_run:
            await remove_exports(connection, export_ids)
    return [str(export_id) for export_id in export_ids]


async def list_wanted_builds(connection: Connection) -> set[UUID]:
    """The builds of all exports that are being made."""
    return await queries.list_wanted_builds(connection)


@blueprint.periodic(cron="17 * * * *")
@blueprint.task(
    name="remove_exports", queue=MAINTENANCE_QUEUE, queueing_lock="remove_exports", pass_context=True
)
async def remove_exports_job(job: JobContext, timestamp: int) -> None:
    """Remove exports past their age or number."""
    context = _context(job).context
    outdated = await remove_outdated(context.database, context.settings.export_max_age_days)
    surplus = await remove_surplus(context.database, context.settings)
    log.info("exports.swept", outdated=outdated, surplus=surplus)


def _context(job: JobContext) -> WorkerContext:
    worker: WorkerContext = job.additional_context["worker"]
    return worker
