"""Taking part, for the API and the pages: starting or resuming a submission, and what its participant sees of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fieldpack.server.caches import Caches
from fieldpack.server.collections.versions import load_version
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection, Database
from fieldpack.server.submissions import lifecycle
from fieldpack.server.submissions.answering.queries import list_answers
from fieldpack.server.submissions.beginning.codes import find_coded, get_code
from fieldpack.server.submissions.beginning.start import Started, Visitor, start
from fieldpack.server.submissions.rows import SubmissionRow
from fieldpack.server.submissions.schemas import StartInput
from fieldpack.server.tickets.personal import Ticket
from fieldpack.server.uploads.service import list_files

__all__ = ["describe", "start_submission"]


async def describe(
    connection: Connection, caches: Caches, row: SubmissionRow, *, is_new: bool = False
) -> dict[str, Any]:
    """A submission as its participant sees it, with the collection as it was when they started.

    Args:
        is_new: it began in this transaction, so nothing was saved yet.
    """
    version = await load_version(connection, caches, row.collection_id, row.collection_version)
    answers = [] if is_new else await list_answers(connection, row.id)
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
        "collection": version.described,
        "answers": {str(answer.instruction_id): answer.value for answer in answers},
        "revisions": {str(answer.instruction_id): answer.revision for answer in answers},
        "files": [] if is_new else await list_files(connection, row.id),
        **({"resume_code": await get_code(connection, row.id)} if row.study_resume == "code" else {}),
    }


async def _takes_codes(database: Database, study_id: UUID) -> bool:
    async with database.transaction() as connection:
        return (await lifecycle.find_study(connection, study_id)).resume != "signed"


async def start_submission(
    context: Context,
    study_id: UUID,
    body: StartInput,
    token: str | None,
    *,
    ticket: Ticket | None = None,
    on_page: bool = False,
    another: bool = False,
) -> tuple[dict[str, Any], Started]:
    """Start a submission, or resume the one of this participant and session.

    Args:
        token: of an earlier submission.
        ticket: what the visitor's link proved.
        on_page, another: see `Visitor`.

    Returns:
        What `describe` says, with a new `token`; and what was started.

    Raises:
        Problem: those of `start`, 409 or 429 for a wrong code, and 503 when too many come.
    """
    coded = None
    if body.resume_code and await _takes_codes(context.database, study_id):
        coded = await find_coded(context.database, study_id, body.participant_id, body.resume_code)
    visitor = Visitor(
        body.participant_id,
        ticket.session_id if ticket else body.session_id,
        token,
        coded,
        ticket,
        on_page=on_page,
        another=another,
    )
    async with context.turns.starting(), context.database.statements() as connection:
        started = await start(connection, study_id, visitor)
        answer = await describe(connection, context.caches, started.row, is_new=started.created)
    return {**answer, "token": started.token}, started
