"""SQL of health checks and metrics."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.rows import class_row

from fieldpack.server.db.pool import Connection
from fieldpack.server.operations.rows import JobsRow


async def ping(connection: Connection) -> None:
    """Read one row, so that it is known that the database answers."""
    await connection.execute("SELECT 1 FROM settings LIMIT 1")


async def count_jobs(connection: Connection, queues: Sequence[str]) -> list[JobsRow]:
    """Jobs by queue and state, those without any included."""
    cursor = await connection.cursor(row_factory=class_row(JobsRow)).execute(
        """
        SELECT q.queue, s.status, count(j.id) AS count,
               coalesce(extract(epoch FROM now() - min(e.at)), 0)::float AS age_seconds
        FROM unnest(%s::text[]) AS q (queue)
        CROSS JOIN unnest(ARRAY['todo', 'doing', 'failed']) AS s (status)
        LEFT JOIN procrastinate_jobs j ON j.queue_name = q.queue AND j.status::text = s.status
        LEFT JOIN procrastinate_events e ON e.job_id = j.id AND e.type = 'deferred'
        GROUP BY 1, 2 ORDER BY 1, 2
        """,
        [list(queues)],
    )
    return await cursor.fetchall()


async def list_waiting_scrubs(connection: Connection) -> list[str]:
    """Why scrubs of the embedded database wait, where someone has to do something about it."""
    cursor = await connection.execute(
        """
        SELECT DISTINCT args->>'waiting' AS reason FROM procrastinate_jobs
        WHERE task_name = 'fieldpack:scrub' AND status IN ('todo', 'doing') AND args->>'waiting' <> ''
        """
    )
    return [row["reason"] for row in await cursor.fetchall()]
