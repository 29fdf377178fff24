"""`/installation`: how it does, jobs that failed, sweeps; for its operators."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, BeforeValidator

from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import SweepId
from fieldpack.server.http.listing import Page, envelope
from fieldpack.server.http.routing import discard_body
from fieldpack.server.operations import administration
from fieldpack.server.operations.status import describe_status
from fieldpack.server.problems import not_found
from fieldpack.server.values.whole_numbers import read_whole

__all__ = ["router"]

router = APIRouter(route_class=ResearcherRoute, tags=["operations"])


def _parse_job(text: str) -> int:
    number = read_whole(text)
    if number is None:
        raise not_found("Failed job", text)
    return number


JobId = Annotated[int, BeforeValidator(_parse_job), Path(description="The job's number.")]


class SweepRequest(BaseModel):
    """Whether only to look."""

    dry_run: bool


@router.get("/installation")
async def get_status(context: CurrentContext, caller: CurrentCaller) -> dict[str, Any]:
    """How the installation does: what to look at, versions, sizes, jobs."""
    return describe_status(await administration.get_status(context, caller))


@router.get("/installation/jobs")
async def list_failed_jobs(context: CurrentContext, caller: CurrentCaller, page: Page) -> dict[str, Any]:
    """Jobs that failed, newest first, and why."""
    async with context.database.transaction() as connection:
        found, count = await administration.list_failed_jobs(connection, caller, page.limit, page.offset)
    return envelope([administration.describe_job(each) for each in found], count)


@router.post("/installation/jobs/{job}/retry", dependencies=[Depends(discard_body)])
async def retry_job(context: CurrentContext, caller: CurrentCaller, job: JobId) -> dict[str, Any]:
    """Have a failed job tried again."""
    async with context.database.transaction() as connection:
        await administration.retry_job(connection, caller, job)
    return {"id": job, "status": "waiting"}


@router.get("/installation/exports")
async def list_failed_exports(context: CurrentContext, caller: CurrentCaller) -> dict[str, Any]:
    """Exports that failed in the last 30 days, newest first, and why."""
    async with context.database.transaction() as connection:
        found = await administration.list_failed_exports(connection, caller)
    return envelope([administration.describe_export(each) for each in found], len(found))


@router.get("/installation/sweeps")
async def list_sweeps(context: CurrentContext, caller: CurrentCaller) -> dict[str, Any]:
    """Sweeps that somebody asked for, newest first, and what they removed or would."""
    async with context.database.transaction() as connection:
        found = await administration.list_sweeps(connection, caller)
    return envelope([administration.describe_sweep(each) for each in found], len(found))


@router.post("/installation/sweeps", status_code=202)
async def request_sweep(context: CurrentContext, caller: CurrentCaller, body: SweepRequest) -> dict[str, Any]:
    """Have a worker remove what retention and interruptions left behind, or only say what that is."""
    async with context.database.transaction() as connection:
        row = await administration.request_sweep(connection, caller, dry_run=body.dry_run)
    return administration.describe_sweep(row)


@router.get("/installation/sweeps/{sweep_id}")
async def get_sweep(context: CurrentContext, caller: CurrentCaller, sweep_id: SweepId) -> dict[str, Any]:
    """One sweep."""
    async with context.database.transaction() as connection:
        return administration.describe_sweep(await administration.get_sweep(connection, caller, sweep_id))
