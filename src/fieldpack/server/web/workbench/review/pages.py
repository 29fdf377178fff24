"""What reviewers do with all that the table shows: decide, undo, assign, and a table of who was approved."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import CollectionId
from fieldpack.server.http.intake.forms import read_unknown_form
from fieldpack.server.http.routing import parse_id
from fieldpack.server.problems import Problem, conflict, invalid, not_found
from fieldpack.server.responses.review.assigning import assign_share, unassign
from fieldpack.server.responses.review.deciding import hold_matching
from fieldpack.server.responses.review.payments import list_approved, write_csv
from fieldpack.server.responses.service import read_view
from fieldpack.server.submissions.review import service
from fieldpack.server.values.whole_numbers import read_whole
from fieldpack.server.web.participants.forms import text_of
from fieldpack.server.web.rendering import HEADERS, catalogue_of
from fieldpack.server.web.workbench import views
from fieldpack.server.web.workbench.review.held import DECISIONS, read_decision, say_missing
from fieldpack.server.web.workbench.signed_in import SignedIn, WorkbenchRoute, see_other
from fieldpack.server.web.workbench.table.pages import show_table

router = APIRouter(route_class=WorkbenchRoute, include_in_schema=False)


@router.post("/workbench/collections/{collection_id}/responses/decide")
async def decide(
    request: Request, context: CurrentContext, caller: SignedIn, collection_id: CollectionId
) -> Response:
    """Decide on all that the filter shows and that wait for a review; the decision is held for a while. A refusal is
    said on the page, with what was written."""
    form = await read_unknown_form(request)
    try:
        if text_of(form, "go") not in DECISIONS:
            raise invalid("go", "Unknown action.")
        count = read_whole(text_of(form, "count"))
        if count is None:
            raise invalid("count", "Must be a number.")
        given = read_decision(form)
        async with context.database.transaction() as connection:
            parameters = request.query_params.multi_items()
            view = await read_view(connection, caller, collection_id, parameters)
            await hold_matching(connection, caller, view, count, given)
    except ValidationError:
        refusal, status = say_missing(form, catalogue_of(request)), 400
    except Problem as problem:
        if problem.type.status not in (400, 409):
            raise
        refusal, status = views.say_problem(problem), problem.type.status
    else:
        return see_other(
            views.link_to(f"/workbench/collections/{collection_id}/responses", view.parameters())
        )
    return await show_table(
        request, context, caller, collection_id, form=form, refusal=refusal, status=status
    )


@router.post("/workbench/collections/{collection_id}/responses/assign")
async def assign(
    request: Request, context: CurrentContext, caller: SignedIn, collection_id: CollectionId
) -> Response:
    """Assign a share of what the filter shows to a reviewer, or all of it to nobody."""
    form = await read_unknown_form(request)
    try:
        async with context.database.transaction() as connection:
            parameters = request.query_params.multi_items()
            view = await read_view(connection, caller, collection_id, parameters)
            if text_of(form, "go") == "unassign":
                await unassign(connection, caller, view)
            else:
                percent = read_whole(text_of(form, "share"))
                if percent is None or not 0 < percent <= 100:
                    raise invalid("share", catalogue_of(request).text("assign.share_wrong"))
                await assign_share(connection, caller, view, text_of(form, "reviewer"), percent)
    except Problem as problem:
        if problem.type.status != 400:
            raise
        refusal = views.say_problem(problem)
        return await show_table(request, context, caller, collection_id, refusal=refusal, status=400)
    return see_other(views.link_to(f"/workbench/collections/{collection_id}/responses", view.parameters()))


@router.get("/workbench/collections/{collection_id}/approved.csv")
async def save_approved(
    request: Request, context: CurrentContext, caller: SignedIn, collection_id: CollectionId
) -> Response:
    """Who was approved of those that the filter shows, with amounts, as a table."""
    async with context.database.transaction() as connection:
        view = await read_view(connection, caller, collection_id, request.query_params.multi_items())
        rows = await list_approved(connection, view)
    name = f'attachment; filename="{collection_id}-approved.csv"'
    return Response(
        write_csv(rows),
        media_type="text/csv; charset=utf-8",
        headers={**HEADERS, "Content-Disposition": name},
    )


@router.post("/workbench/collections/{collection_id}/undo")
async def undo(
    request: Request, context: CurrentContext, caller: SignedIn, collection_id: CollectionId
) -> Response:
    """Undo one's own decision: the one that the form names, or the last. Then back to what it was about."""
    form = await read_unknown_form(request)
    named, place = text_of(form, "decision"), text_of(form, "place")
    async with context.database.transaction() as connection:
        if named:
            decision_id = parse_id("Decision", named)
            found = await service.get_decision(connection, caller, decision_id)
            if found.collection_id != collection_id:
                raise not_found("Decision", decision_id)
        else:
            last = await service.find_own_last(connection, caller, collection_id)
            if last is None:
                raise conflict(catalogue_of(request).text("held.nothing"))
            decision_id = last
        undone = await service.undo(connection, caller, decision_id)
    base = f"/workbench/collections/{collection_id}"
    path = f"{base}/gallery" if place == "gallery" else f"{base}/responses"
    if not place and undone.submission_id is not None:
        path = f"/workbench/submissions/{undone.submission_id}"
    return see_other(views.link_to(path, request.query_params.multi_items()))
