"""Periodic: places of those past the maximum time are freed."""

from __future__ import annotations

import structlog
from procrastinate import JobContext

from ..jobs import MAINTENANCE_QUEUE, WorkerContext, blueprint
from .lifecycle import time_out_overdue

log = structlog.get_logger()


@blueprint.periodic(cron="* * * * * */15")
@blueprint.task(
    name="time_out_submissions",
    queue=MAINTENANCE_QUEUE,
    queueing_lock="time_out_submissions",
    pass_context=True,
)
async def time_out_submissions(job: JobContext, timestamp: int) -> None:
    """Time out submissions past their study's maximum time."""
    worker: WorkerContext = job.additional_context["worker"]
    timed_out = await time_out_overdue(worker.context.database)
    if timed_out:
        log.info("submissions.timed_out", count=timed_out)
