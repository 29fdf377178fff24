"""Periodic: objects that nothing refers to, and multipart uploads to the bucket that nobody will finish."""

from __future__ import annotations

import structlog
from procrastinate import JobContext

from fieldpack.server.jobs import MAINTENANCE_QUEUE, WorkerContext, blueprint
from fieldpack.server.operations.orphans import remove_orphans
from fieldpack.server.operations.sweeps import abort_unfinished

log = structlog.get_logger()


@blueprint.periodic(cron="47 3 * * *")
@blueprint.task(
    name="sweep_unfinished", queue=MAINTENANCE_QUEUE, queueing_lock="sweep_unfinished", pass_context=True
)
async def sweep_unfinished(job: JobContext, timestamp: int) -> None:
    """Abort multipart uploads that dead processes left."""
    worker: WorkerContext = job.additional_context["worker"]
    log.info("unfinished.swept", count=await abort_unfinished(worker.context))


@blueprint.periodic(cron="37 3 * * *")
@blueprint.task(
    name="sweep_orphans", queue=MAINTENANCE_QUEUE, queueing_lock="sweep_orphans", pass_context=True
)
async def sweep_orphans(job: JobContext, timestamp: int) -> None:
    """Remove stored objects that no row refers to."""
    worker: WorkerContext = job.additional_context["worker"]
    removed = await remove_orphans(worker.context, worker.context.settings.orphan_hours)
    log.info("orphans.swept", count=removed)
