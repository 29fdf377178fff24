"""The page of a workspace's members: their roles, those on single collections, and a form that invites."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request, Response
from starlette.datastructures import FormData

from fieldpack.server.accounts.invitations.service import MOST_DAYS
from fieldpack.server.accounts.members import service
from fieldpack.server.accounts.members.service import (
    LAST_OWNER,
    OWNER_OF_ALL,
    UNPROVEN,
    CollectionMembers,
    Members,
    WorkspaceMembers,
)
from fieldpack.server.accounts.permissions.authorization import find_workspaces, is_allowed
from fieldpack.server.accounts.permissions.roles import Action, Role
from fieldpack.server.accounts.queries import find_workspace, list_workspaces
from fieldpack.server.accounts.rows import WorkspaceRow
from fieldpack.server.accounts.service import Caller
from fieldpack.server.collections.lists.filters import CollectionFilter
from fieldpack.server.collections.lists.service import list_collections
from fieldpack.server.collections.rows import CollectionRow
from fieldpack.server.db.pool import Connection
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import WorkspaceId
from fieldpack.server.http.intake.forms import read_unknown_form
from fieldpack.server.http.routing import parse_id
from fieldpack.server.problems import FORBIDDEN, Problem, invalid, not_found
from fieldpack.server.web.catalogue import Catalogue
from fieldpack.server.web.participants.forms import text_of
from fieldpack.server.web.rendering import catalogue_of, render
from fieldpack.server.web.workbench.account_pages import say_role
from fieldpack.server.web.workbench.signed_in import HOME, SignedIn, WorkbenchRoute, see_other

router = APIRouter(route_class=WorkbenchRoute, include_in_schema=False)

MOST = 200
GOES = ("change", "remove", "give")


def _path(workspace_id: UUID) -> str:
    return f"/workbench/workspaces/{workspace_id}/members"


@router.get("/workbench/members")
async def go_to_members(context: CurrentContext, caller: SignedIn) -> Response:
    """The members of the first workspace that the caller is an owner of; that page leads to the others."""
    async with context.database.transaction() as connection:
        owned = await list_owned(connection, caller)
    if not owned:
        raise Problem(FORBIDDEN, "Only an owner of a workspace sees and changes its members here.")
    return see_other(_path(owned[0].id))


async def list_owned(connection: Connection, caller: Caller) -> list[WorkspaceRow]:
    """The workspaces whose members the caller may manage."""
    allowed = await find_workspaces(connection, caller, Action.MEMBERS_MANAGE, None)
    rows, _ = await list_workspaces(connection, caller.id, MOST, 0)
    return [row for row in rows if row.id in allowed]


async def list_places(connection: Connection, caller: Caller, workspace: WorkspaceRow) -> list[CollectionRow]:
    """The collections of a workspace that a role can be given on; none where Collections are off."""
    if not workspace.collections_enabled:
        return []
    rows, _ = await list_collections(
        connection, caller, workspace.id, CollectionFilter(archived="all"), MOST, 0
    )
    return rows


def list_role_texts(words: Catalogue) -> list[tuple[str, str]]:
    """Each role with what it is called and allows, the one that allows least first."""
    return [(role.value, say_role(words, role)) for role in reversed(Role)]


async def _show(
    request: Request,
    connection: Connection,
    caller: Caller,
    workspace_id: UUID,
    *,
    status: int = 200,
    error: str = "",
) -> Response:
    narrower = await service.list_narrower(connection, caller, workspace_id, MOST + 1)
    rows, count = await service.list_members(connection, caller, WorkspaceMembers(workspace_id), MOST, 0)
    workspace = await find_workspace(connection, workspace_id)
    if workspace is None:
        raise not_found("Workspace", workspace_id)
    members = [{**service.describe_member(row), "is_proven": row.is_proven} for row in rows]
    narrowed = [
        {
            **service.describe_member(row),
            "is_proven": row.is_proven,
            "collection_id": row.collection_id,
            "collection": row.collection_name,
        }
        for row in narrower[:MOST]
    ]
    owners = {each["id"] for each in members if each["role"] is Role.OWNER}
    people = {each["id"]: each for each in (*members, *narrowed)}
    return render(
        request,
        "members.html",
        status=status,
        error=error,
        caller=caller,
        workspace=workspace,
        path=_path(workspace_id),
        roles=list_role_texts(catalogue_of(request)),
        members=members,
        narrower=narrowed,
        more=count > MOST or len(narrower) > MOST,
        # an owner of the workspace is an owner of each collection: they are given no other role there
        people=[each for id, each in people.items() if id not in owners],
        collections=await list_places(connection, caller, workspace),
        most_days=MOST_DAYS,
        others=[
            (row, _path(row.id)) for row in await list_owned(connection, caller) if row.id != workspace_id
        ],
    )


@router.get("/workbench/workspaces/{workspace_id}/members")
async def show_members(
    request: Request, context: CurrentContext, caller: SignedIn, workspace_id: WorkspaceId
) -> Response:
    """Who has which role in a workspace, and on single collections of it."""
    async with context.database.transaction() as connection:
        return await _show(request, connection, caller, workspace_id)


@router.post("/workbench/workspaces/{workspace_id}/members")
async def change_members(
    request: Request, context: CurrentContext, caller: SignedIn, workspace_id: WorkspaceId
) -> Response:
    """Give a role, on a collection too, or take it away; a refusal is said on the page."""
    form = await read_unknown_form(request)
    go = text_of(form, "go")
    if go not in GOES:
        raise invalid("go", f"Must be one of {', '.join(GOES)}.")
    try:
        async with context.database.transaction() as connection:
            await WorkspaceMembers(workspace_id).require(connection, caller, Action.MEMBERS_MANAGE)
            await _change(connection, caller, workspace_id, go, form)
            # whoever took the right from themselves is not shown a refusal
            stays = await is_allowed(connection, caller, Action.MEMBERS_MANAGE, workspace_id)
    except Problem as problem:
        error = _say(catalogue_of(request), problem)
        if error is None:
            raise
        async with context.database.transaction() as connection:
            return await _show(
                request, connection, caller, workspace_id, status=problem.type.status, error=error
            )
    return see_other(_path(workspace_id) if stays else HOME)


def _say(words: Catalogue, problem: Problem) -> str | None:
    """A refusal in the reader's language; None for one that is not about members."""
    texts = {
        LAST_OWNER: words.text("members.last_owner"),
        OWNER_OF_ALL: words.text("members.owner_of_all"),
        UNPROVEN: words.text("members.unproven_refused"),
    }
    if isinstance(problem.detail, str) and problem.detail in texts:
        return texts[problem.detail]
    by_status = {404: words.text("members.gone"), 409: words.text("members.has_role")}
    return by_status.get(problem.type.status)


async def _change(
    connection: Connection, caller: Caller, workspace_id: UUID, go: str, form: FormData
) -> None:
    """Do what a form asks for.

    Raises:
        Problem: as the services of members say; 400 for a role that there is not.
    """
    collection = text_of(form, "collection")
    members: Members = WorkspaceMembers(workspace_id)
    if collection:
        members = CollectionMembers(parse_id("Collection", collection))
    if go == "remove":
        researcher_id = parse_id("Member", text_of(form, "researcher"))
        await service.remove_member(connection, caller, members, researcher_id)
        return
    role = text_of(form, "role")
    if role not in list(Role):
        raise invalid("role", f"Must be one of {', '.join(Role)}.")
    if go == "change":
        researcher_id = parse_id("Member", text_of(form, "researcher"))
        await service.change_role(connection, caller, members, researcher_id, Role(role))
    elif collection and text_of(form, "researcher"):
        researcher_id = parse_id("Member", text_of(form, "researcher"))
        place = parse_id("Collection", collection)
        await service.give_narrower(connection, caller, workspace_id, place, researcher_id, Role(role))
    else:
        await service.add_member(connection, caller, members, text_of(form, "email").strip(), Role(role))
