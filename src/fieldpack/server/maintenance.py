"""Periodic: multipart uploads to the bucket that nobody will finish."""

from __future__ import annotations

import structlog
from procrastinate import JobContext

from .jobs import MAINTENANCE_QUEUE, WorkerContext, blueprint
from .sweeps import abort_unfinished

log = structlog.get_logger()


@blueprint.periodic(cron="47 3 * * *")
@blueprint.task(
    name="sweep_unfinished", queue=MAINTENANCE_QUEUE, queueing_lock="sweep_unfinished", pass_context=True
)
async def sweep_unfinished(job: JobContext, timestamp: int) -> None:
    """Abort multipart uploads that dead processes left."""
    worker: WorkerContext = job.additional_context["worker"]
    log.info("unfinished.swept", count=await abort_unfinished(worker.context))
