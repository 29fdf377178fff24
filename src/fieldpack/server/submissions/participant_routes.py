"""The participant's side of the API: start, look, answer, submit, return. Uploads are in `uploads/`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from fieldpack.server.collections.versions import show_version
from fieldpack.server.context import Context
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import InstructionId, StudyId
from fieldpack.server.http.large import Participants
from fieldpack.server.http.origin import origin_of
from fieldpack.server.http.responses import OrjsonResponse, render_json
from fieldpack.server.http.routing import ApiRoute, discard_body, read_json
from fieldpack.server.problems import invalid, not_found
from fieldpack.server.submissions import lifecycle, queries
from fieldpack.server.submissions.access import (
    KnownRoute,
    ParticipantRoute,
    ParticipantSubmission,
    earlier_token,
    given_token,
    key_of,
    opened,
    remember,
    require_held,
)
from fieldpack.server.submissions.answering import handing_in, saving
from fieldpack.server.submissions.participation import describe, start_submission
from fieldpack.server.submissions.rows import HeldRow, SubmissionRow
from fieldpack.server.submissions.schemas import StartInput
from fieldpack.server.tickets.access import read_hosted
from fieldpack.server.tickets.personal import Ticket, read_ticket

start_router = APIRouter(prefix="/participate", route_class=ApiRoute, tags=["participants"])
SUBMISSION = "/participate/submissions/{submission_id}"
router = APIRouter(prefix=SUBMISSION, route_class=ParticipantRoute, tags=["participants"])
known_router = APIRouter(prefix=SUBMISSION, route_class=KnownRoute, tags=["participants"])


@start_router.post(
    "/studies/{study_id}/submissions",
    status_code=201,
    response_model=dict[str, Any],
    responses={200: {"description": "Resumed"}},
)
async def start(request: Request, context: CurrentContext, study_id: StudyId, body: StartInput) -> Response:
    """Start a submission on a published study, or resume the one this participant and session have."""
    ticket = await _read_ticket(request, context, study_id, body)
    token = earlier_token(request, study_id)
    answer, started = await start_submission(context, study_id, body, token, ticket=ticket)
    row = started.row
    remember(context, started.token, HeldRow(row.id, row.study_id, row.collection_id, row.collection_version))
    return _show(request, context, answer, row, 201 if started.created else 200)


async def _read_ticket(request: Request, context: Context, study_id: UUID, body: StartInput) -> Ticket | None:
    """What the link or token that was sent proves; None for a token where the study does not ask for signed links."""
    if not (body.link or body.prolific_token):
        return None
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


def _show(
    request: Request, context: Context, answer: dict[str, Any], row: SubmissionRow, status: int = 200
) -> Response:
    """The answer with URLs of pictures that work from where the client is."""
    shown = show_version(
        context.caches,
        row.collection_id,
        row.collection_version,
        answer["collection"],
        origin_of(request, context),
        render_json,
    )
    return OrjsonResponse({**answer, "collection": shown}, status_code=status)


@router.get("", response_model=dict[str, Any])
async def get_submission(
    request: Request, context: CurrentContext, submission: ParticipantSubmission
) -> Response:
    """A submission's state, answers and files, and the collection as it was when the participant started.

    `token` is the one that was sent in the header. A cookie's token is left out, so that scripts can't read it.
    """
    async with context.database.transaction() as connection:
        row = await queries.find_submission(connection, submission.id)
        if row is None:
            raise not_found("Submission", submission.id)
        answer = {**await describe(connection, context.caches, row), "token": given_token(request)}
    return _show(request, context, answer, row)


@known_router.put(
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
    given = await read_json(request, Participants)
    key = key_of(request)
    async with context.turns.saving(), context.database.statements() as connection:
        saved = await saving.save_all_at_once(connection, context.caches, submission, key, given)
    if saved is None:
        async with opened(request), context.saving() as connection:
            saved = await saving.save_answers(
                connection, context.caches, submission.id, key, given, context.settings.max_answers_bytes
            )
    return {"answers": saved}


@known_router.put(
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
    With `If-Match: <revision>`, or `"revision"` beside the value, an answer that was changed elsewhere meanwhile is not
    overwritten (412).
    """
    given = await read_json(request, Participants)
    revision = saving.read_seen(given, request.headers.get("if-match"))
    async with context.turns.saving(), context.database.statements() as connection:
        saved = await saving.save_at_once(
            connection, context.caches, submission, key_of(request), instruction_id, given, revision
        )
    if saved is not None:
        return saved
    await require_held(request)
    async with context.saving() as connection:
        return await saving.save_answer(
            connection,
            context.caches,
            submission.id,
            instruction_id,
            given,
            revision,
            context.settings.max_answers_bytes,
        )


@known_router.post("/submit", dependencies=[Depends(discard_body)])
async def submit(
    request: Request, context: CurrentContext, submission: ParticipantSubmission
) -> dict[str, Any]:
    """Submit. Answers are validated against the collection as it was when the participant started."""
    async with opened(request), context.turns.saving(), context.database.statements() as connection:
        return await handing_in.submit(connection, context.caches, submission, key_of(request))


@router.post("/return", dependencies=[Depends(discard_body)])
async def return_submission(context: CurrentContext, submission: ParticipantSubmission) -> dict[str, Any]:
    """Return the submission, which frees its place. After submitting only if the researcher asked for it."""
    async with context.database.transaction() as connection:
        return await lifecycle.return_submission(connection, submission.id)
