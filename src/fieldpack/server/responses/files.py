"""The rules of looking through files: pages of a gallery, and decisions on those who were chosen there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from fieldpack.server.accounts.permissions.authorization import require
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import conflict, invalid
from fieldpack.server.responses import queries
from fieldpack.server.responses.rows import FileRow, QuestionRow, ResponseRow
from fieldpack.server.responses.service import View, list_page, list_unasked
from fieldpack.server.selection.filters import MOST_CHOSEN, Condition, ResponseFilter
from fieldpack.server.submissions import service as submissions
from fieldpack.server.submissions.notes.service import add_note
from fieldpack.server.submissions.schemas import BulkApproval, SubmissionTransition
from fieldpack.server.thumbnails.service import request_thumbnails

__all__ = ["FilePage", "approve_chosen", "list_file_page", "note_chosen", "reject_chosen", "with_files"]


@dataclass(frozen=True, slots=True)
class FilePage:
    """A page of a gallery: the files of so many responses.

    Attributes:
        files: each with the response that it is of.
        count: how many responses with files the whole gallery has, up to a bound.
        before, after: cursors of the pages around this one; None where there is none.
    """

    files: list[tuple[FileRow, ResponseRow]]
    count: int
    before: str | None
    after: str | None


def file_questions(view: View) -> list[QuestionRow]:
    """The questions that files were uploaded to."""
    return [question for question in view.questions if question.type == "file_upload"]


def with_files(view: View, question: str) -> View:
    """The same view, of it those with a file; with one of this question if it is not empty.

    Raises:
        Problem: 400 for a question that takes no files.
    """
    wanted = view.wanted if view.wanted.files is False else replace(view.wanted, files=True)
    if question:
        asked = next((each for each in file_questions(view) if str(each.id) == question.lower()), None)
        if asked is None:
            raise invalid("of", "Must be the id of a question that takes files.")
        wanted = replace(wanted, where=(*wanted.where, Condition(asked.id, "answered")))
    return replace(view, wanted=wanted)


async def list_file_page(
    connection: Connection,
    view: View,
    question: str,
    limit: int,
    *,
    after: str | None = None,
    before: str | None = None,
) -> FilePage:
    """The files of so many responses of a view; small pictures that nobody has asked for are made from now on.

    Args:
        question: only files of this one, if it is not empty.

    Raises:
        Problem: 400 for a cursor or a question that is none.
    """
    page = await list_page(connection, with_files(view, question), limit, after=after, before=before)
    files = [file for file in page.files if not question or str(file.instruction_id) == question.lower()]
    await request_thumbnails(connection, list_unasked(files))
    rows = {row.id: row for row in page.rows}
    order = {row.id: place for place, row in enumerate(page.rows)}
    files.sort(key=lambda file: order[file.submission_id])  # within a response they stay as they are
    return FilePage([(file, rows[file.submission_id]) for file in files], page.count, page.before, page.after)


# decisions on those who were chosen


async def _require_chosen(
    connection: Connection, view: View, chosen: Sequence[UUID], action: Action
) -> list[UUID]:
    """Those that were chosen, once, all of this collection."""
    await require(connection, view.caller, action, collection=view.collection.id)
    ids = list(dict.fromkeys(chosen))
    if not ids:
        raise invalid("submission", "Choose at least one response.")
    if len(ids) > MOST_CHOSEN:
        raise invalid("submission", f"At most {MOST_CHOSEN} at once.")
    found = await queries.count_matching(
        connection, view.collection.id, ResponseFilter(submission=tuple(ids))
    )
    if found != len(ids):
        raise conflict("Some of these responses were erased meanwhile: look again, then decide.")
    return ids


async def approve_chosen(connection: Connection, view: View, chosen: Sequence[UUID]) -> int:
    """Approve responses that were chosen, all or none; how many.

    Raises:
        Problem: 400 or 409 when one can't be approved, or is no more.
    """
    ids = await _require_chosen(connection, view, chosen, Action.RESPONSES_REVIEW)
    given = BulkApproval(submission_ids=[str(each) for each in ids])
    await submissions.approve_many(connection, view.caller, given)
    return len(ids)


async def reject_chosen(
    connection: Connection, view: View, chosen: Sequence[UUID], category: str, message: str
) -> int:
    """Reject responses that were chosen, all or none, with the same reason and message; how many.

    Raises:
        pydantic.ValidationError: the reason or the message is missing.
        Problem: 409 when one can't be rejected, or is no more.
    """
    ids = await _require_chosen(connection, view, chosen, Action.RESPONSES_REVIEW)
    given = SubmissionTransition.model_validate(
        {"action": "REJECT", "rejection_category": category, "message": message}
    )
    for id in sorted(ids):  # everybody who locks several does so in this order
        await submissions.transition(connection, view.caller, id, given)
    return len(ids)


async def note_chosen(connection: Connection, view: View, chosen: Sequence[UUID], text: str) -> int:
    """Write the same note about each of the responses that were chosen; how many.

    Raises:
        Problem: 400 without a text, 409 when one is no more.
    """
    ids = await _require_chosen(connection, view, chosen, Action.RESPONSES_READ)
    if not text:
        raise invalid("message", "A note needs a text.")
    for id in ids:
        await add_note(connection, view.caller, id, text)
    return len(ids)
