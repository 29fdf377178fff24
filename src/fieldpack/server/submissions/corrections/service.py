"""The rules of corrections: an answer that was handed in becomes another, by the rules that its participant had.

What it was stays: a correction keeps the response before and after it. Exports that are complete stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import orjson

from fieldpack.archive.records import FILE_UPLOAD, dump_json
from fieldpack.server.accounts.permissions.authorization import require
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import write_entry
from fieldpack.server.caches import Caches
from fieldpack.server.collections.queries import raise_counter
from fieldpack.server.collections.shapes import CONTENT_TYPES
from fieldpack.server.collections.versions import Items, get_items
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import INVALID, Problem, conflict, invalid, not_found
from fieldpack.server.submissions import lifecycle
from fieldpack.server.submissions.answering.answers import (
    find_problems,
    is_empty,
    normalise,
    put_numbers_right,
)
from fieldpack.server.submissions.answering.queries import ask_save, clear_answers
from fieldpack.server.submissions.corrections import queries
from fieldpack.server.submissions.corrections.lines import Line, read_line
from fieldpack.server.submissions.corrections.rows import CorrectionRow, LineRow, NewCorrection
from fieldpack.server.submissions.rows import SubmissionRow

__all__ = ["Correctable", "correct_answer", "describe_correction", "list_corrections", "open_for_correction"]


@dataclass(frozen=True, slots=True)
class Correctable:
    """A response that is being corrected: locked, after the collection's counter and the study.

    Attributes:
        item: the question, as its participant saw it.
        items: all of them.
        version: of the answer as it is.
    """

    row: SubmissionRow
    item: dict[str, Any]
    items: Items
    version: int
    stored: LineRow
    line: Line

    @property
    def response(self) -> dict[str, Any] | None:
        """The response as it is, as the archive has it; None for none."""
        found: dict[str, Any] | None = self.line.responses.get(self.item["id"])
        return found


async def list_corrections(
    connection: Connection, caller: Caller, submission_id: UUID
) -> list[CorrectionRow]:
    """Every correction of a submission, oldest first.

    Raises:
        Problem: 404; 403.
    """
    await require(connection, caller, Action.RESPONSES_READ, submission=submission_id)
    await write_entry(connection, caller.actor, "correction.list", submission_id=submission_id)
    return await queries.list_corrections(connection, submission_id)


async def open_for_correction(
    connection: Connection,
    caches: Caches,
    caller: Caller,
    submission_id: UUID,
    instruction_id: UUID,
    version: int | None,
) -> Correctable:
    """A response whose answer to an instruction is to be corrected, locked until commit.

    Args:
        version: which the caller has seen; None for whichever there is.

    Raises:
        Problem: 404, also for an instruction that asks nothing or that the participant did not see; 403; 409 where
            nothing was handed in (any more), or the answer is of another version by now.
    """
    await require(connection, caller, Action.RESPONSES_CORRECT, submission=submission_id)
    row = await lifecycle.lock_submission(connection, submission_id)
    require_active(row)
    items = await get_items(connection, caches, row.collection_id, row.collection_version)
    item = items.get(str(instruction_id))
    if item is None or item["type"] in CONTENT_TYPES:
        raise not_found("Instruction", instruction_id)
    found = await queries.find_version(connection, submission_id, instruction_id)
    if version is not None and version != found:
        raise conflict(
            "This answer was corrected by somebody else meanwhile: look at what it is now, then correct that."
        )
    stored = await queries.get_line(connection, submission_id)
    return Correctable(row, item, items, found, stored, read_line(stored.line_end))


def require_active(row: SubmissionRow) -> None:
    """Refuse to correct what was not handed in, or was given back.

    Raises:
        Problem: 409.
    """
    _, response = lifecycle.state_of(row)
    if response != "active":
        raise conflict("Only a response that was handed in, and is not given back, can be corrected.")


async def correct_answer(
    connection: Connection,
    caches: Caches,
    caller: Caller,
    submission_id: UUID,
    instruction_id: UUID,
    given: dict[str, Any] | None,
    *,
    reason: str,
    version: int | None = None,
) -> CorrectionRow:
    """Put another answer in an answer's place, or clear it, by the rules that its participant had.

    Args:
        given: the answer, in the shape in which participants send it; None for none.
        reason: why, for whoever looks at the history.
        version: which the caller has seen; None for whichever there is.

    Raises:
        Problem: 400 for a wrong shape or a broken rule; 409 for what is the answer already; and as
            `open_for_correction`.
    """
    found = await open_for_correction(connection, caches, caller, submission_id, instruction_id, version)
    if found.item["type"] == FILE_UPLOAD:
        raise invalid(
            "answer", "Files are corrected one by one: send another to …/corrections/files/{file_key}."
        )
    answer = _check(found.item, given)
    response = None if answer is None else {"type": found.item["type"], **answer}
    if dump_json(response, orjson.OPT_SORT_KEYS) == dump_json(found.response, orjson.OPT_SORT_KEYS):
        raise conflict("This is what the answer is already: there is nothing to correct.")
    if answer is None:
        await clear_answers(connection, submission_id, [instruction_id])
    else:
        await ask_save(connection, submission_id, {instruction_id: answer})
    return await record(connection, caller, found, response, reason=reason)


def _check(item: dict[str, Any], given: dict[str, Any] | None) -> dict[str, Any] | None:
    """The answer as it is stored.

    Raises:
        Problem: 400.
    """
    identifier = item["id"]
    answers: dict[str, dict[str, Any]] = {}
    if given is not None:
        try:
            answer = normalise(item, given)
        except Problem as problem:
            named = problem.detail if isinstance(problem.detail, dict) else {}
            paths = {"answer" if path == "body" else f"answer.{path}": text for path, text in named.items()}
            raise Problem(INVALID, paths) from None
        if not is_empty(answer):
            answers[identifier] = answer
    problems = find_problems([item], answers, [])
    if problems:
        raise Problem(INVALID, {"answer": problems[identifier]})
    return {**answers, **put_numbers_right([item], answers)}.get(identifier)


async def record(
    connection: Connection,
    caller: Caller,
    found: Correctable,
    response: dict[str, Any] | None,
    *,
    reason: str,
    before_files: list[UUID] | None = None,
    after_files: list[UUID] | None = None,
) -> CorrectionRow:
    """Write a correction down: the response in the line that exports copy, and what it was."""
    row, identifier = found.row, found.item["id"]
    line = found.line.replace(identifier, response, found.items)
    await raise_counter(connection, row.collection_id)
    await queries.set_line(
        connection,
        row.id,
        at=found.stored.now,
        responses=line.responses_json,
        rest=line.rest_json,
        answer_count=len(line.responses),
        file_count=line.file_count,
    )
    made = NewCorrection(
        uuid4(),
        row.id,
        UUID(identifier),
        found.version + 1,
        found.response,
        response,
        before_files,
        after_files,
        reason,
        found.stored.now,
        caller.id,
    )
    await queries.insert_correction(connection, made)
    await write_entry(
        connection,
        caller.actor,
        "correction.create",
        object_id=made.id,
        submission_id=row.id,
        questions=[identifier],
    )
    return await queries.get_correction(connection, made.id)


def describe_correction(row: CorrectionRow) -> dict[str, Any]:
    """A correction as the API answers it: responses as the archive has them, each file with its key besides."""
    return {
        "id": row.id,
        "submission_id": row.submission_id,
        "instruction_id": row.instruction_id,
        "version": row.version,
        "created_at": row.created_at,
        "author": {"id": row.author_id, "name": row.author},
        "reason": row.reason,
        "before": _with_keys(row.before, row.before_files),
        "after": _with_keys(row.after, row.after_files),
    }


def _with_keys(response: dict[str, Any] | None, files: list[UUID] | None) -> dict[str, Any] | None:
    if response is None or files is None:
        return response
    pairs = zip(response["value"], files, strict=True)
    return {**response, "value": [{**each, "file_key": key} for each, key in pairs]}
