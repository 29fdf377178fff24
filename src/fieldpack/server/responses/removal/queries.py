"""SQL of the end of a collection."""

from __future__ import annotations

from uuid import UUID

from fieldpack.server.db.pool import Connection


async def count_held(connection: Connection, collection_id: UUID) -> int:
    """Submissions that were not erased, tests among them."""
    cursor = await connection.execute(
        "SELECT count(*) AS count FROM submissions WHERE collection_id = %s AND response <> 'deleted'",
        [collection_id],
    )
    row = await cursor.fetchone()
    assert row is not None
    count: int = row["count"]
    return count


async def list_held(connection: Connection, collection_id: UUID, most: int) -> list[UUID]:
    """The ids of so many of them."""
    cursor = await connection.execute(
        "SELECT id FROM submissions WHERE collection_id = %s AND response <> 'deleted' LIMIT %s",
        [collection_id, most],
    )
    return [row["id"] for row in await cursor.fetchall()]


async def count_tried(connection: Connection, study_id: UUID) -> int:
    """Submissions of a study's trial, or of a trial itself, that were not erased."""
    cursor = await connection.execute(
        """
        SELECT count(*) AS count FROM submissions s JOIN studies t ON t.id = s.study_id
        WHERE t.test AND (t.id = %(study)s OR t.test_of = %(study)s) AND s.response <> 'deleted'
        """,
        {"study": study_id},
    )
    row = await cursor.fetchone()
    assert row is not None
    count: int = row["count"]
    return count


async def list_tried(connection: Connection, study_id: UUID, most: int) -> list[UUID]:
    """The ids of so many of them."""
    cursor = await connection.execute(
        """
        SELECT s.id FROM submissions s JOIN studies t ON t.id = s.study_id
        WHERE t.test AND (t.id = %(study)s OR t.test_of = %(study)s) AND s.response <> 'deleted' LIMIT %(most)s
        """,
        {"study": study_id, "most": most},
    )
    return [row["id"] for row in await cursor.fetchall()]


async def lock_counter(connection: Connection, collection_id: UUID) -> bool:
    """Lock the collection's counter until commit, before all else; False once somebody has deleted the collection."""
    cursor = await connection.execute(
        "SELECT FROM collection_changes WHERE collection_id = %s FOR UPDATE", [collection_id]
    )
    return await cursor.fetchone() is not None


async def lock_studies(connection: Connection, collection_id: UUID) -> list[UUID]:
    """The studies of a collection, locked: nobody begins in one of them until commit. The caller has its counter."""
    cursor = await connection.execute(
        "SELECT id FROM studies WHERE collection_id = %s ORDER BY id FOR UPDATE", [collection_id]
    )
    return [row["id"] for row in await cursor.fetchall()]


async def lock_exports(connection: Connection, collection_id: UUID) -> dict[UUID, str]:
    """The exports of a collection, locked, with their status."""
    cursor = await connection.execute(
        "SELECT id, status FROM exports WHERE collection_id = %s ORDER BY id FOR UPDATE", [collection_id]
    )
    return {row["id"]: row["status"] for row in await cursor.fetchall()}


async def delete_collection(connection: Connection, collection_id: UUID) -> None:
    """Delete a collection with its studies, versions and roles, and what erasures left of its submissions.

    The caller has its counter, its studies and its exports, and has seen that nobody's data is in it.
    """
    for table in ("submissions", "studies", "collection_differences"):
        await connection.execute(f"DELETE FROM {table} WHERE collection_id = %s", [collection_id])
    await connection.execute("DELETE FROM collections WHERE id = %s", [collection_id])
