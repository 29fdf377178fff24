"""`/workspaces/{id}/invitations`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute, asks
from fieldpack.server.accounts.invitations import service
from fieldpack.server.accounts.invitations.schemas import InvitationInput
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import InvitationId, WorkspaceId
from fieldpack.server.http.listing import Page, envelope
from fieldpack.server.http.origin import origin_of
from fieldpack.server.http.routing import discard_body

__all__ = ["router"]

router = APIRouter(
    prefix="/workspaces/{workspace_id}/invitations", route_class=ResearcherRoute, tags=["accounts"]
)


@router.get("")
async def list_invitations(
    context: CurrentContext, caller: CurrentCaller, workspace_id: WorkspaceId, page: Page
) -> dict[str, Any]:
    """A workspace's invitations, newest first, without their links."""
    async with context.database.transaction() as connection:
        rows, count = await service.list_invitations(
            connection, caller, workspace_id, page.limit, page.offset
        )
    return envelope([service.describe_invitation(row) for row in rows], count)


@router.post("", status_code=201)
@asks(Action.MEMBERS_MANAGE)
async def invite(
    request: Request,
    context: CurrentContext,
    caller: CurrentCaller,
    workspace_id: WorkspaceId,
    body: InvitationInput,
) -> dict[str, Any]:
    """Make an invitation. Its link is in this answer and in no other."""
    async with context.database.transaction() as connection:
        code, row = await service.invite(
            connection,
            caller,
            workspace_id,
            body.role,
            collection_id=body.collection_id,
            email=body.email,
            life=timedelta(days=body.expires_in_days) if body.expires_in_days else None,
        )
    return {**service.describe_invitation(row), "url": service.link_of(origin_of(request, context), code)}


@router.delete("/{invitation_id}", status_code=204, dependencies=[Depends(discard_body)])
async def revoke_invitation(
    context: CurrentContext, caller: CurrentCaller, workspace_id: WorkspaceId, invitation_id: InvitationId
) -> Response:
    """Make the link of an invitation invalid."""
    async with context.database.transaction() as connection:
        await service.revoke(connection, caller, workspace_id, invitation_id)
    return Response(status_code=204)
