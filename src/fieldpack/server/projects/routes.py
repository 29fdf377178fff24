"""`/workspaces/{workspace_id}/projects` and `/projects`. A project's studies are in `studies/`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute, asks
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import ProjectId, WorkspaceId
from fieldpack.server.http.listing import Page, envelope
from fieldpack.server.projects import service
from fieldpack.server.projects.schemas import ProjectInput, ProjectPatch

router = APIRouter(route_class=ResearcherRoute, tags=["projects"])


@router.get("/workspaces/{workspace_id}/projects")
async def list_projects(
    context: CurrentContext, caller: CurrentCaller, workspace_id: WorkspaceId, page: Page
) -> dict[str, Any]:
    """The projects of a workspace, oldest first."""
    async with context.database.transaction() as connection:
        rows, count = await service.list_projects(connection, caller, workspace_id, page.limit, page.offset)
        return envelope(await service.describe_projects(connection, rows), count)


@router.post("/workspaces/{workspace_id}/projects", status_code=201)
@asks(Action.PROJECT_WRITE)
async def create_project(
    context: CurrentContext, caller: CurrentCaller, workspace_id: WorkspaceId, body: ProjectInput
) -> dict[str, Any]:
    """A new project of a workspace."""
    async with context.database.transaction() as connection:
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
@asks(Action.PROJECT_WRITE)
async def patch_project(
    context: CurrentContext, caller: CurrentCaller, project_id: ProjectId, body: ProjectPatch
) -> dict[str, Any]:
    """Change what is given; the rest stays."""
    async with context.database.transaction() as connection:
        row = await service.patch_project(connection, caller, project_id, body)
        return (await service.describe_projects(connection, [row]))[0]
