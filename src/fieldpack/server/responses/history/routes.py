"""`/submissions/{id}/history`: what happened to a submission."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import SubmissionId
from fieldpack.server.responses.history import service

__all__ = ["router"]

router = APIRouter(route_class=ResearcherRoute, tags=["responses"])


@router.get("/submissions/{submission_id}/history")
async def get_history(
    context: CurrentContext, caller: CurrentCaller, submission_id: SubmissionId
) -> dict[str, Any]:
    """What happened to a submission; for owners who did or saw what; and the exports that hold it."""
    async with context.database.transaction() as connection:
        return service.describe_history(await service.read_history(connection, caller, submission_id))
