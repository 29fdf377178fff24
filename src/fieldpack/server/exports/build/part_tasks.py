"""The parts of stored archives as jobs: each on any worker, and tried again alone."""

from __future__ import annotations

from collections.abc import Awaitable
from uuid import UUID

import psycopg
import structlog
from procrastinate import JobContext

from fieldpack.errors import BlobMissing, StorageError
from fieldpack.server.exports import transitions
from fieldpack.server.exports.build.ends import Interrupted
from fieldpack.server.exports.build.parts import finish_object, send_part
from fieldpack.server.exports.serve.waiting import note_waiting, watch_storage
from fieldpack.server.exports.tasks import PassingFault, RetryPassing, explain, is_refused
from fieldpack.server.jobs import PARTS_QUEUE, WorkerContext, blueprint

__all__ = ["finish", "part"]

log = structlog.get_logger()


@blueprint.task(name="part", queue=PARTS_QUEUE, retry=RetryPassing(), pass_context=True)
async def part(job: JobContext, export_id: str, build: str, number: int) -> None:
    """Make one part of a stored archive."""
    worker = _bind(job, export_id, part=number)
    work = send_part(worker.context, UUID(export_id), UUID(build), number, worker.stopping)
    await _attempt(job, export_id, build, work)


@blueprint.task(name="finish", queue=PARTS_QUEUE, retry=RetryPassing(), pass_context=True)
async def finish(job: JobContext, export_id: str, build: str) -> None:
    """Make the object of its parts."""
    worker = _bind(job, export_id)
    await _attempt(job, export_id, build, finish_object(worker.context, UUID(export_id), UUID(build)))


def _bind(job: JobContext, export_id: str, **more: int) -> WorkerContext:
    structlog.contextvars.bind_contextvars(export_id=export_id, job_id=job.job.id, **more)
    worker: WorkerContext = job.additional_context["worker"]
    return worker


async def _attempt(job: JobContext, export_id: str, build: str, work: Awaitable[None]) -> None:
    worker: WorkerContext = job.additional_context["worker"]
    try:
        async with watch_storage(worker.context, UUID(export_id)):
            await work
    except Interrupted:
        raise
    except BlobMissing as error:
        await _fail(worker, export_id, build, error, f"A stored file is damaged or missing: {error}")
    except (OSError, StorageError, psycopg.Error) as error:
        if not is_refused(error) and job.job.attempts < worker.context.settings.export_retries:
            log.warning("part.retried", error=str(error), attempts=job.job.attempts)
            if isinstance(error, StorageError):
                await note_waiting(worker.context, UUID(export_id), error)
            raise PassingFault(str(error)) from error
        await _fail(worker, export_id, build, error, explain(error))
    except Exception as error:
        await _fail(worker, export_id, build, error, explain(error))


async def _fail(worker: WorkerContext, export_id: str, build: str, error: Exception, reason: str) -> None:
    log.error("export.failed", error=str(error), exc_info=error)
    async with worker.context.database.transaction() as connection:
        await transitions.fail(connection, [UUID(export_id)], "generating", reason, build=UUID(build))
