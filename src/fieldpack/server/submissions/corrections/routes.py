"""`/submissions/{submission_id}/corrections`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute, asks
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import FileKey, SubmissionId
from fieldpack.server.http.intake.forms import MULTIPART
from fieldpack.server.http.listing import envelope
from fieldpack.server.submissions.corrections import files, service
from fieldpack.server.submissions.corrections.forms import open_form, read_file, read_reason, read_version
from fieldpack.server.submissions.corrections.schemas import Correction
from fieldpack.server.submissions.corrections.service import describe_correction

router = APIRouter(route_class=ResearcherRoute, tags=["corrections"])

FORM = {
    MULTIPART: {
        "schema": {
            "type": "object",
            "required": ["file", "reason"],
            "properties": {
                "file": {"type": "string", "format": "binary"},
                "reason": {"type": "string"},
                "version": {"type": "integer"},
            },
        }
    }
}


@router.get("/submissions/{submission_id}/corrections")
async def list_corrections(
    context: CurrentContext, caller: CurrentCaller, submission_id: SubmissionId
) -> dict[str, Any]:
    """Every correction of a submission's answers, oldest first: who, when, why, what was there before and after."""
    async with context.database.transaction() as connection:
        found = await service.list_corrections(connection, caller, submission_id)
    return envelope([describe_correction(each) for each in found], len(found))


@router.post("/submissions/{submission_id}/corrections", status_code=201)
@asks(Action.RESPONSES_CORRECT)
async def correct_answer(
    context: CurrentContext, caller: CurrentCaller, submission_id: SubmissionId, body: Correction
) -> dict[str, Any]:
    """Put another answer in an answer's place, by the rules that its participant had; what it was stays."""
    async with context.database.transaction() as connection:
        made = await service.correct_answer(
            connection,
            context.caches,
            caller,
            submission_id,
            body.instruction_id,
            body.answer,
            reason=body.reason,
            version=body.version,
        )
    return describe_correction(made)


@router.post(
    "/submissions/{submission_id}/corrections/files/{file_key}",
    status_code=201,
    openapi_extra={"requestBody": {"required": True, "content": FORM}},
)
async def replace_file(
    request: Request,
    context: CurrentContext,
    caller: CurrentCaller,
    submission_id: SubmissionId,
    file_key: FileKey,
) -> dict[str, Any]:
    """Put another file in a file's place: a form with `file`, `reason` and, if one was seen, the `version`."""
    limit_bytes = await files.find_limit(context, caller, submission_id, file_key)
    async with open_form(request, context, limit_bytes) as form:
        reason, version = (str(form.get(name) or "") for name in ("reason", "version"))
        made = await files.replace_file(
            context,
            caller,
            submission_id,
            file_key,
            read_file(form, limit_bytes),
            reason=read_reason(reason),
            version=read_version(version),
        )
    return describe_correction(made)
