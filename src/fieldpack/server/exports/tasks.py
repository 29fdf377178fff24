"""The export as a job: retried after a passing fault, failed with a reason a person understands otherwise."""

from __future__ import annotations

import asyncio
import errno
from uuid import UUID

import psycopg
import structlog
from procrastinate import BaseRetryStrategy, JobContext, RetryDecision
from procrastinate.jobs import Job

from fieldpack.errors import FieldpackError, StorageError, StorageFull
from fieldpack.server.exports import transitions
from fieldpack.server.exports.build.archive import build_export
from fieldpack.server.exports.build.ends import Incomplete, Interrupted, WornOut
from fieldpack.server.exports.serve.waiting import note_waiting, watch_storage
from fieldpack.server.jobs import EXPORTS_QUEUE, WorkerContext, blueprint

__all__ = ["PassingFault", "RetryPassing", "explain", "export", "is_refused"]

LONGEST_WAIT_SECONDS = 30

log = structlog.get_logger()


class PassingFault(Exception):
    """Something that may be better the next time."""


class RetryPassing(BaseRetryStrategy):
    """Again after 1, 2, 4 … seconds; at once when the worker stopped."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        if isinstance(exception, Interrupted):
            return RetryDecision(retry_in={"seconds": 0})
        if isinstance(exception, PassingFault):
            return RetryDecision(retry_in={"seconds": min(2**job.attempts, LONGEST_WAIT_SECONDS)})
        return None


def is_refused(error: BaseException) -> bool:
    """Whether the database refuses what it was given, and so does it the next time too."""
    if isinstance(error, psycopg.DataError | psycopg.ProgrammingError | psycopg.NotSupportedError):
        return True
    # 54: more than PostgreSQL can hold at all, which is an `OperationalError` too
    return isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith("54")


def explain(error: BaseException) -> str:
    """Why an export failed, for the person who asked for it."""
    if isinstance(error, StorageFull) or (
        isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    ):
        return "The server's disk or storage is full. Free some space and request the export again."
    if isinstance(error, Incomplete):
        return (
            f"The collection's data is not consistent: {error} Ask the operator to look at the server's log."
        )
    if isinstance(error, WornOut):
        return f"{error} Ask the operator to look at the server's log, for memory above all."
    if is_refused(error):
        return (
            "The archive can't be written: the database refuses something of the collection, and would again. "
            "Ask the operator to look at the server's log, which has more."
        )
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return "The database did not answer, also after several tries. Request the export again later."
    if isinstance(error, OSError | FieldpackError):
        return f"The storage did not take the archive, also after several tries: {error} Request it again."
    return "An unexpected error stopped this export; the server's log has it. Request the export again."


@blueprint.task(name="export", queue=EXPORTS_QUEUE, retry=RetryPassing(), pass_context=True)
async def export(job: JobContext, export_id: str) -> None:
    """Make one export."""
    worker: WorkerContext = job.additional_context["worker"]
    structlog.contextvars.bind_contextvars(export_id=export_id, job_id=job.job.id)
    try:
        async with watch_storage(worker.context, UUID(export_id)):
            await asyncio.to_thread(build_export, worker.context, UUID(export_id), worker.stopping)
    except Interrupted:
        raise
    except (OSError, StorageError, psycopg.Error) as error:
        if not is_refused(error) and job.job.attempts < worker.context.settings.export_retries:
            log.warning("export.retried", error=str(error), attempts=job.job.attempts)
            if isinstance(error, StorageError):
                await note_waiting(worker.context, UUID(export_id), error)
            raise PassingFault(str(error)) from error
        await _fail(worker, export_id, error)
    except Exception as error:
        await _fail(worker, export_id, error)


async def _fail(worker: WorkerContext, export_id: str, error: BaseException) -> None:
    log.error("export.failed", error=str(error), exc_info=error)
    async with worker.context.database.transaction() as connection:
        await transitions.fail(connection, [UUID(export_id)], "generating", explain(error))
