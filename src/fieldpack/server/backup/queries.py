"""SQL of backups: what a snapshot holds, and what a restore puts right. Works on every schema since the first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row

from fieldpack.server.backup.rows import BlobRow, DumpedRow, StoredExportRow
from fieldpack.server.db.pool import Connection
from fieldpack.server.uploads.rows import OwnedUploadRow

COUNTED = (
    "workspaces",
    "researchers",
    "collections",
    "studies",
    "submissions",
    "answers",
    "uploads",
    "blobs",
    "exports",
)
# Whoever has these can sign links and cookies. Until schema 0005 the key was among the settings.
KEY_TABLES = ("signing_keys", "settings")


async def list_tables(connection: Connection) -> list[str]:
    """Our tables, those of the queue too."""
    cursor = await connection.execute(
        """
        SELECT relname FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
          AND has_table_privilege(oid, 'SELECT') ORDER BY relname
        """
    )
    return [row["relname"] for row in await cursor.fetchall()]


async def begin_snapshot(connection: Connection, tables: list[str]) -> DumpedRow:
    """Begin a repeatable-read transaction and export its snapshot, which other connections can use by its name.

    The tables are locked before, so that none is written anew until `pg_dump` has them: the snapshot would find what
    `ALTER TABLE` has written anew empty. That lock takes no snapshot (PostgreSQL's manual, LOCK, *Notes*).
    """
    await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    await connection.execute("SET LOCAL lock_timeout = 0")
    await connection.execute("SET LOCAL statement_timeout = 0")
    names = sql.SQL(", ").join(map(sql.Identifier, tables))
    await connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names))
    cursor = await connection.cursor(row_factory=class_row(DumpedRow)).execute(
        """
        SELECT pg_export_snapshot() AS snapshot,
               to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS made_at,
               current_setting('server_version_num')::int / 10000 AS postgres
        """
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def find_schema(connection: Connection) -> str | None:
    """The version of the database's schema; None where there is none."""
    if not await _has_table(connection, "alembic_version"):
        return None
    cursor = await connection.execute("SELECT version_num FROM alembic_version")
    row = await cursor.fetchone()
    return row["version_num"] if row else None


async def find_installation(connection: Connection) -> UUID | None:
    """The installation's id; None in a schema older than such ids."""
    if not await _has_table(connection, "installation"):
        return None
    cursor = await connection.execute("SELECT id FROM installation")
    row = await cursor.fetchone()
    return row["id"] if row else None


async def _has_table(connection: Connection, name: str) -> bool:
    cursor = await connection.execute("SELECT to_regclass(%s) IS NOT NULL AS found", [name])
    row = await cursor.fetchone()
    return bool(row and row["found"])


async def has_audit_log(connection: Connection) -> bool:
    """Whether this schema has one."""
    return await _has_table(connection, "audit_seals")


async def list_key_tables(connection: Connection) -> list[str]:
    """The tables with keys, in this schema."""
    for table in KEY_TABLES:
        if await _has_table(connection, table):
            return [table]
    return []


async def count_rows(connection: Connection) -> dict[str, int]:
    """How many rows the tables have that are counted."""
    counts = ", ".join(f"(SELECT count(*) FROM {table}) AS {table}" for table in COUNTED)
    cursor = await connection.execute(f"SELECT {counts}")
    row = await cursor.fetchone()
    assert row is not None
    return dict(row)


async def iter_blobs(connection: Connection) -> AsyncIterator[BlobRow]:
    """Every finished upload, and whose it is."""
    async with connection.cursor("blobs", row_factory=class_row(BlobRow)) as cursor:
        await cursor.execute(
            """
            SELECT b.id, b.size_bytes, encode(b.sha256, 'hex') AS sha256,
                   (SELECT u.submission_id FROM uploads u WHERE u.blob_id = b.id LIMIT 1) AS submission_id
            FROM blobs b ORDER BY b.id
            """
        )
        async for row in cursor:
            yield row


async def list_exports(connection: Connection) -> list[StoredExportRow]:
    """Every export that is complete. Schemas before 0034 don't know of history."""
    cursor = await connection.cursor(row_factory=class_row(StoredExportRow)).execute(
        """
        SELECT e.id, e.build, e.collection_id, e.created_at, e.delivery,
               coalesce((to_jsonb(e)->>'with_history')::boolean, false) AS with_history
        FROM exports e WHERE e.status = 'complete' ORDER BY e.id
        """
    )
    return await cursor.fetchall()


async def list_builds(connection: Connection) -> dict[UUID, UUID | None]:
    """Every export's build, None where it is not complete."""
    cursor = await connection.execute(
        "SELECT id, CASE WHEN status = 'complete' THEN build END AS build FROM exports"
    )
    return {row["id"]: row["build"] for row in await cursor.fetchall()}


async def list_known_blobs(connection: Connection, ids: list[UUID]) -> set[UUID]:
    """Which of these there still are."""
    cursor = await connection.execute("SELECT id FROM blobs WHERE id = ANY(%s)", [ids])
    return {row["id"] for row in await cursor.fetchall()}


async def list_current_builds(connection: Connection, ids: list[UUID]) -> set[str]:
    """Which of these exports are still complete, as `<export>/<build>`."""
    cursor = await connection.execute(
        "SELECT concat(id, '/', build) AS build FROM exports WHERE id = ANY(%s) AND status = 'complete'",
        [ids],
    )
    return {row["build"] for row in await cursor.fetchall()}


async def restart_uploads(connection: Connection) -> int:
    """Reset unfinished uploads to offset 0, because no backup has their bytes; how many there were."""
    await connection.execute("DELETE FROM upload_chunks")
    cursor = await connection.execute(
        """
        UPDATE uploads SET offset_bytes = 0, crc32 = 0, content_type = NULL, writer = NULL, finishing_at = NULL,
                           updated_at = now()
        WHERE blob_id IS NULL AND failure IS NULL
        """
    )
    return cursor.rowcount


async def list_uploads_of(connection: Connection, blob_ids: list[UUID]) -> list[OwnedUploadRow]:
    """The uploads that these blobs are of."""
    cursor = await connection.cursor(row_factory=class_row(OwnedUploadRow)).execute(
        """
        SELECT u.id, u.submission_id, s.study_id FROM uploads u JOIN submissions s ON s.id = u.submission_id
        WHERE u.blob_id = ANY(%s) ORDER BY s.study_id, s.id, u.id
        """,
        [blob_ids],
    )
    return await cursor.fetchall()
