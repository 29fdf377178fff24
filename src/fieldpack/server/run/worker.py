"""A worker process: runs jobs, and queues jobs again whose worker died.

A worker holds a PostgreSQL advisory lock for as long as it lives; the lock goes with its connection, also
after `kill -9`. So who is dead is known within seconds and never guessed while a long job is at work.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import psycopg
import structlog
from procrastinate import App, JobContext
from procrastinate.jobs import DeleteJobCondition
from procrastinate.worker import Worker
from psycopg_pool import PoolTimeout

from fieldpack.errors import FieldpackError
from fieldpack.server.audit.sealing import seal_every_second
from fieldpack.server.changes import tasks as changes_tasks
from fieldpack.server.cleanup.garbage import collect_garbage
from fieldpack.server.collections.lists import tasks as lists_tasks
from fieldpack.server.config import Settings
from fieldpack.server.context import Context
from fieldpack.server.erasures.erasure_list import list_erasures
from fieldpack.server.exports import maintenance as exports_maintenance
from fieldpack.server.exports import tasks as exports_tasks
from fieldpack.server.exports.build import part_tasks
from fieldpack.server.exports.conversions import maintenance as conversions
from fieldpack.server.exports.conversions import tasks as conversions_tasks
from fieldpack.server.hooks import tasks as hooks_tasks
from fieldpack.server.hooks.delivery import requeue_waiting
from fieldpack.server.imports import tasks as imports_tasks
from fieldpack.server.installation.marker import raise_generation
from fieldpack.server.installation.opening import open_context
from fieldpack.server.jobs import CONVERSIONS_QUEUE, HOOKS_QUEUE, THUMBNAILS_QUEUE, WorkerContext, queue_app
from fieldpack.server.operations import maintenance
from fieldpack.server.operations.sweeps import remove_leftovers
from fieldpack.server.pictures import tasks as pictures_tasks
from fieldpack.server.run import worker_queries as queries
from fieldpack.server.studies import tasks as studies_tasks
from fieldpack.server.submissions import tasks as submissions_tasks
from fieldpack.server.submissions.review import service as review
from fieldpack.server.submissions.review import tasks as review_tasks
from fieldpack.server.thumbnails import service as thumbnails
from fieldpack.server.thumbnails import tasks as thumbnails_tasks
from fieldpack.server.tickets import tasks as tickets_tasks
from fieldpack.server.uploads import tasks as uploads_tasks

__all__ = ["run_together", "run_worker"]

HEARTBEAT_SECONDS = 3.0
STALLED_SECONDS = 15.0
WATCH_SECONDS = 2.0
SHORTEST_SECONDS = 0.05  # between two looks
POLL_SECONDS = 2.0
HOOKS_AT_ONCE = 256  # receivers that are sent to at a time: such a job is little more than waiting
THUMBNAILS_AT_ONCE = 2  # child processes that each have a processor to themselves
CONVERSIONS_AT_ONCE = 1  # they take much memory
APART = {
    HOOKS_QUEUE: HOOKS_AT_ONCE,
    THUMBNAILS_QUEUE: THUMBNAILS_AT_ONCE,
    CONVERSIONS_QUEUE: CONVERSIONS_AT_ONCE,
}
REGISTER_SECONDS = 0.05
LEFTOVERS_SECONDS = 3600.0
GRACE_SECONDS = 15.0
LAST_RESORT_SECONDS = 5.0
MOST_REASON = 300

# imported for the jobs they register
REGISTERED = (
    *(exports_tasks, part_tasks, exports_maintenance, maintenance, submissions_tasks, uploads_tasks),
    *(tickets_tasks, pictures_tasks, studies_tasks, changes_tasks, hooks_tasks, imports_tasks),
    *(thumbnails_tasks, lists_tasks, conversions_tasks, conversions, review_tasks),
)

log = structlog.get_logger()


async def run_worker(settings: Settings, database_url: str) -> None:
    """Run jobs until SIGTERM or SIGINT; a running job is then stopped and queued again for another worker."""
    async with open_context(settings, database_url) as context:
        worker_context = WorkerContext(context)
        app = queue_app(context.database.url)
        async with app.open_async():
            workers = [
                Worker(
                    app=app,
                    queues=queues,
                    concurrency=concurrency,
                    fetch_job_polling_interval=POLL_SECONDS,
                    update_heartbeat_interval=HEARTBEAT_SECONDS,
                    stalled_worker_timeout=STALLED_SECONDS,
                    shutdown_graceful_timeout=GRACE_SECONDS,
                    install_signal_handlers=False,
                    delete_jobs=DeleteJobCondition.SUCCESSFUL,
                    additional_context={"worker": worker_context},
                    worker_middleware=[partial(_note_failures, context)],
                )
                for queues, concurrency in _share_queues(settings)
            ]

            def stop() -> None:
                if worker_context.stopping.is_set():
                    return
                worker_context.stopping.set()
                for worker in workers:
                    worker.stop()
                last_resort = threading.Timer(GRACE_SECONDS + LAST_RESORT_SECONDS, _give_up)
                last_resort.daemon = True
                last_resort.start()

            loop = asyncio.get_running_loop()
            for signum in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(signum, stop)
            beside = [
                asyncio.create_task(_watch(context, app, workers), name="watch"),
                asyncio.create_task(seal_every_second(context.database, context.storage), name="seal"),
            ]
            try:
                await run_together(workers, stop)
            finally:
                for task in beside:
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task


async def run_together(workers: list[Worker], stop: Callable[[], None]) -> None:
    """Until all have ended. One that ends by itself, as when the database went away, takes the others with it: the
    process is started again, and no queue is left without a worker."""
    running = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        stop()
        await asyncio.gather(*running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _note_failures(
    context: Context, call_next: Callable[[], Awaitable[Any]], job: JobContext, worker: Worker
) -> Any:
    """Run a job, and keep why it failed."""
    try:
        return await call_next()
    except Exception as error:
        assert job.job.id is not None  # it is of the queue
        try:
            async with context.database.transaction() as connection:
                await queries.note_failure(connection, job.job.id, say_failure(error))
        except (psycopg.Error, PoolTimeout) as fault:
            log.warning("job.failure_not_kept", job_id=job.job.id, error=str(fault))
        raise


def say_failure(error: Exception) -> str:
    """Why a job failed, on one line. Of the database only its own words: its details quote rows."""
    text = error.diag.message_primary if isinstance(error, psycopg.Error) else str(error)
    return f"{type(error).__name__}: {' '.join((text or '').split())}"[:MOST_REASON].rstrip(": ")


def _share_queues(settings: Settings) -> list[tuple[list[str], int]]:
    """Queues, and how many jobs of these run at a time: a receiver of webhooks that hangs, or a thousand pictures that
    are to be made small, hold up no other queue."""
    queues = settings.worker_queues.split(",")
    others = [name for name in queues if name not in APART]
    shares = [(others, settings.worker_concurrency)] if others else []
    return [*shares, *(([name], APART[name]) for name in queues if name in APART)]


def _give_up() -> None:
    """Exit although a job does not stop: log where it is, and leave the job to another worker."""
    log.error("worker.stuck")
    faulthandler.dump_traceback()
    os._exit(1)


async def _watch(context: Context, app: App, workers: list[Worker]) -> None:
    """The workers' heartbeat: hold their locks, queue jobs of dead workers again, delete garbage from storage."""
    alive: psycopg.AsyncConnection[object] | None = None
    swept_at = float("-inf")
    try:
        while True:
            next_at = float("inf")
            try:
                if time.monotonic() - swept_at > LEFTOVERS_SECONDS:  # on every machine there is a worker
                    swept_at = time.monotonic()
                    log.info("leftovers.swept", count=await remove_leftovers(context))
                    await raise_generation(context.settings, context.storage, context.database.transaction)
                worker_ids = [worker.worker_id for worker in workers if worker.worker_id is not None]
                if len(worker_ids) < len(workers):  # not registered yet
                    await asyncio.sleep(REGISTER_SECONDS)
                    continue
                if alive is None or alive.closed:
                    alive = await psycopg.AsyncConnection.connect(context.database.url, autocommit=True)
                    for worker_id in worker_ids:
                        await queries.show_alive(alive, worker_id)
                await alive.execute("SELECT 1")
                ahead = await hand_back(context, app)
                if ahead is not None:
                    next_at = time.monotonic() + ahead
                await collect_garbage(context.database, context.storage)
                await list_erasures(context)
            except psycopg.Error as error:
                log.warning("worker.database", error=str(error))
                alive = None
            except (OSError, FieldpackError) as error:
                log.warning("worker.storage", error=str(error))
            await asyncio.sleep(min(WATCH_SECONDS, max(SHORTEST_SECONDS, next_at - time.monotonic())))
    finally:
        if alive is not None:
            await alive.close()


async def hand_back(context: Context, app: App) -> float | None:
    """Queue again the jobs of dead workers, and jobs for what waits and has none.

    Returns:
        Seconds until the next of what waits for its time; None when there is nothing.
    """
    async with context.database.transaction() as connection:
        for job_id in await queries.requeue_orphaned(connection):
            log.warning("job.taken_back", job_id=job_id)
        await exports_maintenance.requeue_lost(connection)
        await conversions.requeue_lost(connection)
        await requeue_waiting(connection)
        await thumbnails.requeue_waiting(connection)
        return await review.requeue_due(connection)
