"""The participant's side of the API: start, look, answer, submit, return. Uploads are in `uploads/`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from fieldpack.server.context import Context
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import InstructionId, StudyId
from fieldpack.server.http.origin import origin_of
from fieldpack.server.http.routing import ApiRoute, discard_body, read_json
from fieldpack.server.pictures.references import make_absolute
from fieldpack.server.problems import invalid, not_found
from fieldpack.server.submissions import lifecycle, queries
from fieldpack.server.submissions.access import (
    ParticipantRoute,
    ParticipantSubmission,
    earlier_token,
    given_token,
)
from fieldpack.server.submissions.answering import saving
from fieldpack.server.submissions.participation import describe, start_submission
from fieldpack.server.submissions.schemas import StartInput
from fieldpack.server.tickets.access import read_hosted
from fieldpack.server.tickets.personal import Ticket, read_ticket

start_router = APIRouter(prefix="/participate", route_class=ApiRoute, tags=["participants"])
router = APIRouter(
    prefix="/participate/submissions/{submission_id}", route_class=ParticipantRoute, tags=["participants"]
)


@start_router.post(
    "/studies/{study_id}/submissions", status_code=201, responses={200: {"description": "Resumed"}}
)
async def start(
    request: Request, response: Response, context: CurrentContext, study_id: StudyId, body: StartInput
) -> dict[str, Any]:
    """Start a submission on a published study, or resume the one this participant and session have."""
    ticket = await _read_ticket(request, context, study_id, body)
    token = earlier_token(request, study_id)
    answer, created = await start_submission(context.database, study_id, body, token, ticket=ticket)
    response.status_code = 201 if created else 200
    return _with_pictures(request, context, answer)


async def _read_ticket(request: Request, context: Context, study_id: UUID, body: StartInput) -> Ticket | None:
    """What the link or token that was sent proves; None for a token where the study does not ask for signed links."""
    async with context.database.transaction() as connection:
        study = await lifecycle.find_study(connection, study_id)
        if body.link:
            return await read_ticket(connection, study_id, body.link, body.participant_id)
    if not body.prolific_token or study.resume != "signed":
        return None
    parameters = [("SESSION_ID", body.session_id)] if body.session_id else []
    ticket = await read_hosted(request, context, study_id, body.prolific_token, parameters)
    if ticket.participant_id != body.participant_id:
        raise invalid("participant_id", "Is not the one that the token was made for.")
    return ticket


def _with_pictures(request: Request, context: Context, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer with URLs of pictures that work from where the client is."""
    return {**answer, "collection": make_absolute(answer["collection"], origin_of(request, context))}


@router.get("")
async def get_submission(
    request: Request, context: CurrentContext, submission: ParticipantSubmission
) -> dict[str, Any]:
    """A submission's state, answers and files, and the collection as it was when the participant started.

    `token` is the one that was sent in the header. A cookie's token is left out, so that scripts can't read it.
    """
    async with context.database.transaction() as connection:
        row = await queries.find_submission(connection, submission.id)
        if row is None:
            raise not_found("Submission", submission.id)
        answer = {**await describe(connection, row), "token": given_token(request)}
    return _with_pictures(request, context, answer)


@router.put(
    "/answers",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"type": "object", "additionalProperties": {"type": ["object", "null"]}}
                }
            },
        }
    },
)
async def save_answers(
    request: Request, context: CurrentContext, submission: ParticipantSubmission
) -> dict[str, Any]:
    """Save several answers, all or none: an object of instruction ids, each with what is sent for one answer.

    A value may carry `revision`; one that was changed elsewhere meanwhile is refused (412), and so are all.
    Refusals are by instruction id.
    """
    given = await read_json(request)
    async with context.database.transaction() as connection:
        return {"answers": await saving.save_answers(connection, context.caches, submission.id, given)}


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
    seen = expected.strip('" ') if expected is not None else "*"
    async with context.database.transaction() as connection:
        return await saving.save_answer(
            connection, context.caches, submission.id, instruction_id, given, seen if seen != "*" else None
        )


@router.post("/submit", dependencies=[Depends(discard_body)])
async def submit(context: CurrentContext, submission: ParticipantSubmission) -> dict[str, Any]:
    """Submit. Answers are validated against the collection as it was when the participant started."""
    async with context.database.transaction() as connection:
        return await lifecycle.submit(connection, submission.id)


@router.post("/return", dependencies=[Depends(discard_body)])
async def return_submission(context: CurrentContext, submission: ParticipantSubmission) -> dict[str, Any]:
    """Return the submission, which frees its place. After submitting only if the researcher asked for it."""
    async with context.database.transaction() as connection:
        return await lifecycle.return_submission(connection, submission.id)
