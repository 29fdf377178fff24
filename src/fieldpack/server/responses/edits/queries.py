"""SQL of the answers that a change of their question reaches."""

from __future__ import annotations

from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.db.pool import Connection
from fieldpack.server.responses.rows import ChosenRow


async def count_values(connection: Connection, collection_id: UUID, instruction_id: UUID) -> list[ChosenRow]:
    """How many active responses chose each option, or each unit, of a question."""
    cursor = await connection.cursor(row_factory=class_row(ChosenRow)).execute(
        """
        SELECT c.value, count(*) AS count
        FROM submissions s CROSS JOIN LATERAL (SELECT s.answers -> %(item)s AS answer) a CROSS JOIN LATERAL (
            SELECT DISTINCT v AS value FROM jsonb_path_query(a.answer, '$.value[*] ? (@.type() != "object")') v
            WHERE jsonb_typeof(a.answer -> 'value') = 'array'
            UNION SELECT v FROM jsonb_path_query(a.answer, '$.value[*] ? (@.type() == "object").value') v
            UNION SELECT v FROM jsonb_path_query(a.answer, '$.unit') v
        ) c
        WHERE s.collection_id = %(collection)s AND NOT s.test AND s.response = 'active' GROUP BY c.value
        """,
        {"item": str(instruction_id), "collection": collection_id},
    )
    return await cursor.fetchall()


async def count_under_way(connection: Connection, collection_id: UUID) -> int:
    """How many participants are answering now."""
    cursor = await connection.execute(
        "SELECT count(*) AS count FROM submissions"
        " WHERE collection_id = %s AND NOT test AND response = 'in_progress' AND status = 'ACTIVE'",
        [collection_id],
    )
    row = await cursor.fetchone()
    assert row is not None
    count: int = row["count"]
    return count
