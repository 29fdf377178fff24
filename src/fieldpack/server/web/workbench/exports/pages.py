"""Pages of a collection's exports: all there are, what is about to be exported, and one with its links."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from fieldpack.server.accounts.permissions.authorization import find_allowed
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.collections.service import get_collection
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.exports import service as exports
from fieldpack.server.exports.conversions import service as conversions
from fieldpack.server.exports.conversions.formats import FORMATS, find_missing
from fieldpack.server.exports.conversions.rows import ConversionRow
from fieldpack.server.exports.erasure import require_withdrawn
from fieldpack.server.exports.filters import read_whole_view, write_view
from fieldpack.server.exports.rows import ExportRow
from fieldpack.server.http.dependencies import CurrentContext, require_room
from fieldpack.server.http.ids import CollectionId, ExportId
from fieldpack.server.http.intake.forms import read_unknown_form, type_of
from fieldpack.server.http.origin import origin_of
from fieldpack.server.problems import UNAUTHENTICATED, Problem, invalid
from fieldpack.server.responses.review.assigning import list_reviewers
from fieldpack.server.responses.service import read_view
from fieldpack.server.values.whole_numbers import read_whole
from fieldpack.server.web import queries
from fieldpack.server.web.catalogue import message
from fieldpack.server.web.participants.forms import text_of
from fieldpack.server.web.rendering import catalogue_of, render
from fieldpack.server.web.workbench import views
from fieldpack.server.web.workbench.exports import commands
from fieldpack.server.web.workbench.review.held import names_of
from fieldpack.server.web.workbench.signed_in import SignedIn, WorkbenchRoute, see_other, to_sign_in

__all__ = ["router"]

router = APIRouter(route_class=WorkbenchRoute, include_in_schema=False)

ROWS = 50
WAIT_SECONDS = 2.0
HISTORY = [("history", "yes")]  # of a form and of an address: with what was corrected
STATE_TEXTS = {
    "generating": message("exports.generating"),
    "complete": message("exports.complete"),
    "failed": message("admin.failed_at"),
}
FORMAT_TEXTS = {
    "csv": message("convert.csv"),
    "xlsx": message("convert.xlsx"),
    "sav": message("convert.sav"),
    "dta": message("convert.dta"),
    "parquet": message("convert.parquet"),
    "codebook": message("convert.codebook"),
    "report": message("convert.report"),
}


def _collection_path(collection_id: UUID) -> str:
    return f"/workbench/collections/{collection_id}"


def _export_path(collection_id: UUID, export_id: UUID) -> str:
    return f"/researcher/collections/{collection_id}/exports/{export_id}"


async def _may(connection: Connection, caller: Caller, action: Action, collection_id: UUID) -> bool:
    return collection_id in await find_allowed(connection, caller, action, [collection_id])


@router.get("/workbench/collections/{collection_id}/exports")
async def show_exports(
    request: Request,
    context: CurrentContext,
    caller: SignedIn,
    collection_id: CollectionId,
    page: Annotated[str, Query()] = "1",
) -> Response:
    """The exports of a collection, and the view of responses in the address as one that can be made."""
    number = max(read_whole(page) or 1, 1)
    path = f"{_collection_path(collection_id)}/exports"
    async with context.database.transaction() as connection:
        rows = await exports.list_exports(connection, caller, collection_id, ROWS + 1, (number - 1) * ROWS)
        view = await read_view(connection, caller, collection_id, request.query_params.multi_items())
        studies = {study.id: study.name for study in await queries.list_studies(connection, [collection_id])}
        reviewers = await list_reviewers(connection, caller, collection_id)
        may_create = await _may(connection, caller, Action.EXPORTS_CREATE, collection_id)
        may_delete = await _may(connection, caller, Action.EXPORTS_DELETE, collection_id)
    catalogue = catalogue_of(request)

    def described(row: ExportRow) -> dict[str, Any]:
        wanted = read_whole_view(row.filter)
        said = views.say_conditions(wanted, view.questions, studies, {}, catalogue)
        return {
            "row": row,
            "path": _export_path(collection_id, row.id),
            "state": catalogue.text(STATE_TEXTS[row.status]),
            "held": [text for _, text in said],
            "again": views.link_to(path, wanted.parameters(), HISTORY if row.with_history else []),
        }

    parameters = view.wanted.parameters()
    return render(
        request,
        "exports.html",
        caller=caller,
        collection=view.collection,
        base=_collection_path(collection_id),
        chips=views.describe_conditions(view, studies, names_of(reviewers), catalogue, path, []),
        cleared=path,
        has_note=view.wanted.note is not None,
        with_history=HISTORY[0] in request.query_params.multi_items(),
        responses=views.link_to(f"{_collection_path(collection_id)}/responses", view.parameters()),
        export=views.link_to(f"/researcher/collections/{collection_id}/export", parameters),
        rows=[described(row) for row in rows[:ROWS]],
        is_generating=any(row.status == "generating" for row in rows),
        may_create=may_create,
        may_delete=may_delete,
        previous=views.link_to(path, parameters, [("page", str(number - 1))]) if number > 1 else None,
        following=views.link_to(path, parameters, [("page", str(number + 1))]) if len(rows) > ROWS else None,
    )


@router.post("/researcher/collections/{collection_id}/export", dependencies=[Depends(require_room)])
async def export(
    request: Request, context: CurrentContext, caller: SignedIn, collection_id: CollectionId
) -> Response:
    """Request an export, or take the one that still is up to date."""
    with_history = False
    if type_of(request):  # a form without fields may come without a type
        name, value = HISTORY[0]
        with_history = text_of(await read_unknown_form(request), name) == value
    given: dict[str, Any] | None = None
    if request.query_params:  # the view of responses that is on the page
        async with context.database.transaction() as connection:
            view = await read_view(connection, caller, collection_id, request.query_params.multi_items())
        given = write_view(view.wanted)
    row, _ = await exports.request_export(
        context, caller, collection_id, given=given, with_history=with_history
    )
    return see_other(_export_path(row.collection_id, row.id))


@router.get("/researcher/collections/{collection_id}/exports/{export_id}")
async def show_export(
    request: Request,
    context: CurrentContext,
    caller: SignedIn,
    collection_id: CollectionId,
    export_id: ExportId,
) -> Response:
    """The progress of an export; once it is complete a link made just now, and commands that bring it."""
    return await _show_export(request, context, caller, collection_id, export_id)


async def _show_export(
    request: Request,
    context: Context,
    caller: Caller,
    collection_id: UUID,
    export_id: UUID,
    *,
    refusal: str = "",
    status: int = 200,
) -> Response:
    if not refusal:
        async with context.database.transaction() as connection:
            row = await exports.get_export(connection, caller, collection_id, export_id)
        try:
            await exports.wait_while_generating(context, caller, row, WAIT_SECONDS)
        except Problem as problem:
            if problem.type is not UNAUTHENTICATED:
                raise
            return to_sign_in(request)
    async with context.database.transaction() as connection:
        collection = await get_collection(connection, caller, collection_id)
        row = await exports.get_export(connection, caller, collection_id, export_id)
        converted = await conversions.list_conversions(connection, caller, collection_id, export_id)
        may_create = await _may(connection, caller, Action.EXPORTS_CREATE, collection_id)
        may_delete = await _may(connection, caller, Action.EXPORTS_DELETE, collection_id)
    described = await exports.describe_export(context, caller, row, origin_of(request, context))
    return render(
        request,
        "export.html",
        status=status,
        caller=caller,
        name=collection.name,
        base=_collection_path(collection_id),
        path=_export_path(collection_id, export_id),
        export=described,
        commands=commands.for_archive(row, described["url"]) if described["status"] == "complete" else [],
        formats=await _describe_formats(request, context, caller, converted),
        is_generating=described["status"] == "generating"
        or any(each.status == "generating" for each in converted),
        may_create=may_create,
        may_delete=may_delete,
        refusal=refusal,
    )


async def _describe_formats(
    request: Request, context: Context, caller: Caller, converted: list[ConversionRow]
) -> list[dict[str, Any]]:
    """What an export can be converted to, and how that stands; what is there with a link made just now."""
    catalogue, origin = catalogue_of(request), origin_of(request, context)
    by_name = {row.format: row for row in converted}
    return [
        {
            "name": name,
            "text": catalogue.text(FORMAT_TEXTS[name]),
            "missing": find_missing(name),
            "found": await conversions.describe_conversion(context, caller, by_name[name], origin)
            if name in by_name
            else None,
        }
        for name in FORMATS
    ]


@router.post("/researcher/collections/{collection_id}/exports/{export_id}")
async def change_export(
    request: Request,
    context: CurrentContext,
    caller: SignedIn,
    collection_id: CollectionId,
    export_id: ExportId,
) -> Response:
    """Have an export converted, delete what was made of it, or itself. A refusal is said on its page."""
    form = await read_unknown_form(request)
    go, format = text_of(form, "go"), text_of(form, "format")
    try:
        if go == "convert":
            await require_room(request)
            await conversions.request_conversion(context, caller, collection_id, export_id, format)
            return see_other(f"{_export_path(collection_id, export_id)}#formats")
        context.reserve.make_room()
        if go == "drop":
            async with context.database.transaction() as connection:
                await conversions.delete_conversion(connection, caller, collection_id, export_id, format)
            return see_other(f"{_export_path(collection_id, export_id)}#formats")
        if go != "delete":
            raise invalid("go", "Unknown action.")
        async with context.database.transaction() as connection:
            await exports.delete_export(connection, caller, collection_id, export_id)
        await require_withdrawn(context, [export_id])
    except Problem as problem:
        if problem.type.status not in (400, 409, 429):
            raise
        return await _show_export(
            request,
            context,
            caller,
            collection_id,
            export_id,
            refusal=views.say_problem(problem),
            status=problem.type.status,
        )
    return see_other(f"{_collection_path(collection_id)}/exports")
