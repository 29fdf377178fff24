"""SQL of submissions, and of the tokens participants hold."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncCursor
from psycopg.rows import class_row
from psycopg.types.json import Json

from fieldpack.server.accounts.permissions.queries import select_role
from fieldpack.server.db.columns import columns_of
from fieldpack.server.db.pool import Connection
from fieldpack.server.submissions.rows import HeldRow, Key, SubmissionRow
from fieldpack.server.uploads.queries import OPEN, OPENED_BY

FIND = f"""
    SELECT s.id, s.study_id, s.collection_id, s.collection_version, s.participant_id, s.session_id, s.ordinal,
           s.status, s.response, s.holds_place, s.started_at, s.deadline_at, s.completed_at, s.study_code,
           s.entered_code, s.return_requested, s.activated_counter, s.deactivated_counter, s.edited_at, s.test,
           s.import_id IS NOT NULL AS imported,
           t.fields AS study_fields, t.resume AS study_resume, t.workspace_id,
           s.deadline_at IS NOT NULL AND s.deadline_at < now()
             AND s.response = 'in_progress' AND s.status = 'ACTIVE' AS overdue,
           EXISTS (SELECT FROM submissions o WHERE o.study_id = s.study_id AND o.response <> 'deleted'
                   AND o.participant_id = s.participant_id AND o.id <> s.id) AS has_siblings,
           {OPEN} AS open
    FROM submissions s JOIN studies t ON t.id = s.study_id
"""


async def keep_token(connection: Connection, submission_id: UUID, token_sha256: bytes) -> None:
    """Store the hash of a new token of a participant."""
    await connection.execute(
        "INSERT INTO participant_tokens (token_sha256, submission_id) VALUES (%s, %s)",
        [token_sha256, submission_id],
    )


async def find_held(connection: Connection, key: Key) -> HeldRow | None:
    """The submission of a token; None for an unknown one. Only the columns that a write needs."""
    cursor = await connection.cursor(row_factory=class_row(HeldRow)).execute(
        f"SELECT {columns_of(HeldRow, 's')} FROM submissions s {OPENED_BY}",
        {"token": key.token_sha256, "before": key.made_before},
    )
    return await cursor.fetchone()


async def find_opened(connection: Connection, key: Key) -> SubmissionRow | None:
    """The same submission with all columns."""
    cursor = await connection.cursor(row_factory=class_row(SubmissionRow)).execute(
        f"{FIND} {OPENED_BY}", {"token": key.token_sha256, "before": key.made_before}
    )
    return await cursor.fetchone()


async def find_by_token(
    connection: Connection, token_sha256: bytes, made_before: datetime | None = None
) -> UUID | None:
    """The id of the submission of a token, erased ones too; None for an unknown one, or one made after
    `made_before`."""
    cursor = await connection.execute(
        """
        SELECT submission_id FROM participant_tokens
        WHERE token_sha256 = %(token)s AND (%(before)s::timestamptz IS NULL OR created_at < %(before)s)
        """,
        {"token": token_sha256, "before": made_before},
    )
    row = await cursor.fetchone()
    return row["submission_id"] if row else None


async def find_submission(
    connection: Connection, submission_id: UUID, *, lock: bool = False
) -> SubmissionRow | None:
    """A submission that was not erased, with its row locked until commit if `lock`."""
    locking = "FOR NO KEY UPDATE OF s" if lock else ""
    cursor = await connection.cursor(row_factory=class_row(SubmissionRow)).execute(
        f"{FIND} WHERE s.id = %s AND s.response <> 'deleted' {locking}", [submission_id]
    )
    return await cursor.fetchone()


async def ask_submission(
    connection: Connection, submission_id: UUID, key: Key | None
) -> AsyncCursor[SubmissionRow]:
    """Ask for a submission that was not erased and, where a key is given, that this opens: the row comes once it is
    fetched."""
    opened = f"{OPENED_BY} AND" if key is not None else "WHERE s.response <> 'deleted' AND"
    return await connection.cursor(row_factory=class_row(SubmissionRow)).execute(
        f"{FIND} {opened} s.id = %(id)s",
        {"id": submission_id, **({"token": key.token_sha256, "before": key.made_before} if key else {})},
    )


async def list_of_participant(
    connection: Connection, study_id: UUID, participant_id: str
) -> list[SubmissionRow]:
    """A participant's submissions to a study: those under way first, then the newest.

    Two may have the same session id: before ids were normalised, one participant could count as two.
    """
    return await (await ask_of_participant(connection, study_id, participant_id)).fetchall()


async def ask_of_participant(
    connection: Connection, study_id: UUID, participant_id: str
) -> AsyncCursor[SubmissionRow]:
    """The same, asked for: in a pipeline the rows come once they are fetched."""
    return await connection.cursor(row_factory=class_row(SubmissionRow)).execute(
        f"{FIND} WHERE s.study_id = %s AND s.participant_id = %s AND s.response <> 'deleted'"
        " ORDER BY s.response = 'in_progress' DESC, s.started_at DESC, s.ordinal DESC",
        [study_id, participant_id],
    )


async def list_taken_part(connection: Connection, study_ids: list[UUID], participant_id: str) -> list[UUID]:
    """Those of these studies that the participant took part in: started, and neither returned nor timed out without
    a response."""
    cursor = await connection.execute(
        """
        SELECT DISTINCT study_id FROM submissions
        WHERE study_id = ANY(%s) AND participant_id = %s AND response <> 'deleted' AND status <> 'RETURNED'
          AND NOT test
          AND (status <> 'TIMED-OUT' OR response = 'active')
          AND NOT (status = 'ACTIVE' AND response = 'in_progress' AND coalesce(deadline_at < now(), false))
        """,
        [study_ids, participant_id],
    )
    return [row["study_id"] for row in await cursor.fetchall()]


async def find_many(
    connection: Connection,
    submission_ids: list[UUID],
    study_id: UUID | None,
    participant_ids: list[str],
    researcher_id: UUID,
    *,
    lock: bool = False,
) -> list[SubmissionRow]:
    """Submissions by id, or by study and participant, on which the researcher has any role; in a fixed order, with
    their rows locked until commit if `lock`."""
    cursor = await connection.cursor(row_factory=class_row(SubmissionRow)).execute(
        f"""
        {FIND} WHERE s.response <> 'deleted'
          AND (s.id = ANY(%(ids)s) OR s.study_id = %(study)s AND s.participant_id = ANY(%(participants)s))
          AND {select_role("t.workspace_id", "s.collection_id", "%(researcher)s")} IS NOT NULL
        ORDER BY s.collection_id, s.id {"FOR NO KEY UPDATE OF s" if lock else ""}
        """,
        {
            "ids": submission_ids,
            "study": study_id,
            "participants": participant_ids,
            "researcher": researcher_id,
        },
    )
    return await cursor.fetchall()


async def set_reviewed(
    connection: Connection, submission_ids: list[UUID], status: str, review: dict[str, Any] | None
) -> None:
    """Set the status of submissions that were reviewed. The caller has locked them."""
    await connection.execute(
        """
        UPDATE submissions SET status = %s, review = coalesce(%s, review),
               completed_at = coalesce(completed_at, now())
        WHERE id = ANY(%s)
        """,
        [status, Json(review) if review else None, submission_ids],
    )


async def set_entered_code(connection: Connection, submission_id: UUID, code: str | None) -> None:
    """Store the completion code that was entered. The caller has locked the submission."""
    await connection.execute("UPDATE submissions SET entered_code = %s WHERE id = %s", [code, submission_id])


async def lock_many(connection: Connection, submission_ids: list[UUID]) -> list[SubmissionRow]:
    """Those of these submissions that were not erased, in a fixed order, with their rows locked until commit. Where
    the counters of their collections are to be raised, the caller has locked those."""
    cursor = await connection.cursor(row_factory=class_row(SubmissionRow)).execute(
        f"{FIND} WHERE s.id = ANY(%s) AND s.response <> 'deleted'"
        " ORDER BY s.collection_id, s.id FOR NO KEY UPDATE OF s",
        [submission_ids],
    )
    return await cursor.fetchall()


async def request_return(connection: Connection, submission_ids: list[UUID], reasons: list[str]) -> None:
    """Note that the researcher asks for a return of these. The caller has locked the submissions."""
    await connection.execute(
        "UPDATE submissions SET return_requested = now(), return_reasons = %s WHERE id = ANY(%s)",
        [Json(reasons), submission_ids],
    )


async def set_returned(connection: Connection, submission_id: UUID, deactivated_counter: int | None) -> None:
    """Return a submission. The caller has locked study and submission, has raised the counter if the response was
    active, and frees the place."""
    await connection.execute(
        """
        UPDATE submissions SET status = 'RETURNED', response = 'no_submission', holds_place = false,
               deactivated_counter = coalesce(deactivated_counter, %s)
        WHERE id = %s
        """,
        [deactivated_counter, submission_id],
    )


async def set_unreturned(connection: Connection, submission_id: UUID) -> None:
    """Undo a return. Of a submission that had been submitted the response is active again; any other goes on, with the
    study's full time. The caller has locked counter, study and submission.

    `activated_counter` stays, because exports since then contain the response.
    """
    await connection.execute(
        """
        UPDATE submissions s SET
            status = CASE WHEN s.activated_counter IS NULL THEN 'ACTIVE' ELSE 'AWAITING REVIEW' END,
            response = CASE WHEN s.activated_counter IS NULL THEN 'in_progress' ELSE 'active' END,
            holds_place = NOT s.test, return_requested = NULL, return_reasons = NULL,
            deactivated_counter = CASE WHEN s.test THEN s.deactivated_counter END,
            deadline_at = CASE WHEN s.deadline_at IS NOT NULL AND s.activated_counter IS NULL
                THEN greatest(s.deadline_at, now() + make_interval(mins => t.maximum_allowed_time))
                ELSE s.deadline_at END
        FROM studies t WHERE s.id = %s AND t.id = s.study_id
        """,
        [submission_id],
    )


async def set_test(
    connection: Connection, submission_id: UUID, is_test: bool, *, holds_place: bool, counter: int | None
) -> None:
    """Mark a submission as a test, or as none. The caller has locked it.

    Args:
        counter: the collection's, raised for this, if the response is active: exports from then on leave tests out.
            Else None.
    """
    await connection.execute(
        """
        UPDATE submissions SET test = %(test)s, holds_place = %(holds)s,
               deactivated_counter = CASE WHEN %(counter)s::bigint IS NULL THEN deactivated_counter
                                          WHEN %(test)s THEN %(counter)s END
        WHERE id = %(id)s
        """,
        {"id": submission_id, "test": is_test, "holds": holds_place, "counter": counter},
    )


async def set_screened_out(connection: Connection, submission_id: UUID) -> None:
    """Screen a participant out. A response that was submitted stays in exports; otherwise the place is given up. The
    caller has locked the submission, and frees the place."""
    await connection.execute(
        """
        UPDATE submissions SET status = 'SCREENED OUT', holds_place = false,
               response = CASE WHEN response = 'in_progress' THEN 'no_submission' ELSE response END
        WHERE id = %s
        """,
        [submission_id],
    )


async def set_unrejected(connection: Connection, submission_id: UUID) -> None:
    """Put a rejected submission back to AWAITING REVIEW. The caller has locked it."""
    await connection.execute(
        "UPDATE submissions SET status = 'AWAITING REVIEW', review = NULL WHERE id = %s", [submission_id]
    )


async def set_started(connection: Connection, submission_id: UUID) -> None:
    """Set the status of a submission whose place was reserved to ACTIVE. The caller has locked it."""
    await connection.execute("UPDATE submissions SET status = 'ACTIVE' WHERE id = %s", [submission_id])


async def time_out(connection: Connection, submission_id: UUID) -> bool:
    """Time out this submission if its deadline is over; return whether it was. The caller has locked it, and frees
    its place."""
    cursor = await connection.execute(
        """
        UPDATE submissions SET status = 'TIMED-OUT', response = 'no_submission', holds_place = false
        WHERE id = %s AND status = 'ACTIVE' AND response = 'in_progress' AND deadline_at < now()
        RETURNING id
        """,
        [submission_id],
    )
    return await cursor.fetchone() is not None


async def list_overdue_studies(connection: Connection) -> list[UUID]:
    """Studies with submissions that are past their deadline and not timed out yet."""
    cursor = await connection.execute(
        "SELECT DISTINCT study_id FROM submissions"
        " WHERE deadline_at < now() AND response = 'in_progress' AND status = 'ACTIVE'"
    )
    return [row["study_id"] for row in await cursor.fetchall()]


OVERDUE = "status = 'ACTIVE' AND response = 'in_progress' AND deadline_at < now()"


async def is_any_overdue(connection: Connection, study_id: UUID) -> bool:
    """Whether somebody is past a study's maximum time, and not timed out yet."""
    cursor = await connection.execute(
        f"SELECT 1 FROM submissions WHERE study_id = %s AND {OVERDUE} ORDER BY deadline_at LIMIT 1",
        [study_id],
    )
    return await cursor.fetchone() is not None


async def time_out_study(connection: Connection, study_id: UUID) -> int:
    """Time out every submission to a study that is past its deadline; returns how many places that frees. Locks them
    until commit; the caller has locked the study."""
    cursor = await connection.execute(
        f"""
        WITH late AS (
            SELECT id, holds_place FROM submissions WHERE study_id = %s AND {OVERDUE}
            FOR NO KEY UPDATE
        ), ended AS (
            UPDATE submissions s SET status = 'TIMED-OUT', response = 'no_submission', holds_place = false
            FROM late WHERE s.id = late.id
        )
        SELECT count(*) FILTER (WHERE holds_place) AS places FROM late
        """,
        [study_id],
    )
    row = await cursor.fetchone()
    return row["places"] if row else 0


async def await_erasures(connection: Connection, submission_id: UUID) -> None:
    """Wait until no other erasure of the submission's workspace is under way, until commit: each locks studies besides
    its own, whose lists name the participant."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('fieldpack.erasures ' || t.workspace_id, 0))"
        " FROM submissions s JOIN studies t ON t.id = s.study_id WHERE s.id = %s",
        [submission_id],
    )


async def set_erased(connection: Connection, submission_id: UUID) -> None:
    """Erase what is stored of the participant, and leave a row that says only that there was an erasure. The caller
    has locked the submission."""
    await connection.execute(
        """
        UPDATE submissions SET response = 'deleted', erased_at = now(), holds_place = false,
               participant_id = NULL, session_id = NULL, line_end = NULL, return_reasons = NULL,
               review = NULL, entered_code = NULL, edited_at = NULL, cleared_revisions = NULL, file_count = 0,
               answer_count = 0, upload_bytes = 0
        WHERE id = %s
        """,
        [submission_id],
    )
    await connection.execute("DELETE FROM answers WHERE submission_id = %s", [submission_id])
    await connection.execute("DELETE FROM participant_tokens WHERE submission_id = %s", [submission_id])
    await connection.execute("DELETE FROM notes WHERE submission_id = %s", [submission_id])
    await connection.execute("DELETE FROM assignments WHERE submission_id = %s", [submission_id])
    await connection.execute("DELETE FROM corrections WHERE submission_id = %s", [submission_id])
    await connection.execute("DELETE FROM resume_codes WHERE submission_id = %s", [submission_id])
    await connection.execute("DELETE FROM used_tickets WHERE submission_id = %s", [submission_id])
    await connection.execute("DELETE FROM import_ids WHERE new_id = %s", [submission_id])
