"""Webhooks as jobs: sending, and forgetting what was sent long ago."""

from __future__ import annotations

from uuid import UUID

import psycopg
import structlog
from procrastinate import JobContext
from psycopg_pool import PoolTimeout

from fieldpack.server.hooks.delivery import deliver, requeue_waiting
from fieldpack.server.hooks.queries import remove_old_events
from fieldpack.server.jobs import HOOKS_QUEUE, MAINTENANCE_QUEUE, WorkerContext, blueprint

log = structlog.get_logger()


@blueprint.task(name="deliver_hooks", queue=HOOKS_QUEUE, pass_context=True)
async def deliver_hooks(job: JobContext, subscription_id: str) -> None:
    """Send the events of one subscription that are due."""
    worker: WorkerContext = job.additional_context["worker"]
    subscription = UUID(subscription_id)
    try:
        if await deliver(worker.context, subscription, worker.stopping):
            async with worker.context.database.transaction() as connection:
                await requeue_waiting(connection, beside=subscription, ending=job.job.id)
    except (psycopg.Error, PoolTimeout) as error:  # what was not kept is sent again, by the next job
        log.warning("hooks.postponed", subscription_id=subscription_id, error=str(error))


@blueprint.periodic(cron="7 4 * * *")
@blueprint.task(
    name="sweep_hook_events", queue=MAINTENANCE_QUEUE, queueing_lock="sweep_hook_events", pass_context=True
)
async def sweep_hook_events(job: JobContext, timestamp: int) -> None:
    """Remove old events and what receivers answered."""
    worker: WorkerContext = job.additional_context["worker"]
    async with worker.context.database.transaction() as connection:
        count = await remove_old_events(connection, worker.context.settings.change_log_days)
    log.info("hooks.swept", count=count)
