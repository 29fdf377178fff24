"""SQL of small pictures: which are wanted, being made, stored.

A row of `thumbnails` goes with its blob. It is locked while its pictures are stored, after nothing else.
"""

from __future__ import annotations

from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.db.pool import Connection
from fieldpack.server.thumbnails.rows import ClaimedRow, PageRow, ThumbnailRow

CLAIMABLE = """
    state = 'waiting' AND (claimed_at IS NULL OR claimed_at < now() - make_interval(secs => %(lease)s))
"""


async def insert_waiting(connection: Connection, blob_ids: list[UUID]) -> None:
    """Ask for small pictures of these blobs, where nobody has."""
    await connection.execute(
        "INSERT INTO thumbnails (blob_id) SELECT b.id FROM blobs b WHERE b.id = ANY(%s)"
        " ON CONFLICT (blob_id) DO NOTHING",
        [blob_ids],
    )


async def is_any_waiting(connection: Connection, lease_seconds: float) -> bool:
    """Whether small pictures are to be made that nobody is making."""
    cursor = await connection.execute(
        f"SELECT 1 FROM thumbnails WHERE {CLAIMABLE} LIMIT 1", {"lease": lease_seconds}
    )
    return await cursor.fetchone() is not None


async def claim_next(connection: Connection, lease_seconds: float) -> ClaimedRow | None:
    """The blob that has waited longest, as this worker's for a while. Locks its row until commit, and skips rows
    that others have locked."""
    cursor = await connection.cursor(row_factory=class_row(ClaimedRow)).execute(
        f"""
        UPDATE thumbnails t SET claimed_at = now(), attempts = t.attempts + 1
        FROM blobs b
        WHERE b.id = t.blob_id AND t.blob_id = (
            SELECT blob_id FROM thumbnails WHERE {CLAIMABLE}
            ORDER BY requested_at, blob_id LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING t.blob_id, b.content_type, b.size_bytes, t.attempts
        """,
        {"lease": lease_seconds},
    )
    return await cursor.fetchone()


async def give_back(connection: Connection, blob_id: UUID) -> None:
    """Undo a claim: a fault that passes was in the way, which is no fault of the file's."""
    await connection.execute(
        "UPDATE thumbnails SET claimed_at = NULL, attempts = attempts - 1"
        " WHERE blob_id = %s AND state = 'waiting'",
        [blob_id],
    )


async def lock_waiting(connection: Connection, blob_id: UUID) -> bool:
    """Lock the row of a blob whose pictures are to be stored, until commit; False when there is none any more.

    Who erases the blob waits for it, and so finds whatever was stored.
    """
    cursor = await connection.execute(
        "SELECT 1 FROM thumbnails WHERE blob_id = %s AND state = 'waiting' FOR UPDATE", [blob_id]
    )
    return await cursor.fetchone() is not None


async def set_made(
    connection: Connection, blob_id: UUID, width: int, height: int, files: list[ThumbnailRow]
) -> None:
    """Record what is stored. The caller has locked the row."""
    await connection.execute(
        "UPDATE thumbnails SET state = 'made', width = %s, height = %s, claimed_at = NULL WHERE blob_id = %s",
        [width, height, blob_id],
    )
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO thumbnail_files (blob_id, side, width, height, size_bytes, sha256)
            VALUES (%s, %s, %s, %s, %s, %s)
            ON CONFLICT (blob_id, side) DO UPDATE SET width = excluded.width, height = excluded.height,
                size_bytes = excluded.size_bytes, sha256 = excluded.sha256
            """,
            [(blob_id, each.side, each.width, each.height, each.size_bytes, each.sha256) for each in files],
        )


async def set_pages(connection: Connection, blob_id: UUID, count: int, pages: list[PageRow]) -> None:
    """Record how many pages a document has, and the pictures of the first of them. The caller has locked the row."""
    await connection.execute("UPDATE thumbnails SET page_count = %s WHERE blob_id = %s", [count, blob_id])
    await connection.execute("DELETE FROM thumbnail_pages WHERE blob_id = %s", [blob_id])
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO thumbnail_pages (blob_id, number, first_byte, size_bytes, width, height, sha256)
            VALUES (%s, %s, %s, %s, %s, %s, %s)
            """,
            [
                (blob_id, each.number, each.first_byte, each.size_bytes, each.width, each.height, each.sha256)
                for each in pages
            ],
        )


async def find_page(
    connection: Connection, collection_id: UUID, file_key: UUID, number: int
) -> PageRow | None:
    """The picture of a page of a file of an active response."""
    cursor = await connection.cursor(row_factory=class_row(PageRow)).execute(
        """
        SELECT p.blob_id, p.number, p.first_byte, p.size_bytes, p.width, p.height, p.sha256
        FROM uploads u JOIN submissions s ON s.id = u.submission_id
        JOIN thumbnails t ON t.blob_id = u.blob_id JOIN thumbnail_pages p ON p.blob_id = t.blob_id
        WHERE u.id = %s AND s.collection_id = %s AND s.response = 'active' AND u.position IS NOT NULL
          AND t.state = 'made' AND p.number = %s
        """,
        [file_key, collection_id, number],
    )
    return await cursor.fetchone()


async def set_unreadable(connection: Connection, blob_id: UUID, reason: str) -> None:
    """Record that no small picture can be made of a blob."""
    await connection.execute(
        "UPDATE thumbnails SET state = 'unreadable', reason = %s, claimed_at = NULL"
        " WHERE blob_id = %s AND state = 'waiting'",
        [reason, blob_id],
    )


async def set_lost(connection: Connection, blob_id: UUID) -> None:
    """Record that stored pictures are not there: they are to be made again."""
    await connection.execute(
        "UPDATE thumbnails SET state = 'waiting', attempts = 0, claimed_at = NULL"
        " WHERE blob_id = %s AND state = 'made'",
        [blob_id],
    )


async def find_thumbnail(
    connection: Connection, collection_id: UUID, file_key: UUID, side: int
) -> ThumbnailRow | None:
    """A small picture of a file of an active response."""
    cursor = await connection.cursor(row_factory=class_row(ThumbnailRow)).execute(
        """
        SELECT f.blob_id, f.side, f.width, f.height, f.size_bytes, f.sha256
        FROM uploads u JOIN submissions s ON s.id = u.submission_id
        JOIN thumbnails t ON t.blob_id = u.blob_id JOIN thumbnail_files f ON f.blob_id = t.blob_id
        WHERE u.id = %s AND s.collection_id = %s AND s.response = 'active'
          AND (u.position IS NOT NULL OR u.replaced_at IS NOT NULL) AND t.state = 'made' AND f.side = %s
        """,
        [file_key, collection_id, side],
    )
    return await cursor.fetchone()


async def has_file(connection: Connection, collection_id: UUID, file_key: UUID) -> bool:
    """Whether an active response to a collection has this file."""
    cursor = await connection.execute(
        "SELECT 1 FROM uploads u JOIN submissions s ON s.id = u.submission_id"
        " WHERE u.id = %s AND s.collection_id = %s AND s.response = 'active'"
        " AND (u.position IS NOT NULL OR u.replaced_at IS NOT NULL)",
        [file_key, collection_id],
    )
    return await cursor.fetchone() is not None


async def list_known(connection: Connection, blob_ids: list[UUID]) -> set[UUID]:
    """Of which of these blobs there are, or will be, small pictures."""
    cursor = await connection.execute("SELECT blob_id FROM thumbnails WHERE blob_id = ANY(%s)", [blob_ids])
    return {row["blob_id"] for row in await cursor.fetchall()}


async def forget_all(connection: Connection) -> int:
    """Forget every small picture, as after a restore: no backup has them, and they are made again when looked at."""
    return (await connection.execute("DELETE FROM thumbnails")).rowcount
