"""`/submissions/{id}/decisions` and `/decisions/{id}`: decisions that are held before they are made."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute, asks
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import DecisionId, SubmissionId
from fieldpack.server.http.routing import discard_body
from fieldpack.server.submissions.review import service
from fieldpack.server.submissions.schemas import HeldDecision

router = APIRouter(route_class=ResearcherRoute, tags=["submissions"])


@router.post("/submissions/{submission_id}/decisions", status_code=201)
@asks(Action.RESPONSES_REVIEW)
async def hold_decision(
    context: CurrentContext, caller: CurrentCaller, submission_id: SubmissionId, body: HeldDecision
) -> dict[str, Any]:
    """Decide on a submission. It is made after 10 s, unless it is undone or the submission's state changes."""
    async with context.database.transaction() as connection:
        return service.describe_decision(await service.hold(connection, caller, [submission_id], body))


@router.get("/decisions/{decision_id}")
async def get_decision(
    context: CurrentContext, caller: CurrentCaller, decision_id: DecisionId
) -> dict[str, Any]:
    """A decision that is held, or what became of it; for a week."""
    async with context.database.transaction() as connection:
        return service.describe_decision(await service.get_decision(connection, caller, decision_id))


@router.delete("/decisions/{decision_id}", status_code=204, dependencies=[Depends(discard_body)])
async def undo_decision(context: CurrentContext, caller: CurrentCaller, decision_id: DecisionId) -> None:
    """Undo one's own decision, as long as it has not been made."""
    async with context.database.transaction() as connection:
        await service.undo(connection, caller, decision_id)
