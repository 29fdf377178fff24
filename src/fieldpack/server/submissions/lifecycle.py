"""A submission from its start (`beginning/`) to its end: places freed, submit, return, time-out, erasure.

Locks are taken in one order everywhere, so that no two transactions wait for each other: the collection's
counter, then the study, then the submission.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from fieldpack.archive.naming import MemberNames
from fieldpack.archive.records import FileEntry, encode_responses
from fieldpack.server.accounts.permissions.authorization import require
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import OPERATOR, PARTICIPANT, forget, write_entry
from fieldpack.server.collections import queries as collection_queries
from fieldpack.server.collections.service import iter_items
from fieldpack.server.db.pool import Connection, Database
from fieldpack.server.erasures.queries import insert_erasure
from fieldpack.server.exports import erasure
from fieldpack.server.groups.queries import change_membership, forget_participant
from fieldpack.server.hooks.queries import forget_answers
from fieldpack.server.jobs import MAINTENANCE_QUEUE, defer
from fieldpack.server.problems import (
    ANSWERS_INCOMPLETE,
    Problem,
    conflict,
    not_found,
)
from fieldpack.server.studies import queries as study_queries
from fieldpack.server.studies.completion_codes import Handling, code_given, handle
from fieldpack.server.studies.rows import StudyRow
from fieldpack.server.submissions import queries
from fieldpack.server.submissions.answering.answers import (
    find_problems,
    group_files,
    is_empty,
    put_numbers_right,
)
from fieldpack.server.submissions.rows import FilePlace, SubmissionRow
from fieldpack.server.uploads import service as uploads
from fieldpack.server.uploads.rows import FileRow

__all__ = [
    "erase",
    "follow_groups",
    "give_back",
    "lock_submission",
    "return_submission",
    "state_of",
    "submit",
    "time_out_overdue",
]

SCRUB_SECONDS = 1.0  # so that one run serves many erasures
SCRUB_PRIORITY = 1  # before waiting exports
SUBMITTED = ("AWAITING REVIEW", "APPROVED", "REJECTED", "PARTIALLY APPROVED", "SCREENED OUT")


def hash_token(token: str) -> bytes:
    """What is stored of a participant's token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def state_of(row: SubmissionRow) -> tuple[str, str]:
    """Status and response of a submission. After its deadline it is timed out, also before the periodic job has
    stored that."""
    return ("TIMED-OUT", "no_submission") if row.overdue else (row.status, row.response)


async def find_study(connection: Connection, study_id: UUID, *, lock: bool = False) -> StudyRow:
    """The study that a participant asks for. With `lock` its row is locked until commit.

    Raises:
        Problem: 404.
    """
    study = await study_queries.find_study(connection, study_id, lock=lock)
    if study is None:
        raise not_found("Study", study_id)
    return study


async def free_overdue_places(connection: Connection, study_id: UUID) -> int:
    """Time out the submissions to this study that are past their deadline; returns how many places that frees. The
    caller has locked the study."""
    freed = await queries.time_out_study(connection, study_id)
    if freed:
        await study_queries.free_places(connection, study_id, freed)
    return freed


async def time_out_overdue(database: Database) -> int:
    """Time out overdue submissions to every study, each study in a transaction of its own; returns how many places
    that frees."""
    async with database.transaction() as connection:
        studies = await queries.list_overdue_studies(connection)
    timed_out = 0
    for study_id in studies:
        async with database.transaction() as connection:
            await find_study(connection, study_id, lock=True)
            timed_out += await free_overdue_places(connection, study_id)
    return timed_out


async def lock_submission(connection: Connection, submission_id: UUID) -> SubmissionRow:
    """The submission, locked until commit, after the collection's counter and the study. One past its deadline is timed
    out.

    Raises:
        Problem: 404.
    """
    seen = await queries.find_submission(connection, submission_id)
    if seen is None:
        raise not_found("Submission", submission_id)
    await collection_queries.lock_counter(connection, seen.collection_id)
    await find_study(connection, seen.study_id, lock=True)
    row = await queries.find_submission(connection, submission_id, lock=True)
    if row is None:
        raise not_found("Submission", submission_id)
    if row.overdue and await queries.time_out(connection, submission_id):
        if row.holds_place:
            await study_queries.free_places(connection, row.study_id, 1)
        row = replace(row, status="TIMED-OUT", response="no_submission", holds_place=False)
    return row


async def submit(connection: Connection, submission_id: UUID) -> dict[str, Any]:
    """Make the response active. If it is active already, the answer is the same and nothing changes.

    Locks the collection's counter, the study and the submission until commit.

    Returns:
        `status`, `completion_code` and `completion_url`.

    Raises:
        Problem: 404; 400 by instruction id for what is missing or breaks a rule; 409 when the submission was returned.
    """
    row = await lock_submission(connection, submission_id)
    fields = row.study_fields
    code, handled_by = code_given(fields["completion_codes"], row.study_code)
    if row.response != "active":
        if row.status == "RETURNED":
            raise conflict("This submission was returned; it can't be submitted any more.")
        body = await collection_queries.get_version(connection, row.collection_id, row.collection_version)
        saved = await queries.list_answers(connection, submission_id)
        answers = {str(answer.instruction_id): answer.value for answer in saved}
        files = await uploads.list_files(connection, submission_id)
        items = list(iter_items(body))
        problems = find_problems(items, answers, files)
        if problems:
            raise Problem(ANSWERS_INCOMPLETE, problems)
        await queries.clear_answers(
            connection, submission_id, [UUID(key) for key, answer in answers.items() if is_empty(answer)]
        )
        numbers = put_numbers_right(items, answers)
        await queries.replace_answers(connection, submission_id, numbers)
        record = _record(submission_id, items, {**answers, **numbers}, files)
        handling = handle(handled_by) if row.status == "ACTIVE" else None
        status = handling.status if handling else row.status
        await queries.set_file_places(connection, record.places)
        counter = await collection_queries.raise_counter(connection, row.collection_id)
        await queries.set_submitted(
            connection,
            submission_id,
            status=status,
            responses=record.responses.decode(),
            answer_count=record.answer_count,
            file_count=len(record.places),
            counter=counter,
            entered_code=code,
        )
        if handling and handling.return_reasons is not None:
            await queries.request_return(connection, submission_id, list(handling.return_reasons))
        if handling:
            await follow_groups(connection, row, handling)
        await write_entry(connection, PARTICIPANT, "submission.submit", submission_id=submission_id)
        row = replace(row, status=status)
    return {
        "status": row.status,
        "completion_code": code,
        "completion_url": fields.get("completion_url", ""),
    }


async def follow_groups(connection: Connection, row: SubmissionRow, handling: Handling) -> None:
    """Add a participant to groups, or remove them, as a completion code says. Participants who only try the study
    are left out."""
    if not row.test:
        for added, group_id in handling.groups:
            await change_membership(connection, row.workspace_id, group_id, row.participant_id, added=added)


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


async def return_submission(connection: Connection, submission_id: UUID) -> dict[str, Any]:
    """Return a submission because the participant gives up: its place is freed, the response becomes `no_submission`.

    Raises:
        Problem: 404; 409 after submitting, unless the researcher asked for a return.
    """
    row = await lock_submission(connection, submission_id)
    if row.status != "RETURNED":
        submitted = row.response == "active" or row.status in SUBMITTED
        if submitted and row.return_requested is None:
            raise conflict(
                "This submission was submitted; only the researcher can ask for it to be returned."
            )
        await give_back(connection, row)
        await write_entry(connection, PARTICIPANT, "submission.return", submission_id=submission_id)
    return {"status": "RETURNED"}


async def give_back(connection: Connection, row: SubmissionRow) -> None:
    """Return a submission: its place is freed, and further exports leave it out. The caller has locked it with
    `lock_submission`."""
    counter = None
    if row.response == "active":
        counter = await collection_queries.raise_counter(connection, row.collection_id)
    await queries.set_returned(connection, row.id, counter)
    if row.holds_place:
        await study_queries.free_places(connection, row.study_id, 1)


async def erase(connection: Connection, caller: Caller | None, submission_id: UUID) -> list[UUID]:
    """Erase a participant's data; returns the exports that contained it.

    What is left is a row without anything of the person. Exports under way begin again with another build, so that none
    completes with what was erased. A place stays taken if the submission had been submitted. Once this is committed,
    `erasures.keep_erasure` lists the erasure for restores.

    Args:
        caller: None for an erasure without a check of rights, by the operator or a restore.

    Raises:
        Problem: 404; 403.
    """
    if caller is not None:
        await require(connection, caller, Action.SUBMISSION_ERASE, submission=submission_id)
    row = await lock_submission(connection, submission_id)
    without: set[UUID] = set()
    if row.response == "active":
        await collection_queries.raise_counter(connection, row.collection_id)
        without = await erasure.find_without(connection, row.collection_id, submission_id)
    await uploads.erase_uploads(connection, submission_id)
    await queries.set_erased(connection, submission_id)
    await forget_answers(connection, submission_id)
    await forget_participant(connection, row.workspace_id, row.participant_id)
    await insert_erasure(connection, submission_id)
    actor = caller.actor if caller else OPERATOR
    await write_entry(connection, actor, "submission.erase", submission_id=submission_id)
    await forget(connection, submission_id)
    if row.holds_place and row.response == "in_progress":
        await study_queries.free_places(connection, row.study_id, 1)
    touched = await erasure.reach_exports(
        connection,
        row.collection_id,
        row.study_id,
        completed_at=row.completed_at,
        activated_counter=row.activated_counter,
        deactivated_counter=row.deactivated_counter,
        without=without,
    )
    await defer_scrub(connection)  # last, so that its job starts after everything above is written
    return touched


async def defer_scrub(
    connection: Connection, delay_seconds: float = SCRUB_SECONDS, waiting: str = ""
) -> None:
    """Enqueue the job that removes what PostgreSQL's files still hold of erased rows. One job serves many erasures.

    Args:
        delay_seconds: until it starts.
        waiting: why it waits, for readiness; empty if for no special reason.
    """
    await defer(
        connection,
        "scrub",
        queue=MAINTENANCE_QUEUE,
        priority=SCRUB_PRIORITY,
        lock="scrub",
        queueing_lock="scrub",
        delay_seconds=delay_seconds,
        **({"waiting": waiting} if waiting else {}),
    )
