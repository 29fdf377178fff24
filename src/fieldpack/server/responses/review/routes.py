"""What reviewers do with all that a filter lets through: decisions, assignments, and a list of who was approved."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute, asks
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import CollectionId
from fieldpack.server.http.listing import envelope, prefers_csv
from fieldpack.server.http.routing import discard_body
from fieldpack.server.responses.parameters import Filters
from fieldpack.server.responses.review import assigning, deciding, payments
from fieldpack.server.responses.service import read_view
from fieldpack.server.submissions.review import service
from fieldpack.server.submissions.schemas import HeldDecision
from fieldpack.server.values.json_types import Number

router = APIRouter(route_class=ResearcherRoute, tags=["responses"])


class ManyDecision(HeldDecision):
    """A decision on many, and how many the reviewer was told they are."""

    count: Annotated[int, Field(ge=1)]


class Assignment(BaseModel):
    """To whom a share of what a filter lets through is assigned."""

    reviewer: Annotated[str, StringConstraints(min_length=1, max_length=320, strip_whitespace=True)]
    share: Annotated[Number, Field(gt=0, le=100)] = 100


@router.get("/data-collection/collections/{collection_id}/decisions")
async def list_decisions(
    context: CurrentContext, caller: CurrentCaller, collection_id: CollectionId
) -> dict[str, Any]:
    """The decisions on submissions of a collection that are held, newest first."""
    async with context.database.transaction() as connection:
        found = await service.list_held(connection, caller, collection_id)
    return envelope([service.describe_decision(row) for row in found], len(found))


@router.get("/data-collection/collections/{collection_id}/submissions/reviewable", dependencies=[Filters])
async def count_reviewable(
    request: Request, context: CurrentContext, caller: CurrentCaller, collection_id: CollectionId
) -> dict[str, int]:
    """How many of what the filter lets through wait for a review, without those on which a decision is held."""
    async with context.database.transaction() as connection:
        view = await read_view(connection, caller, collection_id, request.query_params.multi_items())
        return {"count": await deciding.count_reviewable(connection, view)}


@router.post(
    "/data-collection/collections/{collection_id}/submissions/decisions",
    status_code=201,
    dependencies=[Filters],
)
@asks(Action.RESPONSES_REVIEW)
async def hold_decision(
    request: Request,
    context: CurrentContext,
    caller: CurrentCaller,
    collection_id: CollectionId,
    body: ManyDecision,
) -> dict[str, Any]:
    """Decide on what the filter lets through and what waits for a review; `count` is how many that must be. It is made
    after 10 s, unless it is undone."""
    async with context.database.transaction() as connection:
        view = await read_view(connection, caller, collection_id, request.query_params.multi_items())
        held = await deciding.hold_matching(connection, caller, view, body.count, body)
    return service.describe_decision(held)


@router.get("/data-collection/collections/{collection_id}/reviewers")
async def list_reviewers(
    context: CurrentContext, caller: CurrentCaller, collection_id: CollectionId
) -> dict[str, Any]:
    """Those to whom submissions of a collection can be assigned, and how many are."""
    async with context.database.transaction() as connection:
        found = await assigning.list_reviewers(connection, caller, collection_id)
    return envelope([assigning.describe_reviewer(row) for row in found], len(found))


@router.post("/data-collection/collections/{collection_id}/submissions/assign", dependencies=[Filters])
@asks(Action.RESPONSES_REVIEW)
async def assign_submissions(
    request: Request,
    context: CurrentContext,
    caller: CurrentCaller,
    collection_id: CollectionId,
    body: Assignment,
) -> dict[str, int]:
    """Assign a share of what the filter lets through to a reviewer; what is somebody's already stays theirs."""
    async with context.database.transaction() as connection:
        view = await read_view(connection, caller, collection_id, request.query_params.multi_items())
        return {"assigned": await assigning.assign_share(connection, caller, view, body.reviewer, body.share)}


@router.post(
    "/data-collection/collections/{collection_id}/submissions/unassign",
    dependencies=[Filters, Depends(discard_body)],
)
async def unassign_submissions(
    request: Request, context: CurrentContext, caller: CurrentCaller, collection_id: CollectionId
) -> dict[str, int]:
    """Assign what the filter lets through to nobody."""
    async with context.database.transaction() as connection:
        view = await read_view(connection, caller, collection_id, request.query_params.multi_items())
        return {"unassigned": await assigning.unassign(connection, caller, view)}


@router.get(
    "/data-collection/collections/{collection_id}/submissions/approved",
    response_model=dict[str, Any],
    dependencies=[Filters],
    responses={200: {"content": {"application/json": {}, "text/csv": {}}}},
)
async def list_approved(
    request: Request,
    context: CurrentContext,
    caller: CurrentCaller,
    collection_id: CollectionId,
    format: Annotated[
        Literal["json", "csv"] | None, Query(description="`csv`, also by `Accept: text/csv`.")
    ] = None,
) -> dict[str, Any] | Response:
    """The approved submissions that the filter lets through, each with its participant and amount."""
    async with context.database.transaction() as connection:
        view = await read_view(connection, caller, collection_id, request.query_params.multi_items())
        rows = await payments.list_approved(connection, view)
    if format == "csv" or (format is None and prefers_csv(request)):
        return Response(payments.write_csv(rows), media_type="text/csv; charset=utf-8")
    return envelope([payments.describe_approved(row) for row in rows], len(rows))
