"""Periodic: what differs from the counts of collections is added to them."""

from __future__ import annotations

import structlog
from procrastinate import JobContext

from fieldpack.server.collections.lists.count_queries import add_differences
from fieldpack.server.jobs import MAINTENANCE_QUEUE, WorkerContext, blueprint

BATCH = 10_000

log = structlog.get_logger()


@blueprint.periodic(cron="2-59/5 * * * *")
@blueprint.task(
    name="count_collections", queue=MAINTENANCE_QUEUE, queueing_lock="count_collections", pass_context=True
)
async def count_collections(job: JobContext, timestamp: int) -> None:
    """Add the differences of the last minutes to the counts."""
    worker: WorkerContext = job.additional_context["worker"]
    total = 0
    while True:
        async with worker.context.database.transaction() as connection:
            count = await add_differences(connection, BATCH)
        total += count
        if count < BATCH:
            break
    if total:
        log.info("collections.counted", differences=total)
