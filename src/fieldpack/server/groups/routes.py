"""`/participant-groups` and who is in them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute, asks
from fieldpack.server.accounts.permissions.authorization import find_workspaces
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.audit.service import write_entry
from fieldpack.server.groups import queries, service
from fieldpack.server.groups.schemas import FormerMembers, GroupInput, GroupPatch, NewMembers
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import GroupId
from fieldpack.server.http.listing import Page, envelope, parse_truth
from fieldpack.server.http.routing import discard_body, parse_given_id
from fieldpack.server.problems import invalid

router = APIRouter(prefix="/participant-groups", route_class=ResearcherRoute, tags=["participant groups"])


@router.get("")
async def list_groups(
    context: CurrentContext,
    caller: CurrentCaller,
    page: Page,
    workspace_id: Annotated[str | None, Query(description="Only those of this workspace.")] = None,
    active: Annotated[
        str | None, Query(description="`false` for those that were deleted: none are kept.")
    ] = None,
    project_id: Annotated[str | None, Query(description="Refused: groups belong to workspaces.")] = None,
) -> dict[str, Any]:
    """The groups of a workspace, or of all of the caller's, oldest first."""
    if project_id is not None:
        raise invalid("project_id", "Groups are of a workspace, not of a project: ask by workspace_id.")
    workspace = parse_given_id("workspace_id", "Workspace", workspace_id) if workspace_id else None
    is_active = parse_truth("active", active)
    async with context.database.transaction() as connection:
        workspaces = await find_workspaces(connection, caller, Action.GROUPS_READ, workspace)
        if is_active is False:
            return envelope([], 0)
        rows, count = await queries.list_groups(connection, workspaces, page.limit, page.offset)
    return envelope([service.describe_group(row) for row in rows], count)


@router.post("", status_code=201)
async def create_group(context: CurrentContext, caller: CurrentCaller, body: GroupInput) -> dict[str, Any]:
    """A new group of a workspace."""
    workspace_id = parse_given_id("workspace_id", "Workspace", body.workspace_id)
    async with context.database.transaction() as connection:
        row = await service.create_group(connection, caller, workspace_id, body)
    return service.describe_group(row)


@router.get("/{group_id}")
async def get_group(context: CurrentContext, caller: CurrentCaller, group_id: GroupId) -> dict[str, Any]:
    """One group."""
    async with context.database.transaction() as connection:
        row = await service.get_group(connection, caller, group_id)
    return service.describe_group(row)


@router.patch("/{group_id}")
@asks(Action.GROUPS_WRITE)
async def patch_group(
    context: CurrentContext, caller: CurrentCaller, group_id: GroupId, body: GroupPatch
) -> dict[str, Any]:
    """Change what is given; the rest stays."""
    async with context.database.transaction() as connection:
        row = await service.update_group(connection, caller, group_id, body)
    return service.describe_group(row)


@router.delete("/{group_id}", status_code=204, dependencies=[Depends(discard_body)])
async def delete_group(context: CurrentContext, caller: CurrentCaller, group_id: GroupId) -> None:
    """Delete a group; who was in it is not touched otherwise."""
    async with context.database.transaction() as connection:
        group = await service.get_group(connection, caller, group_id, Action.GROUPS_WRITE)
        await queries.delete_group(connection, group_id)
        await write_entry(
            connection, caller.actor, "group.delete", object_id=group_id, workspace_id=group.workspace_id
        )


@router.get("/{group_id}/participants")
async def list_members(
    context: CurrentContext, caller: CurrentCaller, group_id: GroupId, page: Page
) -> dict[str, Any]:
    """Who is in a group, in the order they were added."""
    async with context.database.transaction() as connection:
        group = await service.get_group(connection, caller, group_id)
        rows = await queries.list_members(connection, group_id, page.limit, page.offset)
        await write_entry(
            connection,
            caller.actor,
            "group.read",
            object_id=group_id,
            workspace_id=group.workspace_id,
            count=len(rows),
        )
    return envelope([service.describe_member(row) for row in rows], group.participant_count)


@router.post("/{group_id}/participants")
@asks(Action.GROUPS_WRITE)
async def add_members(
    context: CurrentContext, caller: CurrentCaller, group_id: GroupId, body: NewMembers
) -> dict[str, Any]:
    """Add participants; all who are in the group now."""
    async with context.database.transaction() as connection:
        group = await service.get_group(connection, caller, group_id, Action.GROUPS_WRITE)
        await queries.add_members(connection, [group_id], body.participant_ids)
        await write_entry(
            connection,
            caller.actor,
            "group.update",
            object_id=group_id,
            workspace_id=group.workspace_id,
            step="added",
            count=len(body.participant_ids),
        )
        rows = await queries.list_members(connection, group_id)
    return envelope([service.describe_member(row) for row in rows], len(rows))


@router.delete("/{group_id}/participants")
@asks(Action.GROUPS_WRITE)
async def remove_members(
    context: CurrentContext, caller: CurrentCaller, group_id: GroupId, body: FormerMembers
) -> dict[str, Any]:
    """Remove participants; all who are in the group still."""
    async with context.database.transaction() as connection:
        group = await service.get_group(connection, caller, group_id, Action.GROUPS_WRITE)
        await queries.remove_members(connection, [group_id], body.participant_ids)
        await write_entry(
            connection,
            caller.actor,
            "group.update",
            object_id=group_id,
            workspace_id=group.workspace_id,
            step="removed",
            count=len(body.participant_ids),
        )
        rows = await queries.list_members(connection, group_id)
    return envelope([service.describe_member(row) for row in rows], len(rows))
