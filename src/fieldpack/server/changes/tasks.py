"""Periodic: what happened long ago is forgotten."""

from __future__ import annotations

import structlog
from procrastinate import JobContext

from fieldpack.server.changes.queries import remove_changes
from fieldpack.server.jobs import MAINTENANCE_QUEUE, WorkerContext, blueprint

log = structlog.get_logger()


@blueprint.periodic(cron="57 3 * * *")
@blueprint.task(
    name="sweep_changes", queue=MAINTENANCE_QUEUE, queueing_lock="sweep_changes", pass_context=True
)
async def sweep_changes(job: JobContext, timestamp: int) -> None:
    """Remove old rows of the log of changes."""
    worker: WorkerContext = job.additional_context["worker"]
    async with worker.context.database.transaction() as connection:
        count = await remove_changes(connection, worker.context.settings.change_log_days)
    log.info("changes.swept", count=count)
