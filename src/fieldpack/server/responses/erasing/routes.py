"""`…/erasures` of a collection, `/submissions/{id}/erasure`: what an erasure would remove, and what it has removed."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field, WithJsonSchema

from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute, asks
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import CollectionId, ErasureId, SubmissionId
from fieldpack.server.http.listing import Page, envelope
from fieldpack.server.responses.erasing import service
from fieldpack.server.responses.parameters import Filters
from fieldpack.server.values.entries import Entry

__all__ = ["router"]

# no part of a path: a malformed one is a 400
Batch = Annotated[UUID, WithJsonSchema({"type": "string"})]

router = APIRouter(route_class=ResearcherRoute, tags=["responses"])


class Named(BaseModel):
    """Participants who are named one by one; everybody whom the filter shows without."""

    participant_ids: list[Entry[str]] | None = None


class Erasure(Named):
    """How many were shown, and are to be erased now."""

    count: Annotated[int, Field(ge=0)]
    batch: Batch | None = None


@router.post("/data-collection/collections/{collection_id}/erasures/check", dependencies=[Filters])
@asks(Action.SUBMISSION_ERASE)
async def check_erasure(
    request: Request, context: CurrentContext, caller: CurrentCaller, collection_id: CollectionId, body: Named
) -> dict[str, Any]:
    """What an erasure of what the filter lets through, or of these participants, would remove. Nothing is changed."""
    async with context.database.transaction() as connection:
        selection = await service.read_selection(
            connection, caller, collection_id, request.query_params.multi_items(), body.participant_ids
        )
        return service.describe_reach(await service.find_reach(connection, selection))


@router.post("/data-collection/collections/{collection_id}/erasures", dependencies=[Filters])
@asks(Action.SUBMISSION_ERASE)
async def erase_submissions(
    request: Request,
    context: CurrentContext,
    caller: CurrentCaller,
    collection_id: CollectionId,
    body: Erasure,
) -> dict[str, Any]:
    """Erase what the filter lets through, or these participants, for as long as one request may take.

    `count` is how many that must be. While `left` is not 0, the same request with `left` as its `count`, and the same
    `batch`, goes on.
    """
    run = await service.erase_selected(
        context,
        caller,
        collection_id,
        request.query_params.multi_items(),
        body.participant_ids,
        body.count,
        body.batch,
    )
    return {
        "batch": run.batch,
        "erased": [service.describe_proof(each) for each in run.proofs],
        "left": run.left,
    }


@router.get("/data-collection/collections/{collection_id}/erasures")
async def list_erasures(
    context: CurrentContext,
    caller: CurrentCaller,
    collection_id: CollectionId,
    page: Page,
    batch: Annotated[Batch | None, Query(description="Only those that were asked for together.")] = None,
) -> dict[str, Any]:
    """What was erased in a collection, newest first: random ids, times and counts, nothing of a person."""
    async with context.database.transaction() as connection:
        found, count = await service.list_collection_proofs(
            connection, caller, collection_id, batch, page.limit, page.offset
        )
    return envelope([service.describe_proof(each) for each in found], count)


@router.get("/data-collection/collections/{collection_id}/erasures/{erasure_id}")
async def get_erasure(
    context: CurrentContext, caller: CurrentCaller, collection_id: CollectionId, erasure_id: ErasureId
) -> dict[str, Any]:
    """What the erasure of one submission removed, by that submission's id, and what is there of it now."""
    async with context.database.transaction() as connection:
        return service.describe_proof(await service.get_proof(connection, caller, collection_id, erasure_id))


@router.get("/submissions/{submission_id}/erasure")
async def check_erasure_of_one(
    context: CurrentContext, caller: CurrentCaller, submission_id: SubmissionId
) -> dict[str, Any]:
    """What a `DELETE` of this submission would remove. Nothing is changed."""
    async with context.database.transaction() as connection:
        participant_id, collection_id, reach = await service.find_reach_of(connection, caller, submission_id)
    return {
        "submission_id": submission_id,
        "participant_id": participant_id,
        "collection_id": collection_id,
        **service.describe_reach(reach),
    }
