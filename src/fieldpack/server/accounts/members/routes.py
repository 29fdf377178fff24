"""`…/members` of workspaces and of collections."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute, asks
from fieldpack.server.accounts.members import service
from fieldpack.server.accounts.members.schemas import MemberInput, RoleInput
from fieldpack.server.accounts.members.service import CollectionMembers, WorkspaceMembers
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import CollectionId, ResearcherId, WorkspaceId
from fieldpack.server.http.listing import Page, envelope
from fieldpack.server.http.routing import discard_body

__all__ = ["router"]

router = APIRouter(route_class=ResearcherRoute, tags=["accounts"])

WORKSPACE = "/workspaces/{workspace_id}/members"
COLLECTION = "/data-collection/collections/{collection_id}/members"


@router.get(WORKSPACE)
async def list_members(
    context: CurrentContext, caller: CurrentCaller, workspace_id: WorkspaceId, page: Page
) -> dict[str, Any]:
    """The members of a workspace, in the order in which they joined."""
    async with context.database.transaction() as connection:
        rows, count = await service.list_members(
            connection, caller, WorkspaceMembers(workspace_id), page.limit, page.offset
        )
    return envelope([service.describe_member(row) for row in rows], count)


@router.post(WORKSPACE, status_code=201)
@asks(Action.MEMBERS_MANAGE)
async def add_member(
    context: CurrentContext, caller: CurrentCaller, workspace_id: WorkspaceId, body: MemberInput
) -> dict[str, Any]:
    """Give somebody a role in a workspace."""
    async with context.database.transaction() as connection:
        row = await service.add_member(
            connection, caller, WorkspaceMembers(workspace_id), body.email, body.role, body.name or ""
        )
    return service.describe_member(row)


@router.patch(WORKSPACE + "/{researcher_id}")
@asks(Action.MEMBERS_MANAGE)
async def change_role(
    context: CurrentContext,
    caller: CurrentCaller,
    workspace_id: WorkspaceId,
    researcher_id: ResearcherId,
    body: RoleInput,
) -> dict[str, Any]:
    """Give a member another role; the last owner stays one."""
    async with context.database.transaction() as connection:
        row = await service.change_role(
            connection, caller, WorkspaceMembers(workspace_id), researcher_id, body.role
        )
    return service.describe_member(row)


@router.delete(WORKSPACE + "/{researcher_id}", status_code=204, dependencies=[Depends(discard_body)])
async def remove_member(
    context: CurrentContext, caller: CurrentCaller, workspace_id: WorkspaceId, researcher_id: ResearcherId
) -> None:
    """Remove a member, or leave; the last owner can't."""
    async with context.database.transaction() as connection:
        await service.remove_member(connection, caller, WorkspaceMembers(workspace_id), researcher_id)


@router.get(COLLECTION)
async def list_collection_members(
    context: CurrentContext, caller: CurrentCaller, collection_id: CollectionId, page: Page
) -> dict[str, Any]:
    """Those who have a role on the collection itself, in the order in which they got one."""
    async with context.database.transaction() as connection:
        rows, count = await service.list_members(
            connection, caller, CollectionMembers(collection_id), page.limit, page.offset
        )
    return envelope([service.describe_member(row) for row in rows], count)


@router.post(COLLECTION, status_code=201)
@asks(Action.MEMBERS_MANAGE)
async def add_collection_member(
    context: CurrentContext, caller: CurrentCaller, collection_id: CollectionId, body: MemberInput
) -> dict[str, Any]:
    """Give somebody a role on one collection. It replaces, on this collection, their role in the workspace."""
    async with context.database.transaction() as connection:
        row = await service.add_member(
            connection, caller, CollectionMembers(collection_id), body.email, body.role, body.name or ""
        )
    return service.describe_member(row)


@router.patch(COLLECTION + "/{researcher_id}")
@asks(Action.MEMBERS_MANAGE)
async def change_collection_role(
    context: CurrentContext,
    caller: CurrentCaller,
    collection_id: CollectionId,
    researcher_id: ResearcherId,
    body: RoleInput,
) -> dict[str, Any]:
    """Give somebody another role on a collection."""
    async with context.database.transaction() as connection:
        row = await service.change_role(
            connection, caller, CollectionMembers(collection_id), researcher_id, body.role
        )
    return service.describe_member(row)


@router.delete(COLLECTION + "/{researcher_id}", status_code=204, dependencies=[Depends(discard_body)])
async def remove_collection_member(
    context: CurrentContext, caller: CurrentCaller, collection_id: CollectionId, researcher_id: ResearcherId
) -> None:
    """Remove somebody's role on a collection. Their role in the workspace, if they have one, counts again."""
    async with context.database.transaction() as connection:
        await service.remove_member(connection, caller, CollectionMembers(collection_id), researcher_id)
