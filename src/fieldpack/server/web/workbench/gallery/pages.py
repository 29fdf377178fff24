"""The gallery: files of many responses as small pictures, looked through and decided on."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError
from starlette.datastructures import FormData

from fieldpack.server.accounts.permissions.authorization import find_offered
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.context import Context
from fieldpack.server.exports import service as exports
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import CollectionId, SubmissionId
from fieldpack.server.http.intake.forms import read_unknown_form
from fieldpack.server.http.responses import OrjsonResponse
from fieldpack.server.http.routing import parse_id
from fieldpack.server.problems import Problem, invalid
from fieldpack.server.responses import files, service
from fieldpack.server.responses.review import deciding
from fieldpack.server.responses.review.assigning import list_reviewers
from fieldpack.server.responses.rows import FileRow, ResponseRow
from fieldpack.server.selection.filters import MOST_CHOSEN
from fieldpack.server.thumbnails.formats import kind_of
from fieldpack.server.web import queries
from fieldpack.server.web.catalogue import Catalogue
from fieldpack.server.web.participants.forms import text_of
from fieldpack.server.web.rendering import HEADERS, catalogue_of, render
from fieldpack.server.web.workbench import views
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

OFFERED = {
    "review": Action.RESPONSES_REVIEW,
    "export": Action.EXPORTS_CREATE,
    "read": Action.RESPONSES_READ,
}
# responses of a page: with three files each it has less than 150 KB, and a form holds no more fields than are read
ROWS = 24
ROWS_AT_ONCE = 200  # that the script asks for while somebody scrolls
Text = Annotated[str, Query()]
After = Annotated[str, Query()]
Before = Annotated[str, Query(alias="upto")]
Pairs = list[tuple[str, str]]


def _path(collection_id: UUID) -> str:
    return f"/workbench/collections/{collection_id}"


def _describe_tile(
    file: FileRow, row: ResponseRow, pending: str | None, base: str, parameters: Pairs
) -> dict[str, Any]:
    """A file as the page and its script take it."""
    source = f"{base}/files/{file.file_key}"
    return {
        "submission": str(row.id),
        "href": views.link_to(f"/workbench/submissions/{row.id}", parameters),
        "participant": row.participant_id,
        "pending": pending,
        "source": source,
        "name": file.file_name,
        "kind": kind_of(file.content_type),
        "label": views.say_extension(file.file_name),
        "thumbnail": f"{source}/thumbnail" if file.thumbnail == "made" else None,
        "large": f"{source}/thumbnail?size=large" if file.has_large else None,
    }


def _describe_tiles(
    page: files.FilePage, base: str, parameters: Pairs, catalogue: Catalogue
) -> list[dict[str, Any]]:
    """The files of a page; the first of each response says so: there it is chosen."""
    tiles = []
    last: UUID | None = None
    for file, row in page.files:
        pending = say_pending(page.pending.get(row.id), catalogue)
        tiles.append(_describe_tile(file, row, pending, base, parameters) | {"first": row.id != last})
        last = row.id
    return tiles


@router.get("/workbench/collections/{collection_id}/gallery")
async def show_gallery(
    request: Request,
    context: CurrentContext,
    caller: SignedIn,
    collection_id: CollectionId,
    of: Text = "",
    after: After = "",
    before: Before = "",
) -> Response:
    """The files that a filter shows, of one question or of all."""
    return await _show(request, context, caller, collection_id, of=of, after=after, before=before)


async def _show(
    request: Request,
    context: Context,
    caller: Caller,
    collection_id: UUID,
    *,
    of: str = "",
    after: str = "",
    before: str = "",
    chosen: frozenset[str] = frozenset(),
    form: FormData | None = None,
    refusal: str = "",
    status: int = 200,
) -> Response:
    base = _path(collection_id)
    path = f"{base}/gallery"
    catalogue = catalogue_of(request)
    async with context.database.transaction() as connection:
        view = await service.read_view(connection, caller, collection_id, request.query_params.multi_items())
        page = await files.list_file_page(
            connection, view, of, ROWS, after=after or None, before=before or None
        )
        studies = await queries.name_studies(connection, collection_id)
        allowed = await find_offered(connection, caller, collection_id, OFFERED)
        reviewers = await list_reviewers(connection, caller, collection_id)
        parameters = view.parameters()
        kept: Pairs = [("of", of)] if of else []
        here = [*parameters, *kept]
        notices = await list_notices(connection, caller, collection_id, catalogue, here, "gallery")
    following = views.link_to(path, here, [("after", page.after)]) if page.after else None
    return render(
        request,
        "gallery.html",
        status=status,
        caller=caller,
        collection=view.collection,
        base=base,
        path=path,
        table=views.link_to(f"{base}/responses", parameters),
        action=views.link_to(path, here, [("after", after)] if after else []),
        chips=views.describe_conditions(view, studies, names_of(reviewers), catalogue, path, kept),
        cleared=views.link_to(path, kept),
        wanted=view.wanted,
        hidden=[pair for pair in parameters if pair[0] not in ("search", "state")],
        states=views.say_all(views.STATE_TEXTS, catalogue),
        questions=files.file_questions(view),
        of=of.lower(),
        count=page.count,
        tiles=_describe_tiles(page, base, parameters, catalogue),
        chosen=chosen,
        most=MOST_CHOSEN,
        allowed=allowed,
        **views.fields_of_decision(
            catalogue,
            text_of(form, "category") if form else "",
            text_of(form, "message") if form else "",
        ),
        refusal=refusal,
        notices=notices,
        previous=views.link_to(path, here, [("upto", page.before)]) if page.before else None,
        following=following,
        more=views.link_to(f"{path}/files", here, [("after", page.after)]) if page.after else None,
    )


@router.get("/workbench/collections/{collection_id}/gallery/files")
async def list_tiles(
    request: Request,
    context: CurrentContext,
    caller: SignedIn,
    collection_id: CollectionId,
    of: Text = "",
    after: After = "",
) -> Response:
    """More of the same, for the page's script: `tiles`, and where the next ones are."""
    base = _path(collection_id)
    async with context.database.transaction() as connection:
        view = await service.read_view(connection, caller, collection_id, request.query_params.multi_items())
        page = await files.list_file_page(
            connection, view, of, ROWS_AT_ONCE, after=after or None, counted=False
        )
    parameters = view.parameters()
    here = [*parameters, *([("of", of)] if of else [])]
    more = views.link_to(f"{base}/gallery/files", here, [("after", page.after)]) if page.after else None
    tiles = _describe_tiles(page, base, parameters, catalogue_of(request))
    return OrjsonResponse({"tiles": tiles, "more": more}, headers=HEADERS)


@router.get("/workbench/submissions/{submission_id}/answers")
async def list_answers(
    request: Request, context: CurrentContext, caller: SignedIn, submission_id: SubmissionId
) -> Response:
    """The answers of one response in words, for the page's script: what is shown beside a file."""
    async with context.database.transaction() as connection:
        view = await service.find_view(connection, caller, submission_id, [])
        found = await service.open_response(connection, view, submission_id)
    catalogue = catalogue_of(request)
    return OrjsonResponse(
        {
            "participant": found.row.participant_id,
            "state": views.state_text(found.row.status, catalogue),
            "pending": say_pending(found.pending, catalogue),
            "answers": [
                {"title": each["title"], "lines": each["lines"]}
                for page in views.pages_of(found.body, found.row.answers, found.files)
                for each in page
                if each["lines"]
            ],
        },
        headers=HEADERS,
    )


@router.post("/workbench/collections/{collection_id}/gallery")
async def decide(
    request: Request,
    context: CurrentContext,
    caller: SignedIn,
    collection_id: CollectionId,
    of: Text = "",
    after: After = "",
) -> Response:
    """Decide on the responses that were chosen (the decision is held for a while), write a note about them, or make an
    archive of them; all of them or none.

    A refusal is said on the page, with what was chosen and written."""
    form = await read_unknown_form(request)
    names = _chosen(form)
    go, message = text_of(form, "go"), text_of(form, "message").strip()
    try:
        ids = [parse_id("Submission", name) for name in names]
        if go == "download":
            return await _download(context, caller, collection_id, names)
        async with context.database.transaction() as connection:
            view = await service.read_view(
                connection, caller, collection_id, request.query_params.multi_items()
            )
            if go in DECISIONS:
                await deciding.hold_chosen(connection, view, ids, read_decision(form))
            elif go == "note":
                await deciding.note_chosen(connection, view, ids, message)
            else:
                raise invalid("go", "Unknown action.")
    except ValidationError:
        refusal, status = say_missing(form, catalogue_of(request)), 400
    except Problem as problem:
        if problem.type.status not in (400, 409, 429):
            raise
        refusal, status = views.say_problem(problem), problem.type.status
    else:
        return see_other(views.link_to(request.url.path, request.query_params.multi_items()))
    return await _show(
        request,
        context,
        caller,
        collection_id,
        of=of,
        after=after,
        chosen=frozenset(names),
        form=form,
        refusal=refusal,
        status=status,
    )


def _chosen(form: FormData) -> list[str]:
    """The responses that were chosen: one field for each, or all in one, as the script sends them."""
    single = [str(value) for value in form.getlist("submission")]
    return list(dict.fromkeys([*single, *text_of(form, "chosen").split()]))


async def _download(context: Context, caller: Caller, collection_id: UUID, names: list[str]) -> Response:
    if not names:
        raise invalid("submission", "Choose at least one response.")
    row, _ = await exports.request_export(context, caller, collection_id, given={"submission": names})
    return see_other(f"/researcher/collections/{row.collection_id}/exports/{row.id}")
