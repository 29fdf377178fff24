"""Periodic: conversions without a job get one, old ones are removed."""

from __future__ import annotations

import structlog
from procrastinate import JobContext

from fieldpack.server.db.pool import Connection, Database
from fieldpack.server.exports.conversions import queries
from fieldpack.server.exports.conversions.service import queue_conversion
from fieldpack.server.jobs import MAINTENANCE_QUEUE, WorkerContext, blueprint

__all__ = ["remove_outdated", "requeue_lost"]

log = structlog.get_logger()


async def requeue_lost(connection: Connection) -> None:
    """Enqueue a job for every conversion that is generating without one."""
    for row in await queries.list_lost(connection):
        log.warning("conversion.requeued", conversion_id=str(row.id))
        await queue_conversion(connection, row, queueing_lock=f"convert:{row.id}")


async def remove_outdated(database: Database, days: float, *, dry_run: bool = False) -> list[str]:
    """Remove conversions past their age whose links have all expired; their ids."""
    async with database.transaction() as connection:
        ids = await queries.list_outdated(connection, days)
        if not dry_run:
            for id in ids:
                await queries.remove_conversion(connection, id)
    return [str(id) for id in ids]


@blueprint.periodic(cron="23 * * * *")
@blueprint.task(
    name="remove_conversions",
    queue=MAINTENANCE_QUEUE,
    queueing_lock="remove_conversions",
    pass_context=True,
)
async def remove_conversions_job(job: JobContext, timestamp: int) -> None:
    """Remove conversions past their age."""
    worker: WorkerContext = job.additional_context["worker"]
    days = worker.context.settings.conversion_max_age_days
    log.info("conversions.swept", outdated=await remove_outdated(worker.context.database, days))
