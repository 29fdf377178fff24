"""SQL of archives that are made into objects of the bucket, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Json

from fieldpack.server.db.columns import columns_of
from fieldpack.server.db.pool import Connection
from fieldpack.server.exports.rows import (
    ArchiveRow,
    BuildRow,
    Facts,
    MemberSpan,
    ObjectRow,
    PartRow,
    SentPartRow,
)
from fieldpack.server.jobs import PARTS_QUEUE, defer

# jobs of exports come before jobs of parts: a new export starts before the last part of an earlier one is sent
PART_PRIORITY = -1
DEFER_PARTS = f"""
    SELECT procrastinate_defer_jobs_v1(array_agg(ROW(
        '{PARTS_QUEUE}', 'fieldpack:part', {PART_PRIORITY}, NULL, NULL,
        jsonb_build_object('export_id', export_id, 'build', build, 'number', number), NULL
    )::procrastinate_job_to_defer_v1 ORDER BY number))
    FROM export_parts WHERE export_id = %s AND build = %s AND etag IS NULL HAVING count(*) > 0
"""
WANTED = "id = %(id)s AND build = %(build)s AND status = 'generating'"


def begin_parts(
    connection: psycopg.Connection[Any],
    export: BuildRow,
    facts: Facts,
    multipart_id: str | None,
    ranges: list[tuple[int, int]],
    progress: float,
) -> bool:
    """Record the parts and enqueue a job for each; False, and nothing recorded, when the build was superseded. Locks
    the export."""
    with connection.transaction():
        cursor = connection.execute(
            f"""
            UPDATE exports SET snapshot_at = %(snapshot_at)s, snapshot_counter = %(snapshot_counter)s,
                   submission_count = %(submission_count)s, file_count = %(file_count)s,
                   size_bytes = %(size_bytes)s, index_bytes = %(index_bytes)s, etag = %(etag)s,
                   multipart_id = %(multipart)s, progress = %(progress)s
            WHERE {WANTED}
            """,
            {
                **asdict(facts),
                "id": export.id,
                "build": export.build,
                "multipart": multipart_id,
                "progress": progress,
            },
        )
        if cursor.rowcount == 0:
            return False
        connection.execute(
            "DELETE FROM export_parts WHERE export_id = %s AND build <> %s", [export.id, export.build]
        )
        connection.execute(
            """
            INSERT INTO export_parts (export_id, build, number, start_offset, stop_offset)
            SELECT %s, %s, number, start, stop
            FROM unnest(%s::bigint[], %s::bigint[]) WITH ORDINALITY AS r (start, stop, number)
            """,
            [
                export.id,
                export.build,
                [start for start, _ in ranges],
                [stop for _, stop in ranges],
            ],
        )
        connection.execute(DEFER_PARTS, [export.id, export.build])
    return True


async def requeue_parts(connection: Connection, export_id: UUID, build: UUID) -> None:
    """Enqueue jobs for the parts that are not in the bucket, or for the last step when all are."""
    cursor = await connection.execute(DEFER_PARTS, [export_id, build])
    if cursor.rowcount == 0:
        await _defer_finish(connection, export_id, build)


async def _defer_finish(connection: Connection, export_id: UUID, build: UUID) -> None:
    await defer(
        connection,
        "finish",
        queue=PARTS_QUEUE,
        queueing_lock=f"finish:{build}",
        export_id=str(export_id),
        build=str(build),
    )


async def find_part(connection: Connection, export_id: UUID, build: UUID, number: int) -> PartRow | None:
    """The build with one of its parts; None when it was superseded."""
    async with connection.cursor(row_factory=class_row(PartRow)) as cursor:
        await cursor.execute(
            f"""
            SELECT {columns_of(ArchiveRow, "e")}, e.multipart_id,
                   p.start_offset, p.stop_offset, p.etag AS part_etag
            FROM (SELECT * FROM exports WHERE {WANTED}) e
            JOIN export_parts p ON p.export_id = e.id AND p.build = e.build AND p.number = %(number)s
            """,
            {"id": export_id, "build": build, "number": number},
        )
        return await cursor.fetchone()


async def lock_object(connection: Connection, export_id: UUID, build: UUID) -> ObjectRow | None:
    """The build; None when it was superseded. Its export is locked until commit (`FOR UPDATE`)."""
    async with connection.cursor(row_factory=class_row(ObjectRow)) as cursor:
        await cursor.execute(
            f"SELECT {columns_of(ObjectRow, 'e')} FROM exports e WHERE {WANTED} FOR UPDATE",
            {"id": export_id, "build": build},
        )
        return await cursor.fetchone()


async def is_abandoned(connection: Connection, export_id: UUID, build: UUID) -> bool:
    """Whether this build will never be complete, and is not."""
    cursor = await connection.execute(
        "SELECT 1 FROM exports WHERE id = %s AND build = %s AND status <> 'failed'", [export_id, build]
    )
    return await cursor.fetchone() is None


async def report_sent(
    connection: Connection, export_id: UUID, build: UUID, number: int, sent_bytes: int, before: float
) -> bool:
    """Whether this build is still wanted; the progress of its export moves by what was sent.

    Args:
        before: progress when the first part was begun.
    """
    await connection.execute(
        "UPDATE export_parts SET sent_bytes = %s"
        " WHERE export_id = %s AND build = %s AND number = %s AND etag IS NULL",
        [sent_bytes, export_id, build, number],
    )
    return await _move(connection, export_id, build, before)


async def _move(connection: Connection, export_id: UUID, build: UUID, before: float) -> bool:
    cursor = await connection.execute(
        f"""
        UPDATE exports SET progress = greatest(progress, %(before)s + (0.99 - %(before)s) * (
            SELECT sum(sent_bytes) FROM export_parts WHERE export_id = %(id)s AND build = %(build)s
        ) / size_bytes)
        WHERE {WANTED}
        """,
        {"id": export_id, "build": build, "before": before},
    )
    return cursor.rowcount == 1


async def finish_part(
    connection: Connection,
    export_id: UUID,
    build: UUID,
    number: int,
    etag: str,
    member_spans: Sequence[MemberSpan],
    before: float,
) -> bool:
    """Record that a part is in the bucket, and enqueue the last step after the last part; False when the build was
    superseded. Locks the export until commit."""
    if await lock_object(connection, export_id, build) is None:
        return False
    cursor = await connection.execute(
        """
        UPDATE export_parts SET etag = %s, pieces = %s, sent_bytes = stop_offset - start_offset
        WHERE export_id = %s AND build = %s AND number = %s AND etag IS NULL
        """,
        [etag, Json([astuple(span) for span in member_spans]), export_id, build, number],
    )
    if cursor.rowcount:
        await _move(connection, export_id, build, before)
        left = await connection.execute(
            "SELECT 1 FROM export_parts WHERE export_id = %s AND build = %s AND etag IS NULL LIMIT 1",
            [export_id, build],
        )
        if await left.fetchone() is None:
            await _defer_finish(connection, export_id, build)
    return True


async def list_parts(connection: Connection, export_id: UUID, build: UUID) -> list[SentPartRow]:
    """The parts of a build, in order, once all are in the bucket."""
    cursor = await connection.execute(
        "SELECT etag, pieces FROM export_parts WHERE export_id = %s AND build = %s ORDER BY number",
        [export_id, build],
    )
    return [
        SentPartRow(row["etag"], [MemberSpan(*fields) for fields in row["pieces"]])
        for row in await cursor.fetchall()
    ]
