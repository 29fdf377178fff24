"""Periodic: imports that nobody has come back to go."""

from __future__ import annotations

import structlog
from procrastinate import JobContext

from fieldpack.server.imports.sweeps import sweep_unfinished
from fieldpack.server.jobs import MAINTENANCE_QUEUE, WorkerContext, blueprint

log = structlog.get_logger()


@blueprint.periodic(cron="37 * * * *")
@blueprint.task(
    name="sweep_imports", queue=MAINTENANCE_QUEUE, queueing_lock="sweep_imports", pass_context=True
)
async def sweep_imports(job: JobContext, timestamp: int) -> None:
    """Remove what was imported of archives and never came to its end."""
    worker: WorkerContext = job.additional_context["worker"]
    settings = worker.context.settings
    swept = await sweep_unfinished(worker.context.database, settings.upload_abandoned_days)
    log.info("imports.swept", count=len(swept))
