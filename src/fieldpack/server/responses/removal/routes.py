"""`DELETE …/test-study`: what was collected while a study was tried out."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import StudyId
from fieldpack.server.http.routing import discard_body
from fieldpack.server.responses.removal import service

__all__ = ["router"]

ERASING_SECONDS = 10.0  # of one request

router = APIRouter(prefix="/studies", route_class=ResearcherRoute, tags=["studies"])


@router.delete("/{study_id}/test-study", dependencies=[Depends(discard_body)])
async def erase_trials(context: CurrentContext, caller: CurrentCaller, study_id: StudyId) -> dict[str, int]:
    """Erase all test submissions of a study. When some are `left` because there are many, ask again."""
    erased, left = await service.erase_trials(context, caller, study_id, ERASING_SECONDS)
    return {"erased": erased, "left": left}
