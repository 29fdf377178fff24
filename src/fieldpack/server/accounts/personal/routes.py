"""`/users/me/sessions` and `/users/me/tokens`: the caller's own, with any of their tokens."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Depends, Response

from fieldpack.server.accounts import session_queries
from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute
from fieldpack.server.accounts.personal import queries, service
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import SessionId, TokenId
from fieldpack.server.http.listing import envelope
from fieldpack.server.http.routing import discard_body

router = APIRouter(route_class=ResearcherRoute, tags=["accounts"])


@router.get("/users/me/sessions")
async def list_sessions(context: CurrentContext, caller: CurrentCaller) -> dict[str, Any]:
    """The caller's sessions in browsers, the one used last first."""
    async with context.database.transaction() as connection:
        rows = await session_queries.list_sessions(connection, caller.id)
    return envelope([asdict(row) for row in rows], len(rows))


@router.delete("/users/me/sessions", status_code=204, dependencies=[Depends(discard_body)])
async def end_sessions(context: CurrentContext, caller: CurrentCaller) -> Response:
    """Sign out in every browser."""
    async with context.database.transaction() as connection:
        await service.end_sessions(connection, caller, None)
    return Response(status_code=204)


@router.delete("/users/me/sessions/{session_id}", status_code=204, dependencies=[Depends(discard_body)])
async def end_session(context: CurrentContext, caller: CurrentCaller, session_id: SessionId) -> Response:
    """Sign out in one browser."""
    async with context.database.transaction() as connection:
        await service.end_session(connection, caller, session_id)
    return Response(status_code=204)


@router.get("/users/me/tokens")
async def list_tokens(context: CurrentContext, caller: CurrentCaller) -> dict[str, Any]:
    """The caller's tokens, without their texts, which are not stored."""
    async with context.database.transaction() as connection:
        rows = await queries.list_tokens(connection, caller.id)
    return envelope([asdict(row) for row in rows], len(rows))


@router.delete("/users/me/tokens/{token_id}", status_code=204, dependencies=[Depends(discard_body)])
async def revoke_token(context: CurrentContext, caller: CurrentCaller, token_id: TokenId) -> Response:
    """End a token at once, and the sessions that were signed in with it."""
    async with context.database.transaction() as connection:
        await service.revoke_token(connection, caller, token_id)
    return Response(status_code=204)
