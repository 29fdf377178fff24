"""Pages with responses: one response, and decisions on it."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from starlette.datastructures import FormData

from fieldpack.server.accounts.permissions.authorization import find_offered
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.collections.service import iter_items
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import SubmissionId
from fieldpack.server.http.intake.forms import read_unknown_form
from fieldpack.server.http.routing import parse_id
from fieldpack.server.problems import Problem, invalid
from fieldpack.server.responses import service
from fieldpack.server.submissions.notes import service as notes
from fieldpack.server.submissions.review import service as review
from fieldpack.server.submissions.review.rules import ORIGINS
from fieldpack.server.thumbnails.service import request_thumbnails
from fieldpack.server.web.participants.forms import text_of
from fieldpack.server.web.rendering import catalogue_of, render
from fieldpack.server.web.workbench import views
from fieldpack.server.web.workbench.correcting.views import Draft, add_corrections
from fieldpack.server.web.workbench.review.held import (
    DECISIONS,
    list_notices,
    read_decision,
    say_missing,
    say_pending,
)
from fieldpack.server.web.workbench.signed_in import SignedIn, WorkbenchRoute, see_other

__all__ = ["OFFERED", "collection_path", "router", "show_again"]

router = APIRouter(route_class=WorkbenchRoute, include_in_schema=False)

OFFERED = {
    "read": Action.RESPONSES_READ,
    "review": Action.RESPONSES_REVIEW,
    "export": Action.EXPORTS_CREATE,
    "erase": Action.SUBMISSION_ERASE,
    "write": Action.STUDY_WRITE,
    "correct": Action.RESPONSES_CORRECT,
}
"""Actions of these pages, of which the caller is offered those they may do with the collection."""


def collection_path(collection_id: UUID) -> str:
    """Where the pages of a collection are."""
    return f"/workbench/collections/{collection_id}"


@router.get("/workbench/submissions/{submission_id}")
async def show_response(
    request: Request, context: CurrentContext, caller: SignedIn, submission_id: SubmissionId
) -> Response:
    """One response, with links to the previous and next one of the filter in the address."""
    return await _show(request, context, caller, submission_id)


async def _show(
    request: Request,
    context: CurrentContext,
    caller: Caller,
    submission_id: SubmissionId,
    form: FormData | None = None,
    refusal: str = "",
    status: int = 200,
    draft: Draft | None = None,
) -> Response:
    parameters = request.query_params.multi_items()
    catalogue = catalogue_of(request)
    async with context.database.transaction() as connection:
        view = await service.find_view(connection, caller, submission_id, parameters)
        found = await service.open_response(connection, view, submission_id)
        await request_thumbnails(connection, service.list_unasked(found.files))
        allowed = await find_offered(connection, caller, view.collection.id, OFFERED)
        notices = await list_notices(connection, caller, view.collection.id, catalogue, view.parameters())
    base = collection_path(view.collection.id)
    row = found.row
    pages = views.pages_of(found.body, row.answers, found.files)
    add_corrections(
        pages,
        {item["id"]: item for item in iter_items(found.body)},
        row.answers or {},
        found.corrections,
        catalogue,
        refusal=refusal,
        draft=draft,
    )

    def neighbour(id: UUID | None) -> str | None:
        return views.link_to(f"/workbench/submissions/{id}", view.parameters()) if id else None

    return render(
        request,
        "response.html",
        status=status,
        caller=caller,
        collection=view.collection,
        base=base,
        back=views.link_to(f"{base}/responses", view.parameters()),
        action=views.link_to(f"/workbench/submissions/{row.id}", view.parameters()),
        erase=f"/workbench/submissions/{row.id}/erase",
        row=row,
        state=views.state_text(row.status, catalogue),
        pending=say_pending(found.pending, catalogue),
        assigned=found.assigned,
        notices=notices,
        length=views.say_length(row.seconds, catalogue),
        pages=pages,
        can_correct=allowed["correct"] and row.answers is not None,
        correct=f"/workbench/submissions/{row.id}/corrections",
        query=request.url.query,
        draft=draft,
        notes=found.notes,
        previous=neighbour(found.previous),
        following=neighbour(found.next),
        allowed=allowed,
        can_approve=row.status in ORIGINS["APPROVE"],
        can_reject=row.status in ORIGINS["REJECT"],
        **views.fields_of_decision(
            catalogue,
            text_of(form, "category") if form else "",
            text_of(form, "message") if form and text_of(form, "go") != "note" else "",
        ),
        given_note=text_of(form, "message") if form and text_of(form, "go") == "note" else "",
        files_path=f"{base}/files",
        refusal=refusal,
    )


async def show_again(
    request: Request,
    context: CurrentContext,
    caller: Caller,
    submission_id: SubmissionId,
    problem: Problem,
    draft: Draft,
) -> Response:
    """The page after a correction that was refused, with what was typed."""
    refusal = views.say_problem(problem)
    return await _show(request, context, caller, submission_id, None, refusal, problem.type.status, draft)


@router.post("/workbench/submissions/{submission_id}")
async def decide(
    request: Request, context: CurrentContext, caller: SignedIn, submission_id: SubmissionId
) -> Response:
    """Decide (the decision is held for a while), or write a note. A refusal is shown on the page."""
    form = await read_unknown_form(request)
    go, message = text_of(form, "go"), text_of(form, "message").strip()
    parameters = request.query_params.multi_items()
    target = submission_id
    try:
        async with context.database.transaction() as connection:
            view = await service.find_view(connection, caller, submission_id, parameters)
            if go in DECISIONS:
                # before the decision, after which this one may not match the filter any more
                shown = await service.open_response(connection, view, submission_id, is_shown=False)
                await review.hold(connection, caller, [submission_id], read_decision(form))
                target = shown.next or submission_id
            elif go == "note":
                if message:
                    await notes.add_note(connection, caller, submission_id, message)
            elif go == "remove_note":
                note_id = parse_id("Note", text_of(form, "note"))
                await notes.remove_note(connection, caller, submission_id, note_id)
            else:
                raise invalid("go", "Unknown action.")
    except ValidationError:
        needs = say_missing(form, catalogue_of(request))
        return await _show(request, context, caller, submission_id, form, needs, 400)
    except Problem as problem:
        if problem.type.status not in (400, 409):
            raise
        return await _show(
            request, context, caller, submission_id, form, views.say_problem(problem), problem.type.status
        )
    return see_other(views.link_to(f"/workbench/submissions/{target}", parameters))
