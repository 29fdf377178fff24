"""The page that a study's link leads to, and how a participant starts or resumes from there."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import RedirectResponse

from fieldpack.server.collections.queries import find_collection
from fieldpack.server.context import Context
from fieldpack.server.http.authentication import mark_authenticated
from fieldpack.server.http.cookies import keep_submission, read_remembered
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import StudyId
from fieldpack.server.http.intake.forms import read_unknown_form
from fieldpack.server.problems import INVALID, RESUME_CODE_NEEDED, RESUME_CODE_WRONG, Problem
from fieldpack.server.submissions import lifecycle
from fieldpack.server.submissions.admission import NOT_ADMITTED_DETAIL, is_admitted
from fieldpack.server.submissions.beginning.start import Visitor, has_begun, is_code_needed
from fieldpack.server.submissions.participation import start_submission
from fieldpack.server.submissions.schemas import StartInput
from fieldpack.server.tickets.access import find_kept, keep_opened, read_hosted
from fieldpack.server.tickets.addresses import OWN_ID
from fieldpack.server.tickets.hosted import TOKEN
from fieldpack.server.tickets.personal import Ticket, read_ticket, require_unused
from fieldpack.server.values.participant_ids import MAX_GIVEN, MAX_ID, normalise_participant_id
from fieldpack.server.values.placeholders import is_no_participant, is_no_session
from fieldpack.server.web import queries
from fieldpack.server.web.participants.contacts import StudyPageRoute
from fieldpack.server.web.participants.forms import text_of
from fieldpack.server.web.rendering import catalogue_of, render, state_page
from fieldpack.server.web.rows import ResumableRow

__all__ = ["Text", "router", "see_other"]

router = APIRouter(route_class=StudyPageRoute, include_in_schema=False)

Text = Annotated[str, Query()]
MAX_CODE = 200


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the link or the form says about the visitor, and what the page shows.

    Attributes:
        participant_id, session_id, link: empty where nothing is said.
        known: a submission that this browser has the token of, and that the page is to offer.
        holds_key: this browser has the token of a submission of this participant.
        ask_code: ask for the code, whatever is said.
        entered: what the field for the id contains.
        error: what is wrong with what was given, in the reader's language.
        status: HTTP status of the answer.
    """

    participant_id: str
    session_id: str
    link: str = ""
    known: ResumableRow | None = None
    holds_key: bool = False
    ask_code: bool = False
    entered: str = ""
    error: str = ""
    status: int = 200


def _id_of(text: str) -> str:
    """The participant's id as it is stored; empty where it has no visible character, is too long, or is a
    placeholder."""
    found = normalise_participant_id(text) if len(text) <= MAX_GIVEN else ""
    return "" if is_no_participant(found) else found


def see_other(path: str) -> RedirectResponse:
    """Redirect to another page of ours by GET."""
    return RedirectResponse(path, status_code=303, headers={"Cache-Control": "no-store"})


@router.get("/participate/{study_id}")
async def show_study(
    request: Request,
    context: CurrentContext,
    study_id: StudyId,
    PROLIFIC_PID: Text = "",
    SESSION_ID: Text = "",
    link: Text = "",
    ids: Text = "",
    prolific_token: Text = "",
) -> Response:
    """The page of a study's link. Looking takes no place. A browser that has the token of a submission goes on with
    it. A link that makes ids leads to one with a new id, under which a reload resumes."""
    participant_id, session_id = _id_of(PROLIFIC_PID), SESSION_ID.strip()
    session_id = "" if is_no_session(session_id) else session_id
    _check_link(PROLIFIC_PID, participant_id, session_id)
    known = await _find_known(request, context, study_id)
    is_own = known is not None and participant_id == known.participant_id
    if known is not None and is_own and _same_session(known, session_id) and (session_id or not known.again):
        return see_other(f"/participate/submissions/{known.id}?again=1")
    if ids == OWN_ID and not participant_id:
        if known is not None and not known.again:
            return see_other(f"/participate/submissions/{known.id}?again=1")
        made = {"PROLIFIC_PID": f"own-{secrets.token_hex(8)}", "SESSION_ID": secrets.token_hex(16)}
        return see_other(f"/participate/{study_id}?{urlencode(made)}")
    if prolific_token and await _is_signed(context, study_id):
        return await _open_hosted(request, context, study_id, prolific_token)
    shown = known if known is not None and (session_id or not known.again) and not participant_id else None
    return await _show_study(
        request, context, study_id, _Asked(participant_id, session_id, link, known=shown, holds_key=is_own)
    )


async def _is_signed(context: Context, study_id: UUID) -> bool:
    async with context.database.transaction() as connection:
        return (await lifecycle.find_study(connection, study_id)).resume == "signed"


async def _open_hosted(request: Request, context: Context, study_id: UUID, token: str) -> Response:
    """Redeem a hosted service's token in this browser, and redirect to an address without it, because addresses are
    kept in histories and logs."""
    given = [each for each in request.query_params.multi_items() if each[0] != TOKEN]
    ticket = await read_hosted(request, context, study_id, token, given)
    query = {**dict(given), "PROLIFIC_PID": ticket.participant_id, "SESSION_ID": ticket.session_id}
    response = see_other(f"/participate/{study_id}?{urlencode(query)}")
    if request.method == "GET":  # HEAD does not redeem it
        await keep_opened(request, response, context, study_id, ticket)
    return response


async def _find_ticket(
    request: Request, context: Context, study_id: UUID, asked: _Asked
) -> tuple[bool, Ticket | None]:
    """Whether the study asks for a signed link, and what this visitor's link proves."""
    async with context.database.transaction() as connection:
        study = await lifecycle.find_study(connection, study_id)
        if asked.link:
            ticket = await read_ticket(connection, study_id, asked.link, asked.participant_id)
            return study.resume == "signed", ticket
    if study.resume != "signed":
        return False, None
    session_id = asked.session_id or None
    return True, await find_kept(request, context, study_id, asked.participant_id, session_id)


def _check_link(given: str, participant_id: str, session_id: str) -> None:
    if "\0" in given + session_id or len(participant_id or given) > MAX_ID or len(session_id) > MAX_ID:
        raise Problem(INVALID, "PROLIFIC_PID and SESSION_ID have at most 200 characters.")


def _same_session(known: ResumableRow, session_id: str) -> bool:
    return not session_id or known.session_id in (None, session_id)


async def _find_known(request: Request, context: Context, study_id: UUID) -> ResumableRow | None:
    """The submission to this study that this browser has the token of."""
    found = read_remembered(request, study_id)
    if found is None:
        return None
    token_sha256 = lifecycle.hash_token(found.key.value)
    async with context.database.transaction() as connection:
        known = await queries.find_resumable(
            connection, found.submission_id, study_id, token_sha256, found.key.made_before
        )
    if known is not None:
        mark_authenticated(request)
    return known


async def _show_study(request: Request, context: Context, study_id: UUID, asked: _Asked) -> Response:
    is_signed, ticket = await _find_ticket(request, context, study_id, asked)
    participant_id, known = asked.participant_id, asked.known
    session_id = (ticket.session_id or "") if ticket else asked.session_id
    async with context.database.transaction() as connection:
        study = await lifecycle.find_study(connection, study_id)
        collection = await find_collection(connection, study.collection_id)
        assert collection is not None
        if ticket is not None:
            await require_unused(connection, ticket)
        visitor = Visitor(participant_id, session_id, ticket=ticket, on_page=True)
        ask_code = asked.ask_code or (
            bool(participant_id) and not asked.holds_key and await is_code_needed(connection, study, visitor)
        )
        can_start = ticket is not None or not is_signed
        begun = can_start and not ask_code and await has_begun(connection, study, visitor)
        admitted = (
            not participant_id or begun or ask_code or await is_admitted(connection, study, participant_id)
        )
    state = {"UNPUBLISHED": "unpublished", "COMPLETED": "closed"}.get(study.status)
    if state is None and not begun and not ask_code and known is None:
        state = {"PAUSED": "paused", "AWAITING REVIEW": "full"}.get(study.status)
    if state is not None and (known is None or known.response != "in_progress"):
        return state_page(request, state)
    if known is not None and known.response == "active":
        known = None
    if not can_start and known is None:
        return state_page(request, "signed_needed", status=403)
    if not admitted:
        return state_page(request, "not_admitted", status=403, sentence=NOT_ADMITTED_DETAIL)
    return render(
        request,
        "start.html",
        status=asked.status,
        task=collection.body["task_details"],
        minutes=study.fields.get("estimated_completion_time"),
        limit=study.maximum_allowed_time,
        study_id=study_id,
        participant_id=participant_id,
        session_id=session_id,
        link=asked.link,
        can_start=can_start,
        begun=begun,
        known=known,
        ask_code=ask_code,
        entered=asked.entered,
        error=asked.error,
        preview="",
    )


@router.post("/participate/{study_id}")
async def start(request: Request, context: CurrentContext, study_id: StudyId) -> Response:
    """The start button: takes a place, or resumes."""
    form = await read_unknown_form(request)
    given, code = text_of(form, "participant_id"), text_of(form, "resume_code")[:MAX_CODE]
    participant_id, session_id = _id_of(given), text_of(form, "session_id")
    words = catalogue_of(request)
    if not participant_id or len(participant_id) > MAX_ID or len(session_id) > MAX_ID:
        is_long = participant_id or len(given) > MAX_GIVEN
        error = words.text("start.ask_id_long") if is_long else words.text("start.ask_id_missing")
        entered = (participant_id or given)[:MAX_ID]
        asked = _Asked("", session_id[:MAX_ID], entered=entered, error=error, status=400)
        return await _show_study(request, context, study_id, asked)
    held = read_remembered(request, study_id)
    known = await _find_known(request, context, study_id)
    asked = _Asked(participant_id, session_id, text_of(form, "link"))
    _, ticket = await _find_ticket(request, context, study_id, asked)
    try:
        answer, _ = await start_submission(
            context,
            study_id,
            StartInput(participant_id=participant_id, session_id=session_id, resume_code=code),
            held.key.value if held and known else None,
            ticket=ticket,
            on_page=True,
            another=known is not None and known.again,
        )
    except Problem as problem:
        if problem.type not in (RESUME_CODE_NEEDED, RESUME_CODE_WRONG):
            raise
        is_wrong = problem.type is RESUME_CODE_WRONG
        error = words.text("start.code_wrong") if is_wrong else ""
        asked = _Asked(participant_id, session_id, ask_code=True, error=error, status=problem.type.status)
        return await _show_study(request, context, study_id, asked)
    response = see_other(f"/participate/submissions/{answer['submission_id']}")
    keep_submission(request, response, study_id, answer["submission_id"], answer["token"])
    return response
