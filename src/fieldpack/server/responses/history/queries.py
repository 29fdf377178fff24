"""SQL of a submission's history."""

from __future__ import annotations

from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.db.pool import Connection
from fieldpack.server.responses.history.rows import ChangeRow


async def list_changes(connection: Connection, submission_id: UUID, most: int) -> list[ChangeRow]:
    """The latest changes of a submission, oldest first, as far back as the log of changes goes."""
    cursor = await connection.cursor(row_factory=class_row(ChangeRow)).execute(
        """
        SELECT c.at, c.type, c.detail->>'status' AS status, c.detail->>'response' AS response,
               coalesce((c.detail->>'test')::boolean, false) AS test
        FROM changes c WHERE c.object_id = %s AND starts_with(c.type, 'submission.')
        ORDER BY c.id DESC LIMIT %s
        """,
        [submission_id, most],
    )
    return (await cursor.fetchall())[::-1]
