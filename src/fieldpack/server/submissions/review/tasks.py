"""Decisions as jobs: those that are due are made, and forgotten long after."""

from __future__ import annotations

from uuid import UUID

import structlog
from procrastinate import JobContext

from fieldpack.server.jobs import MAINTENANCE_QUEUE, WorkerContext, blueprint
from fieldpack.server.submissions.review.queries import remove_ended
from fieldpack.server.submissions.review.service import TASK, NotMade, make_next

KEPT_DAYS = 7.0

log = structlog.get_logger()


@blueprint.task(name=TASK, queue=MAINTENANCE_QUEUE, queueing_lock=TASK, pass_context=True)
async def make_decisions(job: JobContext) -> None:
    """Make the decisions that are due. One that can't be made holds up no other, and is tried again by the next job."""
    worker: WorkerContext = job.additional_context["worker"]
    failed: list[UUID] = []
    while not worker.stopping.is_set():
        try:
            made = await make_next(worker.context.database, failed)
        except NotMade as error:
            log.exception("decision.not_made", decision_id=str(error.decision_id))
            failed.append(error.decision_id)
            continue
        if made is None:
            break
        log.info("decision.made", decision_id=str(made))


@blueprint.periodic(cron="11 4 * * *")
@blueprint.task(
    name="sweep_decisions", queue=MAINTENANCE_QUEUE, queueing_lock="sweep_decisions", pass_context=True
)
async def sweep_decisions(job: JobContext, timestamp: int) -> None:
    """Forget what became of decisions of long ago; what they did is in the audit log."""
    worker: WorkerContext = job.additional_context["worker"]
    async with worker.context.database.transaction() as connection:
        count = await remove_ended(connection, KEPT_DAYS)
    log.info("decisions.swept", count=count)
