"""SQL of workers: their locks, and the jobs of dead ones."""

from __future__ import annotations

from typing import Any

import psycopg

from fieldpack.server.db.pool import Connection

# first half of the advisory lock's key: "flpk"
LOCK_CLASS = 0x666C706B
SILENT_SECONDS = 5.0


async def show_alive(connection: psycopg.AsyncConnection[Any], worker_id: int) -> None:
    """Take this worker's advisory lock, which lasts as long as the connection."""
    await connection.execute("SELECT pg_advisory_lock(%s, %s)", [LOCK_CLASS, worker_id])


async def note_failure(connection: Connection, job_id: int, reason: str) -> None:
    """Keep why a job failed, for operators; the latest reason stays."""
    await connection.execute(
        """
        INSERT INTO job_failures (job_id, reason) SELECT id, %s FROM procrastinate_jobs WHERE id = %s
        ON CONFLICT (job_id) DO UPDATE SET failed_at = now(), reason = excluded.reason
        """,
        [reason, job_id],
    )


async def requeue_orphaned(connection: Connection) -> list[int]:
    """Jobs whose worker is gone, queued again: it holds no lock, and was not heard of for some seconds.

    Without their queueing lock: the next run of a periodic job may be waiting under it already, and all jobs
    that are taken back would wait for it to go.
    """
    cursor = await connection.execute(
        """
        UPDATE procrastinate_jobs j SET status = 'todo', worker_id = NULL, abort_requested = false,
               scheduled_at = NULL, queueing_lock = NULL
        WHERE j.status = 'doing' AND NOT EXISTS (
            SELECT FROM procrastinate_workers w
            WHERE w.id = j.worker_id AND (
                w.last_heartbeat > now() - make_interval(secs => %(silent)s)
                OR EXISTS (SELECT FROM pg_locks l
                           WHERE l.locktype = 'advisory' AND l.classid = %(class)s AND l.objid = w.id
                             AND l.database = (SELECT oid FROM pg_database
                                               WHERE datname = current_database()))))
          AND j.id IN (SELECT id FROM procrastinate_jobs WHERE status = 'doing' FOR UPDATE SKIP LOCKED)
        RETURNING j.id, j.queue_name
        """,
        {"silent": SILENT_SECONDS, "class": LOCK_CLASS},
    )
    rows = await cursor.fetchall()
    return [row["id"] for row in rows]
