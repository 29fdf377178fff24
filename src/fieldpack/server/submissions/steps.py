"""Steps of a submission that do not decide on its content: rejections undone, returns, screening out."""

from __future__ import annotations

from uuid import UUID

from fieldpack.server.collections.queries import raise_counter
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import STUDY_FULL, Problem, conflict
from fieldpack.server.studies import queries as study_queries
from fieldpack.server.submissions import queries
from fieldpack.server.submissions.lifecycle import give_back, lock_submission
from fieldpack.server.submissions.rows import SubmissionRow

__all__ = ["STEPS", "mark_test", "take_step"]

PLACELESS = ("RETURNED", "TIMED-OUT", "SCREENED OUT")  # a submission in one of these holds no place
# step: states it leads from, and those it leads to, where it changes nothing
STEPS = {
    "UNREJECT": (("REJECTED",), ("AWAITING REVIEW",)),
    "RETURN": (("RESERVED", "ACTIVE", "AWAITING REVIEW", "TIMED-OUT"), ("RETURNED",)),
    "UNRETURN": (("RETURNED",), ("ACTIVE", "AWAITING REVIEW")),
    "SCREEN_OUT": (("RESERVED", "ACTIVE", "AWAITING REVIEW"), ("SCREENED OUT",)),
    "START": (("RESERVED",), ("ACTIVE",)),
}


async def take_step(connection: Connection, submission_id: UUID, action: str) -> None:
    """Take one of `STEPS`. Where the submission is in the target state already, nothing changes. The caller has checked
    the rights.

    Raises:
        Problem: 409 when the submission's state has no such step, or no place is free for a participant who comes back.
    """
    row = await lock_submission(connection, submission_id)
    origins, ends = STEPS[action]
    if row.status in ends:
        return
    if row.status not in origins:
        raise conflict(
            f"A submission that is {row.status} can't {action}: that needs one that is {' or '.join(origins)}."
        )
    if action == "RETURN":
        await give_back(connection, row)
    elif action == "UNRETURN":
        await _take_back(connection, row)
    elif action == "SCREEN_OUT":
        await _tell_exports(connection, row)
        await queries.set_screened_out(connection, row.id)
        if row.holds_place:
            await study_queries.free_places(connection, row.study_id, 1)
    elif action == "UNREJECT":
        await _tell_exports(connection, row)
        await queries.set_unrejected(connection, row.id)
    else:
        await queries.set_started(connection, row.id)


async def mark_test(connection: Connection, submission_id: UUID, is_test: bool) -> None:
    """Mark a submission as a test, or as none. Where it is that already, nothing changes.

    Raises:
        Problem: 404; 403; 409 for a submission to a copy for trying, and when no place is free for one that is no test
            any more.
    """
    row = await lock_submission(connection, submission_id)
    if row.test == is_test:
        return
    study = await study_queries.find_study(connection, row.study_id)
    if study is not None and study.test:
        raise conflict("This study is a copy for trying: all submissions to it are tests.")
    counter = None
    if row.response == "active":
        counter = await raise_counter(connection, row.collection_id)
    if is_test and row.holds_place:
        await study_queries.free_places(connection, row.study_id, 1)
    takes_place = not is_test and row.status not in PLACELESS
    if takes_place and not await study_queries.hold_place(connection, row.study_id):
        raise Problem(
            STUDY_FULL, "All places of the study are taken: add one before this submission takes one."
        )
    await queries.set_test(connection, submission_id, is_test, holds_place=takes_place, counter=counter)


async def _take_back(connection: Connection, row: SubmissionRow) -> None:
    """Undo a return: a submission that had been submitted waits for review again, any other goes on with the study's
    full time."""
    if not row.test and not await study_queries.hold_place(connection, row.study_id):
        raise Problem(
            STUDY_FULL,
            "All places of the study are taken: add one before this submission gets its place back.",
        )
    if row.submitted:
        await raise_counter(connection, row.collection_id)
    await queries.set_unreturned(connection, row.id)


async def _tell_exports(connection: Connection, row: SubmissionRow) -> None:
    """Raise the counter, because a status that exports show changes."""
    if row.response == "active":
        await raise_counter(connection, row.collection_id)
