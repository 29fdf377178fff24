"""Invitations: an owner makes links, and whoever follows one becomes a member."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from fieldpack.server.accounts.credentials.signing_in import enter
from fieldpack.server.accounts.invitations import service as invitations
from fieldpack.server.accounts.invitations.service import JOIN, MOST_DAYS, AddressTaken
from fieldpack.server.accounts.permissions.roles import Role
from fieldpack.server.accounts.queries import find_workspace
from fieldpack.server.accounts.sessions import SignedIn
from fieldpack.server.context import Context
from fieldpack.server.http.authentication import mark_authenticated
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.intake.forms import read_unknown_form
from fieldpack.server.http.origin import origin_of
from fieldpack.server.http.routing import parse_id
from fieldpack.server.problems import Problem, invalid
from fieldpack.server.values.whole_numbers import read_whole
from fieldpack.server.web.participants.forms import text_of
from fieldpack.server.web.rendering import PageRoute, catalogue_of, render
from fieldpack.server.web.workbench.account_pages import ACCOUNT, say_role
from fieldpack.server.web.workbench.members.pages import list_places, list_role_texts
from fieldpack.server.web.workbench.sessions import find_signed_in, keep_entry, visitor_of
from fieldpack.server.web.workbench.signed_in import CurrentSession, WorkbenchRoute, see_other

__all__ = ["router"]

router = APIRouter(include_in_schema=False)
public_router = APIRouter(route_class=PageRoute, include_in_schema=False)
own_router = APIRouter(route_class=WorkbenchRoute, include_in_schema=False)

INVITATIONS = "/researcher/workspaces/{workspace_id}/invitations"
MOST = 200
MOST_NAME_CHARACTERS = 200

Text = Annotated[str, Query()]


# following a link


async def _offer(
    request: Request,
    context: Context,
    code: str,
    *,
    status: int = 200,
    error: str = "",
    email: str = "",
    name: str = "",
) -> Response:
    signed_in = await find_signed_in(request, context)
    async with context.database.transaction() as connection:
        offer = await invitations.find_offer(connection, code)
        is_for = (
            offer is not None
            and signed_in is not None
            and await invitations.is_for(connection, offer, signed_in.caller.id)
        )
    if offer is None:
        return render(request, "join_over.html", status=403)
    return render(
        request,
        "join.html",
        status=status,
        code=code,
        offer=offer,
        role=say_role(catalogue_of(request), offer.role),
        caller=signed_in.caller if signed_in is not None and is_for else None,
        other=signed_in.caller if signed_in is not None else None,
        error=error,
        email=email,
        name=name,
        back=f"{JOIN}?code={code}",
    )


@public_router.get(JOIN)
async def show_invitation(request: Request, context: CurrentContext, code: Text = "") -> Response:
    """What a link offers. Looking does not use it."""
    return await _offer(request, context, code)


@public_router.post(JOIN)
async def join(request: Request, context: CurrentContext) -> Response:
    """Accept an invitation: as the researcher who is signed in, or with a new account, which is signed in then."""
    form = await read_unknown_form(request)
    code = text_of(form, "code")
    if "email" not in form and "name" not in form:
        return await _join_signed_in(request, context, code)
    email = text_of(form, "email").strip()[:320]
    name = " ".join(text_of(form, "name").split())[:MOST_NAME_CHARACTERS]
    words = catalogue_of(request)
    if not name:
        error = words.text("join.name_missing")
        return await _offer(request, context, code, status=400, error=error, email=email)
    try:
        async with context.database.transaction() as connection:
            researcher_id = await invitations.accept_as_new(connection, code, email, name)
            entry = (
                await enter(connection, visitor_of(request), researcher_id, "invitation")
                if researcher_id is not None
                else None
            )
    except AddressTaken:
        error = words.text("join.taken")
        return await _offer(request, context, code, status=409, error=error, email=email, name=name)
    except Problem as problem:
        if problem.type.status != 400:
            raise
        error = words.text("join.email_wrong")
        return await _offer(request, context, code, status=400, error=error, email=email, name=name)
    if entry is None:
        return render(request, "join_over.html", status=403)
    mark_authenticated(request)
    response = see_other(ACCOUNT)
    keep_entry(request, response, entry)
    return response


async def _join_signed_in(request: Request, context: Context, code: str) -> Response:
    signed_in = await find_signed_in(request, context)
    if signed_in is None:
        return await _offer(request, context, code)
    async with context.database.transaction() as connection:
        offer = await invitations.accept(connection, code, signed_in.caller.id)
    return see_other("/researcher") if offer is not None else render(request, "join_over.html", status=403)


# an owner's


async def _show(
    request: Request,
    context: Context,
    signed_in: SignedIn,
    workspace_id: str,
    *,
    status: int = 200,
    **values: Any,
) -> Response:
    identifier = parse_id("Workspace", workspace_id)
    words = catalogue_of(request)
    async with context.database.transaction() as connection:
        rows, _ = await invitations.list_invitations(connection, signed_in.caller, identifier, MOST, 0)
        workspace = await find_workspace(connection, identifier)
        assert workspace is not None
        collections = await list_places(connection, signed_in.caller, workspace)
    names = {collection.id: collection.name for collection in collections}
    states = {
        "open": words.text("invitations.open"),
        "accepted": words.text("invitations.accepted"),
        "revoked": words.text("invitations.revoked"),
        "expired": words.text("invitations.expired"),
    }
    described = [invitations.describe_invitation(row) for row in rows]
    return render(
        request,
        "invitations.html",
        status=status,
        caller=signed_in.caller,
        workspace=workspace,
        action=INVITATIONS.replace("{workspace_id}", str(identifier)),
        roles=list_role_texts(words),
        collections=collections,
        most_days=MOST_DAYS,
        invitations=[
            {
                **each,
                "state": states[each["status"]],
                "role_text": say_role(words, each["role"]),
                "collection_name": names.get(each["collection_id"], each["collection_id"]),
            }
            for each in described
        ],
        **{"link": "", "error": "", **values},
    )


@own_router.get(INVITATIONS)
async def show_invitations(
    request: Request, context: CurrentContext, signed_in: CurrentSession, workspace_id: str
) -> Response:
    """A workspace's invitations, and a form for another."""
    return await _show(request, context, signed_in, workspace_id)


@own_router.post(INVITATIONS)
async def invite(
    request: Request, context: CurrentContext, signed_in: CurrentSession, workspace_id: str
) -> Response:
    """Make a link, and show it on this page only."""
    form = await read_unknown_form(request)
    role, days, email = text_of(form, "role"), text_of(form, "days"), text_of(form, "email").strip()
    collection = text_of(form, "collection")
    if role not in list(Role):
        raise invalid("role", f"Must be one of {', '.join(Role)}.")
    life = read_whole(days)
    if life is None or not 1 <= life <= MOST_DAYS:
        raise invalid("days", f"Must be a whole number from 1 to {MOST_DAYS}.")
    try:
        async with context.database.transaction() as connection:
            code, _ = await invitations.invite(
                connection,
                signed_in.caller,
                parse_id("Workspace", workspace_id),
                Role(role),
                collection_id=parse_id("Collection", collection) if collection else None,
                email=email or None,
                life=timedelta(days=life),
            )
    except Problem as problem:
        if not isinstance(problem.detail, dict) or "email" not in problem.detail:
            raise
        error = catalogue_of(request).text("join.email_wrong")
        return await _show(request, context, signed_in, workspace_id, status=400, error=error)
    link = invitations.link_of(origin_of(request, context), code)
    return await _show(request, context, signed_in, workspace_id, link=link)


@own_router.post(INVITATIONS + "/{invitation_id}/revoke")
async def revoke_invitation(
    context: CurrentContext, signed_in: CurrentSession, workspace_id: str, invitation_id: str
) -> Response:
    """Make a link invalid."""
    async with context.database.transaction() as connection:
        await invitations.revoke(
            connection,
            signed_in.caller,
            parse_id("Workspace", workspace_id),
            parse_id("Invitation", invitation_id),
        )
    return see_other(INVITATIONS.replace("{workspace_id}", workspace_id))


router.include_router(public_router)
router.include_router(own_router)
