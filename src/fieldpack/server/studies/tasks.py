"""The periodic job that publishes studies whose time has come."""

from __future__ import annotations

import structlog
from procrastinate import JobContext

from fieldpack.server.jobs import MAINTENANCE_QUEUE, WorkerContext, blueprint
from fieldpack.server.studies.queries import publish_due

log = structlog.get_logger()


@blueprint.periodic(cron="* * * * * */5")
@blueprint.task(
    name="publish_scheduled", queue=MAINTENANCE_QUEUE, queueing_lock="publish_scheduled", pass_context=True
)
async def publish_scheduled(job: JobContext, timestamp: int) -> None:
    """Publish the studies whose `publish_at` has come, also those whose time came while no server ran."""
    worker: WorkerContext = job.additional_context["worker"]
    async with worker.context.database.transaction() as connection:
        published = await publish_due(connection)
    if published:
        log.info("studies.published", study_ids=[str(study_id) for study_id in published])
