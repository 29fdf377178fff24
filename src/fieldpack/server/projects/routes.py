"""`/workspaces/{workspace_id}/projects` and `/projects`. A project's studies are in `studies/`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute
from fieldpack.server.accounts.service import Caller, require_member
from fieldpack.server.db.pool import Connection
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import ProjectId, WorkspaceId
from fieldpack.server.http.listing import Page, envelope
from fieldpack.server.projects import queries, service
from fieldpack.server.projects.schemas import ProjectInput, ProjectPatch


class ProjectRoute(ResearcherRoute):
    """A route of a workspace or project that the caller may see."""

    async def admit(self, connection: Connection, caller: Caller, ids: dict[str, UUID]) -> None:
        if "workspace_id" in ids:
            await require_member(connection, caller, ids["workspace_id"])
        if "project_id" in ids:
            await service.get_project(connection, caller, ids["project_id"])


router = APIRouter(route_class=ProjectRoute, tags=["projects"])


@router.get("/workspaces/{workspace_id}/projects")
async def list_projects(
    context: CurrentContext, caller: CurrentCaller, workspace_id: WorkspaceId, page: Page
) -> dict[str, Any]:
    """The projects of a workspace, oldest first."""
    async with context.database.transaction() as connection:
        await require_member(connection, caller, workspace_id)
        rows, count = await queries.list_projects(connection, workspace_id, page.limit, page.offset)
        return envelope(await service.describe_projects(connection, rows), count)


@router.post("/workspaces/{workspace_id}/projects", status_code=201)
async def create_project(
    context: CurrentContext, caller: CurrentCaller, workspace_id: WorkspaceId, body: ProjectInput
) -> dict[str, Any]:
    """A new project of a workspace."""
    async with context.database.transaction() as connection:
        await require_member(connection, caller, workspace_id)
        row = await service.create_project(connection, caller, workspace_id, body)
        return (await service.describe_projects(connection, [row]))[0]


@router.get("/projects/{project_id}")
async def get_project(
    context: CurrentContext, caller: CurrentCaller, project_id: ProjectId
) -> dict[str, Any]:
    """One project."""
    async with context.database.transaction() as connection:
        row = await service.get_project(connection, caller, project_id)
        return (await service.describe_projects(connection, [row]))[0]


@router.patch("/projects/{project_id}")
async def patch_project(
    context: CurrentContext, caller: CurrentCaller, project_id: ProjectId, body: ProjectPatch
) -> dict[str, Any]:
    """Change what is given; the rest stays."""
    async with context.database.transaction() as connection:
        await service.get_project(connection, caller, project_id)
        row = await queries.update_project(connection, project_id, body.title, body.description)
        return (await service.describe_projects(connection, [row]))[0]
