"""A conversion as a job."""

from __future__ import annotations

from uuid import UUID

import psycopg
import structlog
from procrastinate import JobContext
from psycopg_pool import PoolTimeout

from fieldpack.errors import FieldpackError, StorageError, StorageFull
from fieldpack.server.exports.build.ends import Interrupted, WornOut
from fieldpack.server.exports.conversions import queries
from fieldpack.server.exports.conversions.making import claim_conversion, make_conversion
from fieldpack.server.exports.conversions.rows import ConvertingRow
from fieldpack.server.exports.conversions.running import NotConverted
from fieldpack.server.exports.tasks import PassingFault, RetryPassing, is_refused
from fieldpack.server.jobs import CONVERSIONS_QUEUE, WorkerContext, blueprint

__all__ = ["convert"]

log = structlog.get_logger()


def explain(error: BaseException) -> str:
    """Why a conversion failed, for the person who asked for it."""
    if isinstance(error, NotConverted):
        return str(error)
    if isinstance(error, StorageFull):
        return "The server's disk or storage is full. Free some space and try again."
    if isinstance(error, WornOut):
        return f"{error} Ask the operator to look at the server's log, for memory above all."
    if is_refused(error):
        return (
            "The file can't be written: the database refuses something of it, and would again. Ask the operator to "
            "look at the server's log, which has more."
        )
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return "The database did not answer, also after several tries. Try again later."
    if isinstance(error, OSError | FieldpackError):
        return f"The archive could not be read, or the file not stored: {error}"
    return "An unexpected error stopped this conversion; the server's log has it. Try again."


@blueprint.task(name="convert", queue=CONVERSIONS_QUEUE, retry=RetryPassing(), pass_context=True)
async def convert(job: JobContext, conversion_id: str, export_id: str, build: str) -> None:
    """Make one conversion."""
    worker: WorkerContext = job.additional_context["worker"]
    structlog.contextvars.bind_contextvars(conversion_id=conversion_id, job_id=job.job.id)
    try:
        row = await claim_conversion(worker.context, UUID(conversion_id), UUID(export_id), UUID(build))
    except (psycopg.Error, PoolTimeout) as error:
        raise PassingFault(str(error)) from error
    if row is None:
        return
    try:
        await make_conversion(worker.context, row, worker.stopping)
    except Interrupted:
        raise
    except (OSError, StorageError, psycopg.Error, PoolTimeout) as error:
        may_pass = not isinstance(error, StorageFull) and not is_refused(error)
        if may_pass and job.job.attempts < worker.context.settings.export_retries:
            log.warning("conversion.retried", error=str(error), attempts=job.job.attempts)
            raise PassingFault(str(error)) from error
        await _fail(worker, row, error)
    except Exception as error:
        await _fail(worker, row, error)


async def _fail(worker: WorkerContext, row: ConvertingRow, error: BaseException) -> None:
    log.error("conversion.failed", error=str(error), exc_info=error)
    async with worker.context.database.transaction() as connection:
        await queries.fail(connection, row, explain(error))
