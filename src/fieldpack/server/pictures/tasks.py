"""Periodic: pictures that nothing shows any more go."""

from __future__ import annotations

import structlog
from procrastinate import JobContext

from fieldpack.server.jobs import MAINTENANCE_QUEUE, WorkerContext, blueprint
from fieldpack.server.pictures.service import sweep_unused

log = structlog.get_logger()


@blueprint.periodic(cron="17 * * * *")
@blueprint.task(
    name="sweep_pictures", queue=MAINTENANCE_QUEUE, queueing_lock="sweep_pictures", pass_context=True
)
async def sweep_pictures(job: JobContext, timestamp: int) -> None:
    """Remove pictures that were uploaded and never used, and those that nothing shows any more."""
    worker: WorkerContext = job.additional_context["worker"]
    swept = await sweep_unused(worker.context.database, worker.context.settings.picture_unused_days)
    log.info("pictures.swept", count=len(swept))
