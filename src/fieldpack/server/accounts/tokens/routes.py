"""`/users/me/tokens`: tokens that researchers make for themselves. Listing and revoking are in `personal/`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute
from fieldpack.server.accounts.tokens import service
from fieldpack.server.accounts.tokens.schemas import MOST_DAYS, TokenInput
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import TokenId
from fieldpack.server.http.routing import discard_body

__all__ = ["router"]

router = APIRouter(prefix="/users/me/tokens", route_class=ResearcherRoute, tags=["accounts"])

Hours = Annotated[
    int, Query(ge=0, le=24 * MOST_DAYS, description="How long the old token stays good beside the new one.")
]


def _describe_new(made: service.NewToken) -> dict[str, Any]:
    """A token just made, with its text."""
    return {name: value for name, value in asdict(made).items() if name != "workspace_id"}


@router.post("", status_code=201)
async def create_token(context: CurrentContext, caller: CurrentCaller, body: TokenInput) -> dict[str, Any]:
    """A new token for the caller. Its text is in this answer and in no other."""
    life = timedelta(days=body.expires_in_days) if body.expires_in_days else None
    async with context.database.transaction() as connection:
        return _describe_new(await service.create_own_token(connection, caller, body.name, body.role, life))


@router.post("/{token_id}/rotate", status_code=201, dependencies=[Depends(discard_body)])
async def rotate_token(
    context: CurrentContext, caller: CurrentCaller, token_id: TokenId, overlap_hours: Hours = 24
) -> dict[str, Any]:
    """A new token in place of one, which stays valid for `overlap_hours`."""
    async with context.database.transaction() as connection:
        made, until = await service.rotate_own_token(
            connection, caller, token_id, timedelta(hours=overlap_hours)
        )
    return {**_describe_new(made), "replaces": token_id, "replaced_expires_at": until}
