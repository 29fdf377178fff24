"""SQL of assignments."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.accounts.permissions.queries import select_role
from fieldpack.server.db.pool import Connection
from fieldpack.server.submissions.assignments.rows import AssignedRow, ReviewerRow

_NAME = "coalesce(nullif(trim(concat(r.first_name, ' ', r.last_name)), ''), r.email)"


async def list_assigned(connection: Connection, submission_ids: Sequence[UUID]) -> list[AssignedRow]:
    """Those of these submissions that are assigned to somebody."""
    cursor = await connection.cursor(row_factory=class_row(AssignedRow)).execute(
        f"""
        SELECT a.submission_id, a.researcher_id, {_NAME} AS name, a.assigned_at
        FROM assignments a JOIN researchers r ON r.id = a.researcher_id
        WHERE a.submission_id = ANY(%s) ORDER BY a.submission_id
        """,
        [list(submission_ids)],
    )
    return await cursor.fetchall()


async def insert_assignments(
    connection: Connection, submission_ids: Sequence[UUID], researcher_id: UUID, by: UUID
) -> int:
    """Assign submissions to a researcher; those that are assigned to somebody already, or were erased, are left out.
    Returns how many were assigned. Locks them (`FOR SHARE`), so that none is erased meanwhile."""
    cursor = await connection.execute(
        """
        INSERT INTO assignments (submission_id, researcher_id, assigned_by)
        SELECT s.id, %s, %s FROM (
            SELECT id FROM submissions WHERE id = ANY(%s) AND response <> 'deleted' ORDER BY id FOR SHARE) AS s
        ORDER BY s.id ON CONFLICT (submission_id) DO NOTHING
        """,
        [researcher_id, by, list(submission_ids)],
    )
    return cursor.rowcount


async def delete_assignments(connection: Connection, submission_ids: Sequence[UUID]) -> int:
    """Assign submissions to nobody; how many of them were assigned to somebody."""
    cursor = await connection.execute(
        "DELETE FROM assignments WHERE submission_id = ANY(%s)", [list(submission_ids)]
    )
    return cursor.rowcount


async def list_reviewers(
    connection: Connection, collection_id: UUID, roles: Sequence[str]
) -> list[ReviewerRow]:
    """Everybody who has one of these roles on a collection, and how much is assigned to them, by name.

    Args:
        roles: that allow to review.
    """
    cursor = await connection.cursor(row_factory=class_row(ReviewerRow)).execute(
        f"""
        WITH counted AS (
            SELECT a.researcher_id, count(*) AS assigned,
                   count(*) FILTER (WHERE s.status = 'AWAITING REVIEW') AS waiting
            FROM assignments a JOIN submissions s ON s.id = a.submission_id
            WHERE s.collection_id = %(collection)s AND s.response <> 'deleted' GROUP BY 1
        ), known AS (
            SELECT m.researcher_id AS id FROM memberships m JOIN collections c ON c.workspace_id = m.workspace_id
            WHERE c.id = %(collection)s
            UNION SELECT n.researcher_id FROM collection_roles n WHERE n.collection_id = %(collection)s
        )
        SELECT r.id, {_NAME} AS name, r.email, coalesce(n.assigned, 0) AS assigned,
               coalesce(n.waiting, 0) AS waiting
        FROM known k JOIN researchers r ON r.id = k.id JOIN collections c ON c.id = %(collection)s
        LEFT JOIN counted n ON n.researcher_id = r.id
        WHERE {select_role("c.workspace_id", "c.id", "r.id")} = ANY(%(roles)s)
        ORDER BY lower({_NAME}), r.id
        """,
        {"collection": collection_id, "roles": list(roles)},
    )
    return await cursor.fetchall()
