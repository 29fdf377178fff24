"""Starting a submission or resuming one: which of a participant's submissions it is, and whether another may begin."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from uuid import UUID, uuid4

from fieldpack.server.audit.service import PARTICIPANT, write_entry
from fieldpack.server.db.pool import Connection, begin_in_pipeline
from fieldpack.server.problems import (
    ALREADY_TAKEN_PART,
    RESUME_CODE_NEEDED,
    SIGNED_LINK_NEEDED,
    STUDY_CLOSED,
    STUDY_FULL,
    STUDY_PAUSED,
    STUDY_UNPUBLISHED,
    Problem,
    not_found,
)
from fieldpack.server.studies import queries as study_queries
from fieldpack.server.studies.completion_codes import find_participant_code
from fieldpack.server.studies.resuming import Resume, resume_on_page
from fieldpack.server.studies.rows import StudyRow
from fieldpack.server.submissions import queries
from fieldpack.server.submissions.admission import require_admitted
from fieldpack.server.submissions.beginning import code_queries
from fieldpack.server.submissions.beginning.codes import give_code
from fieldpack.server.submissions.lifecycle import find_study, free_overdue_places, hash_token
from fieldpack.server.submissions.rows import SubmissionRow
from fieldpack.server.tickets.personal import Ticket, used
from fieldpack.server.tickets.queries import link_ticket, use_ticket

__all__ = ["Started", "Visitor", "has_begun", "is_code_needed", "start"]

TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Started:
    """A submission that may be gone on with.

    Attributes:
        token: a new one, which opens it.
        created: it began just now.
    """

    row: SubmissionRow
    token: str
    created: bool


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who wants to take part, and what they have shown.

    Attributes:
        participant_id: of the link or the request.
        session_id: of the link or the request.
        token: of an earlier submission, from the header or from the page's cookie.
        coded: the submission whose code they gave.
        ticket: a personal or secured link that was checked already.
        on_page: they came by a page, where ids that can be guessed are not enough.
        another: the submission of `token` is over, and they want to begin another one.
    """

    participant_id: str
    session_id: str | None = None
    token: str | None = None
    coded: UUID | None = None
    ticket: Ticket | None = None
    on_page: bool = False
    another: bool = False


async def start(connection: Connection, study_id: UUID, visitor: Visitor) -> Started:
    """Start a submission, or resume the participant's own. Locks the study until commit.

    Raises:
        Problem: 404 for an unknown study; 403 when its targeting excludes the participant; 409 when it is unpublished,
            closed, paused or full, when the participant has taken part as often as they may, or when their ids are not
            enough to go on.
    """
    async with begin_in_pipeline(connection):
        asked = await study_queries.ask_study(connection, study_id, lock=True)
        others = await queries.ask_of_participant(connection, study_id, visitor.participant_id)
        late = await queries.ask_overdue(connection, study_id)
        latest = await study_queries.ask_version(connection, study_id)
    study = await asked.fetchone()
    earlier, is_late = await others.fetchall(), await late.fetchone() is not None
    version = await latest.fetchone()
    if study is None or version is None:
        raise not_found("Study", study_id)
    if study.status == "SCHEDULED" and await study_queries.publish_due(connection, study_id):
        study = await find_study(connection, study_id)
    if study.status in ("UNPUBLISHED", "SCHEDULED"):
        raise Problem(STUDY_UNPUBLISHED, "This study is not open yet.")
    if study.status == "COMPLETED":
        raise Problem(STUDY_CLOSED, "This study is closed.")
    held = await _find_held(connection, earlier, visitor)
    if held is not None and _is_gone_on_with(held, visitor):
        return await _go_on(connection, held.id)
    if study.resume == "signed" and visitor.ticket is None:
        raise Problem(
            SIGNED_LINK_NEEDED,
            "This study is opened by a participant's own signed link (`link` or `prolific_token`), not by ids.",
        )
    resumed = await _find_resumed(connection, study, earlier, held, visitor)
    if resumed is not None:
        await _take_ticket(connection, visitor.ticket, resumed.id)
        return await _go_on(connection, resumed.id)
    _check_times_taken_part(study, earlier)
    await require_admitted(connection, study, visitor.participant_id)
    if study.status == "PAUSED":
        raise Problem(STUDY_PAUSED, "This study is paused. Try again later.")
    if is_late and await free_overdue_places(connection, study_id):
        study = await find_study(connection, study_id)
    if study.status == "AWAITING REVIEW" and not study.test:
        raise _full()
    return await _begin(connection, study, visitor, earlier, version)


def _full() -> Problem:
    return Problem(STUDY_FULL, "This study is full: all its places are taken.")


async def _begin(
    connection: Connection, study: StudyRow, visitor: Visitor, earlier: list[SubmissionRow], version: int
) -> Started:
    """Take a place and make the submission, all in one go: nothing of it stays unless there was a place."""
    submission_id = uuid4()
    code = find_participant_code(study.fields["completion_codes"])
    async with connection.pipeline():
        place = await study_queries.ask_place(connection, study.id) if not study.test else None
        await queries.insert_submission(
            connection,
            submission_id,
            study.id,
            study.collection_id,
            version,
            visitor.participant_id,
            visitor.session_id,
            ordinal=max((row.ordinal for row in earlier), default=0) + 1,
            minutes=study.maximum_allowed_time,
            study_code=code["code"] if code else None,
            test=study.test,
        )
        await give_code(connection, submission_id)
        await write_entry(connection, PARTICIPANT, "submission.start", submission_id=submission_id)
        token = await _new_token(connection, submission_id)
        made = await queries.ask_submission(connection, submission_id, None)
    if place is not None and await place.fetchone() is None:
        raise _full()
    row = await made.fetchone()
    assert row is not None
    await _take_ticket(connection, visitor.ticket, submission_id)
    return Started(row, token, created=True)


async def _go_on(connection: Connection, submission_id: UUID) -> Started:
    """A new token for a submission that was begun before."""
    token = await _new_token(connection, submission_id)
    row = await queries.find_submission(connection, submission_id)
    assert row is not None
    return Started(row, token, created=False)


async def _find_held(
    connection: Connection, earlier: list[SubmissionRow], visitor: Visitor
) -> SubmissionRow | None:
    """The submission of the visitor's earlier token; None without one."""
    held = await queries.find_by_token(connection, hash_token(visitor.token)) if visitor.token else None
    return next((row for row in earlier if row.id == held), None)


def _is_gone_on_with(held: SubmissionRow, visitor: Visitor) -> bool:
    """Whether the visitor, who has the token of this submission, wants to go on with it."""
    if visitor.session_id:
        return held.session_id == visitor.session_id
    return not visitor.another


async def _find_resumed(
    connection: Connection,
    study: StudyRow,
    earlier: list[SubmissionRow],
    held: SubmissionRow | None,
    visitor: Visitor,
) -> SubmissionRow | None:
    """The participant's submission that this visitor may resume; None to begin another one.

    Raises:
        Problem: 409 when they have not shown that they are this participant.
    """
    of_session = next(
        (row for row in earlier if visitor.session_id and row.session_id == visitor.session_id), None
    )
    if visitor.ticket is not None:
        if visitor.ticket.session_id is not None:
            return of_session
        return earlier[0] if earlier and not visitor.another else None
    coded = next((row for row in earlier if row.id == visitor.coded), None)
    if coded is not None:
        return coded
    resume = await _resume_of(connection, study, earlier, visitor) if earlier else "link"
    if resume == "link":
        return of_session
    if held is None or of_session is not None:
        raise Problem(
            RESUME_CODE_NEEDED,
            "This participant has begun already. Going on takes the code that the pages of the submission show"
            " (`resume_code`), an earlier token, or the browser that it was begun in.",
        )
    return None


async def _take_ticket(connection: Connection, ticket: Ticket | None, submission_id: UUID) -> None:
    """Store that a link that works once was used.

    Raises:
        Problem: 403 when another request was first.
    """
    if ticket is None:
        return
    if ticket.once:
        if not await use_ticket(connection, ticket.id, ticket.expires_at, submission_id):
            raise used()
    else:
        await link_ticket(connection, ticket.id, submission_id)


async def _resume_of(
    connection: Connection, study: StudyRow, earlier: list[SubmissionRow], visitor: Visitor
) -> Resume:
    """What this visitor has to show. Submissions from before there were codes have none, so there the study's link
    is enough."""
    resume = resume_on_page(study.resume, visitor.session_id) if visitor.on_page else study.resume
    if resume == study.resume or await code_queries.list_codes(connection, [row.id for row in earlier]):
        return resume
    return study.resume


async def is_code_needed(connection: Connection, study: StudyRow, visitor: Visitor) -> bool:
    """Whether a visitor of the pages who has no token has to give a code."""
    if visitor.ticket is not None:
        return False
    earlier = await queries.list_of_participant(connection, study.id, visitor.participant_id)
    return bool(earlier) and await _resume_of(connection, study, earlier, visitor) == "code"


async def has_begun(connection: Connection, study: StudyRow, visitor: Visitor) -> bool:
    """Whether there is a submission that this visitor would resume."""
    if not visitor.participant_id or not (visitor.session_id or visitor.ticket):
        return False
    earlier = await queries.list_of_participant(connection, study.id, visitor.participant_id)
    return any(not visitor.session_id or row.session_id == visitor.session_id for row in earlier)


def _check_times_taken_part(study: StudyRow, earlier: list[SubmissionRow]) -> None:
    most = study.max_submissions_per_participant
    if most != -1 and len(earlier) >= max(most, 1):
        raise Problem(
            ALREADY_TAKEN_PART,
            "You have taken part in this study already."
            if most <= 1
            else f"You have taken part in this study {len(earlier)} times, as often as it allows.",
        )
    running = sum(1 for row in earlier if row.status == "ACTIVE" and row.response == "in_progress")
    if 0 < study.max_concurrent_submissions <= running:
        raise Problem(ALREADY_TAKEN_PART, "Finish the submission you have begun before starting another.")


async def _new_token(connection: Connection, submission_id: UUID) -> str:
    """A new token for this submission. Earlier ones stay valid."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    await queries.keep_token(connection, submission_id, hash_token(token))
    return token
