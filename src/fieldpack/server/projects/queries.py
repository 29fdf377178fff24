"""SQL of projects."""

from __future__ import annotations

from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.db.columns import columns_of
from fieldpack.server.db.pool import Connection
from fieldpack.server.projects.rows import ProjectRow

PROJECT = columns_of(ProjectRow, "p")


async def insert_project(
    connection: Connection, id: UUID, workspace_id: UUID, title: str, description: str, by: UUID
) -> ProjectRow:
    """A new project."""
    cursor = await connection.cursor(row_factory=class_row(ProjectRow)).execute(
        f"""
        INSERT INTO projects AS p (id, workspace_id, title, description, created_by)
        VALUES (%s, %s, %s, %s, %s) RETURNING {PROJECT}
        """,
        [id, workspace_id, title, description, by],
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def update_project(
    connection: Connection, id: UUID, title: str | None, description: str | None
) -> ProjectRow:
    """Write what is given; None leaves it as it is."""
    cursor = await connection.cursor(row_factory=class_row(ProjectRow)).execute(
        f"""
        UPDATE projects AS p SET title = coalesce(%s, title), description = coalesce(%s, description)
        WHERE id = %s RETURNING {PROJECT}
        """,
        [title, description, id],
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def find_project(connection: Connection, id: UUID) -> ProjectRow | None:
    """A project, whoever asks."""
    cursor = await connection.cursor(row_factory=class_row(ProjectRow)).execute(
        f"SELECT {PROJECT} FROM projects p WHERE id = %s", [id]
    )
    return await cursor.fetchone()


async def list_projects(
    connection: Connection, workspace_id: UUID, limit: int, offset: int
) -> tuple[list[ProjectRow], int]:
    """The projects of a workspace, oldest first, and how many there are."""
    cursor = await connection.cursor(row_factory=class_row(ProjectRow)).execute(
        f"SELECT {PROJECT} FROM projects p WHERE workspace_id = %s ORDER BY created_at, id LIMIT %s OFFSET %s",
        [workspace_id, limit, offset],
    )
    rows = await cursor.fetchall()
    counted = await connection.execute(
        "SELECT count(*) AS count FROM projects WHERE workspace_id = %s", [workspace_id]
    )
    total = await counted.fetchone()
    return rows, total["count"] if total else 0
