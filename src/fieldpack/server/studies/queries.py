"""SQL of studies and their places."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from fieldpack.server.accounts.permissions.queries import select_role
from fieldpack.server.db.pool import Connection
from fieldpack.server.studies.rows import StudyColumns, StudyRow, TargetedStudy


def select_known_studies(study: str) -> str:
    """SQL of the earlier studies that a study's filters name and that count: those of its workspace, and those on which
    its creator has a role. An array of ids as text.

    Args:
        study: alias of the table of studies whose filters are meant.
    """
    return f"""
        ARRAY(SELECT p.id::text
              FROM jsonb_path_query({study}.fields, '$.filters[*].selected_values[*]') AS v
              JOIN studies p ON p.id = CASE WHEN v #>> '{{}}' ~* '^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}$'
                                            THEN (v #>> '{{}}')::uuid END
              WHERE p.workspace_id = {study}.workspace_id
                 OR {select_role("p.workspace_id", "p.collection_id", f"{study}.created_by")} IS NOT NULL)
    """


def select_known_groups(study: str) -> str:
    """SQL of the participant groups of its workspace that a study's filters and codes name: an array of ids as text.

    Args:
        study: alias of the table of studies that is meant.
    """
    return f"""
        ARRAY(SELECT g.id::text
              FROM unnest(ARRAY['$.filters[*].selected_values[*]',
                                '$.completion_codes[*].actions[*].participant_group']::jsonpath[]) AS path
              CROSS JOIN LATERAL jsonb_path_query({study}.fields, path) AS v JOIN participant_groups g
                ON g.workspace_id = {study}.workspace_id
                   AND g.id = CASE WHEN v #>> '{{}}' ~* '^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}$'
                                   THEN (v #>> '{{}}')::uuid END)
    """


FIND = f"""
    SELECT s.id, s.workspace_id, s.collection_id, s.project_id, s.created_by, s.status, s.name,
           s.total_available_places, s.places_taken, s.maximum_allowed_time, s.max_submissions_per_participant,
           s.max_concurrent_submissions, s.resume, s.fields, s.created_at, s.published_at, s.publish_at, s.test,
           {select_known_studies("s")} AS known_studies, {select_known_groups("s")} AS known_groups,
           r.email AS researcher_email, r.first_name AS researcher_first_name,
           r.last_name AS researcher_last_name
    FROM studies s JOIN researchers r ON r.id = s.created_by
"""


COLUMNS = [field.name for field in fields(StudyColumns)]
INSERT = f"""
    INSERT INTO studies (id, test, test_of, {", ".join(COLUMNS)})
    VALUES (%(id)s, %(test_of)s::uuid IS NOT NULL, %(test_of)s, {", ".join(f"%({name})s" for name in COLUMNS)})
"""
UPDATE = f"UPDATE studies SET {', '.join(f'{name} = %({name})s' for name in COLUMNS)} WHERE id = %(id)s"


def _values_of(columns: StudyColumns) -> dict[str, Any]:
    """The columns by name, ready for a statement."""
    values = {name: getattr(columns, name) for name in COLUMNS}
    return {**values, "fields": Jsonb(columns.fields)}


async def insert_study(
    connection: Connection, study_id: UUID, columns: StudyColumns, test_of: UUID | None = None
) -> None:
    """A new, unpublished study.

    Args:
        test_of: the study that this one is a copy of, for trying it; None for a study of its own.
    """
    await connection.execute(INSERT, {**_values_of(columns), "id": study_id, "test_of": test_of})


async def update_study(connection: Connection, study_id: UUID, columns: StudyColumns) -> None:
    """Write all these columns, and correct the status when places were added or removed. The caller has locked the
    study."""
    await connection.execute(UPDATE, {**_values_of(columns), "id": study_id})
    await settle_status(connection, study_id)


def _status_with(places_taken: str) -> str:
    """SQL of the status of an open study: `AWAITING REVIEW` when every place is taken, else `ACTIVE`."""
    return f"CASE WHEN {places_taken} < total_available_places THEN 'ACTIVE' ELSE 'AWAITING REVIEW' END"


# takes one place of an open study, if there is one
TAKE_PLACE = f"""
    UPDATE studies SET places_taken = places_taken + 1, status = {_status_with("places_taken + 1")}
    WHERE id = %(study)s AND status = 'ACTIVE' AND places_taken < total_available_places
"""


async def settle_status(connection: Connection, study_id: UUID) -> None:
    """Set `AWAITING REVIEW` when every place is taken, `ACTIVE` again when one is free. The caller has locked the
    study, or has just changed its row."""
    await connection.execute(
        f"""
        UPDATE studies SET status = {_status_with("places_taken")}
        WHERE id = %s AND (status = 'ACTIVE' AND places_taken >= total_available_places
                           OR status = 'AWAITING REVIEW' AND places_taken < total_available_places)
        """,
        [study_id],
    )


async def find_study(connection: Connection, study_id: UUID, *, lock: bool = False) -> StudyRow | None:
    """The study, with its row locked until commit if `lock`."""
    return await (await ask_study(connection, study_id, lock=lock)).fetchone()


async def ask_study(
    connection: Connection, study_id: UUID, *, lock: bool = False
) -> psycopg.AsyncCursor[StudyRow]:
    """The same, asked for: in a pipeline the row comes once it is fetched. Locks the study until commit if `lock`."""
    query = f"{FIND} WHERE s.id = %s {'FOR NO KEY UPDATE OF s' if lock else ''}"
    return await connection.cursor(row_factory=class_row(StudyRow)).execute(query, [study_id])


def _escape_like(text: str) -> str:
    """`text` as a pattern of LIKE that matches nothing but itself."""
    return re.sub(r"([\\%_])", r"\\\1", text)


# what a project's list of studies can be sorted by
ORDERINGS = {
    "date_created": "s.created_at",
    "name": 's.name COLLATE "C"',
    "places_taken": "s.places_taken",
    "published_at": "s.published_at",
    "status": 's.status COLLATE "C"',
    "total_available_places": "s.total_available_places",
}


async def list_studies(
    connection: Connection,
    researcher_id: UUID,
    roles: list[str],
    statuses: list[str] | None,
    workspace_id: UUID | None,
    collection_id: UUID | None,
    project_id: UUID | None,
    search: str | None,
    limit: int,
    offset: int,
    ordering: list[str] | None = None,
    *,
    test: bool = False,
) -> tuple[list[StudyRow], int]:
    """Studies on which a researcher has one of these roles, in the order of `ordering` (SQL), then newest first; and
    how many there are."""
    condition = f"""
        {select_role("s.workspace_id", "s.collection_id", "%(researcher)s")} = ANY(%(roles)s)
        AND s.test = %(test)s
        AND (%(statuses)s::text[] IS NULL OR s.status = ANY(%(statuses)s))
        AND (%(workspace)s::uuid IS NULL OR s.workspace_id = %(workspace)s)
        AND (%(collection)s::uuid IS NULL OR s.collection_id = %(collection)s)
        AND (%(project)s::uuid IS NULL OR s.project_id = %(project)s)
        AND (%(search)s::text IS NULL OR s.name ILIKE %(search)s OR s.fields->>'internal_name' ILIKE %(search)s)
    """
    values = {
        "researcher": researcher_id,
        "roles": roles,
        "statuses": statuses,
        "workspace": workspace_id,
        "collection": collection_id,
        "project": project_id,
        "test": test,
        "search": f"%{_escape_like(search)}%" if search else None,
        "limit": limit,
        "offset": offset,
    }
    order = ", ".join([*(ordering or []), "s.created_at DESC", "s.id"])
    cursor = await connection.cursor(row_factory=class_row(StudyRow)).execute(
        f"{FIND} WHERE {condition} ORDER BY {order} LIMIT %(limit)s OFFSET %(offset)s", values
    )
    rows = await cursor.fetchall()
    counted = await connection.execute(f"SELECT count(*) AS count FROM studies s WHERE {condition}", values)
    total = await counted.fetchone()
    return rows, total["count"] if total else 0


async def transition_study(
    connection: Connection,
    study_id: UUID,
    origins: list[str],
    target: str,
    publish_at: datetime | None = None,
) -> bool:
    """Change the status from one of `origins` to `target`; return whether it was one of them. Locks the study until
    commit.

    Args:
        publish_at: when it is to be published; required for the target `SCHEDULED`, None for all others.
    """
    cursor = await connection.execute(
        """
        UPDATE studies SET status = %(target)s, publish_at = %(publish_at)s,
               published_at = CASE WHEN %(target)s = 'ACTIVE' THEN coalesce(published_at, now())
                                   ELSE published_at END
        WHERE id = %(id)s AND status = ANY(%(origins)s) RETURNING id
        """,
        {"id": study_id, "origins": origins, "target": target, "publish_at": publish_at},
    )
    done = await cursor.fetchone() is not None
    await settle_status(connection, study_id)
    return done


async def publish_due(connection: Connection, study_id: UUID | None = None) -> list[UUID]:
    """Publish the studies, or this one, whose time of publishing has come; returns their ids. Locks them until
    commit."""
    cursor = await connection.execute(
        """
        UPDATE studies SET status = 'ACTIVE', publish_at = NULL, published_at = coalesce(published_at, now())
        WHERE status = 'SCHEDULED' AND publish_at <= now() AND (%(id)s::uuid IS NULL OR id = %(id)s)
        RETURNING id
        """,
        {"id": study_id},
    )
    return [row["id"] for row in await cursor.fetchall()]


async def delete_draft(connection: Connection, study_id: UUID) -> bool:
    """Delete a study that was never published; return whether it was one."""
    cursor = await connection.execute(
        "DELETE FROM studies WHERE id = %s AND status = 'UNPUBLISHED' RETURNING id", [study_id]
    )
    return await cursor.fetchone() is not None


async def find_trial(connection: Connection, study_id: UUID) -> UUID | None:
    """The id of the copy for trying a study, with its row locked until commit; None without one."""
    cursor = await connection.execute("SELECT id FROM studies WHERE test_of = %s FOR UPDATE", [study_id])
    row = await cursor.fetchone()
    return row["id"] if row else None


async def list_naming(connection: Connection, workspace_id: UUID, participant_id: str) -> list[TargetedStudy]:
    """Studies of a workspace whose lists of ids have this one, or one that may be a way to write it, locked until
    commit; none if the participant has a submission there that is not erased."""
    cursor = await connection.cursor(row_factory=class_row(TargetedStudy)).execute(
        """
        SELECT t.id, t.fields FROM studies t WHERE t.workspace_id = %(workspace)s
          AND EXISTS (
            SELECT FROM jsonb_path_query(t.fields,
                '$.filters[*] ? (@.filter_id starts with "custom_").selected_values[*]') AS v
            WHERE v #>> '{}' = %(participant)s OR v #>> '{}' ~ '[^!-~]')
          AND NOT EXISTS (
            SELECT FROM submissions s JOIN studies o ON o.id = s.study_id
            WHERE s.participant_id = %(participant)s AND s.response <> 'deleted'
              AND o.workspace_id = %(workspace)s)
        ORDER BY t.id FOR NO KEY UPDATE OF t
        """,
        {"workspace": workspace_id, "participant": participant_id},
    )
    return await cursor.fetchall()


async def set_fields(connection: Connection, study_id: UUID, fields: Mapping[str, Any]) -> None:
    """Store other fields of a study."""
    await connection.execute("UPDATE studies SET fields = %s WHERE id = %s", [Jsonb(fields), study_id])


async def hold_place(connection: Connection, study_id: UUID) -> bool:
    """Take one place of a study, whatever its status, for somebody who had one before; return whether one was free.
    Locks the study until commit."""
    cursor = await connection.execute(
        """
        UPDATE studies SET places_taken = places_taken + 1
        WHERE id = %s AND places_taken < total_available_places RETURNING id
        """,
        [study_id],
    )
    held = await cursor.fetchone() is not None
    await settle_status(connection, study_id)
    return held


async def free_places(connection: Connection, study_id: UUID, places: int) -> None:
    """Free places whose participants returned, ran out of time or were erased. Locks the study until commit."""
    await connection.execute(
        "UPDATE studies SET places_taken = places_taken - %s WHERE id = %s", [places, study_id]
    )
    await settle_status(connection, study_id)
