"""`/users/me` and `/workspaces`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from fieldpack.server.accounts import queries, service
from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute
from fieldpack.server.accounts.permissions.authorization import require_somewhere
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.schemas import WorkspaceInput
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import WorkspaceId
from fieldpack.server.http.listing import Page, envelope
from fieldpack.server.problems import not_found

router = APIRouter(route_class=ResearcherRoute, tags=["accounts"])


@router.get("/users/me")
async def get_me(caller: CurrentCaller) -> dict[str, Any]:
    """The researcher whose token this is."""
    return {
        "id": caller.id,
        "email": caller.email,
        "first_name": caller.first_name,
        "last_name": caller.last_name,
        "name": caller.name,
        "username": caller.email,
        "user_type": "researcher",
        "currency_code": service.CURRENCY,
        "balance": 0,
        "available_balance": 0,
    }


@router.get("/workspaces")
async def list_workspaces(context: CurrentContext, caller: CurrentCaller, page: Page) -> dict[str, Any]:
    """The caller's workspaces, oldest first."""
    async with context.database.transaction() as connection:
        rows, count = await queries.list_workspaces(connection, caller.id, page.limit, page.offset)
        return envelope(await service.describe_workspaces(connection, rows, caller.id), count)


@router.post("/workspaces", status_code=201)
async def create_workspace(
    context: CurrentContext, caller: CurrentCaller, body: WorkspaceInput
) -> dict[str, Any]:
    """A new workspace. The caller is its owner."""
    async with context.database.transaction() as connection:
        await require_somewhere(connection, caller, Action.WORKSPACE_CREATE)
        return await service.create_workspace(
            connection, caller.actor, body.title, body.description or "", caller.id
        )


@router.get("/workspaces/{workspace_id}")
async def get_workspace(
    context: CurrentContext, caller: CurrentCaller, workspace_id: WorkspaceId
) -> dict[str, Any]:
    """One workspace of the caller's."""
    async with context.database.transaction() as connection:
        unknown = not_found("Workspace", workspace_id)
        await require_somewhere(connection, caller, Action.WORKSPACE_READ, workspace_id, foreign=unknown)
        row = await queries.find_workspace(connection, workspace_id)
        if row is None:
            raise unknown
        return (await service.describe_workspaces(connection, [row], caller.id))[0]


@router.get("/workspaces/{workspace_id}/balance")
async def get_balance(
    context: CurrentContext, caller: CurrentCaller, workspace_id: WorkspaceId
) -> dict[str, Any]:
    """The money of a workspace: always zero, because nobody is paid through this server."""
    async with context.database.transaction() as connection:
        unknown = not_found("Workspace", workspace_id)
        await require_somewhere(connection, caller, Action.WORKSPACE_READ, workspace_id, foreign=unknown)
    return service.describe_balance()
