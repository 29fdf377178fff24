"""Small pictures as a job: it makes all that wait, one after the other."""

from __future__ import annotations

import psycopg
import structlog
from procrastinate import JobContext
from psycopg_pool import PoolTimeout

from fieldpack.server.jobs import THUMBNAILS_QUEUE, WorkerContext, blueprint
from fieldpack.server.thumbnails.service import TASK, Postponed, make_next

log = structlog.get_logger()


@blueprint.task(name=TASK, queue=THUMBNAILS_QUEUE, queueing_lock=TASK, pass_context=True)
async def make_thumbnails(job: JobContext) -> None:
    """Make the small pictures that wait; what is left when this worker stops, another makes."""
    worker: WorkerContext = job.additional_context["worker"]
    try:
        while not worker.stopping.is_set() and await make_next(worker.context):
            pass
    except (Postponed, psycopg.Error, PoolTimeout) as error:
        log.warning("thumbnails.postponed", error=str(error))
