"""The researcher's pages: their collections and studies, exports, and the preview."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from fieldpack.server.accounts import queries as account_queries
from fieldpack.server.accounts.invitations.service import may_invite
from fieldpack.server.accounts.permissions.authorization import find_allowed, find_workspaces, is_allowed
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.collections.service import get_collection, list_collections
from fieldpack.server.context import Context
from fieldpack.server.exports import service as exports
from fieldpack.server.exports.filters import write_view
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.origin import origin_of
from fieldpack.server.http.routing import parse_id
from fieldpack.server.problems import not_found
from fieldpack.server.responses.service import read_view
from fieldpack.server.studies.service import participant_url
from fieldpack.server.studies.targeting import find_unenforced
from fieldpack.server.values.whole_numbers import read_whole
from fieldpack.server.web import queries
from fieldpack.server.web.participants.forms import read_form, text_of
from fieldpack.server.web.participants.pages import error_rows
from fieldpack.server.web.participants.readings import groups_by_point
from fieldpack.server.web.participants.views import questions_of, view_pages
from fieldpack.server.web.rendering import PageRoute, catalogue_of, render
from fieldpack.server.web.workbench.sessions import find_researcher
from fieldpack.server.web.workbench.signed_in import HOME, see_other, to_sign_in

router = APIRouter(route_class=PageRoute, include_in_schema=False)

MOST = 200

Text = Annotated[str, Query()]


@router.get("/")
async def go_home() -> Response:
    """Redirect to the researchers' pages."""
    return see_other(HOME)


@router.get(HOME)
async def show_home(request: Request, context: CurrentContext) -> Response:
    """Collections and their studies, by workspace."""
    caller = await find_researcher(request, context)
    if caller is None:
        return to_sign_in(request)
    origin = origin_of(request, context)
    async with context.database.transaction() as connection:
        rows, _ = await account_queries.list_workspaces(connection, caller.id, MOST, 0)
        hookable = await find_workspaces(connection, caller, Action.HOOKS_MANAGE, None)
        workspaces = []
        for row in rows:
            enabled = row.collections_enabled
            collections, count = (
                await list_collections(connection, caller, row.id, MOST, 0) if enabled else ([], 0)
            )
            ids = [collection.id for collection in collections]
            exportable = await find_allowed(connection, caller, Action.EXPORTS_CREATE, ids)
            responses = await queries.count_responses(connection, ids)
            studies = await queries.list_studies(connection, ids)
            workspaces.append(
                {
                    "id": row.id,
                    "title": row.title,
                    "may_invite": await may_invite(connection, caller, row.id),
                    "may_hook": row.id in hookable,
                    "may_audit": await is_allowed(connection, caller, Action.AUDIT_READ, row.id),
                    "enabled": enabled,
                    "more": count > len(ids),
                    "collections": [
                        {
                            "id": collection.id,
                            "name": collection.name,
                            "responses": responses.get(collection.id, 0),
                            "may_export": collection.id in exportable,
                            "pages": len(collection.body["collection_items"]),
                            "questions": len(questions_of(collection.body)),
                            "studies": [
                                {
                                    "id": study.id,
                                    "name": study.name,
                                    "status": study.status,
                                    "places_taken": study.places_taken,
                                    "total_available_places": study.total_available_places,
                                    "active": study.active,
                                    "review": study.review,
                                    "approved": study.approved,
                                    "other": study.other,
                                    "link": participant_url(origin, study.id),
                                    "resume": study.resume,
                                    "unenforced": find_unenforced(
                                        study.fields, study.known_studies, study.known_groups
                                    ),
                                }
                                for study in studies
                                if study.collection_id == collection.id
                            ],
                        }
                        for collection in collections
                    ],
                }
            )
    return render(request, "researcher.html", caller=caller, workspaces=workspaces)


@router.post("/researcher/collections/{collection_id}/export")
async def export(request: Request, context: CurrentContext, collection_id: str) -> Response:
    """Request an export, or take the one that still is up to date."""
    caller = await find_researcher(request, context)
    if caller is None:
        return to_sign_in(request)
    identifier = parse_id("Collection", collection_id)
    given: dict[str, Any] | None = None
    if request.query_params:  # the view of responses that is on the page
        async with context.database.transaction() as connection:
            view = await read_view(connection, caller, identifier, request.query_params.multi_items())
        given = write_view(view.wanted)
    row, _ = await exports.request_export(context, caller, identifier, given=given)
    return see_other(f"/researcher/collections/{row.collection_id}/exports/{row.id}")


@router.get("/researcher/collections/{collection_id}/exports/{export_id}")
async def show_export(
    request: Request, context: CurrentContext, collection_id: str, export_id: str
) -> Response:
    """The progress of an export; its link once it is complete."""
    caller = await find_researcher(request, context)
    if caller is None:
        return to_sign_in(request)
    identifier = parse_id("Collection", collection_id)
    async with context.database.transaction() as connection:
        collection = await get_collection(connection, caller, identifier)
        row = await exports.get_export(connection, caller, identifier, parse_id("Export", export_id))
    row = await exports.wait_while_generating(context, row, 2.0)
    described = await exports.describe_export(context, caller, row, origin_of(request, context))
    return render(request, "export.html", caller=caller, name=collection.name, export=described)


# preview


async def _load_preview(context: Context, caller: Caller, collection_id: UUID) -> dict[str, Any]:
    async with context.database.transaction() as connection:
        row = await get_collection(connection, caller, collection_id)
    return row.body


def _preview_base(collection_id: UUID) -> str:
    return f"/data-collection-tool/collections/{collection_id}?preview=true&step="


@router.get("/data-collection-tool/collections/{collection_id}")
async def show_preview(
    request: Request, context: CurrentContext, collection_id: str, step: Text = "start"
) -> Response:
    """A collection as participants see it. Nothing is stored."""
    caller = await find_researcher(request, context)
    if caller is None:
        return to_sign_in(request)
    identifier = parse_id("Collection", collection_id)
    body = await _load_preview(context, caller, identifier)
    base = _preview_base(identifier)
    if step == "start":
        return render(
            request,
            "start.html",
            task=body["task_details"],
            minutes=None,
            limit=None,
            known=None,
            can_start=False,
            preview=base,
        )
    catalogue = catalogue_of(request)
    if step == "done":
        code = catalogue.text("preview.code")
        return render(
            request,
            "done.html",
            code=code,
            url="",
            already=False,
            late=False,
            return_requested=None,
            preview=True,
        )
    total = len(body["collection_items"])
    at = step if step == "review" else read_whole(step)
    if at is None or (isinstance(at, int) and not 1 <= at <= total):
        raise not_found("Page", step)
    return render(
        request,
        "form.html",
        task_name=body["task_details"]["task_name"],
        pages=view_pages(body, catalogue, answers={}, revisions={}, files=[], errors={}),
        step=at,
        base=base,
        action=f"{base}{step}",
        error_rows=error_rows(body, {}, base, at),
        deadline=None,
        late=False,
        code=None,
        preview=True,
        state={
            "submission": f"preview-{collection_id}",
            "api": None,
            "base": base,
            "step": at,
            "files": [],
            "unsaved": [],
            "preview": True,
            "texts": catalogue.for_browser(),
            "language": catalogue.language,
            "point_groups": groups_by_point(request.headers.get("accept-language", "")),
        },
    )


@router.post("/data-collection-tool/collections/{collection_id}")
async def step_preview(
    request: Request, context: CurrentContext, collection_id: str, step: Text = "1"
) -> Response:
    """Without scripts: go to the next page; what was filled in is not stored."""
    caller = await find_researcher(request, context)
    if caller is None:
        return to_sign_in(request)
    identifier = parse_id("Collection", collection_id)
    body = await _load_preview(context, caller, identifier)
    async with read_form(request, context, None, []) as form:
        go = text_of(form, "go")
    steps = ["start", *map(str, range(1, len(body["collection_items"]) + 1)), "review", "done"]
    if step not in steps:
        raise not_found("Page", step)
    move = {"back": -1, "stay": 0}.get(go, 1)
    return see_other(_preview_base(identifier) + steps[min(max(steps.index(step) + move, 0), len(steps) - 1)])
