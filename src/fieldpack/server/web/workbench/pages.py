"""Where everything begins, and the preview of a collection."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from fieldpack.server.accounts.service import Caller
from fieldpack.server.collections.service import get_collection
from fieldpack.server.context import Context
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.routing import parse_id
from fieldpack.server.problems import not_found
from fieldpack.server.values.whole_numbers import read_whole
from fieldpack.server.web.participants.forms import read_form, text_of
from fieldpack.server.web.participants.pages import error_rows
from fieldpack.server.web.participants.readings import groups_by_point
from fieldpack.server.web.participants.views import view_pages
from fieldpack.server.web.rendering import PageRoute, catalogue_of, render
from fieldpack.server.web.workbench.sessions import find_researcher
from fieldpack.server.web.workbench.signed_in import HOME, see_other, to_sign_in

router = APIRouter(route_class=PageRoute, include_in_schema=False)

Text = Annotated[str, Query()]


@router.get("/")
async def go_home() -> Response:
    """Redirect to the researchers' pages."""
    return see_other(HOME)


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
