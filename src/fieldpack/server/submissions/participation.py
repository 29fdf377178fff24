"""Taking part, for the API and the pages: starting or resuming a submission, and what its participant sees of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fieldpack.server.collections.queries import get_version
from fieldpack.server.collections.shapes import describe_body
from fieldpack.server.db.pool import Connection, Database
from fieldpack.server.submissions import lifecycle, queries
from fieldpack.server.submissions.beginning.codes import find_coded, get_code
from fieldpack.server.submissions.beginning.start import Visitor, start
from fieldpack.server.submissions.rows import SubmissionRow
from fieldpack.server.submissions.schemas import StartInput
from fieldpack.server.tickets.personal import Ticket
from fieldpack.server.uploads.service import list_files

__all__ = ["describe", "start_submission"]


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
        **({"resume_code": await get_code(connection, row.id)} if row.study_resume == "code" else {}),
    }


async def _takes_codes(database: Database, study_id: UUID) -> bool:
    async with database.transaction() as connection:
        return (await lifecycle.find_study(connection, study_id)).resume != "signed"


async def start_submission(
    database: Database,
    study_id: UUID,
    body: StartInput,
    token: str | None,
    *,
    ticket: Ticket | None = None,
    on_page: bool = False,
    another: bool = False,
) -> tuple[dict[str, Any], bool]:
    """Start a submission, or resume the one of this participant and session.

    Args:
        token: of an earlier submission.
        ticket: what the visitor's link proved.
        on_page, another: see `Visitor`.

    Returns:
        What `describe` says, with a new `token`; and whether the submission is new.

    Raises:
        Problem: those of `start`, and 409 or 429 for a wrong code.
    """
    coded = None
    if body.resume_code and await _takes_codes(database, study_id):
        coded = await find_coded(database, study_id, body.participant_id, body.resume_code)
    visitor = Visitor(
        body.participant_id,
        ticket.session_id if ticket else body.session_id,
        token,
        coded,
        ticket,
        on_page=on_page,
        another=another,
    )
    async with database.transaction() as connection:
        submission_id, new_token, created = await start(connection, study_id, visitor)
        row = await queries.find_submission(connection, submission_id)
        assert row is not None
        answer = await describe(connection, row)
    return {**answer, "token": new_token}, created
