"""The participant's side of the API: start, look, answer, submit, return. Uploads are in `uploads/`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from fieldpack.server.collections.queries import get_version
from fieldpack.server.collections.service import find_item
from fieldpack.server.collections.shapes import describe_body
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import InstructionId, StudyId
from fieldpack.server.http.origin import origin_of
from fieldpack.server.http.routing import ApiRoute, discard_body, read_json
from fieldpack.server.pictures.references import make_absolute
from fieldpack.server.problems import PRECONDITION_FAILED, Problem, conflict, not_found
from fieldpack.server.submissions import lifecycle, queries
from fieldpack.server.submissions.access import (
    ParticipantRoute,
    ParticipantSubmission,
    earlier_token,
    given_token,
)
from fieldpack.server.submissions.answering.answers import describe_reading, normalise
from fieldpack.server.submissions.rows import SubmissionRow
from fieldpack.server.submissions.schemas import StartInput
from fieldpack.server.uploads.service import list_files

start_router = APIRouter(prefix="/participate", route_class=ApiRoute, tags=["participants"])
router = APIRouter(
    prefix="/participate/submissions/{submission_id}", route_class=ParticipantRoute, tags=["participants"]
)


async def describe(connection: Connection, row: SubmissionRow) -> dict[str, Any]:
    """A submission as its participant sees it, with the collection as it was when they started."""
    body = describe_body(await get_version(connection, row.collection_id, row.collection_version))
    answers = await queries.list_answers(connection, row.id)
    status, response = lifecycle.state_of(row)
    return {
        "submission_id": row.id,
        "study_id": row.study_id,
        "participant_id": row.participant_id,
        "status": status,
        "response": response,
        "started_at": row.started_at,
        "deadline_at": row.deadline_at,
        "completed_at": row.completed_at,
        "collection": {"id": row.collection_id, "version": row.collection_version, **body},
        "answers": {str(answer.instruction_id): answer.value for answer in answers},
        "revisions": {str(answer.instruction_id): answer.revision for answer in answers},
        "files": await list_files(connection, row.id),
    }


async def start_submission(
    context: Context, study_id: UUID, body: StartInput, token: str | None
) -> tuple[dict[str, Any], bool]:
    """Start or resume, as the API and the page both do; the answer, and whether the submission is new."""
    async with context.database.transaction() as connection:
        submission_id, new_token, created = await lifecycle.start(
            connection, study_id, body.participant_id, body.session_id, token
        )
        row = await queries.find_submission(connection, submission_id)
        assert row is not None
        answer = await describe(connection, row)
    return {**answer, "token": new_token}, created


@start_router.post(
    "/studies/{study_id}/submissions", status_code=201, responses={200: {"description": "Resumed"}}
)
async def start(
    request: Request, response: Response, context: CurrentContext, study_id: StudyId, body: StartInput
) -> dict[str, Any]:
    """Start a submission on a published study, or resume the one this participant and session have."""
    answer, created = await start_submission(context, study_id, body, earlier_token(request, study_id))
    response.status_code = 201 if created else 200
    return _with_pictures(request, context, answer)


def _with_pictures(request: Request, context: Context, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer with URLs at which who asked reaches the pictures."""
    return {**answer, "collection": make_absolute(answer["collection"], origin_of(request, context))}


@router.get("")
async def get_submission(
    request: Request, context: CurrentContext, submission: ParticipantSubmission
) -> dict[str, Any]:
    """Where the participant is: answers, files, and the collection as it was when they started.

    The token is the one that was sent; a cookie's is not shown to the page's scripts.
    """
    async with context.database.transaction() as connection:
        answer = {**await describe(connection, submission), "token": given_token(request)}
    return _with_pictures(request, context, answer)


@router.put(
    "/answers/{instruction_id}",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": ["object", "null"]}}},
        }
    },
)
async def save_answer(
    request: Request,
    context: CurrentContext,
    submission: ParticipantSubmission,
    instruction_id: InstructionId,
) -> dict[str, Any]:
    """Save one answer: the instruction's value shape less `type`; `null` clears it.

    Where a rule asks for a number, `read_as` is what the text is taken for, or `ambiguous` the two it may be.
    With `If-Match: <revision>` an answer that was changed elsewhere meanwhile is not overwritten (412).
    """
    given = await read_json(request)
    expected = request.headers.get("if-match")
    async with context.database.transaction() as connection:
        row = await queries.find_submission(connection, submission.id, lock=True)
        if row is None:
            raise not_found("Submission", submission.id)
        body = await get_version(connection, row.collection_id, row.collection_version)
        item = find_item(body, str(instruction_id))
        if item is None:
            raise not_found("Instruction", instruction_id)
        require_open(row)
        revision = await queries.find_revision(connection, row.id, instruction_id)
        if expected is not None and expected.strip('" ') not in ("*", str(revision)):
            raise Problem(
                PRECONDITION_FAILED,
                f"This answer was changed elsewhere: it is at revision {revision}."
                " Load it before saving again.",
            )
        if given is None:
            await queries.clear_answer(connection, row.id, instruction_id)
            return {"instruction_id": instruction_id, "answer": None, "revision": 0}
        answer = normalise(item, given)
        saved = await queries.save_answer(connection, row.id, instruction_id, answer)
    return {
        "instruction_id": instruction_id,
        "answer": answer,
        "revision": saved.revision,
        "saved_at": saved.updated_at,
        **describe_reading(item, answer),
    }


def require_open(row: SubmissionRow) -> None:
    """409 when answers and files can't change any more."""
    if row.response == "active":
        raise conflict("This submission was submitted; its answers and files can't change any more.")
    if row.status == "RETURNED":
        raise conflict("This submission was returned; its answers and files can't change any more.")


@router.post("/submit", dependencies=[Depends(discard_body)])
async def submit(context: CurrentContext, submission: ParticipantSubmission) -> dict[str, Any]:
    """Hand in: validated against the collection as it was when they started."""
    async with context.database.transaction() as connection:
        return await lifecycle.submit(connection, submission.id)


@router.post("/return", dependencies=[Depends(discard_body)])
async def return_submission(context: CurrentContext, submission: ParticipantSubmission) -> dict[str, Any]:
    """Give up the place; after submitting only if the researcher asked for it."""
    async with context.database.transaction() as connection:
        return await lifecycle.return_submission(connection, submission.id)
