"""A submission from its start (`beginning/`) to its end: places freed, submit, return, time-out, erasure.

Locks are taken in one order everywhere, so that no two transactions wait for each other: the collection's
counter, then the study, then the submission.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any
from uuid import UUID

from fieldpack.server.accounts.permissions.authorization import require
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import OPERATOR, PARTICIPANT, forget, write_entry
from fieldpack.server.collections import queries as collection_queries
from fieldpack.server.db.pool import Connection, Database
from fieldpack.server.erasures.queries import count_reach, insert_erasure, insert_proof
from fieldpack.server.exports import erasure
from fieldpack.server.groups.queries import change_membership, forget_participant
from fieldpack.server.hooks.queries import forget_erased
from fieldpack.server.jobs import MAINTENANCE_QUEUE, defer
from fieldpack.server.problems import (
    conflict,
    not_found,
)
from fieldpack.server.studies import queries as study_queries
from fieldpack.server.studies.completion_codes import Handling
from fieldpack.server.studies.rows import StudyRow
from fieldpack.server.submissions import queries
from fieldpack.server.submissions.admission import forget_listed
from fieldpack.server.submissions.review.queries import remove_erased
from fieldpack.server.submissions.rows import SubmissionRow
from fieldpack.server.uploads import service as uploads

__all__ = [
    "erase",
    "follow_groups",
    "give_back",
    "lock_submission",
    "return_submission",
    "state_of",
    "time_out_overdue",
]

SCRUB_SECONDS = 1.0  # so that one run serves many erasures
SCRUB_PRIORITY = 1  # before waiting exports


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


async def follow_groups(connection: Connection, row: SubmissionRow, handling: Handling) -> None:
    """Add a participant to groups, or remove them, as a completion code says. Participants who only try the study
    are left out."""
    if not row.test:
        for added, group_id in handling.groups:
            await change_membership(connection, row.workspace_id, group_id, row.participant_id, added=added)


async def return_submission(connection: Connection, submission_id: UUID) -> dict[str, Any]:
    """Return a submission because the participant gives up: its place is freed, the response becomes `no_submission`.

    Raises:
        Problem: 404; 409 after submitting, unless the researcher asked for a return.
    """
    row = await lock_submission(connection, submission_id)
    if row.status != "RETURNED":
        if row.submitted and row.return_requested is None:
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


async def erase(
    connection: Connection, caller: Caller | None, submission_id: UUID, batch: UUID | None = None
) -> list[UUID]:
    """Erase a participant's data; returns the exports that contained it.

    What is left is a row without anything of the person. Exports under way begin again with another build, so that none
    completes with what was erased. A place stays taken if the submission had been submitted. Once this is committed,
    `erasures.keep_erasure` lists the erasure for restores.

    Args:
        caller: None for an erasure without a check of rights, by the operator or a restore.
        batch: of those that were asked for together.

    Raises:
        Problem: 404; 403.
    """
    if caller is not None:
        await require(connection, caller, Action.SUBMISSION_ERASE, submission=submission_id)
    await queries.await_erasures(connection, submission_id)
    row = await lock_submission(connection, submission_id)
    without: set[UUID] = set()
    if row.response == "active":
        await collection_queries.raise_counter(connection, row.collection_id)
        without = await erasure.find_without(connection, row.collection_id, submission_id)
    removed = await count_reach(connection, [submission_id])
    objects = await uploads.erase_uploads(connection, submission_id)
    await queries.set_erased(connection, submission_id)
    await remove_erased(connection, submission_id)
    await forget_erased(connection, submission_id)
    await forget_participant(connection, row.workspace_id, row.participant_id)
    await forget_listed(connection, row.workspace_id, row.participant_id)
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
    await insert_proof(connection, submission_id, row.collection_id, removed, objects, touched, batch)
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
