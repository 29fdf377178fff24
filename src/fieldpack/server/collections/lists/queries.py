"""SQL of lists of collections. None of it looks at submissions: triggers count them (their migration)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.accounts.permissions.queries import select_role
from fieldpack.server.collections.lists.filters import CollectionFilter
from fieldpack.server.collections.queries import COLUMNS, SOURCE
from fieldpack.server.collections.rows import CollectionRow, CompletedRow, LatestRow, SummaryRow
from fieldpack.server.collections.shapes import CONTENT_TYPES
from fieldpack.server.db.pool import Connection

# what `filters.STATES` says; of no study all of these are null
_STATE = """
    (SELECT CASE WHEN bool_or(t.status = 'ACTIVE') THEN 'open'
                 WHEN bool_or(t.status = 'PAUSED') THEN 'paused'
                 WHEN bool_or(t.status IN ('AWAITING REVIEW', 'COMPLETED')) THEN 'ended' ELSE 'draft' END
     FROM studies t WHERE t.collection_id = c.id AND NOT t.test)
"""
_REVIEW = """
    (coalesce((SELECT k.review FROM collection_counts k WHERE k.collection_id = c.id), 0)
     + coalesce((SELECT sum(d.review) FROM collection_differences d WHERE d.collection_id = c.id), 0))::bigint
"""
_RESPONSES = _REVIEW.replace("review", "responses")
ORDERS = {"created": "c.created_at DESC, c.id", "activity": "a.active_at DESC, c.id DESC"}


def _select(wanted: CollectionFilter) -> tuple[str, dict[str, Any]]:
    """The condition on collections `c` of a filter, and on the role of whoever asks; and its values."""
    conditions = [f"{select_role('c.workspace_id', 'c.id', '%(researcher)s')} = ANY(%(roles)s)"]
    if wanted.archived != "all":
        conditions.append(f"c.archived_at IS {'NOT ' if wanted.archived == 'yes' else ''}NULL")
    if wanted.mine:
        conditions.append("c.created_by = %(researcher)s")
    if wanted.search:
        conditions.append(
            "(c.name ILIKE %(search)s OR c.description ILIKE %(search)s OR c.id::text = %(id)s)"
        )
    if wanted.state:
        conditions.append(f"{_STATE} = %(state)s")
    if wanted.review:
        conditions.append(f"{_REVIEW} > 0")
    escaped = (wanted.search or "").replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return " AND ".join(conditions), {
        "search": f"%{escaped}%",
        "id": (wanted.search or "").lower(),
        "state": wanted.state,
    }


async def list_collections(
    connection: Connection,
    workspace_id: UUID,
    researcher_id: UUID,
    roles: list[str],
    wanted: CollectionFilter,
    limit: int,
    offset: int,
    *,
    project_id: UUID | None = None,
    order: str = "created",
) -> tuple[list[CollectionRow], int]:
    """The collections of a workspace on which a researcher has one of these roles; how many there are.

    Args:
        project_id: only those that a study of this project is of.
        order: one of `ORDERS`.
    """
    condition, values = _select(wanted)
    condition = f"""
        c.workspace_id = %(workspace)s AND {condition}
        AND (%(project)s::uuid IS NULL OR EXISTS (
            SELECT FROM studies t WHERE t.collection_id = c.id AND t.project_id = %(project)s))
    """
    values |= {
        "workspace": workspace_id,
        "researcher": researcher_id,
        "roles": roles,
        "project": project_id,
        "limit": limit,
        "offset": offset,
    }
    cursor = await connection.cursor(row_factory=class_row(CollectionRow)).execute(
        f"SELECT {COLUMNS} FROM {SOURCE} JOIN collection_activity a ON a.collection_id = c.id WHERE {condition}"
        f" ORDER BY {ORDERS[order]} LIMIT %(limit)s OFFSET %(offset)s",
        values,
    )
    rows = await cursor.fetchall()
    counted = await connection.execute(
        f"SELECT count(*) AS count FROM collections c WHERE {condition}", values
    )
    total = await counted.fetchone()
    return rows, total["count"] if total else 0


async def list_latest(
    connection: Connection,
    workspace_ids: list[UUID],
    researcher_id: UUID,
    roles: list[str],
    wanted: CollectionFilter,
    limit: int,
    place: Sequence[str] | None = None,
    *,
    backwards: bool = False,
) -> list[LatestRow]:
    """The collections of some workspaces that stand after a place, or before it when `backwards`; latest first.

    Of each workspace the index gives the first few, so that neither their number nor other workspaces matter.

    Raises:
        psycopg.errors.DataError: the place is none of this order.
    """
    condition, values = _select(wanted)
    if place is not None:
        comparison = ">" if backwards else "<"
        at = "(%(place)s::timestamptz, %(place_id)s::uuid)"
        condition = f"(a.active_at, a.collection_id) {comparison} {at} AND {condition}"
        values |= {"place": place[0], "place_id": place[1]}
    direction = "ASC" if backwards else "DESC"
    cursor = await connection.cursor(row_factory=class_row(LatestRow)).execute(
        f"""
        SELECT l.* FROM unnest(%(workspaces)s::uuid[]) AS w (id) CROSS JOIN LATERAL (
            SELECT c.id, c.workspace_id, c.name, a.active_at, c.archived_at, {_STATE} AS state,
                   ARRAY[a.active_at::text, c.id::text] AS place
            FROM collection_activity a JOIN collections c ON c.id = a.collection_id
            WHERE a.workspace_id = w.id AND {condition}
            ORDER BY a.active_at {direction}, a.collection_id {direction} LIMIT %(limit)s
        ) l ORDER BY l.active_at {direction}, l.id {direction} LIMIT %(limit)s
        """,
        {
            **values,
            "workspaces": workspace_ids,
            "researcher": researcher_id,
            "roles": roles,
            "limit": limit,
        },
    )
    rows = await cursor.fetchall()
    return rows[::-1] if backwards else rows


async def summarise(connection: Connection, collection_ids: list[UUID]) -> dict[UUID, SummaryRow]:
    """What there is of these collections, in numbers."""
    cursor = await connection.cursor(row_factory=class_row(SummaryRow)).execute(
        f"""
        SELECT c.id, i.pages, i.questions, {_RESPONSES} AS responses, {_REVIEW} AS review,
               (SELECT coalesce(sum(t.upload_bytes), 0) FROM studies t WHERE t.collection_id = c.id)::bigint
                   AS storage_bytes
        FROM collections c CROSS JOIN LATERAL (
            SELECT count(DISTINCT i.page_order) AS pages,
                   count(*) FILTER (WHERE i.type <> ALL(%(content)s)) AS questions
            FROM items i WHERE i.collection_id = c.id AND NOT i.retired) i
        WHERE c.id = ANY(%(ids)s)
        """,
        {"ids": collection_ids, "content": list(CONTENT_TYPES)},
    )
    return {row.id: row for row in await cursor.fetchall()}


async def list_completed(
    connection: Connection, collection_ids: list[UUID], since: date
) -> list[CompletedRow]:
    """How many responses of these collections were completed on each day from one on; days without any left out."""
    cursor = await connection.cursor(row_factory=class_row(CompletedRow)).execute(
        """
        SELECT e.collection_id, e.day, sum(e.responses)::bigint AS count FROM (
            SELECT collection_id, day, responses FROM collection_days WHERE collection_id = ANY(%(ids)s)
            UNION ALL
            SELECT collection_id, day, responses FROM collection_differences WHERE collection_id = ANY(%(ids)s)
        ) e WHERE e.day >= %(since)s GROUP BY 1, 2 HAVING sum(e.responses) <> 0 ORDER BY 1, 2
        """,
        {"ids": collection_ids, "since": since},
    )
    return await cursor.fetchall()
