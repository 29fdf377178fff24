"""`/submissions` and `/studies/{id}/submissions`: the researcher's side."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute, asks
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import write_entry
from fieldpack.server.db.pool import Connection
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import StudyId, SubmissionId
from fieldpack.server.http.listing import (
    Page,
    Paging,
    ShortPage,
    envelope,
    parse_day,
    parse_ordering,
    parse_truth,
    parse_words,
)
from fieldpack.server.http.routing import discard_body, parse_given_id
from fieldpack.server.studies.service import get_study
from fieldpack.server.submissions import lifecycle, service
from fieldpack.server.submissions.lists import queries as lists
from fieldpack.server.submissions.schemas import (
    BulkApproval,
    ReturnRequest,
    SubmissionPatch,
    SubmissionTransition,
)
from fieldpack.server.submissions.steps import mark_test
from fieldpack.server.values.statuses import STATUSES

router = APIRouter(route_class=ResearcherRoute, tags=["submissions"])


@router.get("/studies/{study_id}/submissions")
async def list_submissions(
    context: CurrentContext,
    caller: CurrentCaller,
    study_id: StudyId,
    page: Page,
    status: Annotated[
        list[str] | None, Query(description="A status, or several as `(active|approved)`, in any case.")
    ] = None,
    ordering: Annotated[
        str | None, Query(description=f"One of {', '.join(lists.ORDERINGS)}; `-` before it is descending.")
    ] = None,
) -> dict[str, Any]:
    """The submissions of a study, in the order they were started unless `ordering` says another."""
    statuses = parse_words("status", status or [], STATUSES)
    order = parse_ordering(ordering, lists.ORDERINGS)
    async with context.database.transaction() as connection:
        return await _list(connection, caller, study_id, lists.Narrowed(statuses), order, page)


async def _list(
    connection: Connection,
    caller: Caller,
    study_id: UUID,
    narrowed: lists.Narrowed,
    order: list[str],
    page: Paging,
) -> dict[str, Any]:
    """A page of a study's submissions, after those past their deadline were timed out."""
    await get_study(connection, caller, study_id, Action.SUBMISSIONS_READ, lock=True)
    await lifecycle.free_overdue_places(connection, study_id)
    rows, count = await lists.list_of_study(connection, study_id, narrowed, order, page.limit, page.offset)
    await write_entry(
        connection,
        caller.actor,
        "submission.list",
        study_id=study_id,
        count=len(rows),
        total=count,
        limit=page.limit,
        offset=page.offset,
        status=narrowed.statuses,
        since=narrowed.submitted_from,
        until=narrowed.submitted_before,
        flags=sorted(f"{name} {flag}" for name, flag in narrowed.flags.items()) or None,
    )
    return envelope([service.describe_submission(row) for row in rows], count)


Truth = Annotated[str | None, Query(description="`1`, `true`, `t`, `yes` …, or `0`, `false`, `f`, `no` ….")]
Day = Annotated[str | None, Query(description="`DD/MM/YYYY`, in UTC.")]


@router.get("/submissions")
async def list_submissions_of(
    context: CurrentContext,
    caller: CurrentCaller,
    page: ShortPage,
    study: Annotated[str, Query(min_length=1, description="The study.")],
    status: Annotated[
        list[str] | None, Query(description="A status, or several as `(active|approved)`, in any case.")
    ] = None,
    completed: Truth = None,
    returned: Truth = None,
    awaiting_review: Truth = None,
    approved: Truth = None,
    active: Truth = None,
    timeout: Truth = None,
    rejected: Truth = None,
    screened_out: Truth = None,
    completeoractive: Truth = None,
    submitted_from: Day = None,
    submitted_before: Day = None,
    ordering: Annotated[
        str | None,
        Query(description=f"One of {', '.join(lists.SHORT_ORDERINGS)}; `-` before it is descending."),
    ] = None,
) -> dict[str, Any]:
    """The submissions of a study that match all that is given, in the order of their start."""
    given = {
        "completed": completed,
        "returned": returned,
        "awaiting_review": awaiting_review,
        "approved": approved,
        "active": active,
        "timeout": timeout,
        "rejected": rejected,
        "screened_out": screened_out,
        "completeoractive": completeoractive,
    }
    flags = {name: parse_truth(name, text) for name, text in given.items()}
    narrowed = lists.Narrowed(
        parse_words("status", status or [], STATUSES),
        {name: flag for name, flag in flags.items() if flag is not None},
        parse_day("submitted_from", submitted_from),
        parse_day("submitted_before", submitted_before),
    )
    order = parse_ordering(ordering, lists.SHORT_ORDERINGS)
    study_id = parse_given_id("study", "Study", study)
    async with context.database.transaction() as connection:
        return await _list(connection, caller, study_id, narrowed, order, page)


@router.get("/studies/{study_id}/submissions/counts")
async def count_submissions(
    context: CurrentContext, caller: CurrentCaller, study_id: StudyId
) -> dict[str, int]:
    """How many submissions of a study are in each state."""
    async with context.database.transaction() as connection:
        await get_study(connection, caller, study_id, Action.COUNTS_READ, lock=True)
        await lifecycle.free_overdue_places(connection, study_id)
        return await service.count_submissions(connection, study_id)


@router.post("/submissions/bulk-approve")
async def bulk_approve(context: CurrentContext, caller: CurrentCaller, body: BulkApproval) -> dict[str, Any]:
    """Approve several submissions: all of them, or none."""
    async with context.database.transaction() as connection:
        return await service.approve_many(connection, caller, body)


@router.get("/submissions/{submission_id}")
async def get_submission(
    context: CurrentContext, caller: CurrentCaller, submission_id: SubmissionId
) -> dict[str, Any]:
    """One submission."""
    async with context.database.transaction() as connection:
        row = await service.get_submission(connection, caller, submission_id)
        await write_entry(connection, caller.actor, "submission.read", submission_id=submission_id)
    return service.describe_submission(row)


@router.patch("/submissions/{submission_id}")
@asks(Action.STUDY_WRITE)
async def patch_submission(
    context: CurrentContext, caller: CurrentCaller, submission_id: SubmissionId, body: SubmissionPatch
) -> dict[str, Any]:
    """Mark a submission as a test, or as none."""
    async with context.database.transaction() as connection:
        await service.get_submission(connection, caller, submission_id, Action.STUDY_WRITE)
        await mark_test(connection, submission_id, body.test)
        await write_entry(
            connection, caller.actor, "submission.update", submission_id=submission_id, changed=["test"]
        )
        row = await service.get_submission(connection, caller, submission_id)
    return service.describe_submission(row)


@router.post("/submissions/{submission_id}/transition")
@asks(Action.RESPONSES_REVIEW)
async def transition_submission(
    context: CurrentContext, caller: CurrentCaller, submission_id: SubmissionId, body: SubmissionTransition
) -> dict[str, Any]:
    """Approve, reject or complete a submission, undo that, return it or screen its participant out."""
    async with context.database.transaction() as connection:
        return await service.transition(connection, caller, submission_id, body)


@router.post("/submissions/{submission_id}/request-return")
@asks(Action.RESPONSES_REVIEW)
async def request_return(
    context: CurrentContext, caller: CurrentCaller, submission_id: SubmissionId, body: ReturnRequest
) -> dict[str, Any]:
    """Ask the participant to return a submission."""
    async with context.database.transaction() as connection:
        return await service.request_return(connection, caller, submission_id, body.request_return_reasons)


@router.delete("/submissions/{submission_id}", status_code=204, dependencies=[Depends(discard_body)])
async def erase_submission(
    context: CurrentContext, caller: CurrentCaller, submission_id: SubmissionId
) -> None:
    """Erase a participant's data: answers, files, and every export that holds them."""
    await service.erase_submission(context, caller, submission_id)
