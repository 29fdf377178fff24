"""What the forms of a response's page post, that correct an answer or replace a file."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.collections.versions import get_items
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import FileKey, SubmissionId
from fieldpack.server.http.routing import parse_id
from fieldpack.server.problems import Problem, not_found
from fieldpack.server.submissions import service as submissions
from fieldpack.server.submissions.corrections import files, service
from fieldpack.server.submissions.corrections.forms import open_form, read_file, read_reason, read_version
from fieldpack.server.web.participants.forms import read_answer, text_of
from fieldpack.server.web.workbench import views
from fieldpack.server.web.workbench.correcting.views import Draft
from fieldpack.server.web.workbench.responses import show_again
from fieldpack.server.web.workbench.signed_in import SignedIn, WorkbenchRoute, see_other

router = APIRouter(route_class=WorkbenchRoute, include_in_schema=False)

SHOWN = (400, 409, 413, 415)  # refusals that are said on the page, beside what was typed


def _back(request: Request, submission_id: SubmissionId, question: str) -> Response:
    path = views.link_to(f"/workbench/submissions/{submission_id}", request.query_params.multi_items())
    return see_other(f"{path}#answer-{question}")


@router.post("/workbench/submissions/{submission_id}/corrections")
async def correct_answer(
    request: Request, context: CurrentContext, caller: SignedIn, submission_id: SubmissionId
) -> Response:
    """Put another answer in an answer's place. A refusal is shown on the page, with what was typed."""
    async with context.database.transaction() as connection:
        row = await submissions.get_submission(connection, caller, submission_id, Action.RESPONSES_CORRECT)
        items = await get_items(connection, context.caches, row.collection_id, row.collection_version)
    async with open_form(request, context, 0) as form:
        question = str(parse_id("Instruction", text_of(form, "question")))
        item = items.get(question)
        if item is None:
            raise not_found("Instruction", question)
        reason, version = text_of(form, "reason"), text_of(form, "version")
        given: dict[str, Any] | None = None
        try:
            if text_of(form, "go") != "clear":
                given = read_answer(item, form)
            async with context.database.transaction() as connection:
                await service.correct_answer(
                    connection,
                    context.caches,
                    caller,
                    submission_id,
                    parse_id("Instruction", question),
                    given if given and given["value"] else None,
                    reason=read_reason(reason),
                    version=read_version(version),
                )
        except Problem as problem:
            if problem.type.status not in SHOWN:
                raise
            draft = Draft(question, given, reason)
            return await show_again(request, context, caller, submission_id, problem, draft)
    return _back(request, submission_id, question)


@router.post("/workbench/submissions/{submission_id}/corrections/files/{file_key}")
async def replace_file(
    request: Request,
    context: CurrentContext,
    caller: SignedIn,
    submission_id: SubmissionId,
    file_key: FileKey,
) -> Response:
    """Put another file in a file's place. A refusal is shown on the page, with the reason that was typed."""
    reason = ""
    try:
        limit_bytes = await files.find_limit(context, caller, submission_id, file_key)
        async with open_form(request, context, limit_bytes) as form:
            reason = text_of(form, "reason")
            made = await files.replace_file(
                context,
                caller,
                submission_id,
                file_key,
                read_file(form, limit_bytes),
                reason=read_reason(reason),
                version=read_version(text_of(form, "version")),
            )
    except Problem as problem:
        if problem.type.status not in SHOWN:
            raise
        draft = Draft(str(file_key), None, reason)
        return await show_again(request, context, caller, submission_id, problem, draft)
    return _back(request, submission_id, str(made.instruction_id))
