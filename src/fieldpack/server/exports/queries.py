"""SQL of exports, as requests see them. How they change state is in `transitions.py`, what jobs read in `build/`."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from fieldpack.server.db.columns import columns_of
from fieldpack.server.db.pool import Connection
from fieldpack.server.exports.rows import (
    ArchiveRow,
    ExportRow,
    Filter,
    LostRow,
    NarrowedRow,
    ReachableRow,
    ReachedRow,
)
from fieldpack.server.notices import CHANNEL
from fieldpack.server.selection.queries import Term

EXPORT = columns_of(ExportRow, "e")

# Whether an export may still have a valid link. For an hour after its completion it counts as having one, as whoever
# requested it may not have asked for the link yet.
IS_LINKED = "status = 'complete' AND coalesce(links_expire_at, completed_at + interval '1 hour') > now()"

# Exports in the order in which they are removed, and which of them are: `place` counts from 1 in that order. Those
# without a valid link are removed beyond `kept`, the others beyond `most`, if that is more.
MAKES_WAY = f"{IS_LINKED}, created_at, id"
IS_SURPLUS = (
    f"(place <= total - greatest(%(most)s, %(kept)s) OR place <= total - %(kept)s AND NOT ({IS_LINKED}))"
)


async def find_generating(
    connection: Connection, collection_id: UUID, filter: Filter, *, with_history: bool
) -> ExportRow | None:
    """The generating export of this filter, with or without history. The caller has locked the collection's counter."""
    async with connection.cursor(row_factory=class_row(ExportRow)) as cursor:
        await cursor.execute(
            f"SELECT {EXPORT} FROM exports e"
            " WHERE collection_id = %s AND filter = %s AND with_history = %s AND status = 'generating'",
            [collection_id, Jsonb(filter), with_history],
        )
        return await cursor.fetchone()


async def find_dialect(connection: Connection, collection_id: UUID) -> str:
    """How exports of a collection are requested: `seed` or `2026-11`, as its workspace says."""
    cursor = await connection.execute(
        """
        SELECT w.export_dialect FROM collections c JOIN workspaces w ON w.id = c.workspace_id WHERE c.id = %s
        """,
        [collection_id],
    )
    row = await cursor.fetchone()
    assert row is not None
    dialect: str = row["export_dialect"]
    return dialect


async def count_kept(connection: Connection, collection_id: UUID) -> int:
    """How many exports a collection has, those that failed not counted."""
    cursor = await connection.execute(
        "SELECT count(*) AS count FROM exports WHERE collection_id = %s AND status <> 'failed'",
        [collection_id],
    )
    row = await cursor.fetchone()
    return row["count"] if row else 0


async def count_generating(connection: Connection, collection_id: UUID) -> int:
    """How many exports of a collection are generating."""
    cursor = await connection.execute(
        "SELECT count(*) AS count FROM exports WHERE collection_id = %s AND status = 'generating'",
        [collection_id],
    )
    row = await cursor.fetchone()
    return row["count"] if row else 0


async def find_recent(
    connection: Connection,
    collection_id: UUID,
    filter: Filter,
    counter: int,
    delivery: str,
    *,
    with_history: bool,
) -> ExportRow | None:
    """A complete export with this delivery and filter, with or without history, whose snapshot has the counter
    `counter`: nothing has changed."""
    async with connection.cursor(row_factory=class_row(ExportRow)) as cursor:
        await cursor.execute(
            f"""
            SELECT {EXPORT} FROM exports e
            WHERE collection_id = %s AND filter = %s AND status = 'complete' AND snapshot_counter = %s
              AND delivery = %s AND with_history = %s
            ORDER BY created_at DESC, id LIMIT 1
            """,
            [collection_id, Jsonb(filter), counter, delivery, with_history],
        )
        return await cursor.fetchone()


async def insert_export(
    connection: Connection,
    id: UUID,
    collection_id: UUID,
    filter: Filter,
    delivery: str,
    by: UUID,
    *,
    with_history: bool,
) -> ExportRow:
    """Add a generating export. The caller has locked the collection's counter."""
    async with connection.cursor(row_factory=class_row(ExportRow)) as cursor:
        await cursor.execute(
            f"""
            INSERT INTO exports AS e (id, collection_id, filter, delivery, created_by, with_history)
            VALUES (%s, %s, %s, %s, %s, %s) RETURNING {EXPORT}
            """,
            [id, collection_id, Jsonb(filter), delivery, by, with_history],
        )
        row = await cursor.fetchone()
    assert row is not None
    return row


async def find_export(
    connection: Connection, export_id: UUID, collection_id: UUID | None = None, *, lock: bool = False
) -> ExportRow | None:
    """An export, of this collection if one is named; with `lock` its row is locked until commit (`FOR UPDATE`)."""
    query = f"""
        SELECT {EXPORT} FROM exports e
        WHERE id = %(id)s AND (%(collection)s::uuid IS NULL OR collection_id = %(collection)s)
        {"FOR UPDATE" if lock else ""}
    """
    async with connection.cursor(row_factory=class_row(ExportRow)) as cursor:
        await cursor.execute(query, {"id": export_id, "collection": collection_id})
        return await cursor.fetchone()


async def find_archive(connection: Connection, export_id: UUID) -> ArchiveRow | None:
    """The archive of an export, if that is complete."""
    async with connection.cursor(row_factory=class_row(ArchiveRow)) as cursor:
        await cursor.execute(
            f"SELECT {columns_of(ArchiveRow, 'e')} FROM exports e WHERE id = %s AND status = 'complete'",
            [export_id],
        )
        return await cursor.fetchone()


async def has_passed(connection: Connection, at: datetime) -> bool:
    """Whether PostgreSQL's clock says that an instant has come."""
    cursor = await connection.execute("SELECT %s <= now() AS passed", [at])
    row = await cursor.fetchone()
    return bool(row and row["passed"])


async def is_current(connection: Connection, export_id: UUID, build: UUID) -> bool:
    """Whether a download of this build may go on."""
    cursor = await connection.execute(
        "SELECT 1 FROM exports WHERE id = %s AND build = %s AND status = 'complete'", [export_id, build]
    )
    return await cursor.fetchone() is not None


async def list_exports(
    connection: Connection, collection_id: UUID, limit: int, offset: int
) -> list[ExportRow]:
    """The exports of a collection, newest first."""
    async with connection.cursor(row_factory=class_row(ExportRow)) as cursor:
        await cursor.execute(
            f"""
            SELECT {EXPORT} FROM exports e WHERE collection_id = %s
            ORDER BY created_at DESC, id LIMIT %s OFFSET %s
            """,
            [collection_id, limit, offset],
        )
        return await cursor.fetchall()


async def delete_exports(connection: Connection, export_ids: list[UUID]) -> None:
    """Delete the rows; the caller has locked them."""
    await connection.execute("DELETE FROM exports WHERE id = ANY(%s)", [export_ids])


async def list_surplus(
    connection: Connection, kept: int, most: int, collection_id: UUID | None = None
) -> list[UUID]:
    """Exports to remove, of one collection or of all: beyond `kept` the oldest of those whose links have all
    expired, beyond `most` the oldest of the others too; never a generating one.

    They are locked until commit, and checked again under the lock, as a link may have been signed meanwhile.
    """
    cursor = await connection.execute(
        f"""
        WITH ranked AS (
            SELECT id AS ranked_id, count(*) OVER (PARTITION BY collection_id) AS total, row_number() OVER (
                PARTITION BY collection_id ORDER BY status = 'generating', {MAKES_WAY}
            ) AS place
            FROM exports WHERE %(collection)s::uuid IS NULL OR collection_id = %(collection)s
        )
        SELECT id FROM exports JOIN ranked ON ranked_id = id
        WHERE status <> 'generating' AND {IS_SURPLUS} ORDER BY place FOR UPDATE OF exports
        """,
        {"kept": kept, "most": most, "collection": collection_id},
    )
    return [row["id"] for row in await cursor.fetchall()]


async def list_wanted_builds(connection: Connection) -> set[UUID]:
    """The builds of all generating exports."""
    cursor = await connection.execute("SELECT build FROM exports WHERE status = 'generating'")
    return {row["build"] for row in await cursor.fetchall()}


async def list_outdated(connection: Connection, days: float) -> list[UUID]:
    """Exports older than `days` whose links have all expired; locked until commit, so that none gets a new link."""
    cursor = await connection.execute(
        """
        SELECT id FROM exports
        WHERE status <> 'generating' AND created_at < now() - make_interval(secs => %s)
          AND coalesce(links_expire_at <= now(), true)
        ORDER BY created_at FOR UPDATE
        """,
        [days * 86400],
    )
    return [row["id"] for row in await cursor.fetchall()]


async def extend_link(
    connection: Connection, export_id: UUID, build: UUID, seconds: int, latest: datetime | None = None
) -> datetime | None:
    """The expiry of a link that is signed now, stored so that the export is kept until then; None unless it is still
    complete. Locks the export.

    Args:
        latest: when the bucket that signed it will refuse it.
    """
    cursor = await connection.execute(
        """
        UPDATE exports SET links_expire_at = greatest(links_expire_at, new.expires_at)
        FROM (SELECT least(now() + make_interval(secs => %s), date_trunc('second', %s::timestamptz))
                     AS expires_at) AS new
        WHERE id = %s AND build = %s AND status = 'complete' RETURNING new.expires_at
        """,
        [seconds, latest, export_id, build],
    )
    row = await cursor.fetchone()
    return row["expires_at"] if row else None


async def set_waiting(connection: Connection, export_id: UUID, reason: str | None, seconds: float) -> None:
    """Keep why a generating export waits, `seconds` ago at the latest; None when it does not."""
    await connection.execute(
        """
        UPDATE exports SET waiting_reason = %(reason)s,
               waiting_since = CASE WHEN %(reason)s::text IS NOT NULL
                                    THEN coalesce(waiting_since, now() - make_interval(secs => %(seconds)s)) END
        WHERE id = %(id)s AND status = 'generating' AND waiting_reason IS DISTINCT FROM %(reason)s
        """,
        {"id": export_id, "reason": reason, "seconds": seconds},
    )


def _reaches(study: str, completed: str, counter: str, left: str) -> str:
    """Whether an export `e` of the collection may hold a submission that has been active, in SQL.

    It is being made, or it is complete and its study and times let the submission through, whatever else its filter
    says.

    Args:
        study: the submission's study as a text.
        completed: when it was completed.
        counter, left: the collection's counter when the response became active, and when it stopped being so.
    """
    return f"""
        (e.status = 'generating'
         OR e.status = 'complete' AND e.snapshot_counter >= {counter}
            AND ({left} IS NULL OR e.snapshot_counter < {left})
            AND (NOT e.filter ? 'study_id' OR e.filter->>'study_id' = {study})
            AND (NOT e.filter ? 'from' OR (e.filter->>'from')::timestamptz <= {completed})
            AND (NOT e.filter ? 'to' OR (e.filter->>'to')::timestamptz > {completed}))
    """


async def list_reachable(
    connection: Connection, collection_id: UUID, submission_ids: list[UUID]
) -> list[ReachableRow]:
    """The exports that may hold any of these submissions, newest first; nothing is locked."""
    reaches = _reaches("s.study_id::text", "s.completed_at", "s.activated_counter", "s.deactivated_counter")
    cursor = await connection.cursor(row_factory=class_row(ReachableRow)).execute(
        f"""
        SELECT e.id, e.status, e.created_at, e.filter, held.by_inactive FROM exports e
        CROSS JOIN LATERAL (
            SELECT bool_or(s.response <> 'active') AS by_inactive FROM submissions s
            WHERE s.id = ANY(%(ids)s) AND s.activated_counter IS NOT NULL AND {reaches}) AS held
        WHERE e.collection_id = %(collection)s AND held.by_inactive IS NOT NULL
        ORDER BY e.created_at DESC, e.id
        """,
        {"collection": collection_id, "ids": submission_ids},
    )
    return await cursor.fetchall()


async def lock_reached(
    connection: Connection,
    collection_id: UUID,
    study_id: UUID,
    completed_at: datetime | None,
    counter: int,
    left_counter: int | None,
) -> list[ReachedRow]:
    """The exports that may hold an erased submission: complete ones whose study and times let it through, whatever
    else their filters say, and all that are generating. They are locked until commit.

    The caller has locked the collection's counter, so that none begins or completes meanwhile. `counter` and
    `left_counter` are the counter's values when the response became active and when it stopped being active.
    """
    cursor = await connection.cursor(row_factory=class_row(ReachedRow)).execute(
        f"""
        SELECT e.id, e.status FROM exports e
        WHERE e.collection_id = %(collection)s
          AND {_reaches("%(study)s::text", "%(completed)s::timestamptz", "%(counter)s", "%(left)s::bigint")}
        ORDER BY e.id FOR UPDATE
        """,
        {
            "collection": collection_id,
            "study": study_id,
            "completed": completed_at,
            "counter": counter,
            "left": left_counter,
        },
    )
    return await cursor.fetchall()


async def list_narrowed(connection: Connection, collection_id: UUID) -> list[NarrowedRow]:
    """The complete exports of a collection that were narrowed by more than a study and a span of time."""
    async with connection.cursor(row_factory=class_row(NarrowedRow)) as cursor:
        await cursor.execute(
            """
            SELECT id, filter FROM exports
            WHERE collection_id = %s AND status = 'complete' AND filter - '{study_id,from,to}'::text[] <> '{}'
            """,
            [collection_id],
        )
        return await cursor.fetchall()


async def is_matched(
    connection: Connection, submission_ids: list[UUID], selection: Term, *, only_corrected: bool = False
) -> bool:
    """Whether any of these submissions, or of those that were corrected, is among those that a filter lets through."""
    cursor = await connection.execute(
        f"SELECT 1 FROM submissions s WHERE {selection.sql} AND s.id = ANY(%(asked)s)"
        " AND (s.edited_at IS NOT NULL OR NOT %(corrected)s) LIMIT 1",
        {**selection.values, "asked": submission_ids, "corrected": only_corrected},
    )
    return await cursor.fetchone() is not None


async def notify(connection: Connection, export_ids: list[UUID]) -> None:
    """Notify the requests that wait for these exports, when this transaction commits."""
    for export_id in export_ids:
        await connection.execute("SELECT pg_notify(%s, %s)", [CHANNEL, str(export_id)])


async def list_lost(connection: Connection) -> list[LostRow]:
    """Exports that are generating without a job that would ever finish them."""
    async with connection.cursor(row_factory=class_row(LostRow)) as cursor:
        await cursor.execute(
            """
            SELECT e.id, e.build, EXISTS (
                SELECT FROM export_parts p WHERE p.export_id = e.id AND p.build = e.build) AS in_parts
            FROM exports e
            WHERE e.status = 'generating' AND NOT EXISTS (
                SELECT FROM procrastinate_jobs j
                WHERE j.status IN ('todo', 'doing') AND (
                    j.task_name = 'fieldpack:export' AND j.args->>'export_id' = e.id::text
                    OR j.task_name IN ('fieldpack:part', 'fieldpack:finish')
                       AND j.args->>'build' = e.build::text))
            """
        )
        return await cursor.fetchall()
