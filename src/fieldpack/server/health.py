"""`/health/live`, `/health/ready` and `/metrics`."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import structlog
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from psycopg_pool import PoolTimeout

from . import health_queries
from .config import QUEUE_NAMES
from .context import CurrentContext
from .metrics import collect_processes
from .problems import UNAVAILABLE, Problem
from .storage import StorageError

ANSWER_SECONDS = 3.0

router = APIRouter(tags=["operations"])

log = structlog.get_logger()


@router.get("/health/live")
async def live() -> dict[str, str]:
    """The process runs."""
    return {"status": "live"}


@router.get("/health/ready")
async def ready(context: CurrentContext) -> dict[str, str]:
    """The process can serve: the database answers, and so does the storage, both within seconds."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS), context.database.transaction() as connection:
            await health_queries.ping(connection)
    except (psycopg.Error, PoolTimeout, TimeoutError) as error:
        raise _unready("database", error) from error
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await context.storage.probe()
    except (StorageError, TimeoutError) as error:
        raise _unready("storage", error) from error
    return {"status": "ready"}


def _unready(part: str, error: Exception) -> Problem:
    reason = " ".join(str(error).split()).rstrip(".") or f"no answer within {ANSWER_SECONDS:.0f} s"
    log.warning("unready", part=part, error=reason)
    return Problem(UNAVAILABLE, f"The {part} does not answer: {reason}.", headers={"Retry-After": "2"})


@router.get("/metrics", response_class=Response)
async def metrics(context: CurrentContext) -> Response:
    """Figures for a Prometheus server: of all processes of this server, and of the queue in the database.

    The queue's are left out while the database does not answer.
    """
    queue: list[dict[str, Any]] = []
    try:  # while the database is down, the rest is wanted all the more
        async with asyncio.timeout(ANSWER_SECONDS), context.database.transaction() as connection:
            queue = await health_queries.count_jobs(connection, QUEUE_NAMES)
    except (psycopg.Error, PoolTimeout, TimeoutError) as error:
        log.warning("metrics.incomplete", error=str(error))
    lines = [generate_latest(collect_processes()).decode()]
    lines.append(
        _gauge("fieldpack_jobs", "Jobs in the queue.", [(_labels(row), row["count"]) for row in queue])
    )
    waiting = [(f'queue="{row["queue"]}"', row["age"]) for row in queue if row["status"] == "todo"]
    lines.append(_gauge("fieldpack_oldest_job_seconds", "Age of the oldest job waiting.", waiting))
    return Response("".join(lines), media_type=CONTENT_TYPE_LATEST)


def _labels(row: dict[str, Any]) -> str:
    return f'queue="{row["queue"]}",status="{row["status"]}"'


def _gauge(name: str, help: str, values: list[tuple[str, Any]]) -> str:
    samples = "".join(f"{name}{{{labels}}} {value}\n" for labels, value in values)
    return f"# HELP {name} {help}\n# TYPE {name} gauge\n{samples}"
