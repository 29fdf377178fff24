"""SQL of erasures: what they remove, what they removed, and their way to the lists outside the database."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.db.pool import Connection, fetch_count
from fieldpack.server.erasures.rows import ErasureRow, ProofRow, ReachRow


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


async def list_unlisted(connection: Connection) -> list[UUID]:
    """Erasures that are not listed everywhere."""
    cursor = await connection.execute("SELECT submission_id FROM unlisted_erasures")
    return [row["submission_id"] for row in await cursor.fetchall()]


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


# what is removed, and the proof that it was


async def count_reach(connection: Connection, submission_ids: list[UUID]) -> ReachRow:
    """What an erasure of these submissions would remove."""
    cursor = await connection.cursor(row_factory=class_row(ReachRow)).execute(
        """
        SELECT (SELECT count(*) FROM submissions WHERE id = ANY(%(ids)s) AND response <> 'deleted') AS submissions,
               (SELECT count(*) FROM answers WHERE submission_id = ANY(%(ids)s)) AS answers,
               (SELECT count(*) FROM uploads WHERE submission_id = ANY(%(ids)s)) AS files,
               (SELECT coalesce(sum(offset_bytes), 0)::bigint FROM uploads WHERE submission_id = ANY(%(ids)s))
                   AS file_bytes,
               (SELECT count(*) FROM notes WHERE submission_id = ANY(%(ids)s)) AS notes
        """,
        {"ids": submission_ids},
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def insert_proof(
    connection: Connection,
    submission_id: UUID,
    collection_id: UUID,
    removed: ReachRow,
    objects: list[str],
    exports: list[UUID],
    batch: UUID | None,
) -> None:
    """Record what an erasure removed, in its own transaction.

    Args:
        objects: keys of the stored files.
        batch: those that were asked for together.
    """
    await connection.execute(
        """
        INSERT INTO erasures (submission_id, collection_id, batch, answers, files, file_bytes, notes, objects, exports)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (submission_id) DO NOTHING
        """,
        [
            submission_id,
            collection_id,
            batch,
            removed.answers,
            removed.files,
            removed.file_bytes,
            removed.notes,
            objects,
            exports,
        ],
    )


_PROOF = """
    SELECT e.submission_id, e.collection_id, e.erased_at, e.batch, e.answers, e.files, e.file_bytes, e.notes,
           cardinality(e.objects) AS objects, e.exports,
           (SELECT count(*) FROM answers a WHERE a.submission_id = e.submission_id)
           + (SELECT count(*) FROM uploads u WHERE u.submission_id = e.submission_id)
           + (SELECT count(*) FROM notes n WHERE n.submission_id = e.submission_id)
           + (SELECT count(*) FROM participant_tokens t WHERE t.submission_id = e.submission_id) AS rows_left,
           (SELECT count(*) FROM garbage g WHERE g.key = ANY(e.objects))
           + (SELECT count(*) FROM garbage g JOIN unnest(e.exports) AS x (id)
              ON starts_with(g.key, 'exports/' || x.id || '/')) AS objects_left,
           NOT EXISTS (SELECT FROM unlisted_erasures l WHERE l.submission_id = e.submission_id AND NOT l.stored)
               AS is_listed
    FROM erasures e
"""


async def find_proof(connection: Connection, collection_id: UUID, submission_id: UUID) -> ProofRow | None:
    """What an erasure in a collection removed, and what is there of it now."""
    cursor = await connection.cursor(row_factory=class_row(ProofRow)).execute(
        f"{_PROOF} WHERE e.collection_id = %s AND e.submission_id = %s", [collection_id, submission_id]
    )
    return await cursor.fetchone()


async def list_proofs(
    connection: Connection, collection_id: UUID, batch: UUID | None, limit: int, offset: int
) -> tuple[list[ProofRow], int]:
    """Erasures in a collection, newest first, and how many there are; with a batch only those."""
    given = {"collection": collection_id, "batch": batch, "limit": limit, "offset": offset}
    condition = "e.collection_id = %(collection)s AND (%(batch)s::uuid IS NULL OR e.batch = %(batch)s::uuid)"
    cursor = await connection.cursor(row_factory=class_row(ProofRow)).execute(
        f"{_PROOF} WHERE {condition} ORDER BY e.erased_at DESC, e.submission_id DESC"
        " LIMIT %(limit)s OFFSET %(offset)s",
        given,
    )
    rows = await cursor.fetchall()
    return rows, await fetch_count(connection, f"SELECT count(*) FROM erasures e WHERE {condition}", given)
