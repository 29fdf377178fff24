"""The page of the table, and what is done with all that its filter shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from starlette.datastructures import FormData

from fieldpack.server.accounts.permissions.authorization import find_offered
from fieldpack.server.accounts.service import Caller
from fieldpack.server.context import Context
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import CollectionId
from fieldpack.server.responses import service
from fieldpack.server.responses.queries import ORDERS
from fieldpack.server.responses.review import assigning
from fieldpack.server.responses.review.deciding import MOST_AT_ONCE
from fieldpack.server.responses.rows import FileRow
from fieldpack.server.thumbnails.service import request_thumbnails
from fieldpack.server.web import queries
from fieldpack.server.web.participants.forms import text_of
from fieldpack.server.web.rendering import catalogue_of, render
from fieldpack.server.web.workbench import views
from fieldpack.server.web.workbench.responses import OFFERED, collection_path
from fieldpack.server.web.workbench.review.held import list_notices, names_of, say_pending
from fieldpack.server.web.workbench.signed_in import SignedIn, WorkbenchRoute, see_other
from fieldpack.server.web.workbench.table import commands, conditions
from fieldpack.server.web.workbench.table.columns import choose_columns, describe_choice, list_columns

router = APIRouter(route_class=WorkbenchRoute, include_in_schema=False)

ROWS = 50
PLACES = ("after", "upto")
Text = Annotated[str, Query()]


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
    path = f"{collection_path(collection_id)}/responses"
    given = request.query_params.multi_items()
    if question and test:  # a condition from the form's fields: to the address that has it as `where`
        async with context.database.transaction() as connection:
            view = await service.read_view(connection, caller, collection_id, given)
        typed = {"question": question, "test": test, "operand": operand}
        condition = conditions.read_condition(typed, view.questions)
        kept = [pair for pair in given if pair[0] not in (*conditions.OF_FORMS, *PLACES) and pair[1]]
        return see_other(views.link_to(path, kept, [("where", condition)] if condition else []))
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
    path = f"{collection_path(collection_id)}/responses"
    given = request.query_params.multi_items()
    catalogue = catalogue_of(request)
    async with context.database.transaction() as connection:
        view = await service.read_view(connection, caller, collection_id, given)
        allowed = await find_offered(connection, caller, collection_id, OFFERED)
        page = await service.list_page(
            connection,
            view,
            ROWS,
            after=after or None,
            before=before_place or None,
            most_reviewable=MOST_AT_ONCE if allowed["review"] else 0,
        )
        await request_thumbnails(connection, service.list_unasked(page.files))
        studies = await queries.name_studies(connection, collection_id)
        reviewers = await assigning.list_reviewers(connection, caller, collection_id)
        notices = await list_notices(
            connection, caller, collection_id, catalogue, view.parameters(), "responses"
        )
    known = list_columns(view.questions, catalogue)
    chosen = [text for name, text in given if name == "column"]
    columns = choose_columns(chosen, known, studies=len(studies))
    kept = [("column", name) for name in columns] if chosen else []
    wanted, parameters = view.wanted.parameters(), view.parameters()

    def sorted_by(name: str) -> dict[str, Any]:
        """Where a column's head leads: sorted by it, or in the other direction if it is sorted by it."""
        current, downwards = view.sort.removeprefix("-"), view.sort.startswith("-")
        turned = f"-{name}" if current == name and not downwards else name
        return {
            "href": views.link_to(path, wanted, [("sort", turned)], kept),
            "now": ("descending" if downwards else "ascending") if current == name else "none",
        }

    files = _by_submission(page.files)
    return render(
        request,
        "responses.html",
        status=status,
        caller=caller,
        collection=view.collection,
        path=path,
        base=collection_path(collection_id),
        gallery=views.link_to(f"{collection_path(collection_id)}/gallery", parameters),
        has_files=any(each.type == "file_upload" for each in view.questions),
        chips=views.describe_conditions(view, studies, names_of(reviewers), catalogue, path, kept),
        cleared=views.link_to(path, kept),
        wanted=view.wanted,
        since=conditions.show_since(view.wanted.since),
        before=conditions.show_before(view.wanted.before),
        sort=view.sort,
        sorted_by=sorted_by,
        orders=list(ORDERS),
        order_texts=views.say_all(views.ORDER_TEXTS, catalogue),
        sorted_question=next((each for each in view.questions if str(each.id) == view.sort.strip("-")), None),
        hidden=[pair for pair in wanted if pair[0] in ("where", "submission")],
        questions=view.questions,
        options={str(each.id): conditions.find_options(each) for each in view.questions},
        columns=[(known[name], sorted_by(name) if known[name].is_sorted else None) for name in columns],
        choice=describe_choice(
            known,
            columns,
            lambda names: views.link_to(path, parameters, [("column", name) for name in names]),
        ),
        studies=studies,
        states=views.say_all(views.STATE_TEXTS, catalogue),
        tests=views.say_all(views.TEST_TEXTS, catalogue),
        rows=[
            {
                "row": row,
                "href": views.link_to(f"/workbench/submissions/{row.id}", parameters),
                "pending": say_pending(page.pending.get(row.id), catalogue),
                "assigned": page.assigned.get(row.id),
                "cells": [known[name].show(row, files[row.id], catalogue) for name in columns],
            }
            for row in page.rows
        ],
        count=page.count,
        reviewable=page.reviewable,
        reviewers=reviewers,
        notices=notices,
        refusal=refusal,
        **views.fields_of_decision(
            catalogue,
            text_of(form, "category") if form else "",
            text_of(form, "message") if form else "",
        ),
        allowed=allowed,
        assign=views.link_to(f"{path}/assign", parameters),
        approved=views.link_to(f"{collection_path(collection_id)}/approved.csv", wanted),
        decide=views.link_to(f"{path}/decide", parameters),
        export=views.link_to(f"/researcher/collections/{collection_id}/export", wanted),
        exports=views.link_to(f"{collection_path(collection_id)}/exports", wanted),
        erase=views.link_to(f"{collection_path(collection_id)}/erase", wanted),
        commands=[
            commands.write_list(collection_id, parameters),
            *([commands.write_export(collection_id, wanted)] if allowed["export"] else []),
        ],
        previous=views.link_to(path, parameters, kept, [("upto", page.before)]) if page.before else None,
        following=views.link_to(path, parameters, kept, [("after", page.after)]) if page.after else None,
    )


def _by_submission(files: Sequence[FileRow]) -> dict[UUID, list[FileRow]]:
    found: dict[UUID, list[FileRow]] = defaultdict(list)
    for file in files:
        found[file.submission_id].append(file)
    return found
