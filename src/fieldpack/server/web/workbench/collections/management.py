"""What is done with a whole collection: put aside and back, copied, deleted once its name was typed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.collections.schemas import MOST_NAME_CHARACTERS
from fieldpack.server.collections.service import archive_collection, duplicate_collection, get_collection
from fieldpack.server.context import Context
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import CollectionId
from fieldpack.server.http.intake.forms import read_unknown_form
from fieldpack.server.http.origin import origin_of
from fieldpack.server.problems import Problem, invalid
from fieldpack.server.responses.removal import service as removal
from fieldpack.server.web import queries
from fieldpack.server.web.participants.forms import text_of
from fieldpack.server.web.rendering import render
from fieldpack.server.web.workbench import views
from fieldpack.server.web.workbench.signed_in import SignedIn, WorkbenchRoute, see_other

__all__ = ["router"]

router = APIRouter(route_class=WorkbenchRoute, include_in_schema=False)

ERASING_SECONDS = 10.0  # of one request; how far it came is shown, and whoever wants goes on


def collection_path(collection_id: UUID) -> str:
    """The address of a collection's overview."""
    return f"/workbench/collections/{collection_id}"


@router.get("/workbench/collections/{collection_id}/manage")
async def show_management(
    request: Request, context: CurrentContext, caller: SignedIn, collection_id: CollectionId
) -> Response:
    """What can be done with a whole collection."""
    return await _show(request, context, caller, collection_id)


async def _show(
    request: Request,
    context: Context,
    caller: Caller,
    collection_id: UUID,
    *,
    status: int = 200,
    refusal: str = "",
    **values: Any,
) -> Response:
    async with context.database.transaction() as connection:
        row = await get_collection(connection, caller, collection_id, Action.COLLECTION_WRITE)
        held = await removal.count_held(connection, caller, collection_id)
        studies = await queries.list_latest_studies(connection, [collection_id], 1)
    return render(
        request,
        "manage.html",
        status=status,
        caller=caller,
        collection=row,
        base=collection_path(collection_id),
        held=held,
        studies=studies[0].all_studies if studies else 0,
        most=MOST_NAME_CHARACTERS,
        refusal=refusal,
        **{"typed": "", "erased": 0, "wrong": False, **values},
    )


@router.post("/workbench/collections/{collection_id}/manage")
async def manage(
    request: Request, context: CurrentContext, caller: SignedIn, collection_id: CollectionId
) -> Response:
    """Put aside, put back, or copy."""
    form = await read_unknown_form(request)
    go, name = text_of(form, "go"), text_of(form, "name").strip()
    path = collection_path(collection_id)
    async with context.database.transaction() as connection:
        if go in ("archive", "unarchive"):
            await archive_collection(connection, caller, collection_id, archived=go == "archive")
            return see_other(f"{path}/manage")
        if go != "duplicate" or len(name) > MOST_NAME_CHARACTERS:
            raise invalid("go", "Unknown action.")
        origin = origin_of(request, context)
        made = await duplicate_collection(connection, caller, collection_id, name or None, origin)
    return see_other(collection_path(made.id))


@router.post("/workbench/collections/{collection_id}/delete")
async def delete(
    request: Request, context: CurrentContext, caller: SignedIn, collection_id: CollectionId
) -> Response:
    """Erase what participants gave, for as long as a request may take, then delete the collection."""
    typed = text_of(await read_unknown_form(request), "name")
    try:
        erased, left = await removal.erase_some(context, caller, collection_id, typed, ERASING_SECONDS)
        if left:
            return await _show(request, context, caller, collection_id, typed=typed, erased=erased)
        await removal.delete_collection(context, caller, collection_id, typed)
    except Problem as problem:
        if problem.type.status not in (400, 409):
            raise
        is_wrong = problem.type.status == 400
        return await _show(
            request,
            context,
            caller,
            collection_id,
            status=problem.type.status,
            wrong=is_wrong,
            refusal="" if is_wrong else views.say_problem(problem),
        )
    return render(request, "collection_deleted.html", caller=caller, name=typed.strip(), erased=erased)
