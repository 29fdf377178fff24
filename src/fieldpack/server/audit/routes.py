"""`/workspaces/{workspace_id}/audit`: who did or saw what in a workspace, for its owners."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute
from fieldpack.server.audit import service
from fieldpack.server.audit.access import read_log
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import WorkspaceId
from fieldpack.server.http.listing import Page, envelope
from fieldpack.server.problems import invalid

__all__ = ["router"]

router = APIRouter(route_class=ResearcherRoute, tags=["audit"])

Since = Annotated[str | None, Query(description="From this day or time on; UTC unless it says so.")]
Until = Annotated[str | None, Query(description="Before this day or time.")]
Who = Annotated[
    str | None,
    Query(
        description="An e-mail address, a researcher's or a subject's id, or `researcher`, `participant`, `link`,"
        " `operator`."
    ),
]
What = Annotated[str | None, Query(description="An action, or how it begins: `file.read`, `submission.`.")]
About = Annotated[
    str | None, Query(description="The id of a submission, file, study, collection …, or of a subject.")
]


@router.get("/workspaces/{workspace_id}/audit")
async def list_entries(
    context: CurrentContext,
    caller: CurrentCaller,
    workspace_id: WorkspaceId,
    page: Page,
    since: Since = None,
    until: Until = None,
    actor: Who = None,
    action: What = None,
    object: About = None,
) -> dict[str, Any]:
    """The workspace's audit log, newest first. For owners; looking at it leaves an entry too."""
    try:
        wanted = service.parse_wanted(since=since, until=until, actor=actor, action=action, object=object)
    except service.UnclearFilter as error:
        raise invalid(error.name, str(error)) from None
    async with context.database.transaction() as connection:
        entries, count = await read_log(connection, caller, workspace_id, wanted, page.limit, page.offset)
    return envelope(entries, count)
