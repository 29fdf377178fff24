"""SQL of who was approved."""

from __future__ import annotations

from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.db.pool import Connection
from fieldpack.server.responses.review.rows import ApprovedRow
from fieldpack.server.selection.filters import ResponseFilter
from fieldpack.server.selection.queries import select_matching


async def list_approved(
    connection: Connection, collection_id: UUID, wanted: ResponseFilter
) -> list[ApprovedRow]:
    """The approved submissions that a filter lets through, tests left out, in the order of their completion."""
    matching = select_matching(collection_id, wanted)
    cursor = await connection.cursor(row_factory=class_row(ApprovedRow)).execute(
        f"""
        SELECT s.id, s.participant_id, s.study_id, t.name AS study_name, s.status, s.completed_at,
               CASE WHEN jsonb_typeof(t.fields->'reward') = 'number'
                    THEN (t.fields->>'reward')::numeric::bigint ELSE 0 END AS reward,
               (s.review->'completion_code_data'->>'percentage_of_reward')::float8 AS percentage
        FROM submissions s JOIN studies t ON t.id = s.study_id
        WHERE {matching.sql} AND NOT s.test AND s.status IN ('APPROVED', 'PARTIALLY APPROVED')
        ORDER BY s.completed_at, s.id
        """,
        matching.values,
    )
    return await cursor.fetchall()
