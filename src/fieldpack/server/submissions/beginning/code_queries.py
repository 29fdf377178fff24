"""SQL of the codes with which participants go on in another browser."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.db.pool import Connection

__all__ = ["CodeRow", "insert_code", "list_codes", "reset_guesses", "spend_guesses"]


@dataclass(frozen=True, slots=True)
class CodeRow:
    """The code of a submission that was not erased."""

    submission_id: UUID
    code: str


async def insert_code(connection: Connection, submission_id: UUID, code: str, guesses: int) -> None:
    """Store the code of a submission, unless it has one or was erased."""
    await connection.execute(
        """
        INSERT INTO resume_codes (submission_id, code, guesses)
        SELECT id, %s, %s FROM submissions WHERE id = %s AND response <> 'deleted'
        ON CONFLICT (submission_id) DO NOTHING
        """,
        [code, guesses, submission_id],
    )


async def list_codes(connection: Connection, submission_ids: list[UUID]) -> list[CodeRow]:
    """The codes of those of these submissions that have one."""
    cursor = await connection.cursor(row_factory=class_row(CodeRow)).execute(
        "SELECT submission_id, code FROM resume_codes WHERE submission_id = ANY(%s)", [submission_ids]
    )
    return await cursor.fetchall()


async def spend_guesses(
    connection: Connection, study_id: UUID, participant_id: str, most: int, seconds: float
) -> tuple[list[CodeRow], int]:
    """Count one guess against each of a participant's submissions to a study. Locks their codes until commit.

    Args:
        most: guesses that may be made at once.
        seconds: until one more may be made.

    Returns:
        The codes that may be guessed now, and how many submissions have a code.
    """
    cursor = await connection.cursor(row_factory=class_row(CodeRow)).execute(
        """
        WITH own AS (
            SELECT c.submission_id,
                   least(%(most)s, c.guesses + extract(epoch FROM clock_timestamp() - c.guessed_at) / %(seconds)s)
                       AS left_over
            FROM resume_codes c JOIN submissions s ON s.id = c.submission_id
            WHERE s.study_id = %(study)s AND s.participant_id = %(participant)s AND s.response <> 'deleted'
            ORDER BY c.submission_id FOR UPDATE OF c
        )
        UPDATE resume_codes c SET guesses = own.left_over - 1, guessed_at = clock_timestamp()
        FROM own WHERE c.submission_id = own.submission_id AND own.left_over >= 1
        RETURNING c.submission_id, c.code
        """,
        {"most": most, "seconds": seconds, "study": study_id, "participant": participant_id},
    )
    rows = await cursor.fetchall()
    counted = await connection.execute(
        """
        SELECT count(*) AS count FROM resume_codes c JOIN submissions s ON s.id = c.submission_id
        WHERE s.study_id = %s AND s.participant_id = %s AND s.response <> 'deleted'
        """,
        [study_id, participant_id],
    )
    found = await counted.fetchone()
    return rows, found["count"] if found else 0


async def reset_guesses(connection: Connection, submission_id: UUID, most: int) -> None:
    """Allow all guesses again, after a right one."""
    await connection.execute(
        "UPDATE resume_codes SET guesses = %s WHERE submission_id = %s", [most, submission_id]
    )
