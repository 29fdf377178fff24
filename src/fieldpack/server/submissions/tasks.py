"""Periodic: places of those past the maximum time are freed. After an erasure: the database's files are cleared."""

from __future__ import annotations

import asyncio
import time

import psycopg
import structlog
from procrastinate import JobContext

from ..db.scrubbing import Postponed, scrub
from ..jobs import MAINTENANCE_QUEUE, WorkerContext, blueprint
from .lifecycle import defer_scrub, time_out_overdue

POSTPONED_SECONDS = 5.0

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


@blueprint.task(name="scrub", queue=MAINTENANCE_QUEUE, pass_context=True)
async def scrub_database(job: JobContext) -> None:
    """Remove from the embedded database's files what was erased; one of their own is its operator's."""
    worker: WorkerContext = job.additional_context["worker"]
    if worker.context.settings.database_url is not None:
        return
    try:
        await asyncio.to_thread(_scrub, worker)
    except (Postponed, psycopg.Error) as error:
        log.warning("database.scrub_postponed", reason=str(error).strip())
        async with worker.context.database.transaction() as connection:
            await defer_scrub(connection, POSTPONED_SECONDS)


def _scrub(worker: WorkerContext) -> None:
    began = time.monotonic()
    with worker.context.database.connect() as connection:
        large = scrub(connection, worker.stopping)
    log.info("database.scrubbed", seconds=round(time.monotonic() - began, 3))
    if large:
        log.warning("database.too_large_to_scrub", tables=large)
