"""The rules of projects: whose they are, and what they answer."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from fieldpack.server.accounts.queries import is_member
from fieldpack.server.accounts.service import Caller, list_users
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import not_found
from fieldpack.server.projects import queries
from fieldpack.server.projects.rows import ProjectRow
from fieldpack.server.projects.schemas import ProjectInput

__all__ = ["create_project", "describe_projects", "get_project"]


async def get_project(connection: Connection, caller: Caller, project_id: UUID) -> ProjectRow:
    """The project's row; 404 when there is none that the caller may see."""
    row = await queries.find_project(connection, project_id)
    if row is None or not await is_member(connection, row.workspace_id, caller.id):
        raise not_found("Project", project_id)
    return row


async def create_project(
    connection: Connection, caller: Caller, workspace_id: UUID, given: ProjectInput
) -> ProjectRow:
    """A new project, whose owner is the caller."""
    return await queries.insert_project(
        connection, uuid4(), workspace_id, given.title, given.description or "", caller.id
    )


async def describe_projects(connection: Connection, rows: list[ProjectRow]) -> list[dict[str, Any]]:
    """Projects as the API answers them; whoever is in the workspace may work on them."""
    users = await list_users(connection, list({row.workspace_id for row in rows}))
    return [
        {
            "id": row.id,
            "title": row.title,
            "description": row.description,
            "owner": row.created_by,
            "type": "PRIVATE",
            "public_details": None,
            "users": users[row.workspace_id],
            "workspace": row.workspace_id,
            "naivety_distribution_rate": None,
        }
        for row in rows
    ]
