"""The rules of projects: whose they are, and what they answer."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from fieldpack.server.accounts.permissions.authorization import not_a_member, require
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller, list_users
from fieldpack.server.audit.service import write_entry
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import not_found
from fieldpack.server.projects import queries
from fieldpack.server.projects.rows import ProjectRow
from fieldpack.server.projects.schemas import ProjectInput, ProjectPatch

__all__ = ["create_project", "describe_projects", "get_project", "patch_project"]


async def get_project(
    connection: Connection, caller: Caller, project_id: UUID, action: Action = Action.PROJECT_READ
) -> ProjectRow:
    """The project's row, for whoever may do `action` with it.

    Raises:
        Problem: 404 and 403 as `authorization.require` says.
    """
    await require(connection, caller, action, project=project_id)
    row = await queries.find_project(connection, project_id)
    if row is None:
        raise not_found("Project", project_id)
    return row


async def list_projects(
    connection: Connection, caller: Caller, workspace_id: UUID, limit: int, offset: int
) -> tuple[list[ProjectRow], int]:
    """The projects of a workspace, oldest first, and how many there are."""
    await require(connection, caller, Action.PROJECT_READ, workspace=workspace_id, foreign=not_a_member())
    return await queries.list_projects(connection, workspace_id, limit, offset)


async def create_project(
    connection: Connection, caller: Caller, workspace_id: UUID, given: ProjectInput
) -> ProjectRow:
    """A new project, whose owner is the caller."""
    await require(connection, caller, Action.PROJECT_WRITE, workspace=workspace_id, foreign=not_a_member())
    row = await queries.insert_project(
        connection, uuid4(), workspace_id, given.title, given.description or "", caller.id
    )
    await write_entry(connection, caller.actor, "project.create", object_id=row.id, workspace_id=workspace_id)
    return row


async def patch_project(
    connection: Connection, caller: Caller, project_id: UUID, given: ProjectPatch
) -> ProjectRow:
    """Change what was given; the rest stays."""
    await get_project(connection, caller, project_id, Action.PROJECT_WRITE)
    row = await queries.update_project(connection, project_id, given.title, given.description)
    await write_entry(
        connection,
        caller.actor,
        "project.update",
        object_id=project_id,
        workspace_id=row.workspace_id,
        changed=sorted(given.model_fields_set & set(ProjectPatch.model_fields)),
    )
    return row


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
