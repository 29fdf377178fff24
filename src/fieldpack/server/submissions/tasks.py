"""Jobs: submissions past their deadline are timed out; erased rows are removed from the database's files."""

from __future__ import annotations

import asyncio
import time

import psycopg
import structlog
from procrastinate import JobContext
from psycopg_pool import PoolTimeout

from fieldpack.server.db.leftovers import Removed
from fieldpack.server.db.parameters import cluster_folder
from fieldpack.server.db.scrubbing import NoRoom, Postponed, clear_leftovers, scrub
from fieldpack.server.jobs import MAINTENANCE_QUEUE, WorkerContext, blueprint
from fieldpack.server.submissions.lifecycle import defer_scrub, time_out_overdue

POSTPONED_SECONDS = 5.0
NO_ROOM_SECONDS = 15.0

log = structlog.get_logger()


@blueprint.periodic(cron="* * * * * */15")
@blueprint.task(
    name="time_out_submissions",
    queue=MAINTENANCE_QUEUE,
    queueing_lock="time_out_submissions",
    pass_context=True,
)
async def time_out_submissions(job: JobContext, timestamp: int) -> None:
    """Time out submissions that are past their deadline."""
    worker: WorkerContext = job.additional_context["worker"]
    timed_out = await time_out_overdue(worker.context.database)
    if timed_out:
        log.info("submissions.timed_out", count=timed_out)


@blueprint.task(name="scrub", queue=MAINTENANCE_QUEUE, pass_context=True)
async def scrub_database(job: JobContext, waiting: str = "") -> None:
    """Remove erased rows from the files of the embedded database. Those of another database are up to its operator.

    Args:
        waiting: why the last run could not, if somebody has to do something about it; readiness shows it.
    """
    worker: WorkerContext = job.additional_context["worker"]
    if worker.context.settings.database_url is not None:
        return
    try:
        await asyncio.to_thread(_scrub, worker)
    except NoRoom as error:
        log.warning("database.scrub_waits_for_room", reason=str(error))
        await _scrub_again(worker, NO_ROOM_SECONDS, str(error))
    except (Postponed, psycopg.Error, OSError) as error:
        log.warning("database.scrub_postponed", reason=str(error).strip())
        await _scrub_again(worker, POSTPONED_SECONDS)


async def _scrub_again(worker: WorkerContext, delay_seconds: float, waiting: str = "") -> None:
    """Enqueue another run, also while the database can't be reached. If this worker ends first, another worker takes
    the job."""
    while True:
        try:
            async with worker.context.database.transaction() as connection:
                await defer_scrub(connection, delay_seconds, waiting)
            return
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("database.scrub_waits", reason=str(error).strip())
            await asyncio.sleep(POSTPONED_SECONDS)


def _scrub(worker: WorkerContext) -> None:
    began = time.monotonic()
    with worker.context.database.connect_as_owner() as connection:
        scrubbed = scrub(connection, cluster_folder(worker.context.settings.data_dir), worker.stopping)
    log.info("database.scrubbed", seconds=round(time.monotonic() - began, 3))
    _report(scrubbed.leftovers)
    if scrubbed.too_large:
        log.warning("database.too_large_to_scrub", tables=scrubbed.too_large)


@blueprint.periodic(cron="23 * * * *")
@blueprint.task(
    name="clear_leftovers",
    queue=MAINTENANCE_QUEUE,
    queueing_lock="clear_leftovers",
    lock="scrub",
    pass_context=True,
)
async def clear_forgotten_files(job: JobContext, timestamp: int) -> None:
    """Remove files that PostgreSQL lost track of in a crash, whether or not anything is being erased."""
    worker: WorkerContext = job.additional_context["worker"]
    if worker.context.settings.database_url is None:
        try:
            await asyncio.to_thread(_clear_leftovers, worker)
        except (Postponed, psycopg.Error, OSError) as error:
            log.warning("database.leftovers_kept", reason=str(error).strip())


def _clear_leftovers(worker: WorkerContext) -> None:
    with worker.context.database.connect_as_owner() as connection:
        _report(
            clear_leftovers(connection, cluster_folder(worker.context.settings.data_dir), worker.stopping)
        )


def _report(removed: Removed) -> None:
    if removed.paths:
        log.warning("database.leftovers_removed", files=removed.paths, size_bytes=removed.size_bytes)
