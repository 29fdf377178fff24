"""The job queue: procrastinate on our PostgreSQL.

This module holds the queue and imports no resource. A resource registers its jobs in its own
`tasks.py`, which the worker imports; a service enqueues by name, inside its own transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
import psycopg
import structlog
from procrastinate import App, Blueprint, PsycopgConnector
from procrastinate.exceptions import ConnectorException, UniqueViolation
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager
from psycopg.errors import UniqueViolation as AlreadyQueued

from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection

__all__ = [
    "CONVERSIONS_QUEUE",
    "EXPORTS_QUEUE",
    "HOOKS_QUEUE",
    "MAINTENANCE_QUEUE",
    "PARTS_QUEUE",
    "THUMBNAILS_QUEUE",
    "WorkerContext",
    "blueprint",
    "defer",
    "queue_app",
]

EXPORTS_QUEUE = "exports"
PARTS_QUEUE = "parts"
MAINTENANCE_QUEUE = "maintenance"
HOOKS_QUEUE = "hooks"
THUMBNAILS_QUEUE = "thumbnails"
CONVERSIONS_QUEUE = "conversions"

TELL_SECONDS = 1.0

blueprint = Blueprint()
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What a job is given: the parts of its process, and whether that is stopping."""

    context: Context
    stopping: threading.Event = field(default_factory=threading.Event)


class PatientJobs(JobManager):
    """Tells the end of a job as often as it takes, while the database can't be reached.

    An end that is not told leaves the job at work under a worker that lives and knows nothing of it: nobody takes it
    back, and all jobs under its lock wait for it.
    """

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        """Also, a job that was stopped because its worker ends is queued again: nothing else stops one."""
        if status is Status.ABORTED:
            with contextlib.suppress(UniqueViolation):  # the same waits under its queueing lock
                await self.retry_job(job)
                return
        await _tell(partial(super().finish_job, job, status, delete_job))

    async def retry_job(self, *arguments: Any, **named: Any) -> None:
        await _tell(partial(super().retry_job, *arguments, **named))


async def _tell(call: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            return await call()
        except ConnectorException as error:
            if not isinstance(error.__cause__, (psycopg.OperationalError, psycopg.InterfaceError)):
                raise  # such as after an attempt whose answer was lost: the end is told already
            log.warning("job.end_waits", reason=str(error.__cause__).strip())
        await asyncio.sleep(TELL_SECONDS)


def queue_app(url: str) -> App:
    """The procrastinate application of one worker process, with every registered job."""
    app = App(connector=PsycopgConnector(conninfo=url, min_size=1, max_size=4))
    app.job_manager = PatientJobs(app.connector)
    app.add_tasks_from(blueprint, namespace="fieldpack")
    return app


async def defer(
    connection: Connection,
    task: str,
    *,
    queue: str,
    priority: int = 0,
    lock: str | None = None,
    queueing_lock: str | None = None,
    delay_seconds: float | None = None,
    **arguments: Any,
) -> None:
    """Enqueue `task` in the caller's transaction: it exists if and only if that commits.

    A second job under the same `queueing_lock` is not enqueued while the first still waits, not even by another
    transaction at the same moment. Jobs under the same `lock` run one at a time. A delayed job starts when a worker
    looks for one next, so up to 2 s later.
    """
    if queueing_lock is not None:
        cursor = await connection.execute(
            "SELECT 1 FROM procrastinate_jobs WHERE queueing_lock = %s AND status = 'todo'", [queueing_lock]
        )
        if await cursor.fetchone() is not None:
            return
    values = [queue, f"fieldpack:{task}", priority, lock, queueing_lock, orjson.dumps(arguments).decode()]
    with contextlib.suppress(AlreadyQueued):
        async with connection.transaction():
            await connection.execute(
                """
                SELECT procrastinate_defer_jobs_v1(ARRAY[
                    ROW(%s, %s, %s, %s, %s, %s::jsonb, now() + make_interval(secs => %s))
                    ::procrastinate_job_to_defer_v1])
                """,
                [*values, delay_seconds],
            )
