"""Periodic: abandoned uploads go."""

from __future__ import annotations

import structlog
from procrastinate import JobContext

from fieldpack.server.jobs import MAINTENANCE_QUEUE, WorkerContext, blueprint
from fieldpack.server.uploads.sweeps import sweep_abandoned

log = structlog.get_logger()


@blueprint.periodic(cron="27 * * * *")
@blueprint.task(
    name="sweep_uploads", queue=MAINTENANCE_QUEUE, queueing_lock="sweep_uploads", pass_context=True
)
async def sweep_uploads(job: JobContext, timestamp: int) -> None:
    """Remove uploads that were abandoned."""
    worker: WorkerContext = job.additional_context["worker"]
    settings = worker.context.settings
    swept = await sweep_abandoned(worker.context.database, settings.upload_abandoned_days)
    log.info("uploads.swept", count=len(swept))
