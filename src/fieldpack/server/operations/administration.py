"""The rules of looking after an installation: for its operators alone, and at the command line for who has its data."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from fieldpack.server.accounts.operators.service import require_operator
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import OPERATOR, write_entry
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.jobs import MAINTENANCE_QUEUE, defer
from fieldpack.server.operations import administration_queries as queries
from fieldpack.server.operations.rows import FailedExportRow, FailedJobRow, SweepRow
from fieldpack.server.operations.status import Status, read_status
from fieldpack.server.problems import not_found

__all__ = [
    "describe_export",
    "describe_job",
    "describe_sweep",
    "get_status",
    "get_sweep",
    "list_failed_exports",
    "list_failed_jobs",
    "list_sweeps",
    "request_sweep",
    "retry_job",
]

MOST_EXPORTS = 100
MOST_ID = 2**63 - 1


async def _check(connection: Connection, caller: Caller | None) -> None:
    """Return if the caller may do this; None is whoever has the data folder or the database."""
    if caller is not None:
        await require_operator(connection, caller)


async def get_status(context: Context, caller: Caller) -> Status:
    """How the installation does.

    Raises:
        Problem: 403.
    """
    async with context.database.transaction() as connection:
        await require_operator(connection, caller)
    return await read_status(context)


async def list_failed_jobs(
    connection: Connection, caller: Caller | None, limit: int, offset: int
) -> tuple[list[FailedJobRow], int]:
    """Jobs that failed and are not tried again by themselves, newest first, and how many there are.

    Raises:
        Problem: 403.
    """
    await _check(connection, caller)
    return await queries.list_failed_jobs(connection, limit, offset)


async def list_failed_exports(connection: Connection, caller: Caller | None) -> list[FailedExportRow]:
    """Exports that failed in the last days, newest first. Whoever may export requests them again.

    Raises:
        Problem: 403.
    """
    await _check(connection, caller)
    return await queries.list_failed_exports(connection, MOST_EXPORTS)


async def retry_job(connection: Connection, caller: Caller | None, job_id: int) -> None:
    """Have a failed job tried again.

    Raises:
        Problem: 403; 404 for what is no failed job (any more).
    """
    await _check(connection, caller)
    if not 0 < job_id <= MOST_ID or not await queries.queue_again(connection, job_id):
        raise not_found("Failed job", job_id)
    await write_entry(connection, caller.actor if caller else OPERATOR, "installation.retry")


async def request_sweep(connection: Connection, caller: Caller, *, dry_run: bool) -> SweepRow:
    """Have a worker remove what retention and interruptions left behind, or only look for it.

    One that is asked for while another of its kind is under way is that one.

    Raises:
        Problem: 403.
    """
    await require_operator(connection, caller)
    found = await queries.find_sweep_under_way(connection, dry_run=dry_run)
    if found is not None:
        return found
    sweep_id = uuid4()
    await queries.insert_sweep(connection, sweep_id, dry_run=dry_run)
    await defer(connection, "sweep", queue=MAINTENANCE_QUEUE, sweep_id=str(sweep_id))
    await write_entry(connection, caller.actor, "installation.sweep", step="DRY_RUN" if dry_run else "SWEEP")
    return await get_sweep(connection, caller, sweep_id)


async def get_sweep(connection: Connection, caller: Caller, sweep_id: UUID) -> SweepRow:
    """A sweep that somebody asked for.

    Raises:
        Problem: 403; 404.
    """
    await require_operator(connection, caller)
    row = await queries.find_sweep(connection, sweep_id)
    if row is None:
        raise not_found("Sweep", sweep_id)
    return row


async def list_sweeps(connection: Connection, caller: Caller) -> list[SweepRow]:
    """The latest sweeps that somebody asked for, newest first.

    Raises:
        Problem: 403.
    """
    await require_operator(connection, caller)
    return await queries.list_sweeps(connection)


def describe_job(row: FailedJobRow) -> dict[str, Any]:
    """A failed job as the API and the command line answer it."""
    return {
        "id": row.id,
        "task": row.task,
        "queue": row.queue,
        "attempts": row.attempts,
        "failed_at": row.failed_at,
        "reason": row.reason,
    }


def describe_export(row: FailedExportRow) -> dict[str, Any]:
    """A failed export as the API answers it."""
    return {
        "export_id": row.id,
        "collection_id": row.collection_id,
        "created_at": row.created_at,
        "failure_reason": row.reason,
    }


def describe_sweep(row: SweepRow) -> dict[str, Any]:
    """A sweep as the API answers it."""
    return {
        "id": row.id,
        "dry_run": row.dry_run,
        "status": "running" if row.finished_at is None else "failed" if row.result is None else "complete",
        "requested_at": row.requested_at,
        "finished_at": row.finished_at,
        "result": row.result,
        "failure_reason": row.reason,
    }
