"""SQL of an export's states: every statement that changes `status` or `build`, beside the INSERT of a new one.

    generating --complete--> complete --fail--> failed
    generating --fail--> failed
    generating --claim, start_over--> generating, by another build

`build` is the id of the attempt that may continue. A worker with an earlier one can change nothing any more, because
every change names its build. What is stored of a build or export that ends becomes garbage, and those who wait for
it are notified, but of a `claim`, which changes nothing for them. Exports are locked until commit; by `complete` the
collection's counter before.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from fieldpack.server.config import Settings
from fieldpack.server.db.columns import columns_of
from fieldpack.server.db.pool import Connection
from fieldpack.server.exports.queries import IS_SURPLUS, MAKES_WAY
from fieldpack.server.exports.rows import BuildRow, ClaimedRow, Facts
from fieldpack.server.notices import CHANNEL

__all__ = ["claim", "complete", "fail", "start_all_over", "start_over"]

Blocking = psycopg.Connection[Any]


def claim(connection: Blocking, export_id: UUID, again: ClaimedRow | None = None) -> ClaimedRow | None:
    """A new build of an export that is still to be made; whoever worked on it before is shut out, and what
    they stored is thrown away. Never more than that: a later build may be complete by now.

    None as well when its index is made, and the jobs of its parts are at work. Locks the export until commit.

    Args:
        again: the caller's own build, which an erasure shut out. It starts over, which counts as no other
            attempt; None when another worker took over.
    """
    with connection.cursor(row_factory=class_row(ClaimedRow)) as cursor:
        return cursor.execute(
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
        ).fetchone()


def complete(connection: Blocking, export: BuildRow, facts: Facts, settings: Settings) -> bool:
    """Whether the export is complete now: refused when another build has taken over, as after an erasure of what it
    may hold.

    The collection's counter is locked first, so that an erasure has either taken the build or sees the export
    complete. Beyond
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
            WHERE id = %(id)s AND build = %(build)s AND status = 'generating'
            """,
            {**asdict(facts), "id": export.id, "build": export.build},
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


async def fail(
    connection: Connection,
    export_ids: list[UUID],
    status: Literal["generating", "complete"],
    reason: str,
    *,
    build: UUID | None = None,
) -> int:
    """Fail those of these exports that are in this state, and throw away all that is stored of them; how many.

    Args:
        reason: for the people who asked for them.
        build: fail them only while this is their build.
    """
    cursor = await connection.execute(
        """
        WITH failed AS (
            UPDATE exports SET status = 'failed', failure_reason = %(reason)s, build = gen_random_uuid()
            WHERE id = ANY(%(ids)s) AND status = %(status)s
              AND (%(build)s::uuid IS NULL OR build = %(build)s)
            RETURNING id
        ), converted AS (
            DELETE FROM conversions USING failed WHERE export_id = failed.id
        ), thrown_away AS (
            INSERT INTO garbage (key) SELECT 'exports/' || id || '/' FROM failed ON CONFLICT (key) DO NOTHING
        )
        SELECT pg_notify(%(channel)s, id::text) FROM failed
        """,
        {"ids": export_ids, "status": status, "reason": reason, "build": build, "channel": CHANNEL},
    )
    return cursor.rowcount


async def start_over(connection: Connection, export_ids: list[UUID], *, build: UUID | None = None) -> None:
    """Give those of these exports that are generating another build, and throw away what is stored of the last.
    Locks them until commit, in the order of their ids.

    Args:
        build: do so only while this is their build.
    """
    await connection.execute(
        """
        WITH old AS (
            SELECT id, build FROM exports
            WHERE id = ANY(%(ids)s) AND status = 'generating'
              AND (%(build)s::uuid IS NULL OR build = %(build)s)
            ORDER BY id FOR UPDATE
        ), thrown_away AS (
            INSERT INTO garbage (key) SELECT 'exports/' || id || '/' || build || '/' FROM old
            ON CONFLICT (key) DO NOTHING
        ), restarted AS (
            UPDATE exports e SET build = gen_random_uuid(), progress = 0 FROM old WHERE e.id = old.id
            RETURNING e.id
        )
        SELECT pg_notify(%(channel)s, id::text) FROM restarted
        """,
        {"ids": export_ids, "build": build, "channel": CHANNEL},
    )


async def start_all_over(connection: Connection, delivery: str) -> None:
    """After a restore: exports under way begin anew, as they are delivered now, and none is converted. Nothing of all
    that is stored."""
    await connection.execute("DELETE FROM export_parts")
    await connection.execute("DELETE FROM conversions")
    await connection.execute(
        "UPDATE exports SET build = gen_random_uuid(), progress = 0, multipart_id = NULL, delivery = %s"
        " WHERE status = 'generating'",
        [delivery],
    )
