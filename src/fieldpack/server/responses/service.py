"""The rules of looking through responses: pages of a list, one among its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.errors import DataError

from fieldpack.server.accounts.permissions.authorization import require
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import write_entry
from fieldpack.server.collections.queries import get_version
from fieldpack.server.collections.rows import CollectionRow
from fieldpack.server.collections.service import get_collection
from fieldpack.server.db.pool import Connection
from fieldpack.server.http.listing import read_cursor, write_cursor
from fieldpack.server.problems import invalid, not_found
from fieldpack.server.responses import queries
from fieldpack.server.responses.queries import ORDERS, Order
from fieldpack.server.responses.rows import FileRow, QuestionRow, ResponseRow
from fieldpack.server.selection.filters import ResponseFilter, parse_filter
from fieldpack.server.submissions.assignments.queries import list_assigned
from fieldpack.server.submissions.assignments.rows import AssignedRow
from fieldpack.server.submissions.corrections.queries import list_corrections
from fieldpack.server.submissions.corrections.rows import CorrectionRow
from fieldpack.server.submissions.notes.queries import list_notes
from fieldpack.server.submissions.notes.rows import NoteRow
from fieldpack.server.submissions.review.rows import PendingRow
from fieldpack.server.submissions.review.service import describe_pending, list_pending

__all__ = [
    "ResponsePage",
    "View",
    "describe_response",
    "find_view",
    "list_page",
    "list_unasked",
    "open_response",
    "read_view",
]


@dataclass(frozen=True, slots=True)
class View:
    """What a list of responses shows: which collection, which of its submissions, in what order.

    Attributes:
        caller: who looks.
        collection: in its latest version.
        questions: everything that was ever asked, in order, what is asked no more last.
        wanted: the filter.
        order: what it is sorted by.
        sort: the order as a parameter of a URL.
    """

    caller: Caller
    collection: CollectionRow
    questions: list[QuestionRow]
    wanted: ResponseFilter
    order: Order
    sort: str

    def parameters(self) -> list[tuple[str, str]]:
        """The view as parameters of a URL."""
        return [*self.wanted.parameters(), *([("sort", self.sort)] if self.sort != DEFAULT_SORT else [])]


@dataclass(frozen=True, slots=True)
class ResponsePage:
    """A page of a list of responses.

    Attributes:
        rows: the responses.
        files: their files.
        pending: the decisions that are held on them, by submission.
        assigned: to whom they are assigned, by submission.
        count: how many the whole list has, up to a bound; None where that was not asked.
        reviewable: how many of those wait for a review, up to one more than the bound that was given.
        before, after: cursors of the pages around this one; None where there is none.
    """

    rows: list[ResponseRow]
    files: list[FileRow]
    pending: dict[UUID, PendingRow]
    assigned: dict[UUID, AssignedRow]
    count: int | None
    reviewable: int
    before: str | None
    after: str | None


DEFAULT_SORT = "-completed"


async def read_view(
    connection: Connection, caller: Caller, collection_id: UUID, parameters: Sequence[tuple[str, str]]
) -> View:
    """What parameters of a URL ask to see.

    Raises:
        Problem: 404 for a collection that the caller may not see, 400 for a filter or an order that is none.
    """
    collection = await get_collection(connection, caller, collection_id, Action.RESPONSES_READ)
    questions = await queries.list_questions(connection, collection_id)
    resolved = [
        (name, str(caller.id) if name == "assigned" and text == "me" else text) for name, text in parameters
    ]
    wanted = parse_filter(resolved, {str(question.id) for question in questions})
    sort = next((text for name, text in parameters if name == "sort" and text), DEFAULT_SORT)
    return View(caller, collection, questions, wanted, _parse_order(sort, questions), sort)


def _parse_order(sort: str, questions: Sequence[QuestionRow]) -> Order:
    name = sort.removeprefix("-")
    descending = sort.startswith("-")
    if name in ORDERS:
        return Order(name, descending)
    question = next((each for each in questions if str(each.id) == name.lower()), None)
    if question is None:
        known = ", ".join(ORDERS)
        raise invalid(
            "sort", f"Must be one of {known}, or a question's id; a `-` before it turns the order round."
        )
    units = question.body.get("unit_options", [])
    rules = [question.body.get("validation"), *(unit.get("validation") for unit in units)]
    numeric = any(rule and rule.get("type") == "number" for rule in rules)
    return Order(None, descending, (question.id, numeric))


async def list_page(
    connection: Connection,
    view: View,
    limit: int,
    *,
    after: str | None = None,
    before: str | None = None,
    counted: bool = True,
    most_reviewable: int = 0,
) -> ResponsePage:
    """A page of the list: the first, the one after a cursor, or the one before one; shorter where answers are long.

    Args:
        counted: whether the whole list is counted.
        most_reviewable: those that wait for a review are counted up to one more than this; 0: they are not.

    Raises:
        Problem: 400 for a cursor that is none, or of another order.
    """
    backwards = before is not None
    name, text = ("before", before) if backwards else ("after", after)
    place = read_cursor(name, text) if text else None
    collection_id = view.collection.id
    try:
        async with connection.transaction():
            page = await queries.list_page(
                connection,
                collection_id,
                view.wanted,
                view.order,
                limit,
                place,
                backwards=backwards,
                counted=counted,
                most_reviewable=most_reviewable,
            )
    except DataError:
        raise invalid(name, "This cursor is of a list in another order.") from None
    rows, more = page.rows, page.more
    files = await queries.list_files(connection, [row.id for row in rows if row.file_count])
    await write_entry(
        connection,
        view.caller.actor,
        "response.list",
        collection_id=collection_id,
        count=len(rows),
        total=page.count,
        limit=limit,
        **view.wanted.as_details(),
    )
    has_before, has_after = (more, bool(rows)) if backwards else (place is not None and bool(rows), more)
    return ResponsePage(
        rows,
        files,
        await list_pending(connection, [row.id for row in rows]),
        {each.submission_id: each for each in await list_assigned(connection, [row.id for row in rows])},
        page.count,
        page.reviewable,
        write_cursor(rows[0].place) if has_before else None,
        write_cursor(rows[-1].place) if has_after else None,
    )


def list_unasked(files: Sequence[FileRow]) -> list[tuple[UUID, str]]:
    """Blobs of these files that nobody has asked small pictures of, and their content types."""
    return [(file.blob_id, file.content_type) for file in files if file.thumbnail is None]


def describe_response(
    row: ResponseRow,
    files: Sequence[FileRow],
    pending: PendingRow | None,
    assigned: AssignedRow | None,
) -> dict[str, Any]:
    """A response as the API answers it: the archive's answers, each file with its key besides."""
    keys = iter([file for file in files if file.submission_id == row.id])
    responses = None
    if row.answers is not None:
        by_question: dict[str, list[FileRow]] = {}
        for file in keys:
            by_question.setdefault(str(file.instruction_id), []).append(file)
        responses = {
            identifier: _with_keys(answer, by_question.get(identifier, []))
            for identifier, answer in row.answers.items()
        }
    return {
        "submission_id": row.id,
        "participant_id": row.participant_id,
        "study_id": row.study_id,
        "status": row.status,
        "response": row.response,
        "started_at": row.started_at,
        "completed_at": row.completed_at,
        "edited_at": row.edited_at,
        "time_taken": int(row.seconds) if row.seconds is not None else None,
        "return_requested": row.return_requested,
        "test": row.test,
        "imported": row.imported,
        "notes": row.note_count,
        "pending": describe_pending(pending),
        "assigned_to": {"id": assigned.researcher_id, "name": assigned.name} if assigned else None,
        "responses": responses,
    }


def _with_keys(answer: dict[str, Any], files: Sequence[FileRow]) -> dict[str, Any]:
    if answer.get("type") != "file_upload":
        return answer
    value = answer["value"]
    if len(files) != len(value):
        return answer
    return {
        **answer,
        "value": [{**each, "file_key": file.file_key} for each, file in zip(value, files, strict=True)],
    }


@dataclass(frozen=True, slots=True)
class OpenResponse:
    """One response among its neighbours.

    Attributes:
        row: the response.
        body: the collection as its participant saw it.
        files: its files.
        notes: what researchers wrote about it, oldest first.
        pending: the decision that is held on it; None for none.
        assigned: to whom it is assigned; None for nobody.
        corrections: what they made of its answers, oldest first.
        previous, next: the responses before and after it in the view; None at its ends.
    """

    row: ResponseRow
    body: dict[str, Any]
    files: list[FileRow]
    notes: list[NoteRow]
    pending: PendingRow | None
    assigned: AssignedRow | None
    corrections: list[CorrectionRow]
    previous: UUID | None
    next: UUID | None


async def open_response(
    connection: Connection, view: View, submission_id: UUID, *, is_shown: bool = True
) -> OpenResponse:
    """One response, and what comes before and after it in the view.

    Args:
        is_shown: whether somebody sees it now, which the audit log is told.

    Raises:
        Problem: 404.
    """
    collection_id = view.collection.id
    row = await queries.find_response(connection, collection_id, submission_id, view.order)
    if row is None:
        raise not_found("Submission", submission_id)
    if is_shown:
        await write_entry(connection, view.caller.actor, "response.read", submission_id=submission_id)
    around = await queries.find_neighbours(connection, collection_id, view.wanted, view.order, row.place)
    return OpenResponse(
        row,
        await get_version(connection, collection_id, row.collection_version),
        await queries.list_files(connection, [row.id]),
        await list_notes(connection, row.id),
        (await list_pending(connection, [row.id])).get(row.id),
        next(iter(await list_assigned(connection, [row.id])), None),
        await list_corrections(connection, row.id),
        around.earlier,
        around.later,
    )


async def find_view(
    connection: Connection, caller: Caller, submission_id: UUID, parameters: Sequence[tuple[str, str]]
) -> View:
    """The view that a submission is looked at in.

    Raises:
        Problem: 404 for one that the caller may not see.
    """
    await require(connection, caller, Action.RESPONSES_READ, submission=submission_id)
    collection_id = await queries.find_collection_of(connection, submission_id)
    if collection_id is None:
        raise not_found("Submission", submission_id)
    return await read_view(connection, caller, collection_id, parameters)
