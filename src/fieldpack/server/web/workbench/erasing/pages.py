"""Pages that erase one submission or many, and that list what was erased."""

from __future__ import annotations

import re
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.collections.service import get_collection
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.erasures.rows import ProofRow
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import CollectionId, SubmissionId
from fieldpack.server.http.intake.forms import read_unknown_form
from fieldpack.server.http.routing import parse_given_id
from fieldpack.server.problems import Problem, invalid
from fieldpack.server.responses.erasing import service
from fieldpack.server.responses.erasing.service import MOST_ERASED, Reach
from fieldpack.server.responses.review.assigning import list_reviewers
from fieldpack.server.responses.service import read_view
from fieldpack.server.submissions import service as submissions
from fieldpack.server.values.whole_numbers import read_whole
from fieldpack.server.web import queries
from fieldpack.server.web.participants.forms import read_form, text_of
from fieldpack.server.web.rendering import catalogue_of, render
from fieldpack.server.web.workbench import views
from fieldpack.server.web.workbench.review.held import names_of
from fieldpack.server.web.workbench.signed_in import SignedIn, WorkbenchRoute

__all__ = ["router"]

router = APIRouter(route_class=WorkbenchRoute, include_in_schema=False)

ROWS = 50
MOST_SHOWN = 500  # of what was erased together; all are in the list
Text = Annotated[str, Query()]


def _base(collection_id: UUID) -> str:
    return f"/workbench/collections/{collection_id}"


# one


@router.get("/workbench/submissions/{submission_id}/erase")
async def ask_to_erase(
    request: Request, context: CurrentContext, caller: SignedIn, submission_id: SubmissionId
) -> Response:
    """What an erasure would remove, and a field for the participant's id."""
    return await _ask(request, context, caller, submission_id, wrong=False)


async def _ask(
    request: Request, context: Context, caller: Caller, submission_id: UUID, *, wrong: bool
) -> Response:
    async with context.database.transaction() as connection:
        participant_id, collection_id, reach = await service.find_reach_of(connection, caller, submission_id)
    return render(
        request,
        "erase.html",
        status=400 if wrong else 200,
        caller=caller,
        participant_id=participant_id,
        base=_base(collection_id),
        reach=reach,
        wrong=wrong,
        back=f"/workbench/submissions/{submission_id}",
    )


@router.post("/workbench/submissions/{submission_id}/erase")
async def erase(
    request: Request, context: CurrentContext, caller: SignedIn, submission_id: SubmissionId
) -> Response:
    """Erase a submission after its participant's id was typed."""
    typed = text_of(await read_unknown_form(request), "participant")
    async with context.database.transaction() as connection:
        row = await submissions.get_submission(connection, caller, submission_id, Action.SUBMISSION_ERASE)
    if not service.is_named(typed, row.participant_id):
        return await _ask(request, context, caller, submission_id, wrong=True)
    await submissions.erase_submission(context, caller, submission_id)
    async with context.database.transaction() as connection:
        proof = await service.get_proof(connection, caller, row.collection_id, submission_id)
    return _show_proofs(request, caller, row.collection_id, [proof])


def _show_proofs(
    request: Request, caller: Caller, collection_id: UUID, proofs: list[ProofRow], **values: Any
) -> Response:
    """What was erased by one request, or all that was asked for together."""
    return render(
        request,
        "erased.html",
        caller=caller,
        base=_base(collection_id),
        proofs=proofs,
        shown=proofs[:MOST_SHOWN],
        sums={
            "answers": sum(each.answers or 0 for each in proofs),
            "files": sum(each.files or 0 for each in proofs),
            "file_bytes": sum(each.file_bytes or 0 for each in proofs),
            "notes": sum(each.notes or 0 for each in proofs),
            "objects": sum(each.objects for each in proofs),
            "exports": len({export for each in proofs for export in each.exports}),
            "rows_left": sum(each.rows_left for each in proofs),
            "objects_left": sum(each.objects_left for each in proofs),
            "unlisted": sum(not each.is_listed for each in proofs),
        },
        **{"left": 0, "again": {}, "action": "", **values},
    )


# many


@router.get("/workbench/collections/{collection_id}/erase")
async def choose(
    request: Request, context: CurrentContext, caller: SignedIn, collection_id: CollectionId
) -> Response:
    """What it would remove to erase what the filter in the address shows, and a field for participants' ids."""
    return await _choose(request, context, caller, collection_id, "")


async def _choose(
    request: Request,
    context: Context,
    caller: Caller,
    collection_id: UUID,
    people: str,
    *,
    status: int = 200,
    wrong: bool = False,
    refusal: str = "",
) -> Response:
    """The page that chooses who is erased, and shows what would go.

    Args:
        people: participants' ids as they were typed, one a line.
    """
    given = request.query_params.multi_items()
    named = people.split("\n") if people.strip() else None
    reach: Reach | None = None
    async with context.database.transaction() as connection:
        view = await read_view(connection, caller, collection_id, given)
        await get_collection(connection, caller, collection_id, Action.SUBMISSION_ERASE)
        if named is not None or not view.wanted.is_everything:
            try:
                selection = await service.read_selection(connection, caller, collection_id, given, named)
                reach = await service.find_reach(connection, selection)
            except Problem as problem:
                if problem.type.status != 400:
                    raise
                status, refusal = 400, views.say_problem(problem)
        studies = await _name_studies(connection, collection_id)
        reviewers = await list_reviewers(connection, caller, collection_id)
    path = f"{_base(collection_id)}/erase"
    return render(
        request,
        "erase_many.html",
        status=status,
        caller=caller,
        collection=view.collection,
        base=_base(collection_id),
        action=views.link_to(path, view.wanted.parameters()),
        back=views.link_to(f"{_base(collection_id)}/responses", view.wanted.parameters()),
        chips=views.describe_conditions(view, studies, names_of(reviewers), catalogue_of(request), path, []),
        people="\n".join(each.strip() for each in named or [] if each.strip()),
        most=MOST_ERASED,
        reach=reach,
        wrong=wrong,
        refusal=refusal,
    )


async def _name_studies(connection: Connection, collection_id: UUID) -> dict[UUID, str]:
    return {study.id: study.name for study in await queries.list_studies(connection, [collection_id])}


@router.post("/workbench/collections/{collection_id}/erase")
async def erase_many(
    request: Request, context: CurrentContext, caller: SignedIn, collection_id: CollectionId
) -> Response:
    """Show what would go with participants whose ids were typed; or erase, once the number of submissions was typed."""
    async with read_form(request, context, None, []) as form:  # ids of thousands are more than a small form
        go, people, batch_text = (text_of(form, name) for name in ("go", "people", "batch"))
        shown, typed = (read_whole(re.sub(r"[\s,.]", "", text_of(form, name))) for name in ("shown", "count"))
    if go != "erase":
        if go not in ("", "look"):
            raise invalid("go", "Unknown action.")
        return await _choose(request, context, caller, collection_id, people)
    if shown is None:
        raise invalid("shown", "Must be a number.")
    if typed != shown:
        return await _choose(request, context, caller, collection_id, people, status=400, wrong=True)
    batch = parse_given_id("batch", "Batch", batch_text) if batch_text else None
    given = request.query_params.multi_items()
    named = people.split("\n") if people.strip() else None
    try:
        run = await service.erase_selected(context, caller, collection_id, given, named, shown, batch)
    except Problem as problem:
        if problem.type.status != 409:
            raise
        refusal = views.say_problem(problem)
        return await _choose(request, context, caller, collection_id, people, status=409, refusal=refusal)
    async with context.database.transaction() as connection:
        proofs, _ = await service.list_collection_proofs(
            connection, caller, collection_id, run.batch, MOST_ERASED, 0
        )
    return _show_proofs(
        request,
        caller,
        collection_id,
        proofs,
        left=run.left,
        action=views.link_to(f"{_base(collection_id)}/erase", given),
        again={"go": "erase", "people": people, "shown": run.left, "count": run.left, "batch": run.batch},
    )


@router.get("/workbench/collections/{collection_id}/erasures")
async def show_erasures(
    request: Request,
    context: CurrentContext,
    caller: SignedIn,
    collection_id: CollectionId,
    page: Text = "1",
) -> Response:
    """What was erased in a collection, newest first."""
    number = read_whole(page)
    if number is None or number < 1:
        raise invalid("page", "Must be a number.")
    async with context.database.transaction() as connection:
        collection = await get_collection(connection, caller, collection_id, Action.SUBMISSION_ERASE)
        proofs, count = await service.list_collection_proofs(
            connection, caller, collection_id, None, ROWS, (number - 1) * ROWS
        )
    path = f"{_base(collection_id)}/erasures"

    def link(to: int) -> str | None:
        return views.link_to(path, [("page", str(to))]) if 1 <= to <= max(1, -(-count // ROWS)) else None

    return render(
        request,
        "erasures.html",
        caller=caller,
        collection=collection,
        base=_base(collection_id),
        shown=proofs,
        count=count,
        previous=link(number - 1) if number > 1 else None,
        following=link(number + 1),
    )
