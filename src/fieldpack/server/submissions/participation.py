"""Taking part, as the API and the pages do it: a submission started or resumed, and what its participant sees of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fieldpack.server.collections.queries import get_version
from fieldpack.server.collections.shapes import describe_body
from fieldpack.server.db.pool import Connection, Database
from fieldpack.server.submissions import lifecycle, queries
from fieldpack.server.submissions.rows import SubmissionRow
from fieldpack.server.submissions.schemas import StartInput
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
    }


async def start_submission(
    database: Database, study_id: UUID, body: StartInput, token: str | None
) -> tuple[dict[str, Any], bool]:
    """Start a submission, or resume the one of this participant and session; and whether it is new.

    Returns:
        What `describe` says, and `token`, a new one.

    Raises:
        Problem: those of `lifecycle.start`.
    """
    async with database.transaction() as connection:
        submission_id, new_token, created = await lifecycle.start(
            connection, study_id, body.participant_id, body.session_id, token
        )
        row = await queries.find_submission(connection, submission_id)
        assert row is not None
        answer = await describe(connection, row)
    return {**answer, "token": new_token}, created
