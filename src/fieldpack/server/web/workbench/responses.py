"""Pages with responses: a collection's overview, the table, one response, and decisions on them."""

from __future__ import annotations

from typing import Annotated, Any, get_args
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError
from starlette.datastructures import FormData

from fieldpack.server.accounts.permissions.authorization import find_allowed
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.collections.service import iter_items
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import CollectionId, SubmissionId
from fieldpack.server.http.intake.forms import read_unknown_form
from fieldpack.server.http.routing import parse_id
from fieldpack.server.problems import Problem, invalid
from fieldpack.server.responses import overview, service
from fieldpack.server.responses.queries import ORDERS
from fieldpack.server.responses.review import assigning
from fieldpack.server.responses.review.deciding import count_reviewable
from fieldpack.server.submissions.notes import service as notes
from fieldpack.server.submissions.review import service as review
from fieldpack.server.submissions.review.rules import ORIGINS
from fieldpack.server.submissions.schemas import RejectionCategory
from fieldpack.server.thumbnails.service import request_thumbnails
from fieldpack.server.web import queries
from fieldpack.server.web.participants.forms import text_of
from fieldpack.server.web.rendering import catalogue_of, render
from fieldpack.server.web.workbench import views
from fieldpack.server.web.workbench.correcting.views import Draft, add_corrections
from fieldpack.server.web.workbench.review.held import (
    DECISIONS,
    list_notices,
    names_of,
    read_decision,
    say_missing,
    say_pending,
)
from fieldpack.server.web.workbench.signed_in import SignedIn, WorkbenchRoute, see_other

router = APIRouter(route_class=WorkbenchRoute, include_in_schema=False)

ROWS = 50
COLUMNS = 5  # questions that are shown unless others are chosen
MOST_COLUMNS = 20
Text = Annotated[str, Query()]


def _collection_path(collection_id: UUID) -> str:
    return f"/workbench/collections/{collection_id}"


async def _allowed(connection: Connection, caller: Caller, collection_id: UUID) -> dict[str, bool]:
    """Which actions of these pages the caller may do with a collection."""
    offered = {
        "read": Action.RESPONSES_READ,
        "review": Action.RESPONSES_REVIEW,
        "export": Action.EXPORTS_CREATE,
        "erase": Action.SUBMISSION_ERASE,
        "write": Action.STUDY_WRITE,
        "correct": Action.RESPONSES_CORRECT,
    }
    return {
        name: collection_id in await find_allowed(connection, caller, action, [collection_id])
        for name, action in offered.items()
    }


@router.get("/workbench/collections/{collection_id}")
async def show_overview(
    request: Request, context: CurrentContext, caller: SignedIn, collection_id: CollectionId
) -> Response:
    """A collection in numbers."""
    async with context.database.transaction() as connection:
        found = await overview.get_overview(connection, caller, collection_id)
        studies = await queries.list_studies(connection, [collection_id])
        allowed = await _allowed(connection, caller, collection_id)
    catalogue = catalogue_of(request)
    most = max((day.count for day in found.days), default=0)
    most_left = max((each.left for each in found.questions), default=0)
    return render(
        request,
        "overview.html",
        caller=caller,
        collection=found.collection,
        path=_collection_path(collection_id),
        counts=found.counts,
        questions=found.questions,
        days=found.days[-60:],
        most=most,
        most_left=most_left,
        left_at_once=found.left_at_once,
        length=lambda seconds: views.say_length(seconds, catalogue),
        studies=studies,
        allowed=allowed,
    )


def _columns(given: list[str], view: service.View) -> list[str]:
    """Ids of the questions that are shown."""
    known = [str(question.id) for question in view.questions]
    chosen = [each for each in given if each in known][:MOST_COLUMNS]
    return chosen or [str(question.id) for question in view.questions if not question.retired][:COLUMNS]


@router.get("/workbench/collections/{collection_id}/responses")
async def show_responses(
    request: Request,
    context: CurrentContext,
    caller: SignedIn,
    collection_id: CollectionId,
    after: Text = "",
    before_place: Annotated[str, Query(alias="upto")] = "",
    question: Text = "",
    test: Text = "",
    operand: Text = "",
) -> Response:
    """The table of responses that a filter shows."""
    path = f"{_collection_path(collection_id)}/responses"
    given = request.query_params.multi_items()
    if question and test:  # a condition from the form's fields: to the address that has it as `where`
        given = [pair for pair in given if pair[0] not in ("question", "test", "operand", "after", "upto")]
        condition = ":".join(
            filter(None, (question, test, "" if test in ("answered", "missing") else operand))
        )
        return see_other(views.link_to(path, [pair for pair in given if pair[1]], [("where", condition)]))
    return await show_table(request, context, caller, collection_id, after, before_place)


async def show_table(
    request: Request,
    context: Context,
    caller: Caller,
    collection_id: UUID,
    after: str = "",
    before_place: str = "",
    *,
    form: FormData | None = None,
    refusal: str = "",
    status: int = 200,
) -> Response:
    """The table, with a decision on many that was refused and what was written for it, if there is one."""
    path = f"{_collection_path(collection_id)}/responses"
    given = request.query_params.multi_items()
    catalogue = catalogue_of(request)
    async with context.database.transaction() as connection:
        view = await service.read_view(connection, caller, collection_id, given)
        page = await service.list_page(
            connection, view, ROWS, after=after or None, before=before_place or None
        )
        await request_thumbnails(connection, service.list_unasked(page.files))
        studies = {study.id: study.name for study in await queries.list_studies(connection, [collection_id])}
        allowed = await _allowed(connection, caller, collection_id)
        reviewers = await assigning.list_reviewers(connection, caller, collection_id)
        reviewable = await count_reviewable(connection, view) if allowed["review"] else 0
        notices = await list_notices(
            connection, caller, collection_id, catalogue, view.parameters(), "responses"
        )
    chosen = [text for name, text in given if name == "column"]
    columns = _columns(chosen, view)
    kept = [("column", each) for each in columns] if chosen else []
    shown = [each for each in view.questions if str(each.id) in columns]
    shown.sort(key=lambda each: columns.index(str(each.id)))
    parameters = view.parameters()

    def sorted_by(name: str) -> dict[str, Any]:
        """The parameters of a link in a column's head: sort by it, or in the other direction if it is sorted by it."""
        current = view.sort.removeprefix("-")
        downwards = view.sort.startswith("-")
        wanted = f"-{name}" if current == name and not downwards else name
        return {
            "href": views.link_to(path, view.wanted.parameters(), [("sort", wanted)], kept),
            "now": ("descending" if downwards else "ascending") if current == name else "none",
        }

    return render(
        request,
        "responses.html",
        status=status,
        caller=caller,
        collection=view.collection,
        path=path,
        base=_collection_path(collection_id),
        gallery=views.link_to(f"{_collection_path(collection_id)}/gallery", parameters),
        has_files=any(each.type == "file_upload" for each in view.questions),
        chips=views.describe_conditions(view, studies, names_of(reviewers), catalogue, path, kept),
        cleared=views.link_to(path, kept),
        wanted=view.wanted,
        sort=view.sort,
        sorted_by=sorted_by,
        orders=list(ORDERS),
        order_texts=views.say_all(views.ORDER_TEXTS, catalogue),
        hidden=[pair for pair in view.wanted.parameters() if pair[0] == "where"],
        questions=view.questions,
        columns=columns,
        shown=shown,
        studies=studies,
        states=views.say_all(views.STATE_TEXTS, catalogue),
        tests=views.say_all(views.TEST_TEXTS, catalogue),
        rows=[
            {
                "row": row,
                "href": views.link_to(f"/workbench/submissions/{row.id}", parameters),
                "state": views.state_text(row.status, catalogue),
                "pending": say_pending(page.pending.get(row.id), catalogue),
                "assigned": page.assigned.get(row.id),
                "length": views.say_length(row.seconds, catalogue),
                "cells": views.cells_of(
                    shown, row.answers, [file for file in page.files if file.submission_id == row.id]
                ),
            }
            for row in page.rows
        ],
        count=page.count,
        reviewable=reviewable,
        reviewers=reviewers,
        notices=notices,
        refusal=refusal,
        categories=get_args(RejectionCategory),
        category_texts=views.say_all(views.CATEGORY_TEXTS, catalogue),
        reason_texts=views.say_all(views.REASON_TEXTS, catalogue),
        given_category=text_of(form, "category") if form else "",
        given_message=text_of(form, "message") if form else "",
        allowed=allowed,
        exports=views.link_to(f"{_collection_path(collection_id)}/exports", view.wanted.parameters()),
        assign=views.link_to(f"{path}/assign", parameters),
        approved=views.link_to(f"{_collection_path(collection_id)}/approved.csv", view.wanted.parameters()),
        decide=views.link_to(f"{path}/decide", parameters),
        export=views.link_to(f"/researcher/collections/{collection_id}/export", view.wanted.parameters()),
        erase=views.link_to(f"{_collection_path(collection_id)}/erase", view.wanted.parameters()),
        previous=views.link_to(path, parameters, kept, [("upto", page.before)]) if page.before else None,
        following=views.link_to(path, parameters, kept, [("after", page.after)]) if page.after else None,
    )


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
        allowed = await _allowed(connection, caller, view.collection.id)
        notices = await list_notices(connection, caller, view.collection.id, catalogue, view.parameters())
    base = _collection_path(view.collection.id)
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
        categories=get_args(RejectionCategory),
        category_texts=views.say_all(views.CATEGORY_TEXTS, catalogue),
        reason_texts=views.say_all(views.REASON_TEXTS, catalogue),
        given_category=text_of(form, "category") if form else "",
        given_message=text_of(form, "message") if form and text_of(form, "go") != "note" else "",
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
