"""SQL of who is meant to be erased."""

from __future__ import annotations

from uuid import UUID

from fieldpack.server.db.pool import Connection
from fieldpack.server.selection.filters import ResponseFilter
from fieldpack.server.selection.queries import select_matching


async def list_meant(
    connection: Connection,
    collection_id: UUID,
    wanted: ResponseFilter,
    participants: list[str] | None,
    most: int,
) -> list[UUID]:
    """The submissions that a filter lets through, of these participants alone where some are named; at most so many."""
    matching = select_matching(collection_id, wanted)
    cursor = await connection.execute(
        f"""
        SELECT s.id FROM submissions s
        WHERE {matching.sql} AND (%(people)s::text[] IS NULL OR s.participant_id = ANY(%(people)s::text[]))
        ORDER BY s.id LIMIT %(most)s
        """,
        {**matching.values, "people": participants, "most": most},
    )
    return [row["id"] for row in await cursor.fetchall()]


async def list_present(connection: Connection, collection_id: UUID, participants: list[str]) -> set[str]:
    """Those of these participants that a collection has a submission of."""
    cursor = await connection.execute(
        """
        SELECT DISTINCT participant_id FROM submissions
        WHERE collection_id = %s AND response <> 'deleted' AND participant_id = ANY(%s)
        """,
        [collection_id, participants],
    )
    return {row["participant_id"] for row in await cursor.fetchall()}
