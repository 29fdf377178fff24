"""Handing in: what was answered is held against the rules, and written once as the archive will have it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from fieldpack.archive.naming import MemberNames
from fieldpack.archive.records import FileEntry, encode_responses
from fieldpack.server.audit.service import PARTICIPANT, write_entry
from fieldpack.server.caches import Caches
from fieldpack.server.collections.queries import ask_counter, ask_raise
from fieldpack.server.collections.versions import get_items
from fieldpack.server.db.pool import Connection, begin_in_pipeline, end_in_pipeline, start_over
from fieldpack.server.problems import ANSWERS_INCOMPLETE, Problem, conflict, not_found
from fieldpack.server.studies.completion_codes import code_given, handle
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
from fieldpack.server.uploads import service as uploads
from fieldpack.server.uploads.queries import ask_files
from fieldpack.server.uploads.rows import FileRow

__all__ = ["submit"]


async def submit(
    connection: Connection, caches: Caches, held: HeldRow | SubmissionRow, key: Key | None = None
) -> dict[str, Any]:
    """Make the response active, and end the transaction. If it is active already, the answer is the same and nothing
    changes.

    Locks the collection's counter and the submission until commit; the study, between the two, where a place is freed.

    Args:
        key: what must open the submission; None where that was asked before.

    Returns:
        `status`, `completion_code` and `completion_url`.

    Raises:
        Problem: 400 by instruction id for what is missing or breaks a rule; 409 when it was returned.
        NotOpened: the key does not open it.
    """
    row, saved, files = await _hold_still(connection, held, key)
    fields = row.study_fields
    code, handled_by = code_given(fields["completion_codes"], row.study_code)
    if row.response != "active":
        if row.status == "RETURNED":
            raise conflict("This submission was returned; it can't be submitted any more.")
        items = list(
            (await get_items(connection, caches, row.collection_id, row.collection_version)).values()
        )
        answers = {str(answer.instruction_id): answer.value for answer in saved}
        problems = find_problems(items, answers, files)
        if problems:
            raise Problem(ANSWERS_INCOMPLETE, problems)
        numbers = put_numbers_right(items, answers)
        record = _record(row.id, items, {**answers, **numbers}, files)
        handling = handle(handled_by) if row.status == "ACTIVE" else None
        status = handling.status if handling else row.status
        async with connection.pipeline():
            await answer_queries.clear_answers(
                connection, row.id, [UUID(key) for key, answer in answers.items() if is_empty(answer)]
            )
            await answer_queries.replace_answers(connection, row.id, numbers)
            await queries.set_file_places(connection, record.places)
            await ask_raise(connection, row.collection_id)
            await queries.set_submitted(
                connection,
                row.id,
                status=status,
                responses=record.responses.decode(),
                answer_count=record.answer_count,
                file_count=len(record.places),
                entered_code=code,
            )
            await write_entry(connection, PARTICIPANT, "submission.submit", submission_id=row.id)
            if handling and handling.return_reasons is not None:
                await queries.request_return(connection, [row.id], list(handling.return_reasons))
            if handling:
                await follow_groups(connection, row, handling)
            await end_in_pipeline(connection)
        row = replace(row, status=status)
    return {
        "status": row.status,
        "completion_code": code,
        "completion_url": fields.get("completion_url", ""),
    }


async def _hold_still(
    connection: Connection, held: HeldRow | SubmissionRow, key: Key | None
) -> tuple[SubmissionRow, list[AnswerRow], list[FileRow]]:
    """The submission with its answers and files, locked after the collection's counter, in the common order.

    The study is locked between the two where a place is to be freed, and only there.
    """
    async with begin_in_pipeline(connection):
        await ask_counter(connection, held.collection_id)
        asked = await queries.ask_submission(connection, held.id, key)
        answers, files = (
            await answer_queries.ask_answers(connection, held.id),
            await ask_files(connection, held.id),
        )
    row, saved, found = await asked.fetchone(), await answers.fetchall(), await files.fetchall()
    if row is None:
        raise NotOpened if key is not None else not_found("Submission", held.id)
    if not row.overdue:
        return row, saved, found
    await start_over(connection)
    row = await lock_submission(connection, held.id)
    return (
        row,
        await answer_queries.list_answers(connection, row.id),
        await uploads.list_files(connection, row.id),
    )


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
