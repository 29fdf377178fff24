"""SQL of notes."""

from __future__ import annotations

from typing import LiteralString
from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.db.pool import Connection
from fieldpack.server.submissions.notes.rows import NoteRow

_NOTE: LiteralString = """
    SELECT n.id, n.text, n.created_at, n.created_by AS author_id,
           coalesce(nullif(trim(concat(r.first_name, ' ', r.last_name)), ''), r.email) AS author
    FROM notes n JOIN researchers r ON r.id = n.created_by
"""


async def list_notes(connection: Connection, submission_id: UUID) -> list[NoteRow]:
    """The notes on a submission, oldest first."""
    cursor = await connection.cursor(row_factory=class_row(NoteRow)).execute(
        f"{_NOTE} WHERE n.submission_id = %s ORDER BY n.created_at, n.id", [submission_id]
    )
    return await cursor.fetchall()


async def find_note(connection: Connection, submission_id: UUID, note_id: UUID) -> NoteRow | None:
    """One note on a submission."""
    cursor = await connection.cursor(row_factory=class_row(NoteRow)).execute(
        f"{_NOTE} WHERE n.submission_id = %s AND n.id = %s", [submission_id, note_id]
    )
    return await cursor.fetchone()


async def insert_note(connection: Connection, id: UUID, submission_id: UUID, text: str, by: UUID) -> bool:
    """Store a note; return False when the submission was erased. Locks the submission (`FOR SHARE`) until commit, so
    that it is not erased meanwhile."""
    cursor = await connection.execute(
        """
        INSERT INTO notes (id, submission_id, text, created_by)
        SELECT %s, s.id, %s, %s FROM submissions s WHERE s.id = %s AND s.response <> 'deleted' FOR SHARE
        """,
        [id, text, by, submission_id],
    )
    return cursor.rowcount == 1


async def delete_note(connection: Connection, note_id: UUID) -> None:
    """Delete a note; no error when it is gone."""
    await connection.execute("DELETE FROM notes WHERE id = %s", [note_id])
