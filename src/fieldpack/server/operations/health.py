"""`/health/live`, `/health/ready` and `/metrics`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import psycopg
import structlog
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from psycopg_pool import PoolTimeout

from fieldpack.errors import StorageError, StorageFull
from fieldpack.server.config import QUEUE_NAMES
from fieldpack.server.hooks.queries import find_backlog
from fieldpack.server.hooks.rows import BacklogRow
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.machine.metrics import collect_processes
from fieldpack.server.operations import health_queries
from fieldpack.server.operations.rows import JobsRow
from fieldpack.server.problems import RETRY_SECONDS, UNAVAILABLE, Problem

READY_SECONDS = 1.5
ANSWER_SECONDS = 3.0
NO_ANSWER = (psycopg.Error, PoolTimeout, StorageError, TimeoutError)

T = TypeVar("T")

router = APIRouter(tags=["operations"])

log = structlog.get_logger()


class _Unfinished(set[asyncio.Task[Any]]):
    """What is asked and not answered, though nobody waits for it any more: asyncio itself holds tasks weakly only."""


@router.head("/health/live", include_in_schema=False)
@router.get("/health/live")
async def live() -> dict[str, str]:
    """The process runs."""
    return {"status": "live"}


@router.head("/health/ready", include_in_schema=False)
@router.get("/health/ready")
async def ready(context: CurrentContext) -> dict[str, Any]:
    """The process can serve: the database answers, and so does the storage, both at once.

    `waiting` says, in words, what someone has to do something about, if there is anything.
    """
    looking = asyncio.create_task(_within(context, READY_SECONDS, _look(context)))
    probing = asyncio.create_task(_within(context, READY_SECONDS, context.storage.probe()))
    await asyncio.wait({looking, probing})
    try:
        reasons = looking.result()
    except NO_ANSWER as error:
        _forget(probing)
        raise _unready("database", error) from error
    full = False
    try:
        probing.result()
    except StorageFull:
        full = True
    except NO_ANSWER as error:
        raise _unready("storage", error) from error
    waiting = [f"What was erased is still in the database's files: {reason}." for reason in reasons]
    if full or context.reserve.is_low():
        waiting.append(
            "The disk or bucket is full, or nearly so: what needs room is refused until there is some."
        )
    return {"status": "ready", **({"waiting": waiting} if waiting else {})}


async def _look(context: CurrentContext) -> list[str]:
    async with context.database.transaction() as connection:
        await health_queries.ping(connection)
        return await health_queries.list_waiting_scrubs(connection)


async def _within(context: CurrentContext, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives, or TimeoutError at the time. It is not cancelled then: that would wait for the database."""
    task = asyncio.create_task(work)
    done, _ = await asyncio.wait({task}, timeout=seconds)
    if not done:
        unfinished = context.caches.get(_Unfinished)
        unfinished.add(task)
        task.add_done_callback(unfinished.discard)
        task.add_done_callback(_forget)
        raise TimeoutError(f"no answer within {seconds:g} s")
    return task.result()


def _forget(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


def _unready(part: str, error: Exception) -> Problem:
    reason = " ".join(str(error).split()).rstrip(".")
    log.warning("unready", part=part, error=reason)
    return Problem(
        UNAVAILABLE, f"The {part} does not answer: {reason}.", headers={"Retry-After": str(RETRY_SECONDS)}
    )


@router.get("/metrics", response_class=Response)
async def metrics(context: CurrentContext) -> Response:
    """Figures for a Prometheus server: of all processes of this server, and of the queue in the database.

    The queue's are left out while the database does not answer.
    """
    queue: list[JobsRow] = []
    backlog: BacklogRow | None = None
    try:  # while the database is down, the rest is wanted all the more
        queue, backlog = await _within(context, ANSWER_SECONDS, _count_jobs(context))
    except (psycopg.Error, PoolTimeout, TimeoutError) as error:
        log.warning("metrics.incomplete", error=str(error))
    lines = [generate_latest(collect_processes()).decode()]
    lines.append(_gauge("fieldpack_jobs", "Jobs in the queue.", [(_labels(row), row.count) for row in queue]))
    waiting = [(f'queue="{row.queue}"', row.age_seconds) for row in queue if row.status == "todo"]
    lines.append(_gauge("fieldpack_oldest_job_seconds", "Age of the oldest job waiting.", waiting))
    events = [("", backlog.count)] if backlog else []
    lines.append(_gauge("fieldpack_hook_events", "Events that wait to be sent to webhooks.", events))
    ages = [("", backlog.age_seconds)] if backlog else []
    lines.append(_gauge("fieldpack_oldest_hook_event_seconds", "Age of the oldest event waiting.", ages))
    return Response("".join(lines), media_type=CONTENT_TYPE_LATEST)


async def _count_jobs(context: CurrentContext) -> tuple[list[JobsRow], BacklogRow]:
    async with context.database.transaction() as connection:
        return await health_queries.count_jobs(connection, QUEUE_NAMES), await find_backlog(connection)


def _labels(row: JobsRow) -> str:
    return f'queue="{row.queue}",status="{row.status}"'


def _gauge(name: str, help: str, values: list[tuple[str, Any]]) -> str:
    samples = "".join(
        f"{name}{{{labels}}} {value}\n" if labels else f"{name} {value}\n" for labels, value in values
    )
    return f"# HELP {name} {help}\n# TYPE {name} gauge\n{samples}"
