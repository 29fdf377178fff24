"""SQL of conversions. One is of one build of an export, and is nothing without it: what ends the export deletes it.

    generating --claim--> generating, by another attempt
    generating --complete, fail--> complete, failed
    failed --begin_again--> generating

`attempt` is the id of the job that may continue; every change names it. A deleted row stops the job that is at it.
"""

from __future__ import annotations

from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.db.columns import columns_of
from fieldpack.server.db.pool import Connection
from fieldpack.server.exports.conversions.rows import ConversionRow, ConvertedFile, ConvertingRow
from fieldpack.server.notices import CHANNEL

_OWN = (
    "c.id, c.export_id, c.export_build, e.collection_id, c.format, c.status, c.progress, c.created_at, c.completed_at,"
    " c.size_bytes, c.sha256, c.row_count, c.column_count, c.warnings, c.failure_reason"
)
# the build that it is made of may still be downloaded
_IS_OF_CURRENT = "e.id = c.export_id AND e.build = c.export_build AND e.status = 'complete'"


async def insert_conversion(
    connection: Connection, id: UUID, export_id: UUID, build: UUID, format: str, by: UUID
) -> None:
    """Add one that is generating. The caller has locked the export."""
    await connection.execute(
        """
        INSERT INTO conversions (id, export_id, export_build, format, created_by) VALUES (%s, %s, %s, %s, %s)
        """,
        [id, export_id, build, format, by],
    )


async def begin_again(connection: Connection, id: UUID) -> None:
    """Have one that failed made again."""
    await connection.execute(
        """
        UPDATE conversions SET status = 'generating', progress = 0, attempts = 0, attempt = gen_random_uuid(),
               created_at = now(), completed_at = NULL, failure_reason = NULL
        WHERE id = %s AND status = 'failed'
        """,
        [id],
    )


async def find_conversion(connection: Connection, export_id: UUID, format: str) -> ConversionRow | None:
    """The conversion of an export to a format."""
    return await _find(connection, "c.export_id = %s AND c.format = %s", [export_id, format])


async def find_by_id(connection: Connection, id: UUID) -> ConversionRow | None:
    """A conversion by its id."""
    return await _find(connection, "c.id = %s", [id])


async def _find(connection: Connection, condition: str, values: list[object]) -> ConversionRow | None:
    async with connection.cursor(row_factory=class_row(ConversionRow)) as cursor:
        await cursor.execute(
            f"SELECT {_OWN} FROM conversions c JOIN exports e ON {_IS_OF_CURRENT} WHERE {condition}", values
        )
        return await cursor.fetchone()


async def list_conversions(connection: Connection, export_id: UUID) -> list[ConversionRow]:
    """All conversions of an export, in the order in which they were requested."""
    async with connection.cursor(row_factory=class_row(ConversionRow)) as cursor:
        await cursor.execute(
            f"""
            SELECT {_OWN} FROM conversions c JOIN exports e ON {_IS_OF_CURRENT}
            WHERE c.export_id = %s ORDER BY c.created_at, c.id
            """,
            [export_id],
        )
        return await cursor.fetchall()


async def count_generating(connection: Connection, collection_id: UUID) -> int:
    """How many conversions of a collection's exports are generating."""
    cursor = await connection.execute(
        """
        SELECT count(*) AS count FROM conversions c JOIN exports e ON e.id = c.export_id
        WHERE e.collection_id = %s AND c.status = 'generating'
        """,
        [collection_id],
    )
    row = await cursor.fetchone()
    return row["count"] if row else 0


async def find_file(connection: Connection, export_id: UUID, id: UUID) -> ConvertedFile | None:
    """What a link to a conversion serves, if that is complete and of an export that may be downloaded."""
    async with connection.cursor(row_factory=class_row(ConvertedFile)) as cursor:
        await cursor.execute(
            f"""
            SELECT c.id, c.export_id, c.export_build, e.collection_id, e.created_at AS export_created_at, c.format,
                   c.attempt, c.size_bytes, c.sha256
            FROM conversions c JOIN exports e ON {_IS_OF_CURRENT}
            WHERE c.id = %s AND c.export_id = %s AND c.status = 'complete'
            """,
            [id, export_id],
        )
        return await cursor.fetchone()


async def note_link(connection: Connection, id: UUID, seconds: int) -> None:
    """Keep the file for as long as a link that is made now may be used."""
    await connection.execute(
        """
        UPDATE conversions SET links_expire_at = greatest(links_expire_at, now() + make_interval(secs => %s))
        WHERE id = %s
        """,
        [seconds, id],
    )


async def claim(connection: Connection, id: UUID) -> ConvertingRow | None:
    """A new attempt at a conversion that is still to be made; whoever was at it before is shut out, and what they
    stored is thrown away. None for one that is over, or whose export is. Locks it until commit."""
    async with connection.cursor(row_factory=class_row(ConvertingRow)) as cursor:
        await cursor.execute(
            f"""
            WITH old AS (
                SELECT c.id, c.attempts,
                       'exports/' || c.export_id || '/' || c.export_build || '/converted/' || c.id || '/' || c.attempt
                       AS key
                FROM conversions c JOIN exports e ON {_IS_OF_CURRENT}
                WHERE c.id = %s AND c.status = 'generating' FOR UPDATE OF c
            ), thrown_away AS (
                INSERT INTO garbage (key) SELECT key FROM old WHERE attempts > 0 ON CONFLICT (key) DO NOTHING
            )
            UPDATE conversions c SET attempt = gen_random_uuid(), attempts = c.attempts + 1, progress = 0
            FROM old WHERE c.id = old.id RETURNING {columns_of(ConvertingRow, "c")}
            """,
            [id],
        )
        return await cursor.fetchone()


async def report_progress(connection: Connection, row: ConvertingRow, progress: float) -> bool:
    """Store how far it has come (0 to 1); False when this attempt may not go on."""
    cursor = await connection.execute(
        f"""
        UPDATE conversions c SET progress = greatest(c.progress, %s) FROM exports e
        WHERE c.id = %s AND c.attempt = %s AND c.status = 'generating' AND {_IS_OF_CURRENT}
        """,
        [progress, row.id, row.attempt],
    )
    return cursor.rowcount == 1


async def complete(
    connection: Connection,
    row: ConvertingRow,
    size_bytes: int,
    sha256: bytes,
    counts: tuple[int | None, int | None],
    warnings: list[str],
) -> bool:
    """Whether it is complete now: refused for another attempt than the current one, and once the export is over.

    Whatever ends the export deletes this row in its transaction: so either that comes before, or finds what is stored.

    Args:
        counts: rows and columns of a table.
    """
    cursor = await connection.execute(
        f"""
        UPDATE conversions c SET status = 'complete', progress = 1, completed_at = clock_timestamp(),
               size_bytes = %(size)s, sha256 = %(sha256)s, row_count = %(rows)s, column_count = %(columns)s,
               warnings = %(warnings)s
        FROM exports e
        WHERE c.id = %(id)s AND c.attempt = %(attempt)s AND c.status = 'generating' AND {_IS_OF_CURRENT}
        """,
        {
            "size": size_bytes,
            "sha256": sha256,
            "rows": counts[0],
            "columns": counts[1],
            "warnings": warnings,
            "id": row.id,
            "attempt": row.attempt,
        },
    )
    await _notify(connection, row.id)
    return cursor.rowcount == 1


async def fail(connection: Connection, row: ConvertingRow, reason: str) -> None:
    """Say why it could not be made, if it still is this attempt's; what was stored of it is thrown away."""
    await connection.execute(
        """
        WITH failed AS (
            UPDATE conversions SET status = 'failed', failure_reason = %s, completed_at = clock_timestamp()
            WHERE id = %s AND attempt = %s AND status = 'generating' RETURNING id, export_id, export_build
        )
        INSERT INTO garbage (key)
        SELECT 'exports/' || export_id || '/' || export_build || '/converted/' || id || '/' FROM failed
        ON CONFLICT (key) DO NOTHING
        """,
        [reason, row.id, row.attempt],
    )
    await _notify(connection, row.id)


async def remove_conversion(connection: Connection, id: UUID) -> None:
    """Delete one, and throw away what is stored of it."""
    await connection.execute(
        """
        WITH removed AS (DELETE FROM conversions WHERE id = %s RETURNING id, export_id, export_build)
        INSERT INTO garbage (key)
        SELECT 'exports/' || export_id || '/' || export_build || '/converted/' || id || '/' FROM removed
        ON CONFLICT (key) DO NOTHING
        """,
        [id],
    )
    await _notify(connection, id)


async def list_outdated(connection: Connection, days: float) -> list[UUID]:
    """Those that ended more than `days` ago and whose links have all expired; locked until commit."""
    cursor = await connection.execute(
        """
        SELECT id FROM conversions
        WHERE status <> 'generating' AND coalesce(completed_at, created_at) < now() - make_interval(secs => %s)
          AND coalesce(links_expire_at <= now(), true)
        ORDER BY created_at FOR UPDATE
        """,
        [days * 86400],
    )
    return [row["id"] for row in await cursor.fetchall()]


async def list_lost(connection: Connection) -> list[ConversionRow]:
    """Those that are generating without a job that would ever finish them."""
    async with connection.cursor(row_factory=class_row(ConversionRow)) as cursor:
        await cursor.execute(
            f"""
            SELECT {_OWN} FROM conversions c JOIN exports e ON {_IS_OF_CURRENT}
            WHERE c.status = 'generating' AND NOT EXISTS (
                SELECT FROM procrastinate_jobs j
                WHERE j.status IN ('todo', 'doing') AND j.task_name = 'fieldpack:convert'
                  AND j.args->>'conversion_id' = c.id::text)
            """
        )
        return await cursor.fetchall()


async def _notify(connection: Connection, id: UUID) -> None:
    await connection.execute("SELECT pg_notify(%s, %s)", [CHANNEL, str(id)])
