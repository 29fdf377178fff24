"""SQL of imports. What takes rows over runs in a thread, on a blocking connection of its own.

Until an import is complete, what it has made is in a workspace of its own, which has no members: nobody sees it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Json

from fieldpack.server.db.columns import columns_of
from fieldpack.server.db.pool import Connection
from fieldpack.server.imports.rows import (
    CountedRow,
    ImportRow,
    OrdinalRow,
    PlacedRow,
    RenamedRow,
    UnfinishedRow,
    VersionRow,
)

Blocking = psycopg.Connection[Any]

LOCK_KEY = 0x66706B5F696D70  # "fpk_imp": one import at a time

# what `copy_rows` fills, and the order of each row's values
SUBMISSIONS = (
    "submissions (id, study_id, collection_id, collection_version, participant_id, ordinal, status, response,"
    " holds_place, started_at, completed_at, edited_at, line_end, file_count, answer_count, upload_bytes,"
    " activated_counter, import_id)"
)
ANSWERS = "answers (submission_id, instruction_id, value, created_at, updated_at)"
BLOBS = "blobs (id, size_bytes, crc32, sha256, content_type)"
UPLOADS = (
    "uploads (id, submission_id, instruction_id, file_name, length_bytes, offset_bytes, crc32, content_type, blob_id,"
    " created_at, updated_at, completed_at, position, path)"
)
RENAMED = "import_ids (import_id, kind, old_id, new_id)"


def lock_imports(connection: Blocking) -> bool:
    """Take the lock of imports, for as long as the connection lasts: whether nobody else has it."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK_KEY]).fetchone()
    return row is not None and bool(row[0])


async def is_idle(connection: Connection) -> bool:
    """Take the lock of imports until commit: whether nobody else has it, so that nobody imports."""
    cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s) AS idle", [LOCK_KEY])
    row = await cursor.fetchone()
    return row is not None and bool(row["idle"])


async def find_import(connection: Connection, import_id: UUID, *, lock: bool = False) -> ImportRow | None:
    """An import, locked until commit if `lock`."""
    cursor = await connection.cursor(row_factory=class_row(ImportRow)).execute(
        f"SELECT {columns_of(ImportRow, 'i')} FROM imports i WHERE i.id = %s {'FOR UPDATE' if lock else ''}",
        [import_id],
    )
    return await cursor.fetchone()


async def list_unfinished(connection: Connection, days: float = 0) -> list[UnfinishedRow]:
    """Imports that have not come to their end, and of which nothing was heard for so many days; oldest first."""
    cursor = await connection.cursor(row_factory=class_row(UnfinishedRow)).execute(
        """
        SELECT i.id, c.name, i.workspace_id, i.submissions, i.updated_at
        FROM imports i JOIN collections c ON c.id = i.collection_id
        WHERE i.completed_at IS NULL AND i.updated_at <= now() - make_interval(secs => %s * 86400)
        ORDER BY i.started_at, i.id
        """,
        [days],
    )
    return await cursor.fetchall()


async def list_taken(connection: Connection, kind: str, ids: list[UUID]) -> set[UUID]:
    """Which of these ids of a kind are something here already."""
    table = {"collection": "collections", "instruction": "items", "study": "studies"}[kind]
    cursor = await connection.execute(
        sql.SQL("SELECT id FROM {} WHERE id = ANY(%s)").format(sql.Identifier(table)), [ids]
    )
    return {row["id"] for row in await cursor.fetchall()}


def list_taken_submissions(connection: Blocking, ids: list[UUID], import_id: UUID) -> dict[UUID, bool]:
    """Which of these are submissions here already, and not of this import; True for those that the database knows to
    be erased. It doesn't know of all: see `erasure_list.read_erased`."""
    found = connection.execute(
        """
        SELECT id, response = 'deleted' FROM submissions
        WHERE id = ANY(%(ids)s) AND import_id IS DISTINCT FROM %(import)s
        UNION ALL
        SELECT submission_id, true FROM unlisted_erasures WHERE submission_id = ANY(%(ids)s)
        """,
        {"ids": ids, "import": import_id},
    )
    taken: dict[UUID, bool] = {}
    for key, is_erased in found:
        taken[key] = is_erased or taken.get(key, False)
    return taken


async def list_alive(connection: Connection, import_id: UUID, ids: list[UUID]) -> list[UUID]:
    """The submissions of this import that are one of these in the archive, and not erased; by their ids here."""
    cursor = await connection.execute(
        """
        SELECT id FROM submissions
        WHERE import_id = %(import)s AND response <> 'deleted'
          AND (id = ANY(%(ids)s)
               OR id IN (SELECT new_id FROM import_ids WHERE import_id = %(import)s AND kind = 'submission'
                         AND old_id = ANY(%(ids)s::uuid[]::text[])))
        ORDER BY id
        """,
        {"import": import_id, "ids": ids},
    )
    return [row["id"] for row in await cursor.fetchall()]


def throw_away(connection: Blocking, keys: list[str]) -> None:
    """Have stored objects deleted once this transaction commits."""
    connection.execute("INSERT INTO garbage (key) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING", [keys])


async def begin(
    connection: Connection,
    *,
    import_id: UUID,
    workspace_id: UUID,
    collection_id: UUID,
    source_id: str,
    name: str,
    description: str | None,
    by: UUID,
    created_at: datetime,
) -> None:
    """Record an import, and make its collection, in a workspace that nobody is a member of."""
    await connection.execute(
        "INSERT INTO workspaces (id, title, collections_enabled) VALUES (%s, %s, false)",
        [import_id, "Import under way"],
    )
    await connection.execute(
        "INSERT INTO imports (id, workspace_id, collection_id, source_id, created_by) VALUES (%s, %s, %s, %s, %s)",
        [import_id, workspace_id, collection_id, source_id, by],
    )
    await connection.execute(
        "INSERT INTO collections (id, workspace_id, name, description, created_by, created_at)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        [collection_id, import_id, name, description, by, created_at],
    )
    await connection.execute(
        "INSERT INTO collection_changes (collection_id, counter) VALUES (%s, 1)", [collection_id]
    )


async def insert_versions(
    connection: Connection, collection_id: UUID, versions: Sequence[VersionRow]
) -> None:
    """The versions of a collection, oldest first; the last is the current one."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO collection_versions (collection_id, version, body, created_at) VALUES (%s, %s, %s, %s)",
            [
                (collection_id, number, Json(version.body), version.made_at)
                for number, version in enumerate(versions, 1)
            ],
        )
    await connection.execute(
        "UPDATE collections SET version = %s WHERE id = %s", [len(versions), collection_id]
    )


async def insert_items(
    connection: Connection,
    collection_id: UUID,
    by: UUID,
    created_at: datetime,
    pages: Sequence[UUID],
    items: Iterable[PlacedRow],
) -> None:
    """The pages and items of a collection, retired ones too."""
    await connection.execute(
        "INSERT INTO pages (id, collection_id, created_by, created_at) SELECT unnest(%s::uuid[]), %s, %s, %s",
        [list(pages), collection_id, by, created_at],
    )
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO items (id, collection_id, type, page_order, item_order, body, retired, created_by, created_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    item.body["id"],
                    collection_id,
                    item.body["type"],
                    item.page_order,
                    item.item_order,
                    Json(item.body),
                    item.retired,
                    by,
                    created_at,
                )
                for item in items
            ],
        )


async def insert_study(
    connection: Connection,
    *,
    study_id: UUID,
    workspace_id: UUID,
    collection_id: UUID,
    by: UUID,
    name: str,
    places: int,
    minutes: int,
    upload_bytes: int,
    began_at: datetime | None,
) -> None:
    """A study that is over, for submissions that are to come into it.

    Args:
        minutes: how long one could take.
        began_at: now, where None.
    """
    await connection.execute(
        """
        INSERT INTO studies (id, workspace_id, collection_id, created_by, status, name, total_available_places,
                             places_taken, maximum_allowed_time, upload_bytes, created_at, published_at, fields)
        VALUES (%s, %s, %s, %s, 'COMPLETED', %s, %s, %s, %s, %s, coalesce(%s, now()), %s,
                '{"completion_codes": []}')
        """,
        [
            study_id,
            workspace_id,
            collection_id,
            by,
            name,
            max(places, 1),
            places,
            minutes,
            upload_bytes,
            began_at,
            began_at,
        ],
    )


async def insert_renamed(connection: Connection, import_id: UUID, renamed: Iterable[RenamedRow]) -> None:
    """Record ids that were made anew."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO import_ids (import_id, kind, old_id, new_id) VALUES (%s, %s, %s, %s)",
            [(import_id, each.kind, each.old_id, each.new_id) for each in renamed],
        )


def list_ordinals(connection: Blocking, pairs: Sequence[tuple[UUID, str]]) -> list[OrdinalRow]:
    """How many submissions these participants have to these studies, where they have any."""
    found = connection.cursor(row_factory=class_row(OrdinalRow)).execute(
        """
        SELECT s.study_id, s.participant_id, max(s.ordinal) AS ordinal FROM submissions s
        JOIN unnest(%s::uuid[], %s::text[]) AS g (study_id, participant_id)
            ON s.study_id = g.study_id AND s.participant_id = g.participant_id
        WHERE s.response <> 'deleted' GROUP BY 1, 2
        """,
        [[study for study, _ in pairs], [participant for _, participant in pairs]],
    )
    return found.fetchall()


def advance(
    connection: Blocking,
    import_id: UUID,
    *,
    before: int,
    lines: int,
    blobs: list[UUID],
    submissions: int,
    files: int,
    file_bytes: int,
    erased: int,
) -> bool:
    """Record that the lines after `before` up to `lines` are taken over in this transaction, and `blobs` have their
    rows; False when somebody else has done so, has thrown them away, or the import is over."""
    cursor = connection.execute(
        """
        WITH noted AS (DELETE FROM import_blobs WHERE blob_id = ANY(%s) RETURNING blob_id)
        UPDATE imports SET lines = %s, submissions = submissions + %s, files = files + %s,
               file_bytes = file_bytes + %s, erased = erased + %s, updated_at = now()
        WHERE id = %s AND lines = %s AND completed_at IS NULL AND (SELECT count(*) FROM noted) = %s
        """,
        [blobs, lines, submissions, files, file_bytes, erased, import_id, before, len(blobs)],
    )
    return cursor.rowcount == 1


def note_blobs(connection: Blocking, import_id: UUID, blobs: list[UUID]) -> None:
    """Record files before they are stored, so that they are known if their rows never come."""
    if blobs:
        connection.execute(
            "INSERT INTO import_blobs (blob_id, import_id) SELECT unnest(%s::uuid[]), %s", [blobs, import_id]
        )


async def has_left(connection: Connection) -> bool:
    """Whether there are files of imports that no row names, yet or any more."""
    cursor = await connection.execute("SELECT EXISTS (SELECT FROM import_blobs) AS found")
    row = await cursor.fetchone()
    return row is not None and bool(row["found"])


async def throw_away_left(connection: Connection, import_id: UUID | None = None) -> None:
    """Have the files deleted that killed runs have stored and no row names: of this import, or of all. The caller has
    the lock of imports."""
    await connection.execute(
        """
        WITH gone AS (
            DELETE FROM import_blobs WHERE %(import)s::uuid IS NULL OR import_id = %(import)s RETURNING blob_id
        )
        INSERT INTO garbage (key)
        SELECT concat('blobs/', left(blob_id::text, 2), '/', blob_id) FROM gone ON CONFLICT DO NOTHING
        """,
        {"import": import_id},
    )


def copy_rows(connection: Blocking, columns: str, rows: Iterable[Sequence[Any]]) -> None:
    """Add rows to a table, by `COPY`; `columns` is one of the constants above."""
    with connection.cursor() as cursor, cursor.copy(f"COPY {columns} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


async def count_rows(connection: Connection, import_id: UUID) -> CountedRow:
    """What an import has made, counted anew."""
    cursor = await connection.cursor(row_factory=class_row(CountedRow)).execute(
        """
        SELECT count(*) FILTER (WHERE s.response <> 'deleted') AS submissions,
               coalesce(sum(s.file_count) FILTER (WHERE s.response <> 'deleted'), 0)::bigint AS files,
               (SELECT count(*) FROM uploads u JOIN submissions o ON o.id = u.submission_id
                JOIN blobs b ON b.id = u.blob_id WHERE o.import_id = %(id)s) AS uploads,
               count(*) FILTER (WHERE s.response = 'deleted') AS erased,
               coalesce(sum(e.files), 0)::bigint AS erased_files,
               coalesce(sum(e.file_bytes), 0)::bigint AS erased_bytes
        FROM submissions s LEFT JOIN erasures e ON e.submission_id = s.id WHERE s.import_id = %(id)s
        """,
        {"id": import_id},
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def has_collection(connection: Connection, collection_id: UUID) -> bool:
    """Whether a collection is still there."""
    cursor = await connection.execute("SELECT 1 FROM collections WHERE id = %s", [collection_id])
    return await cursor.fetchone() is not None


async def list_studies(connection: Connection, collection_id: UUID) -> list[UUID]:
    """The studies of an imported collection that the import made."""
    cursor = await connection.execute(
        "SELECT DISTINCT study_id FROM submissions WHERE collection_id = %s AND import_id IS NOT NULL",
        [collection_id],
    )
    return [row["study_id"] for row in await cursor.fetchall()]


async def settle_studies(connection: Connection, collection_id: UUID) -> None:
    """Places and bytes of the studies as they are taken, without those that were erased before they came."""
    await connection.execute(
        """
        UPDATE studies t SET total_available_places = greatest(c.submissions, 1), places_taken = c.submissions,
               upload_bytes = c.bytes
        FROM (SELECT o.id, count(s.id) AS submissions, coalesce(sum(s.upload_bytes), 0) AS bytes
              FROM studies o LEFT JOIN submissions s ON s.study_id = o.id
              WHERE o.collection_id = %s GROUP BY o.id) AS c
        WHERE t.id = c.id
        """,
        [collection_id],
    )


async def leave_out(connection: Connection, row: ImportRow, counted: CountedRow) -> None:
    """Count those that were erased since they were taken over as left out. The caller has locked the import."""
    await connection.execute(
        "UPDATE imports SET submissions = submissions - %s, files = files - %s, file_bytes = file_bytes - %s,"
        " erased = erased + %s WHERE id = %s",
        [counted.erased, counted.erased_files, counted.erased_bytes, counted.erased, row.id],
    )


async def show(connection: Connection, row: ImportRow) -> None:
    """Put what was imported into the workspace that it is for: all of it is seen, or nothing. The caller has locked
    the import."""
    await connection.execute(
        "UPDATE collections SET workspace_id = %s WHERE id = %s", [row.workspace_id, row.collection_id]
    )
    await connection.execute(
        "UPDATE studies SET workspace_id = %s WHERE collection_id = %s", [row.workspace_id, row.collection_id]
    )
    await connection.execute(
        "UPDATE collection_activity SET workspace_id = %s, active_at = now() WHERE collection_id = %s",
        [row.workspace_id, row.collection_id],
    )
    await connection.execute(
        "UPDATE imports SET completed_at = now(), updated_at = now() WHERE id = %s", [row.id]
    )
    await connection.execute("DELETE FROM workspaces WHERE id = %s", [row.id])


async def list_known(connection: Connection, import_id: UUID) -> list[RenamedRow]:
    """The ids that were made anew, but for those of submissions."""
    cursor = await connection.cursor(row_factory=class_row(RenamedRow)).execute(
        f"SELECT {columns_of(RenamedRow, 'r')} FROM import_ids r WHERE r.import_id = %s AND r.kind <> 'submission'",
        [import_id],
    )
    return await cursor.fetchall()


async def count_renamed(connection: Connection, import_id: UUID) -> dict[str, int]:
    """How many ids were made anew, by kind."""
    cursor = await connection.execute(
        "SELECT kind, count(*) AS count FROM import_ids WHERE import_id = %s GROUP BY kind ORDER BY kind",
        [import_id],
    )
    return {row["kind"]: row["count"] for row in await cursor.fetchall()}


def iter_renamed(connection: Blocking, import_id: UUID) -> Iterator[RenamedRow]:
    """The ids that were made anew, by kind and by the old one; in constant memory."""
    with connection.transaction(), connection.cursor("renamed", row_factory=class_row(RenamedRow)) as cursor:
        cursor.itersize = 5_000
        cursor.execute(
            f"SELECT {columns_of(RenamedRow, 'r')} FROM import_ids r WHERE r.import_id = %s"
            " ORDER BY r.kind, r.old_id",
            [import_id],
        )
        yield from cursor


async def delete_import(connection: Connection, row: ImportRow) -> None:
    """Remove all that an unfinished import has made; its files are thrown away. The caller has locked it, and has the
    lock of imports."""
    await throw_away_left(connection, row.id)
    await connection.execute(
        """
        WITH gone AS (
            DELETE FROM uploads u USING submissions s
            WHERE s.id = u.submission_id AND s.import_id = %s RETURNING u.blob_id
        ), thrown_away AS (
            INSERT INTO garbage (key)
            SELECT concat('blobs/', left(blob_id::text, 2), '/', blob_id) FROM gone ON CONFLICT DO NOTHING
        )
        DELETE FROM blobs b USING gone WHERE b.id = gone.blob_id
        """,
        [row.id],
    )
    await connection.execute("DELETE FROM submissions WHERE import_id = %s", [row.id])
    await connection.execute("DELETE FROM studies WHERE collection_id = %s", [row.collection_id])
    await connection.execute("DELETE FROM picture_uses WHERE collection_id = %s", [row.collection_id])
    await connection.execute("DELETE FROM items WHERE collection_id = %s", [row.collection_id])
    await connection.execute(
        "DELETE FROM collection_differences WHERE collection_id = %s", [row.collection_id]
    )
    await connection.execute("DELETE FROM collections WHERE id = %s", [row.collection_id])
    await connection.execute("DELETE FROM imports WHERE id = %s", [row.id])
    await connection.execute("DELETE FROM workspaces WHERE id = %s", [row.id])
