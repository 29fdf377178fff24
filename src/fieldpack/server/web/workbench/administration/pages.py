"""How the installation does, what failed, what it takes, and sweeps: for its operators."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.intake.forms import read_unknown_form
from fieldpack.server.operations import administration
from fieldpack.server.operations.rows import SweepRow
from fieldpack.server.operations.status import Finding
from fieldpack.server.problems import invalid
from fieldpack.server.values.whole_numbers import read_whole
from fieldpack.server.web.catalogue import Catalogue, message
from fieldpack.server.web.participants.forms import text_of
from fieldpack.server.web.rendering import catalogue_of, render
from fieldpack.server.web.workbench.signed_in import SignedIn, WorkbenchRoute, see_other

__all__ = ["router"]

router = APIRouter(route_class=WorkbenchRoute, include_in_schema=False)

PATH = "/workbench/administration"
MOST_JOBS = 50
FINDINGS = {
    "database": message("admin.database"),
    "storage": message("admin.storage"),
    "storage_full": message("admin.storage_full"),
    "storage_silent": message("admin.storage_silent"),
    "disk": message("admin.disk"),
    "disk_low": message("admin.disk_low"),
    "workers": message("admin.workers"),
    "no_workers": message("admin.no_workers"),
    "queue": message("admin.queue"),
    "queue_late": message("admin.queue_late"),
    "failed": message("admin.failed"),
    "failed_jobs": message("admin.failed_jobs"),
    "failed_exports": message("admin.failed_exports"),
    "erased": message("admin.erased"),
    "garbage": message("admin.garbage"),
    "unlisted": message("admin.unlisted"),
    "scrub": message("admin.scrub"),
    "hooks": message("admin.hooks"),
    "hooks_late": message("admin.hooks_late"),
}
STATES = {
    "well": message("admin.well"),
    "look": message("admin.look"),
    "trouble": message("admin.trouble"),
}
KINDS = {
    "uploads": message("admin.uploads"),
    "pictures": message("admin.pictures"),
    "thumbnails": message("admin.thumbnails"),
    "under_way": message("admin.under_way"),
    "data": message("admin.data_disk"),
    "storage": message("admin.storage_disk"),
}
SWEPT = {
    "exports_outdated": message("admin.exports_outdated"),
    "exports_surplus": message("admin.exports_surplus"),
    "uploads_abandoned": message("admin.uploads_abandoned"),
    "imports_unfinished": message("admin.imports_unfinished"),
    "pictures_unused": message("admin.pictures_unused"),
    "objects_thrown_away": message("admin.objects_thrown_away"),
    "objects_orphaned": message("admin.objects_orphaned"),
    "objects_unfinished": message("admin.objects_unfinished"),
    "temporary_files": message("admin.temporary_files"),
    "changes_forgotten": message("admin.changes_forgotten"),
    "hook_events_forgotten": message("admin.hook_events_forgotten"),
    "used_links_forgotten": message("admin.used_links_forgotten"),
}


@router.get(PATH)
async def show_administration(request: Request, context: CurrentContext, caller: SignedIn) -> Response:
    """All of it on one page."""
    status = await administration.get_status(context, caller)
    async with context.database.transaction() as connection:
        jobs, job_count = await administration.list_failed_jobs(connection, caller, MOST_JOBS, 0)
        exports = await administration.list_failed_exports(connection, caller)
        sweeps = await administration.list_sweeps(connection, caller)
    catalogue = catalogue_of(request)
    return render(
        request,
        "administration.html",
        caller=caller,
        path=PATH,
        installation=status,
        findings=[
            (each, _say(each, catalogue), catalogue.text(STATES[each.state])) for each in status.findings
        ],
        kinds={name: catalogue.text(key) for name, key in KINDS.items()},
        jobs=jobs,
        job_count=job_count,
        exports=exports,
        sweeps=[(row, _say_sweep(row, catalogue)) for row in sweeps],
        is_sweeping=any(row.finished_at is None for row in sweeps),
    )


def _say(finding: Finding, catalogue: Catalogue) -> str:
    return catalogue.text(FINDINGS[finding.code], **finding.values)


def _say_sweep(row: SweepRow, catalogue: Catalogue) -> list[tuple[str, int]]:
    """What was removed, or would be, each with its number; nothing of what there was none of."""
    result: dict[str, Any] = row.result or {}
    counted = {name: len(value) if isinstance(value, list) else value for name, value in result.items()}
    return [(catalogue.text(key), counted[name]) for name, key in SWEPT.items() if counted.get(name)]


@router.post(PATH)
async def administer(request: Request, context: CurrentContext, caller: SignedIn) -> Response:
    """Try a failed job again, or have a sweep made."""
    form = await read_unknown_form(request)
    go = text_of(form, "go")
    async with context.database.transaction() as connection:
        if go in ("sweep", "look"):
            await administration.request_sweep(connection, caller, dry_run=go == "look")
        elif go == "retry":
            job_id = read_whole(text_of(form, "job"))
            if job_id is None:
                raise invalid("job", "Must be a number.")
            await administration.retry_job(connection, caller, job_id)
        else:
            raise invalid("go", "Unknown action.")
    return see_other(PATH)
