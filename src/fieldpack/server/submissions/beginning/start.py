"""Starting a submission or resuming one: which of a participant's submissions it is, and whether another may begin."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass
from uuid import UUID, uuid4

from psycopg.errors import UniqueViolation

from fieldpack.server.audit.service import PARTICIPANT, write_entry
from fieldpack.server.db.pool import Connection
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
from fieldpack.server.submissions.beginning.codes import MOST_GUESSES, make_code
from fieldpack.server.submissions.beginning.queries import BegunRow, NewSubmission, ask_begin
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


@dataclass(frozen=True, slots=True)
class _Seen:
    """What there is when somebody comes."""

    study: StudyRow
    earlier: list[SubmissionRow]  # the participant's own to this study


async def start(connection: Connection, study_id: UUID, visitor: Visitor) -> Started:
    """Start a submission, or resume the participant's own.

    Where many come at once, only the place is disputed. So what there is is read without a lock, and one transaction,
    which is sent in one go, takes the place and stores the submission. Whoever goes on, has a link that counts, or was
    not the first, is looked at again with the study locked.

    Args:
        connection: of `Database.statements`.

    Raises:
        Problem: 404 for an unknown study; 403 when its targeting excludes the participant; 409 when it is unpublished,
            closed, paused or full, when the participant has taken part as often as they may, or when their ids are not
            enough to go on.
    """
    if visitor.ticket is None:
        seen = await _look(connection, study_id, visitor)
        if not await _is_due(connection, seen.study) and await _choose(connection, seen, visitor) is None:
            with contextlib.suppress(UniqueViolation):  # another request of theirs was first
                started = await _begin(connection, seen, visitor)
                if started is not None:
                    return started
    async with connection.transaction():
        await _settle(connection, await find_study(connection, study_id, lock=True))
        seen = await _look(connection, study_id, visitor)
        chosen = await _choose(connection, seen, visitor)
        if chosen is not None:
            return await _go_on(connection, chosen)
        started = await _begin(connection, seen, visitor)
        if started is None:
            raise _full()
        await _take_ticket(connection, visitor.ticket, started.row.id)
        return started


async def _look(connection: Connection, study_id: UUID, visitor: Visitor) -> _Seen:
    async with connection.pipeline():
        asked = await study_queries.ask_study(connection, study_id)
        others = await queries.ask_of_participant(connection, study_id, visitor.participant_id)
    study = await asked.fetchone()
    if study is None:
        raise not_found("Study", study_id)
    return _Seen(study, await others.fetchall())


async def _is_due(connection: Connection, study: StudyRow) -> bool:
    """Whether there may be something for `_settle` to do, without which nobody can start."""
    if study.status == "AWAITING REVIEW":
        return await queries.is_any_overdue(connection, study.id)
    return study.status == "SCHEDULED"


async def _settle(connection: Connection, study: StudyRow) -> None:
    """Do what time has brought: publish a study that is due, free places of a full one. The caller has locked it."""
    if study.status == "SCHEDULED":
        await study_queries.publish_due(connection, study.id)
    elif study.status == "AWAITING REVIEW":
        await free_overdue_places(connection, study.id)


async def _choose(connection: Connection, seen: _Seen, visitor: Visitor) -> UUID | None:
    """The submission that this visitor goes on with; None to begin another one. Raises what `start` does."""
    study, earlier = seen.study, seen.earlier
    if study.status in ("UNPUBLISHED", "SCHEDULED"):
        raise Problem(STUDY_UNPUBLISHED, "This study is not open yet.")
    if study.status == "COMPLETED":
        raise Problem(STUDY_CLOSED, "This study is closed.")
    held = await _find_held(connection, earlier, visitor)
    if held is not None and _is_gone_on_with(held, visitor):
        return held.id
    if study.resume == "signed" and visitor.ticket is None:
        raise Problem(
            SIGNED_LINK_NEEDED,
            "This study is opened by a participant's own signed link (`link` or `prolific_token`), not by ids.",
        )
    resumed = await _find_resumed(connection, study, earlier, held, visitor)
    if resumed is not None:
        await _take_ticket(connection, visitor.ticket, resumed.id)
        return resumed.id
    _check_times_taken_part(study, earlier)
    await require_admitted(connection, study, visitor.participant_id)
    if study.status == "PAUSED":
        raise Problem(STUDY_PAUSED, "This study is paused. Try again later.")
    if study.status == "AWAITING REVIEW" and not study.test:
        raise _full()
    return None


def _full() -> Problem:
    return Problem(STUDY_FULL, "This study is full: all its places are taken.")


async def _begin(connection: Connection, seen: _Seen, visitor: Visitor) -> Started | None:
    """Take a place and store the submission, by statements that need no answer in between; None where there was no
    place.

    Raises:
        UniqueViolation: another request of this participant was first; nothing was stored.
    """
    study, earlier = seen.study, seen.earlier
    code = find_participant_code(study.fields["completion_codes"])
    token = secrets.token_urlsafe(TOKEN_BYTES)
    new = NewSubmission(
        uuid4(),
        study.id,
        visitor.participant_id,
        visitor.session_id,
        ordinal=max((row.ordinal for row in earlier), default=0) + 1,
        study_code=code["code"] if code else None,
        test=study.test,
        resume_code=make_code(),
        guesses=MOST_GUESSES,
        token_sha256=hash_token(token),
    )
    async with connection.pipeline():
        asked = await ask_begin(connection, new)
        await write_entry(connection, PARTICIPANT, "submission.start", submission_id=new.id)
    begun = await asked.fetchone()
    return Started(_row_of(new, begun, seen), token, created=True) if begun is not None else None


def _row_of(new: NewSubmission, begun: BegunRow, seen: _Seen) -> SubmissionRow:
    """The row of a submission that has just begun, as `queries.find_submission` would read it."""
    return SubmissionRow(
        new.id,
        new.study_id,
        seen.study.collection_id,
        begun.collection_version,
        new.participant_id,
        new.session_id,
        new.ordinal,
        status="ACTIVE",
        response="in_progress",
        holds_place=not new.test,
        started_at=begun.started_at,
        deadline_at=begun.deadline_at,
        completed_at=None,
        study_code=new.study_code,
        entered_code=None,
        return_requested=None,
        activated_counter=None,
        deactivated_counter=None,
        edited_at=None,
        workspace_id=seen.study.workspace_id,
        study_fields=seen.study.fields,
        study_resume=seen.study.resume,
        overdue=False,
        test=new.test,
        imported=False,
        has_siblings=bool(seen.earlier),
        open=True,
    )


async def _go_on(connection: Connection, submission_id: UUID) -> Started:
    """A new token for a submission that was begun before. Earlier ones stay valid."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    await queries.keep_token(connection, submission_id, hash_token(token))
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
