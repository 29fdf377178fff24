"""SQL of collections, their versions, pages and items."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Json

from fieldpack.server.collections.rows import (
    CollectionRow,
    ItemRow,
    PageRow,
    PlacedItem,
    ResponseFile,
    ResponseRow,
    ResponseRows,
)
from fieldpack.server.db.columns import columns_of
from fieldpack.server.db.pool import Connection

COLUMNS = """
    c.id, c.workspace_id, c.name, c.description, c.version, c.created_at, c.created_by, c.last_modified_at,
    c.last_modified_by, c.archived_at, v.body
"""
# a finished upload of a submission that was not erased, also one that another file took the place of: `FileRow`
FILE: LiteralString = """
    SELECT u.submission_id, u.file_name, b.id AS blob_id, b.size_bytes, b.content_type, b.sha256
    FROM uploads u JOIN blobs b ON b.id = u.blob_id JOIN submissions s ON s.id = u.submission_id
    WHERE u.id = %(upload_id)s AND s.collection_id = %(collection_id)s AND s.response = 'active'
      AND (u.position IS NOT NULL OR u.replaced_at IS NOT NULL)
"""
SOURCE = """
    collections c
    JOIN collection_versions v ON v.collection_id = c.id AND v.version = c.version
"""


KEEP_ITEM = """
    INSERT INTO items (id, collection_id, type, page_order, item_order, body, created_by)
    VALUES (%s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (id) DO UPDATE SET
        page_order = excluded.page_order, item_order = excluded.item_order,
        body = excluded.body, retired = false
"""


async def insert_collection(
    connection: Connection, id: UUID, workspace_id: UUID, name: str, description: str | None, by: UUID
) -> None:
    """A new collection, and the counter of its changes."""
    await connection.execute(
        "INSERT INTO collections (id, workspace_id, name, description, created_by)"
        " VALUES (%s, %s, %s, %s, %s)",
        [id, workspace_id, name, description, by],
    )
    await connection.execute("INSERT INTO collection_changes (collection_id) VALUES (%s)", [id])


async def replace_collection(
    connection: Connection, id: UUID, name: str, description: str | None, by: UUID
) -> int:
    """Raise the version, and return it; `keep_version` must follow. The caller has locked the counter."""
    cursor = await connection.execute(
        """
        UPDATE collections SET name = %s, description = %s, version = version + 1,
               last_modified_at = now(), last_modified_by = %s
        WHERE id = %s RETURNING version
        """,
        [name, description, by, id],
    )
    row = await cursor.fetchone()
    assert row is not None
    version: int = row["version"]
    return version


async def set_archived(connection: Connection, id: UUID, *, archived: bool) -> None:
    """Put a collection aside, or back; one that is there already stays as it is."""
    await connection.execute(
        "UPDATE collections SET archived_at = CASE WHEN %s THEN now() END"
        " WHERE id = %s AND (archived_at IS NOT NULL) <> %s",
        [archived, id, archived],
    )


async def keep_version(connection: Connection, id: UUID, version: int, body: dict[str, Any]) -> None:
    """Store a version of a collection, as the API answers it."""
    await connection.execute(
        "INSERT INTO collection_versions (collection_id, version, body) VALUES (%s, %s, %s)",
        [id, version, Json(body)],
    )


RAISE_COUNTER = """
    UPDATE collection_changes SET counter = counter + 1 WHERE collection_id = %(collection)s
    RETURNING counter, collection_id
"""


async def raise_counter(connection: Connection, collection_id: UUID) -> int:
    """Raise the counter of changes that an export could contain. It is locked until commit, before any study."""
    cursor = await connection.cursor(row_factory=scalar_row).execute(
        RAISE_COUNTER, {"collection": collection_id}
    )
    counter: int | None = await cursor.fetchone()
    assert counter is not None
    return counter


async def lock_counter(connection: Connection, collection_id: UUID) -> int:
    """The counter of changes, locked until commit: what an export contains can't change meanwhile."""
    cursor = await connection.cursor(row_factory=scalar_row).execute(
        "SELECT counter FROM collection_changes WHERE collection_id = %s FOR NO KEY UPDATE", [collection_id]
    )
    counter: int | None = await cursor.fetchone()
    assert counter is not None
    return counter


async def find_collection(connection: Connection, id: UUID) -> CollectionRow | None:
    """The collection in its latest version.

    Never with a row lock: after waiting for one, PostgreSQL looks for the new version among the old rows.
    """
    cursor = await connection.cursor(row_factory=class_row(CollectionRow)).execute(
        f"SELECT {COLUMNS} FROM {SOURCE} WHERE c.id = %s", [id]
    )
    return await cursor.fetchone()


async def get_version(connection: Connection, collection_id: UUID, version: int) -> dict[str, Any]:
    """The body of a version as a submission saw it."""
    cursor = await connection.execute(
        "SELECT body FROM collection_versions WHERE collection_id = %s AND version = %s",
        [collection_id, version],
    )
    row = await cursor.fetchone()
    assert row is not None
    body: dict[str, Any] = row["body"]
    return body


async def transaction_time(connection: Connection) -> datetime:
    """PostgreSQL's time at the start of this transaction: what `DEFAULT now()` writes in it."""
    cursor = await connection.execute("SELECT now() AS now")
    row = await cursor.fetchone()
    assert row is not None
    now: datetime = row["now"]
    return now


async def list_pages(connection: Connection, collection_id: UUID) -> dict[UUID, PageRow]:
    """Every page the collection ever had, by id."""
    cursor = await connection.cursor(row_factory=class_row(PageRow)).execute(
        f"SELECT {columns_of(PageRow, 'pages')} FROM pages WHERE collection_id = %s", [collection_id]
    )
    return {row.id: row for row in await cursor.fetchall()}


async def list_items(connection: Connection, collection_id: UUID) -> dict[UUID, ItemRow]:
    """Every item the collection ever had, by id, in order, without what it says; retired ones last."""
    cursor = await connection.cursor(row_factory=class_row(ItemRow)).execute(
        f"SELECT {columns_of(ItemRow, 'items')} FROM items WHERE collection_id = %s"
        " ORDER BY retired, page_order, item_order, id",
        [collection_id],
    )
    return {row.id: row for row in await cursor.fetchall()}


async def keep_pages(connection: Connection, ids: list[UUID], collection_id: UUID, by: UUID) -> None:
    """Record pages; those that are recorded stay as they are."""
    await connection.execute(
        "INSERT INTO pages (id, collection_id, created_by) SELECT unnest(%s::uuid[]), %s, %s"
        " ON CONFLICT (id) DO NOTHING",
        [ids, collection_id, by],
    )


async def retire_items(connection: Connection, collection_id: UUID) -> None:
    """Retire all items; `keep_items` makes those current again that stay. The caller has locked the counter."""
    await connection.execute(
        "UPDATE items SET retired = true WHERE collection_id = %s AND NOT retired", [collection_id]
    )


async def keep_items(
    connection: Connection, collection_id: UUID, by: UUID, placed: Iterable[PlacedItem]
) -> None:
    """Store items and where they are. The caller has locked the counter."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            KEEP_ITEM,
            [
                [
                    item.body["id"],
                    collection_id,
                    item.body["type"],
                    item.page_order,
                    item.item_order,
                    Json(item.body),
                    by,
                ]
                for item in placed
            ],
        )


async def list_responses(
    connection: Connection, collection_id: UUID, limit: int, offset: int, most_bytes: int
) -> ResponseRows:
    """Active answers, one row per instruction answered: values as saved, and the files of each.

    Args:
        most_bytes: that their values may take together; where they take more, only how much that is is read.
    """
    condition = """
        FROM submissions s
        JOIN LATERAL (
            SELECT a.id, a.instruction_id, a.created_at, a.value, NULL::json AS files
            FROM answers a WHERE a.submission_id = s.id
            UNION ALL
            SELECT (array_agg(u.id ORDER BY u.position))[1], u.instruction_id, min(u.completed_at), NULL,
                   json_agg(json_build_object('file_key', u.id, 'file_name', u.file_name,
                                              'size_bytes', b.size_bytes, 'content_type', b.content_type)
                            ORDER BY u.position)
            FROM uploads u JOIN blobs b ON b.id = u.blob_id
            WHERE u.submission_id = s.id AND u.position IS NOT NULL GROUP BY u.instruction_id
        ) r ON true
        WHERE s.collection_id = %(id)s AND s.response = 'active' AND NOT s.test
    """
    values = {"id": collection_id, "limit": limit, "offset": offset}
    cursor = await connection.execute(
        f"""
        WITH page AS (
            SELECT r.*, s.participant_id, s.id AS submission_id, s.completed_at {condition}
            ORDER BY s.completed_at, s.id, r.created_at, r.instruction_id LIMIT %(limit)s OFFSET %(offset)s)
        SELECT id, instruction_id, created_at, CASE WHEN bytes <= %(most_bytes)s THEN value END AS value, files,
               participant_id, submission_id, bytes
        FROM (SELECT page.*, coalesce(sum(octet_length(value::text)) OVER (), 0)::bigint AS bytes FROM page) AS measured
        ORDER BY completed_at, submission_id, created_at, instruction_id
        """,
        {**values, "most_bytes": most_bytes},
    )
    rows, size = [], 0
    for row in await cursor.fetchall():
        size = row.pop("bytes")
        files = row["files"] and [ResponseFile(**file) for file in row["files"]]
        rows.append(ResponseRow(**{**row, "files": files}))
    cursor = await connection.execute(
        "SELECT coalesce(sum(answer_count), 0)::bigint AS count FROM submissions"
        " WHERE collection_id = %(id)s AND response = 'active' AND NOT test",
        values,
    )
    total = await cursor.fetchone()
    return ResponseRows(rows, total["count"] if total else 0, size)
