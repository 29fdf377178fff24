"""Periodic: used tickets are forgotten once they have expired."""

from __future__ import annotations

from procrastinate import JobContext

from fieldpack.server.jobs import MAINTENANCE_QUEUE, WorkerContext, blueprint
from fieldpack.server.tickets.queries import sweep_used


@blueprint.periodic(cron="41 * * * *")
@blueprint.task(
    name="sweep_used_tickets",
    queue=MAINTENANCE_QUEUE,
    queueing_lock="sweep_used_tickets",
    pass_context=True,
)
async def sweep_used_tickets(job: JobContext, timestamp: int) -> None:
    """Remove what would be refused for its age alone."""
    worker: WorkerContext = job.additional_context["worker"]
    async with worker.context.database.transaction() as connection:
        await sweep_used(connection)
