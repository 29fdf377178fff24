"""SQL of erasures on their way to the lists that are kept outside the database."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.db.pool import Connection
from fieldpack.server.erasures.rows import ErasureRow


async def insert_erasure(connection: Connection, submission_id: UUID) -> None:
    """Note an erasure that no list outside the database has yet."""
    await connection.execute(
        "INSERT INTO unlisted_erasures (submission_id) VALUES (%s) ON CONFLICT DO NOTHING", [submission_id]
    )


async def insert_erasures(connection: Connection, erasures: dict[UUID, datetime]) -> None:
    """Have these listed (again), as when they were read from a list."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO unlisted_erasures (submission_id, erased_at) VALUES (%s, %s)"
            " ON CONFLICT (submission_id) DO UPDATE SET stored = false",
            list(erasures.items()),
        )


async def take_erasures(
    connection: Connection, most: int, submission_id: UUID | None = None
) -> list[ErasureRow]:
    """The oldest erasures that are not listed everywhere, or this one. Their rows are locked until commit; waits for
    others that hold them."""
    cursor = await connection.cursor(row_factory=class_row(ErasureRow)).execute(
        """
        SELECT submission_id, erased_at, stored FROM unlisted_erasures
        WHERE %(id)s::uuid IS NULL OR submission_id = %(id)s
        ORDER BY erased_at, submission_id LIMIT %(most)s FOR UPDATE
        """,
        {"id": submission_id, "most": most},
    )
    return await cursor.fetchall()


async def set_stored(connection: Connection, submission_ids: list[UUID]) -> None:
    """Note that a list has these erasures now."""
    await connection.execute(
        "UPDATE unlisted_erasures SET stored = true WHERE submission_id = ANY(%s)", [submission_ids]
    )


async def delete_erasures(connection: Connection, submission_ids: list[UUID]) -> None:
    """Forget erasures that all lists have."""
    await connection.execute("DELETE FROM unlisted_erasures WHERE submission_id = ANY(%s)", [submission_ids])


async def list_paths(connection: Connection) -> list[str]:
    """The lists that are kept outside storage."""
    cursor = await connection.execute("SELECT path FROM erasure_lists ORDER BY path")
    return [row["path"] for row in await cursor.fetchall()]


async def insert_path(connection: Connection, path: str) -> None:
    """Keep a list at this path too; no error when it is known."""
    await connection.execute("INSERT INTO erasure_lists (path) VALUES (%s) ON CONFLICT DO NOTHING", [path])


async def list_tombstones(connection: Connection) -> dict[UUID, datetime]:
    """Every submission that the database knows to be erased, and when it was."""
    cursor = await connection.execute("SELECT id, erased_at FROM submissions WHERE response = 'deleted'")
    return {row["id"]: row["erased_at"] for row in await cursor.fetchall()}


async def list_alive(connection: Connection, submission_ids: list[UUID]) -> list[UUID]:
    """Which of these are there and not erased."""
    cursor = await connection.execute(
        "SELECT id FROM submissions WHERE id = ANY(%s) AND response <> 'deleted' ORDER BY id",
        [submission_ids],
    )
    return [row["id"] for row in await cursor.fetchall()]
