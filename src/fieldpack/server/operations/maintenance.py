"""Periodic: objects that nothing refers to, and multipart uploads to the bucket that nobody will finish. Sweeps that an
operator asks for."""

from __future__ import annotations

from uuid import UUID

import structlog
from procrastinate import JobContext

from fieldpack.errors import StorageError
from fieldpack.server.jobs import MAINTENANCE_QUEUE, WorkerContext, blueprint
from fieldpack.server.operations.administration_queries import find_sweep, finish_sweep
from fieldpack.server.operations.orphans import remove_orphans
from fieldpack.server.operations.sweeps import abort_unfinished, sweep

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


@blueprint.task(name="sweep", queue=MAINTENANCE_QUEUE, lock="sweep", pass_context=True)
async def sweep_on_request(job: JobContext, sweep_id: str) -> None:
    """Sweep, or say what that would remove, because an operator asks for it."""
    worker: WorkerContext = job.additional_context["worker"]
    database, identifier = worker.context.database, UUID(sweep_id)
    async with database.transaction() as connection:
        row = await find_sweep(connection, identifier)
    if row is None or row.finished_at is not None:
        return
    try:
        swept = await sweep(worker.context, dry_run=row.dry_run)
    except StorageError as error:
        async with database.transaction() as connection:
            await finish_sweep(connection, identifier, None, str(error))
        return
    async with database.transaction() as connection:
        await finish_sweep(connection, identifier, swept.as_dict(), None)
