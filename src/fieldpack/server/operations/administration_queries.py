"""SQL of looking after an installation: sizes, jobs that failed, sweeps that were asked for."""

from __future__ import annotations

from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from fieldpack.server.db.pool import Connection, fetch_count
from fieldpack.server.exports.erasure import REASON as ERASED
from fieldpack.server.operations.rows import (
    DatabaseRow,
    FailedExportRow,
    FailedJobRow,
    HealthRow,
    StoredRow,
    SweepRow,
    TableRow,
)

FAILED_DAYS = 30
ALIVE_SECONDS = 30
SWEEPS_KEPT = 20


async def read_database(connection: Connection) -> DatabaseRow:
    """Versions and size of the database."""
    cursor = await connection.cursor(row_factory=class_row(DatabaseRow)).execute(
        """
        SELECT current_setting('server_version') AS version,
               (SELECT version_num FROM alembic_version LIMIT 1) AS schema,
               pg_database_size(current_database()) AS size_bytes
        """
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def list_tables(connection: Connection, most: int) -> list[TableRow]:
    """The largest tables."""
    cursor = await connection.cursor(row_factory=class_row(TableRow)).execute(
        """
        SELECT c.relname AS name, pg_total_relation_size(c.oid) AS size_bytes,
               greatest(c.reltuples, 0)::bigint AS rows
        FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
        ORDER BY 2 DESC, 1 LIMIT %s
        """,
        [most],
    )
    return await cursor.fetchall()


async def list_stored(connection: Connection) -> list[StoredRow]:
    """What is stored, by kinds."""
    cursor = await connection.cursor(row_factory=class_row(StoredRow)).execute(
        """
        SELECT 'uploads' AS kind, count(*) AS objects, coalesce(sum(b.size_bytes), 0)::bigint AS size_bytes
        FROM blobs b WHERE NOT EXISTS (SELECT FROM pictures p WHERE p.id = b.id)
        UNION ALL
        SELECT 'pictures', count(*), coalesce(sum(b.size_bytes), 0)::bigint FROM pictures p JOIN blobs b ON b.id = p.id
        UNION ALL
        SELECT 'thumbnails', count(*), coalesce(sum(size_bytes), 0)::bigint FROM thumbnail_files
        UNION ALL
        SELECT 'under_way', count(*), coalesce(sum(offset_bytes), 0)::bigint
        FROM uploads WHERE blob_id IS NULL AND failure IS NULL
        """
    )
    return await cursor.fetchall()


async def read_health(connection: Connection) -> HealthRow:
    """Figures that say whether somebody has to do something."""
    cursor = await connection.cursor(row_factory=class_row(HealthRow)).execute(
        """
        SELECT (SELECT count(*) FROM procrastinate_workers
                WHERE last_heartbeat > now() - make_interval(secs => %(alive)s)) AS workers,
               (SELECT coalesce(max(extract(epoch FROM now() - greatest(e.at, j.scheduled_at))), 0)::float
                FROM procrastinate_jobs j JOIN procrastinate_events e ON e.job_id = j.id AND e.type = 'deferred'
                WHERE j.status = 'todo' AND (j.scheduled_at IS NULL OR j.scheduled_at <= now())) AS overdue_seconds,
               (SELECT count(*) FROM procrastinate_jobs WHERE status = 'failed') AS failed_jobs,
               (SELECT count(*) FROM exports WHERE status = 'failed' AND failure_reason IS DISTINCT FROM %(erased)s
                AND created_at > now() - make_interval(days => %(days)s)) AS failed_exports,
               (SELECT count(*) FROM garbage WHERE created_at < now() - interval '1 minute') AS garbage,
               (SELECT count(*) FROM unlisted_erasures
                WHERE NOT stored AND erased_at < now() - interval '1 minute') AS unlisted
        """,
        {"alive": ALIVE_SECONDS, "days": FAILED_DAYS, "erased": ERASED},
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def list_failed_jobs(connection: Connection, limit: int, offset: int) -> tuple[list[FailedJobRow], int]:
    """Jobs that failed, newest first, and how many there are."""
    cursor = await connection.cursor(row_factory=class_row(FailedJobRow)).execute(
        """
        SELECT j.id, split_part(j.task_name, ':', 2) AS task, j.queue_name AS queue, j.attempts,
               coalesce(f.failed_at, (SELECT max(e.at) FROM procrastinate_events e
                                      WHERE e.job_id = j.id AND e.type = 'failed')) AS failed_at, f.reason
        FROM procrastinate_jobs j LEFT JOIN job_failures f ON f.job_id = j.id
        WHERE j.status = 'failed' ORDER BY j.id DESC LIMIT %s OFFSET %s
        """,
        [limit, offset],
    )
    rows = await cursor.fetchall()
    return rows, await fetch_count(
        connection, "SELECT count(*) FROM procrastinate_jobs WHERE status = 'failed'"
    )


async def list_failed_exports(connection: Connection, most: int) -> list[FailedExportRow]:
    """Exports that failed within the last days for another reason than an erasure, newest first."""
    cursor = await connection.cursor(row_factory=class_row(FailedExportRow)).execute(
        """
        SELECT id, collection_id, created_at, failure_reason AS reason FROM exports
        WHERE status = 'failed' AND failure_reason IS DISTINCT FROM %s
          AND created_at > now() - make_interval(days => %s)
        ORDER BY created_at DESC, id LIMIT %s
        """,
        [ERASED, FAILED_DAYS, most],
    )
    return await cursor.fetchall()


async def queue_again(connection: Connection, job_id: int) -> bool:
    """Queue a failed job again; False when it is none.

    Without its queueing lock: the next run of a periodic job may be waiting under it.
    """
    cursor = await connection.execute(
        """
        UPDATE procrastinate_jobs SET status = 'todo', attempts = 0, scheduled_at = NULL, worker_id = NULL,
               queueing_lock = NULL, abort_requested = false
        WHERE id = %s AND status = 'failed'
        """,
        [job_id],
    )
    return cursor.rowcount > 0


_SWEEP = "SELECT id, dry_run, requested_at, finished_at, result, reason FROM sweeps"


async def insert_sweep(connection: Connection, sweep_id: UUID, *, dry_run: bool) -> None:
    """A sweep that somebody asks for; the oldest beyond those that are kept go."""
    await connection.execute("INSERT INTO sweeps (id, dry_run) VALUES (%s, %s)", [sweep_id, dry_run])
    await connection.execute(
        "DELETE FROM sweeps WHERE finished_at IS NOT NULL AND id NOT IN"
        " (SELECT id FROM sweeps ORDER BY requested_at DESC, id LIMIT %s)",
        [SWEEPS_KEPT],
    )


async def finish_sweep(
    connection: Connection, sweep_id: UUID, result: dict[str, object] | None, reason: str | None
) -> None:
    """Record what a sweep did, or why it could not."""
    await connection.execute(
        "UPDATE sweeps SET finished_at = now(), result = %s, reason = %s WHERE id = %s",
        [Jsonb(result) if result is not None else None, reason, sweep_id],
    )


async def find_sweep(connection: Connection, sweep_id: UUID) -> SweepRow | None:
    """One of the sweeps that somebody asked for."""
    cursor = await connection.cursor(row_factory=class_row(SweepRow)).execute(
        f"{_SWEEP} WHERE id = %s", [sweep_id]
    )
    return await cursor.fetchone()


async def find_sweep_under_way(connection: Connection, *, dry_run: bool) -> SweepRow | None:
    """The sweep of this kind that is not finished. Locks the table until commit against another that asks."""
    await connection.execute("LOCK TABLE sweeps IN SHARE ROW EXCLUSIVE MODE")
    cursor = await connection.cursor(row_factory=class_row(SweepRow)).execute(
        f"{_SWEEP} WHERE finished_at IS NULL AND dry_run = %s ORDER BY requested_at LIMIT 1", [dry_run]
    )
    return await cursor.fetchone()


async def list_sweeps(connection: Connection) -> list[SweepRow]:
    """The latest sweeps that somebody asked for, newest first."""
    cursor = await connection.cursor(row_factory=class_row(SweepRow)).execute(
        f"{_SWEEP} ORDER BY requested_at DESC, id LIMIT %s", [SWEEPS_KEPT]
    )
    return await cursor.fetchall()
