"""The rules of notes: who may read the response may write and read notes."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from fieldpack.server.accounts.permissions.authorization import require
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import write_entry
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import FORBIDDEN, Problem, not_found
from fieldpack.server.submissions.notes import queries
from fieldpack.server.submissions.notes.rows import NoteRow

__all__ = ["add_note", "describe_note", "list_notes", "remove_note"]


async def list_notes(connection: Connection, caller: Caller, submission_id: UUID) -> list[NoteRow]:
    """The notes on a submission, oldest first.

    Raises:
        Problem: 404; 403.
    """
    await require(connection, caller, Action.RESPONSES_READ, submission=submission_id)
    await write_entry(connection, caller.actor, "note.list", submission_id=submission_id)
    return await queries.list_notes(connection, submission_id)


async def add_note(connection: Connection, caller: Caller, submission_id: UUID, text: str) -> NoteRow:
    """Write a note. Exports do not contain notes, so the collection's counter stays.

    Raises:
        Problem: 404; 403.
    """
    await require(connection, caller, Action.RESPONSES_READ, submission=submission_id)
    note_id = uuid4()
    if not await queries.insert_note(connection, note_id, submission_id, text, caller.id):
        raise not_found("Submission", submission_id)
    await write_entry(connection, caller.actor, "note.create", object_id=note_id, submission_id=submission_id)
    note = await queries.find_note(connection, submission_id, note_id)
    assert note is not None
    return note


async def remove_note(connection: Connection, caller: Caller, submission_id: UUID, note_id: UUID) -> None:
    """Delete one's own note.

    Raises:
        Problem: 404; 403 for somebody else's.
    """
    await require(connection, caller, Action.RESPONSES_READ, submission=submission_id)
    note = await queries.find_note(connection, submission_id, note_id)
    if note is None:
        raise not_found("Note", note_id)
    if note.author_id != caller.id:
        raise Problem(FORBIDDEN, "Only who wrote a note can remove it.")
    await queries.delete_note(connection, note_id)
    await write_entry(connection, caller.actor, "note.delete", object_id=note_id, submission_id=submission_id)


def describe_note(note: NoteRow) -> dict[str, Any]:
    """A note as the API answers it."""
    return {
        "id": note.id,
        "text": note.text,
        "created_at": note.created_at,
        "author": {"id": note.author_id, "name": note.author},
    }
