"""SQL of pictures, and of which versions of collections show them.

A picture's row is locked after the counter of the collection that is written, by all in the order of their ids.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.accounts.permissions.queries import select_roles_within
from fieldpack.server.db.pool import Connection
from fieldpack.server.pictures.rows import PictureRow

USED = """
    EXISTS (
        SELECT FROM picture_uses u JOIN collections c ON c.id = u.collection_id
        WHERE u.picture_id = p.id AND (u.version = c.version OR EXISTS (
            SELECT FROM submissions s WHERE s.collection_id = u.collection_id
                AND s.collection_version = u.version AND s.response <> 'deleted')))
"""


async def find_picture(connection: Connection, id: UUID) -> PictureRow | None:
    """A picture with its size and content type."""
    cursor = await connection.cursor(row_factory=class_row(PictureRow)).execute(
        "SELECT p.id, b.content_type, b.size_bytes, b.sha256 FROM pictures p JOIN blobs b ON b.id = p.id"
        " WHERE p.id = %s",
        [id],
    )
    return await cursor.fetchone()


async def await_picture(connection: Connection, workspace_id: UUID, sha256: bytes) -> UUID | None:
    """The workspace's picture of these bytes, if it has it: kept for a collection that is to come."""
    cursor = await connection.execute(
        "UPDATE pictures SET awaited_at = now() WHERE workspace_id = %s AND sha256 = %s RETURNING id",
        [workspace_id, sha256],
    )
    row = await cursor.fetchone()
    return row["id"] if row else None


async def insert_picture(
    connection: Connection, workspace_id: UUID, by: UUID, blob: PictureRow, crc32: int
) -> bool:
    """Record a picture and its blob; False, and nothing recorded, where the workspace has these bytes by now."""
    await connection.execute(
        "INSERT INTO blobs (id, size_bytes, crc32, sha256, content_type) VALUES (%s, %s, %s, %s, %s)",
        [blob.id, blob.size_bytes, crc32, blob.sha256, blob.content_type],
    )
    cursor = await connection.execute(
        "INSERT INTO pictures (id, workspace_id, sha256, created_by) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (workspace_id, sha256) DO NOTHING",
        [blob.id, workspace_id, blob.sha256, by],
    )
    if cursor.rowcount:
        return True
    await connection.execute("DELETE FROM blobs WHERE id = %s", [blob.id])
    return False


async def lock_usable(
    connection: Connection, ids: list[UUID], researcher_id: UUID, collection_id: UUID
) -> set[UUID]:
    """Which of these pictures a researcher may put into a collection: those of their workspaces, and what it shows
    already.

    They are locked until commit, together with all pictures that the collection shows or may stop showing, in the order
    of their ids: so two transactions that write collections do not wait for each other.
    """
    cursor = await connection.execute(
        f"""
        SELECT p.id FROM pictures p
        WHERE (p.id = ANY(%(ids)s) AND EXISTS ({select_roles_within("p.workspace_id", "%(researcher)s")}))
           OR p.id IN (SELECT picture_id FROM picture_uses WHERE collection_id = %(collection)s)
        ORDER BY p.id FOR UPDATE OF p
        """,
        {"ids": ids, "researcher": researcher_id, "collection": collection_id},
    )
    return {row["id"] for row in await cursor.fetchall()} & set(ids)


async def insert_uses(connection: Connection, collection_id: UUID, version: int, ids: list[UUID]) -> None:
    """Record that a version shows these pictures, which are awaited no longer. The caller has locked them."""
    await connection.execute(
        "INSERT INTO picture_uses (collection_id, version, picture_id) SELECT %s, %s, unnest(%s::uuid[])",
        [collection_id, version, ids],
    )
    await connection.execute("UPDATE pictures SET awaited_at = NULL WHERE id = ANY(%s)", [ids])


async def list_uses(connection: Connection, collection_id: UUID) -> list[UUID]:
    """The pictures that any version of a collection shows."""
    cursor = await connection.execute(
        "SELECT DISTINCT picture_id FROM picture_uses WHERE collection_id = %s", [collection_id]
    )
    return [row["picture_id"] for row in await cursor.fetchall()]


async def list_unused(connection: Connection, days: float, most: int) -> list[UUID]:
    """Pictures that nothing shows, and that were last uploaded more than `days` ago, if they are awaited."""
    cursor = await connection.execute(
        f"""
        SELECT p.id FROM pictures p
        WHERE (p.awaited_at IS NULL OR p.awaited_at < now() - make_interval(secs => %(days)s * 86400))
          AND NOT {USED} ORDER BY p.id LIMIT %(most)s
        """,
        {"days": days, "most": most},
    )
    return [row["id"] for row in await cursor.fetchall()]


async def delete_unused(connection: Connection, ids: list[UUID], days: float | None) -> list[UUID]:
    """Delete which of these are neither shown nor awaited, since `days` if given; their ids.

    Two statements: who waits for the lock of a row goes on to see what its holder wrote only in the second.
    """
    values: dict[str, Any] = {"ids": ids, "days": days}
    await connection.execute("SELECT FROM pictures WHERE id = ANY(%(ids)s) ORDER BY id FOR UPDATE", values)
    cursor = await connection.execute(
        f"""
        DELETE FROM pictures p WHERE p.id = ANY(%(ids)s) AND NOT {USED}
          AND (p.awaited_at IS NULL OR p.awaited_at < now() - make_interval(secs => %(days)s::float8 * 86400))
        RETURNING p.id
        """,
        values,
    )
    return await _delete_blobs(connection, [row["id"] for row in await cursor.fetchall()])


async def delete_pictures(connection: Connection, ids: list[UUID]) -> None:
    """Delete pictures whose bytes are lost, shown or not."""
    cursor = await connection.execute("DELETE FROM pictures WHERE id = ANY(%s) RETURNING id", [ids])
    await _delete_blobs(connection, [row["id"] for row in await cursor.fetchall()])


async def _delete_blobs(connection: Connection, ids: list[UUID]) -> list[UUID]:
    await connection.execute("DELETE FROM blobs WHERE id = ANY(%s)", [ids])
    return ids
