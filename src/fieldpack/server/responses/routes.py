"""`…/collections/{id}/submissions` and `…/overview`, `/submissions/{id}/response` and `…/notes`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field, StringConstraints

from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute, asks
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.collections.shapes import describe_body
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import CollectionId, NoteId, SubmissionId
from fieldpack.server.http.listing import envelope
from fieldpack.server.http.routing import discard_body
from fieldpack.server.responses import service
from fieldpack.server.responses.overview import service as overview
from fieldpack.server.responses.parameters import Filters
from fieldpack.server.responses.removal import service as removal
from fieldpack.server.responses.review.deciding import approve_matching
from fieldpack.server.submissions.notes import service as notes
from fieldpack.server.submissions.notes.service import describe_note

router = APIRouter(route_class=ResearcherRoute, tags=["responses"])

MOST = 1000
Limit = Annotated[int, Query(ge=1, le=MOST)]


class Approval(BaseModel):
    """How many the reviewer was told they would approve."""

    count: Annotated[int, Field(ge=0)]


class Note(BaseModel):
    """A note to write."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=10_000, strip_whitespace=True)]


@router.get("/data-collection/collections/{collection_id}/overview")
async def get_overview(
    context: CurrentContext,
    caller: CurrentCaller,
    collection_id: CollectionId,
    texts: Annotated[
        bool, Query(description="Whether to show the commonest texts, for whoever may read responses.")
    ] = False,
) -> dict[str, Any]:
    """A collection in numbers: submissions by state, days, times, and what was answered to each question."""
    found = await overview.get_overview(context, caller, collection_id, texts=texts)
    return overview.describe_overview(found, texts=texts)


@router.delete(
    "/data-collection/collections/{collection_id}", status_code=204, dependencies=[Depends(discard_body)]
)
async def delete_collection(
    context: CurrentContext,
    caller: CurrentCaller,
    collection_id: CollectionId,
    name: Annotated[str, Query(description="The collection's name, so that it is the one that is meant.")],
) -> None:
    """Delete a collection that holds nothing of a participant (any more), with its studies and exports."""
    await removal.delete_collection(context, caller, collection_id, name)


@router.get("/data-collection/collections/{collection_id}/submissions", dependencies=[Filters])
async def list_submissions(
    request: Request,
    context: CurrentContext,
    caller: CurrentCaller,
    collection_id: CollectionId,
    limit: Limit = 200,
    after: Annotated[str | None, Query(description="The `next` of the page before this one.")] = None,
) -> dict[str, Any]:
    """The collection's submissions with their answers, filtered and sorted, a page at a time."""
    async with context.database.transaction() as connection:
        view = await service.read_view(connection, caller, collection_id, request.query_params.multi_items())
        page = await service.list_page(connection, view, limit, after=after)
    return {
        "results": [
            service.describe_response(row, page.files, page.pending.get(row.id), page.assigned.get(row.id))
            for row in page.rows
        ],
        "meta": {"count": page.count, "next": page.after},
    }


@router.post("/data-collection/collections/{collection_id}/submissions/approve", dependencies=[Filters])
@asks(Action.RESPONSES_REVIEW)
async def approve_submissions(
    request: Request,
    context: CurrentContext,
    caller: CurrentCaller,
    collection_id: CollectionId,
    body: Approval,
) -> dict[str, Any]:
    """Approve what the filter lets through and what waits for a review; `count` is how many that must be."""
    async with context.database.transaction() as connection:
        view = await service.read_view(connection, caller, collection_id, request.query_params.multi_items())
        return {"approved": await approve_matching(connection, caller, view, body.count)}


@router.get("/submissions/{submission_id}/response")
async def get_response(
    context: CurrentContext, caller: CurrentCaller, submission_id: SubmissionId
) -> dict[str, Any]:
    """One submission with its answers, the collection as its participant saw it, and the notes on it."""
    async with context.database.transaction() as connection:
        view = await service.find_view(connection, caller, submission_id, [])
        found = await service.open_response(connection, view, submission_id)
    return {
        **service.describe_response(found.row, found.files, found.pending, found.assigned),
        "notes": [describe_note(note) for note in found.notes],
        "collection": describe_body(found.body),
    }


@router.get("/submissions/{submission_id}/notes")
async def list_notes(
    context: CurrentContext, caller: CurrentCaller, submission_id: SubmissionId
) -> dict[str, Any]:
    """What researchers wrote about a submission, oldest first."""
    async with context.database.transaction() as connection:
        found = await notes.list_notes(connection, caller, submission_id)
    return envelope([describe_note(note) for note in found], len(found))


@router.post("/submissions/{submission_id}/notes", status_code=201)
@asks(Action.RESPONSES_READ)
async def add_note(
    context: CurrentContext, caller: CurrentCaller, submission_id: SubmissionId, body: Note
) -> dict[str, Any]:
    """Write a note about a submission."""
    async with context.database.transaction() as connection:
        return describe_note(await notes.add_note(connection, caller, submission_id, body.text))


@router.delete(
    "/submissions/{submission_id}/notes/{note_id}", status_code=204, dependencies=[Depends(discard_body)]
)
async def remove_note(
    context: CurrentContext, caller: CurrentCaller, submission_id: SubmissionId, note_id: NoteId
) -> None:
    """Take one's own note back."""
    async with context.database.transaction() as connection:
        await notes.remove_note(connection, caller, submission_id, note_id)
