"""Handing in: what was answered is held against the rules, and written once as the archive will have it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.errors import SerializationFailure

from fieldpack.archive.naming import MemberNames
from fieldpack.archive.records import FileEntry, encode_responses
from fieldpack.server.audit.service import PARTICIPANT, write_entry
from fieldpack.server.caches import Caches
from fieldpack.server.collections.versions import get_items
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import ANSWERS_INCOMPLETE, Problem, conflict, not_found
from fieldpack.server.studies.completion_codes import Handling, code_given, handle
from fieldpack.server.submissions import queries
from fieldpack.server.submissions.answering import queries as answer_queries
from fieldpack.server.submissions.answering.answers import (
    find_problems,
    group_files,
    is_empty,
    put_numbers_right,
)
from fieldpack.server.submissions.lifecycle import follow_groups, lock_submission
from fieldpack.server.submissions.rows import AnswerRow, FilePlace, HeldRow, Key, NotOpened, SubmissionRow
from fieldpack.server.uploads.queries import ask_files
from fieldpack.server.uploads.rows import FileRow

__all__ = ["submit"]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A submission with what was given."""

    row: SubmissionRow
    answers: list[AnswerRow]
    files: list[FileRow]


async def submit(
    connection: Connection, caches: Caches, held: HeldRow | SubmissionRow, key: Key | None = None
) -> dict[str, Any]:
    """Make the response active. If it is active already, the answer is the same and nothing changes.

    What was given is read and judged without a lock. One transaction, which is sent in one go, then makes the response
    active if all is as it was read, so that those who hand in to one collection hardly wait for each other. Where that
    is not so, or time is over, or more is to be done, it is judged again with all locked.

    Args:
        connection: of `Database.statements`.
        key: what must open the submission; None where that was asked before.

    Returns:
        `status`, `completion_code` and `completion_url`.

    Raises:
        Problem: 400 by instruction id for what is missing or breaks a rule; 409 when it was returned.
        NotOpened: the key does not open it.
    """
    seen = await _look(connection, held, key)
    if not seen.row.overdue:
        judged = await _judge(connection, caches, seen)
        if judged is None:
            return _describe(seen.row)
        if judged.is_plain:
            with contextlib.suppress(SerializationFailure):  # something was given, or decided, meanwhile
                await _activate(connection, seen, judged)
                return _describe(seen.row, judged)
    async with connection.transaction():
        await lock_submission(connection, held.id)
        seen = await _look(connection, held, key)
        judged = await _judge(connection, caches, seen)
        if judged is not None:
            await _activate(connection, seen, judged)
            await _follow(connection, seen.row, judged)
        return _describe(seen.row, judged)


async def _look(connection: Connection, held: HeldRow | SubmissionRow, key: Key | None) -> _Seen:
    async with connection.pipeline():
        asked = await queries.ask_submission(connection, held.id, key)
        answers = await answer_queries.ask_answers(connection, held.id)
        files = await ask_files(connection, held.id)
    row = await asked.fetchone()
    if row is None:
        raise NotOpened if key is not None else not_found("Submission", held.id)
    return _Seen(row, await answers.fetchall(), await files.fetchall())


@dataclass(frozen=True, slots=True)
class _Judged:
    """What becomes of a submission that may be handed in.

    Attributes:
        handling: what its completion code does; None for one that keeps its status.
        empty: ids of answers that say nothing, which are forgotten.
        numbers: answers whose numbers are stored in another form, by instruction id.
    """

    record: _Record
    status: str
    handling: Handling | None
    empty: list[UUID]
    numbers: dict[str, dict[str, Any]]

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing to do for it but to make the response active."""
        handling = self.handling or Handling()
        return not (self.empty or self.numbers or handling.groups) and handling.return_reasons is None


async def _judge(connection: Connection, caches: Caches, seen: _Seen) -> _Judged | None:
    """Hold what was given against the rules; None when the response is active already. Raises what `submit` does."""
    row, files = seen.row, seen.files
    if row.response == "active":
        return None
    if row.status == "RETURNED":
        raise conflict("This submission was returned; it can't be submitted any more.")
    items = list((await get_items(connection, caches, row.collection_id, row.collection_version)).values())
    answers = {str(answer.instruction_id): answer.value for answer in seen.answers}
    problems = find_problems(items, answers, files)
    if problems:
        raise Problem(ANSWERS_INCOMPLETE, problems)
    numbers = put_numbers_right(items, answers)
    _, handled_by = code_given(row.study_fields["completion_codes"], row.study_code)
    handling = handle(handled_by) if row.status == "ACTIVE" else None
    return _Judged(
        _record(row.id, items, {**answers, **numbers}, files),
        handling.status if handling else row.status,
        handling,
        [UUID(key) for key, answer in answers.items() if is_empty(answer)],
        numbers,
    )


async def _activate(connection: Connection, seen: _Seen, judged: _Judged) -> None:
    """Make the response active. Raises `SerializationFailure` when it is not as it was read."""
    row, record = seen.row, judged.record
    code, _ = code_given(row.study_fields["completion_codes"], row.study_code)
    async with connection.pipeline():
        await answer_queries.raise_and_lock(connection, row.collection_id, row.id)
        await answer_queries.set_submitted(
            connection,
            row,
            seen.answers,
            [file.id for file in seen.files],
            status=judged.status,
            responses=record.responses.decode(),
            answer_count=record.answer_count,
            places=record.places,
            entered_code=code,
        )
        await write_entry(
            connection,
            PARTICIPANT,
            "submission.submit",
            submission_id=row.id,
            collection_id=row.collection_id,
        )


async def _follow(connection: Connection, row: SubmissionRow, judged: _Judged) -> None:
    """Do what else follows from handing in."""
    await answer_queries.clear_answers(connection, row.id, judged.empty)
    await answer_queries.replace_answers(connection, row.id, judged.numbers)
    if judged.handling is None:
        return
    if judged.handling.return_reasons is not None:
        await queries.request_return(connection, [row.id], list(judged.handling.return_reasons))
    await follow_groups(connection, row, judged.handling)


def _describe(row: SubmissionRow, judged: _Judged | None = None) -> dict[str, Any]:
    code, _ = code_given(row.study_fields["completion_codes"], row.study_code)
    return {
        "status": judged.status if judged is not None else row.status,
        "completion_code": code,
        "completion_url": row.study_fields.get("completion_url", ""),
    }


@dataclass(frozen=True, slots=True)
class _Record:
    """What is stored at submit."""

    responses: bytes  # JSON of the archive's `responses`
    answer_count: int  # instructions answered, by a value or by files
    places: list[FilePlace]


def _record(
    submission_id: UUID, items: list[dict[str, Any]], answers: dict[str, Any], files: list[FileRow]
) -> _Record:
    """The archive's `responses` of this submission, and the places of its files in the archive."""
    names = MemberNames(str(submission_id))
    by_item = group_files(files)
    saved: list[tuple[str, str, dict[str, Any]]] = []
    uploaded: dict[str, list[FileEntry]] = {}
    places: list[FilePlace] = []
    for item in items:
        if item["type"] == "file_upload":
            entries: list[FileEntry] = []
            for file in by_item.get(item["id"], []):
                if file.sha256 is None or file.content_type is None:
                    continue  # not complete
                path = names.add(file.file_name)
                places.append(FilePlace(file.id, len(places), path))
                entries.append(
                    {
                        "path": path,
                        "file_name": file.file_name,
                        "content_type": file.content_type,
                        "size_bytes": file.size_bytes,
                        "sha256": file.sha256,
                    }
                )
            if entries:
                uploaded[item["id"]] = entries
        elif not is_empty(answers.get(item["id"])):
            saved.append((item["id"], item["type"], answers[item["id"]]))
    responses = encode_responses(saved, uploaded, order=(item["id"] for item in items))
    return _Record(responses, len(saved) + len(uploaded), places)
