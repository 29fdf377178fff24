"""SQL of the export job. It runs in a thread, on blocking connections of its own."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from fieldpack.archive.layout import STORED
from fieldpack.server.exports.filters import read_view
from fieldpack.server.exports.line_queries import write_correction, write_line
from fieldpack.server.exports.rows import (
    ClaimedRow,
    CountedRow,
    Filter,
    InstructionRow,
    OptionsRow,
    SnapshotRow,
)
from fieldpack.server.selection.queries import Term, select_matching

Blocking = psycopg.Connection[Any]
MemberFields = tuple[str, int, int, int, int, int, bytes]
Row = TypeVar("Row")

BATCH_BYTES = 1 << 20
STREAMED_ROWS = 64
BATCH_ROWS = 4096


def _one(connection: Blocking, row: type[Row], query: str, values: Any) -> Row | None:
    with connection.cursor(row_factory=class_row(row)) as cursor:
        return cursor.execute(query, values).fetchone()


def is_to_start_over(connection: Blocking, export: ClaimedRow) -> bool:
    """Whether a superseded build must be repeated: after an erasure, but not when another worker has the export."""
    cursor = connection.execute(
        "SELECT 1 FROM exports WHERE id = %s AND attempts = %s AND status = 'generating'",
        [export.id, export.attempts],
    )
    return cursor.fetchone() is not None


def report_progress(connection: Blocking, export_id: UUID, build: UUID, progress: float) -> bool:
    """Store the progress, 0 to 1; False when the build was superseded."""
    cursor = connection.execute(
        "UPDATE exports SET progress = %s WHERE id = %s AND build = %s AND status = 'generating'",
        [progress, export_id, build],
    )
    return cursor.rowcount == 1


def begin_snapshot(connection: Blocking) -> None:
    """Begin a repeatable-read transaction: the connection sees one state of the database until it is closed."""
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


def count_selected(connection: Blocking, selection: Term) -> CountedRow:
    """How much the snapshot holds."""
    row = _one(
        connection,
        CountedRow,
        f"""
        SELECT count(*) AS submissions, coalesce(sum(file_count), 0)::bigint AS files,
               coalesce(sum((SELECT count(*) FROM corrections c WHERE c.submission_id = s.id))
                            FILTER (WHERE s.edited_at IS NOT NULL), 0)::bigint AS corrections
        FROM submissions s WHERE {selection.sql}
        """,
        selection.values,
    )
    assert row is not None
    return row


def iter_lines(connection: Blocking, selection: Term) -> Generator[tuple[int, bytes], None, None]:
    """The lines of responses.jsonl, put together by PostgreSQL itself: about a megabyte at a time, and how
    many lines that is."""
    return _iter_texts(
        connection,
        f"SELECT {write_line('s')} FROM submissions s WHERE {selection.sql} ORDER BY s.completed_at, s.id",
        selection,
    )


def iter_corrections(connection: Blocking, selection: Term) -> Generator[tuple[int, bytes], None, None]:
    """The lines of history.jsonl, in the same way."""
    return _iter_texts(
        connection,
        f"""
        SELECT {write_correction("s", "c", "r")} FROM submissions s
        JOIN corrections c ON c.submission_id = s.id JOIN researchers r ON r.id = c.created_by
        WHERE {selection.sql} ORDER BY s.completed_at, s.id, c.created_at, c.id
        """,
        selection,
    )


def _iter_texts(
    connection: Blocking, query: str, selection: Term
) -> Generator[tuple[int, bytes], None, None]:
    batch, size = [], 0
    with closing(_stream(connection, query, selection.values)) as rows:
        for (line,) in rows:
            batch.append(line)
            size += len(line)
            if size >= BATCH_BYTES:
                yield len(batch), b"".join(batch)
                batch, size = [], 0
        if batch:
            yield len(batch), b"".join(batch)


def iter_files(
    connection: Blocking, selection: Term
) -> Generator[tuple[int, list[MemberFields]], None, None]:
    """Every file as the fields of a `Member`, in the archive's order; some thousand at a time, and how many that is.

    The one row that is no object of its own: there are millions, and a `Member` each takes half a second a million.
    """
    query = f"""
        SELECT u.path, b.size_bytes, b.crc32, floor(extract(epoch FROM u.completed_at))::bigint, uuid_send(b.id)
        FROM submissions s
        JOIN uploads u ON u.submission_id = s.id AND u.position IS NOT NULL
        JOIN blobs b ON b.id = u.blob_id
        WHERE {selection.sql} ORDER BY s.completed_at, s.id, u.position
    """
    with closing(_stream(connection, query, selection.values)) as rows:
        while batch := [
            (path, STORED, size, size, crc32, at, blob)
            for path, size, crc32, at, blob in islice(rows, BATCH_ROWS)
        ]:
            yield len(batch), batch


def _stream(
    connection: Blocking, query: str, values: Mapping[str, Any]
) -> Generator[tuple[Any, ...], None, None]:
    """The rows as they come, never all of them; cancelled when it is closed before its end."""
    with connection.cursor(binary=True) as cursor:
        yield from cursor.stream(query, values, size=STREAMED_ROWS)


def select_exported(collection_id: UUID, filter: Filter) -> Term:
    """What a snapshot holds: the active responses that the filter lets through."""
    wanted = select_matching(collection_id, read_view(filter))
    terms, values = [wanted.sql, "s.response = 'active'", "NOT s.test"], dict(wanted.values)
    if "study_id" in filter:
        terms.append("s.study_id = %(study_id)s")
        values["study_id"] = UUID(filter["study_id"])
    for name, comparison in (("from", ">="), ("to", "<")):
        if name in filter:
            terms.append(f"s.completed_at {comparison} %({name})s")
            values[name] = datetime.fromisoformat(filter[name])
    return Term(" AND ".join(terms), values)
