"""The first page: workspaces, and the collections in them by what happened last."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from fieldpack.server.accounts import queries as accounts
from fieldpack.server.accounts.operators.service import is_operator
from fieldpack.server.accounts.permissions.authorization import find_allowed, find_workspaces
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.rows import WorkspaceRow
from fieldpack.server.accounts.service import Caller
from fieldpack.server.collections.lists.filters import STATES, CollectionFilter, parse_filter
from fieldpack.server.collections.lists.service import Listed, list_latest
from fieldpack.server.db.pool import Connection
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.origin import origin_of
from fieldpack.server.http.routing import parse_id
from fieldpack.server.problems import not_found
from fieldpack.server.studies.service import participant_url
from fieldpack.server.studies.targeting import find_unenforced
from fieldpack.server.web import queries
from fieldpack.server.web.catalogue import message
from fieldpack.server.web.rendering import catalogue_of, render
from fieldpack.server.web.rows import StudyLinkRow
from fieldpack.server.web.workbench import views
from fieldpack.server.web.workbench.collections.sparks import HEIGHT, STEP, draw_spark
from fieldpack.server.web.workbench.signed_in import HOME, SignedIn, WorkbenchRoute

__all__ = ["STATE_TEXTS", "router"]

router = APIRouter(route_class=WorkbenchRoute, include_in_schema=False)

ROWS = 25
STUDIES = 3  # of each collection, the newest
MOST_WORKSPACES = 200
STATE_TEXTS = {
    "open": message("status.active"),
    "paused": message("status.paused"),
    "ended": message("home.ended"),
    "draft": message("home.draft"),
}
# what somebody may do in a workspace, by the names that the page has for it
OFFERED = {
    "make": Action.COLLECTION_WRITE,
    "invite": Action.MEMBERS_MANAGE,
    "hook": Action.HOOKS_MANAGE,
    "audit": Action.AUDIT_READ,
}
Text = Annotated[str, Query()]


@router.get(HOME)
async def show_home(
    request: Request,
    context: CurrentContext,
    caller: SignedIn,
    after: Text = "",
    before_place: Annotated[str, Query(alias="upto")] = "",
    workspace: Text = "",
) -> Response:
    """Collections and their studies, by what happened last."""
    wanted = parse_filter(request.query_params.multi_items())
    async with context.database.transaction() as connection:
        workspaces, _ = await accounts.list_workspaces(connection, caller.id, MOST_WORKSPACES, 0)
        looks_after = await is_operator(connection, caller)
        inside = _narrow(workspaces, workspace)
        page = await list_latest(
            connection,
            caller,
            [row.id for row in inside if row.collections_enabled],
            wanted,
            ROWS,
            after=after or None,
            before=before_place or None,
        )
        ids = [each.row.id for each in page.collections]
        exportable = await find_allowed(connection, caller, Action.EXPORTS_CREATE, ids)
        writable = await find_allowed(connection, caller, Action.COLLECTION_WRITE, ids)
        readable = await find_allowed(connection, caller, Action.RESPONSES_READ, ids)
        studies = await queries.list_latest_studies(connection, ids, STUDIES)
        offered = await _offer(connection, caller)
    catalogue = catalogue_of(request)
    origin = origin_of(request, context)
    parameters = [*wanted.parameters(), *([("workspace", workspace)] if workspace else [])]
    titles = {row.id: row.title for row in workspaces}

    def collection(each: Listed) -> dict[str, Any]:
        own = [study for study in studies if study.collection_id == each.row.id]
        return {
            "row": each.row,
            "summary": each.summary,
            "path": f"/workbench/collections/{each.row.id}",
            "workspace": titles[each.row.workspace_id],
            "state": catalogue.text(STATE_TEXTS[each.row.state]),
            "spark": draw_spark(each.days, catalogue),
            "may_export": each.row.id in exportable,
            "may_write": each.row.id in writable,
            "may_read": each.row.id in readable,
            "studies": [_describe_study(study, origin) for study in own],
            "more_studies": own[0].all_studies - len(own) if own else 0,
        }

    return render(
        request,
        "researcher.html",
        caller=caller,
        workspaces=workspaces,
        is_operator=looks_after,
        offered=offered,
        chosen=workspace,
        wanted=wanted,
        is_narrowed=bool(parameters),
        archive=_other_shelf(wanted, workspace),
        states=[(state, catalogue.text(STATE_TEXTS[state])) for state in STATES],
        collections=[collection(each) for each in page.collections],
        home=HOME,
        spark_step=STEP,
        spark_height=HEIGHT,
        previous=views.link_to(HOME, parameters, [("upto", page.before)]) if page.before else None,
        following=views.link_to(HOME, parameters, [("after", page.after)]) if page.after else None,
    )


def _narrow(workspaces: list[WorkspaceRow], chosen: str) -> list[WorkspaceRow]:
    """The workspace that the address names, or all.

    Raises:
        Problem: 404 for one that is none of the caller's.
    """
    if not chosen:
        return workspaces
    wanted = parse_id("Workspace", chosen)
    found = [row for row in workspaces if row.id == wanted]
    if not found:
        raise not_found("Workspace", wanted)
    return found


async def _offer(connection: Connection, caller: Caller) -> dict[str, list[UUID]]:
    """In which workspaces what may be done."""
    return {name: await find_workspaces(connection, caller, action, None) for name, action in OFFERED.items()}


def _other_shelf(wanted: CollectionFilter, workspace: str) -> str:
    """The address of those that are put aside, or back from there."""
    kept = [("workspace", workspace)] if workspace else []
    return views.link_to(HOME, kept, [] if wanted.archived == "yes" else [("archived", "yes")])


def _describe_study(study: StudyLinkRow, origin: str) -> dict[str, Any]:
    return {
        "id": study.id,
        "name": study.name,
        "status": study.status,
        "places_taken": study.places_taken,
        "total_available_places": study.total_available_places,
        "link": participant_url(origin, study.id),
        "resume": study.resume,
        "unenforced": find_unenforced(study.fields, study.known_studies, study.known_groups),
    }
