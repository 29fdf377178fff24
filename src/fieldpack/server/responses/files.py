"""The rules of looking through files: pages of a gallery."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import invalid
from fieldpack.server.responses.rows import FileRow, QuestionRow, ResponseRow
from fieldpack.server.responses.service import View, list_page, list_unasked
from fieldpack.server.selection.filters import Condition
from fieldpack.server.submissions.review.rows import PendingRow
from fieldpack.server.thumbnails.service import request_thumbnails

__all__ = ["FilePage", "list_file_page", "with_files"]


@dataclass(frozen=True, slots=True)
class FilePage:
    """A page of a gallery: the files of so many responses.

    Attributes:
        files: each with the response that it is of.
        pending: the decisions that are held on these responses, by submission.
        count: how many responses with files the whole gallery has, up to a bound; None where that was not asked.
        before, after: cursors of the pages around this one; None where there is none.
    """

    files: list[tuple[FileRow, ResponseRow]]
    pending: dict[UUID, PendingRow]
    count: int | None
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
    counted: bool = True,
) -> FilePage:
    """The files of so many responses of a view; small pictures that nobody has asked for are made from now on.

    Args:
        question: only files of this one, if it is not empty.
        counted: whether the whole list is counted.

    Raises:
        Problem: 400 for a cursor or a question that is none.
    """
    page = await list_page(
        connection, with_files(view, question), limit, after=after, before=before, counted=counted
    )
    files = [file for file in page.files if not question or str(file.instruction_id) == question.lower()]
    await request_thumbnails(connection, list_unasked(files))
    rows = {row.id: row for row in page.rows}
    order = {row.id: place for place, row in enumerate(page.rows)}
    files.sort(key=lambda file: order[file.submission_id])  # within a response they stay as they are
    shown = [(file, rows[file.submission_id]) for file in files]
    return FilePage(shown, page.pending, page.count, page.before, page.after)
