"""SQL of the export job. It runs in a thread, on blocking connections of its own."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from fieldpack.archive.layout import STORED
from fieldpack.server.config import Settings
from fieldpack.server.db.columns import columns_of
from fieldpack.server.exports.queries import IS_SURPLUS, MAKES_WAY
from fieldpack.server.exports.rows import (
    BuildRow,
    ClaimedRow,
    CountedRow,
    Facts,
    Filter,
    InstructionRow,
    OptionsRow,
    SnapshotRow,
)
from fieldpack.server.notices import CHANNEL

Blocking = psycopg.Connection[Any]
MemberFields = tuple[str, int, int, int, int, int, bytes]
Selection = Mapping[str, UUID | datetime | None]  # the values that `SELECTED` takes
Row = TypeVar("Row")

# what a snapshot holds: the active responses that the filter lets through
SELECTED = """
    s.collection_id = %(collection)s AND s.response = 'active'
    AND (%(study)s::uuid IS NULL OR s.study_id = %(study)s)
    AND (%(from)s::timestamptz IS NULL OR s.completed_at >= %(from)s)
    AND (%(to)s::timestamptz IS NULL OR s.completed_at < %(to)s)
"""
BATCH_BYTES = 1 << 20
STREAMED_ROWS = 64
BATCH_ROWS = 4096


def _one(connection: Blocking, row: type[Row], query: str, values: Any) -> Row | None:
    with connection.cursor(row_factory=class_row(row)) as cursor:
        return cursor.execute(query, values).fetchone()


def claim_export(connection: Blocking, export_id: UUID, again: ClaimedRow | None = None) -> ClaimedRow | None:
    """A new build of an export that is still to be made; whoever worked on it before is shut out, and what
    they stored is thrown away. Never more than that: a later build may be complete by now.

    None as well when its index is made, and the jobs of its parts are at work.

    Args:
        again: the caller's own build, which an erasure shut out. It starts over, which counts as no other
            attempt; None when another worker took over.
    """
    return _one(
        connection,
        ClaimedRow,
        f"""
        WITH old AS (
            SELECT id, build, attempts FROM exports e
            WHERE id = %(id)s AND status = 'generating'
              AND (%(attempts)s::integer IS NULL OR attempts = %(attempts)s)
              AND NOT EXISTS (SELECT FROM export_parts p WHERE p.export_id = e.id AND p.build = e.build)
            FOR UPDATE
        ), thrown_away AS (
            INSERT INTO garbage (key)
            SELECT 'exports/' || id || '/' || build || '/' FROM old WHERE attempts > 0
            ON CONFLICT (key) DO NOTHING
        )
        UPDATE exports e SET build = gen_random_uuid(), progress = 0,
               attempts = e.attempts + CASE WHEN %(attempts)s::integer IS NULL THEN 1 ELSE 0 END
        FROM old WHERE e.id = old.id RETURNING {columns_of(ClaimedRow, "e")}
        """,
        {"id": export_id, "attempts": again.attempts if again else None},
    )


def is_to_start_over(connection: Blocking, export: ClaimedRow) -> bool:
    """Whether a build that was shut out is to be done again: after an erasure, not when another took over."""
    cursor = connection.execute(
        "SELECT 1 FROM exports WHERE id = %s AND attempts = %s AND status = 'generating'",
        [export.id, export.attempts],
    )
    return cursor.fetchone() is not None


def report_progress(connection: Blocking, export_id: UUID, build: UUID, progress: float) -> bool:
    """Whether this build is still the one that is wanted."""
    cursor = connection.execute(
        "UPDATE exports SET progress = %s WHERE id = %s AND build = %s AND status = 'generating'",
        [progress, export_id, build],
    )
    return cursor.rowcount == 1


def begin_snapshot(connection: Blocking) -> None:
    """From now on this connection sees one state of the database, until it is closed."""
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")


def read_snapshot(connection: Blocking, collection_id: UUID) -> SnapshotRow:
    """The collection, its counter and the time, as of the snapshot of the transaction that asks."""
    row = _one(
        connection,
        SnapshotRow,
        """
        SELECT c.id, c.name, c.description, c.workspace_id, c.created_at, v.body, n.counter,
               now() AS snapshot_at
        FROM collections c
        JOIN collection_versions v ON v.collection_id = c.id AND v.version = c.version
        JOIN collection_changes n ON n.collection_id = c.id
        WHERE c.id = %s
        """,
        [collection_id],
    )
    assert row is not None
    return row


def list_instructions(connection: Blocking, collection_id: UUID) -> list[InstructionRow]:
    """Every instruction the collection ever had, in order, retired ones last."""
    with connection.cursor(row_factory=class_row(InstructionRow)) as cursor:
        return cursor.execute(
            """
            SELECT id, type, body, page_order, retired FROM items
            WHERE collection_id = %s AND type NOT IN ('rich_text', 'image')
            ORDER BY retired, page_order, item_order, id
            """,
            [collection_id],
        ).fetchall()


def iter_options(connection: Blocking, collection_id: UUID) -> Iterator[OptionsRow]:
    """The options of every version of the collection, oldest first."""
    with connection.cursor("options", row_factory=class_row(OptionsRow)) as cursor:
        cursor.itersize = 1
        cursor.execute(
            """
            SELECT v.created_at AS made_at, coalesce(
                (SELECT json_object_agg(item->>'id', coalesce(item->'options', item->'unit_options'))
                 FROM json_array_elements(v.body->'collection_items') page,
                      json_array_elements(page->'page_items') item
                 WHERE coalesce(item->'options', item->'unit_options') IS NOT NULL), '{}') AS options
            FROM collection_versions v WHERE v.collection_id = %s ORDER BY v.version
            """,
            [collection_id],
        )
        yield from cursor


def count_selected(connection: Blocking, selection: Selection) -> CountedRow:
    """How much the snapshot holds."""
    row = _one(
        connection,
        CountedRow,
        f"""
        SELECT count(*) AS submissions, coalesce(sum(file_count), 0)::bigint AS files
        FROM submissions s WHERE {SELECTED}
        """,
        selection,
    )
    assert row is not None
    return row


def iter_lines(connection: Blocking, selection: Selection) -> Generator[tuple[int, bytes], None, None]:
    """The lines of responses.jsonl, put together by PostgreSQL itself: about a megabyte at a time, and how
    many lines that is."""
    query = f"""
        SELECT convert_to(concat('{{"submission_id":"', s.id, '","participant_id":', to_json(s.participant_id),
            ',"study_id":"', s.study_id, '","status":"', s.status, '",', s.line_end), 'UTF8')
        FROM submissions s WHERE {SELECTED} ORDER BY s.completed_at, s.id
    """
    batch, size = [], 0
    with closing(_stream(connection, query, selection)) as rows:
        for (line,) in rows:
            batch.append(line)
            size += len(line)
            if size >= BATCH_BYTES:
                yield len(batch), b"".join(batch)
                batch, size = [], 0
        if batch:
            yield len(batch), b"".join(batch)


def iter_files(
    connection: Blocking, selection: Selection
) -> Generator[tuple[int, list[MemberFields]], None, None]:
    """Every file as the fields of a `Member`, in the archive's order; some thousand at a time, and how many that is.

    The one row that is no object of its own: there are millions, and a `Member` each takes half a second a million.
    """
    query = f"""
        SELECT u.path, b.size_bytes, b.crc32, floor(extract(epoch FROM u.completed_at))::bigint, uuid_send(b.id)
        FROM submissions s
        JOIN uploads u ON u.submission_id = s.id AND u.position IS NOT NULL
        JOIN blobs b ON b.id = u.blob_id
        WHERE {SELECTED} ORDER BY s.completed_at, s.id, u.position
    """
    with closing(_stream(connection, query, selection)) as rows:
        while batch := [
            (path, STORED, size, size, crc32, at, blob)
            for path, size, crc32, at, blob in islice(rows, BATCH_ROWS)
        ]:
            yield len(batch), batch


def _stream(connection: Blocking, query: str, values: Selection) -> Generator[tuple[Any, ...], None, None]:
    """The rows as they come, never all of them; cancelled when it is closed before its end."""
    with connection.cursor(binary=True) as cursor:
        yield from cursor.stream(query, values, size=STREAMED_ROWS)


def complete_export(connection: Blocking, export: BuildRow, facts: Facts, settings: Settings) -> bool:
    """Whether the export is complete now: refused when it was superseded, or holds what was erased since.

    The collection's counter is locked first, so that an erasure is either seen here or sees this. Beyond
    the finished exports that are kept others make way, as they could not when this one was requested among many.
    """
    with connection.transaction():
        connection.execute(
            "SELECT 1 FROM collection_changes WHERE collection_id = %s FOR NO KEY UPDATE",
            [export.collection_id],
        )
        cursor = connection.execute(
            """
            UPDATE exports SET status = 'complete', progress = 1, completed_at = clock_timestamp(),
                   snapshot_at = %(snapshot_at)s, snapshot_counter = %(snapshot_counter)s,
                   submission_count = %(submission_count)s, file_count = %(file_count)s,
                   size_bytes = %(size_bytes)s, index_bytes = %(index_bytes)s, etag = %(etag)s
            WHERE id = %(id)s AND build = %(build)s AND status = 'generating' AND NOT EXISTS (
                SELECT FROM submissions e
                WHERE e.collection_id = %(collection_id)s AND e.response = 'deleted'
                  AND e.erased_counter > %(snapshot_counter)s AND e.activated_counter <= %(snapshot_counter)s)
            """,
            {
                **asdict(facts),
                "id": export.id,
                "build": export.build,
                "collection_id": export.collection_id,
            },
        )
        done = cursor.rowcount == 1
        connection.execute("SELECT pg_notify(%s, %s)", [CHANNEL, str(export.id)])
        connection.execute(
            f"""
            WITH finished AS (
                SELECT id AS finished_id, count(*) OVER () AS total,
                       row_number() OVER (ORDER BY {MAKES_WAY}) AS place
                FROM exports WHERE collection_id = %(collection)s AND status <> 'generating'
            ), removed AS (
                DELETE FROM exports USING finished WHERE id = finished_id AND {IS_SURPLUS} RETURNING id
            ), thrown_away AS (
                INSERT INTO garbage (key) SELECT 'exports/' || id || '/' FROM removed
                ON CONFLICT (key) DO NOTHING
            )
            SELECT pg_notify(%(channel)s, id::text) FROM removed
            """,
            {
                "collection": export.collection_id,
                "kept": settings.exports_kept,
                "most": settings.exports_kept_with_links,
                "channel": CHANNEL,
            },
        )
    return done


def fail_export(connection: Blocking, export_id: UUID, reason: str) -> bool:
    """Whether the export was still being made, and has failed now; what was stored of it goes."""
    with connection.transaction():
        cursor = connection.execute(
            """
            WITH failed AS (
                UPDATE exports SET status = 'failed', failure_reason = %s
                WHERE id = %s AND status = 'generating' RETURNING id
            )
            INSERT INTO garbage (key) SELECT 'exports/' || id || '/' FROM failed ON CONFLICT (key) DO NOTHING
            """,
            [reason, export_id],
        )
        connection.execute("SELECT pg_notify(%s, %s)", [CHANNEL, str(export_id)])
    return cursor.rowcount == 1


def parse_selection(collection_id: UUID, filter: Filter) -> Selection:
    """The values that `SELECTED` takes."""
    bound: dict[str, datetime | None] = {
        name: datetime.fromisoformat(filter[name]) if name in filter else None for name in ("from", "to")
    }
    study = UUID(filter["study_id"]) if "study_id" in filter else None
    return {"collection": collection_id, "study": study, **bound}
