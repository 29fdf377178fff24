"""One's own account: ways to sign in, sessions, and tokens."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from markupsafe import Markup
from webauthn.helpers import bytes_to_base64url

from fieldpack.server.accounts import session_queries
from fieldpack.server.accounts.credentials import changes, passkey_queries, second_factor
from fieldpack.server.accounts.credentials import queries as credentials
from fieldpack.server.accounts.credentials.passwords import LEAST_CHARACTERS, MOST_CHARACTERS
from fieldpack.server.accounts.permissions.roles import Role
from fieldpack.server.accounts.personal import queries as personal_queries
from fieldpack.server.accounts.personal import service as personal
from fieldpack.server.accounts.service import require_still
from fieldpack.server.accounts.sessions import SignedIn
from fieldpack.server.accounts.tokens.service import create_own_token
from fieldpack.server.context import Context
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.intake.forms import read_unknown_form
from fieldpack.server.http.origin import origin_of
from fieldpack.server.http.routing import parse_id
from fieldpack.server.problems import invalid
from fieldpack.server.values.qr import draw_code
from fieldpack.server.web.catalogue import Catalogue, message
from fieldpack.server.web.participants.forms import text_of
from fieldpack.server.web.rendering import catalogue_of, render
from fieldpack.server.web.workbench.agents import name_agent
from fieldpack.server.web.workbench.signed_in import CurrentSession, WorkbenchRoute, see_other

__all__ = ["ACCOUNT", "router", "say_role", "show"]

router = APIRouter(route_class=WorkbenchRoute, include_in_schema=False)

ACCOUNT = "/researcher/account"
MOST_NAME_CHARACTERS = 200
SECOND_FACTOR = f"{ACCOUNT}/second-factor"
FAULTS = {
    "short": message("account.password_short"),
    "long": message("account.password_long"),
    "simple": message("account.password_simple"),
    "own": message("account.password_own"),
    "different": message("account.password_different"),
}


async def show(
    request: Request, context: Context, signed_in: SignedIn, *, status: int = 200, **values: Any
) -> Response:
    """The page of one's own account."""
    caller = signed_in.caller
    words = catalogue_of(request)
    async with context.database.transaction() as connection:
        password_at = await credentials.find_password_change(connection, caller.id)
        factor = await credentials.find_factor(connection, caller.id)
        passkeys = await passkey_queries.list_passkeys(connection, caller.id)
        sessions = await session_queries.list_sessions(connection, caller.id)
        tokens = await personal_queries.list_tokens(connection, caller.id)
    return render(
        request,
        "account.html",
        status=status,
        caller=caller,
        may_change=signed_in.may_change_credentials,
        by_token=signed_in.method == "token",
        password_at=password_at,
        factor=factor if factor is not None and factor.confirmed_at is not None else None,
        least=LEAST_CHARACTERS,
        most=MOST_CHARACTERS,
        passkeys=[
            {
                "id": bytes_to_base64url(row.id),
                "name": row.name,
                "created_at": row.created_at,
                "last_used_at": row.last_used_at,
            }
            for row in passkeys
        ],
        sessions=[
            {
                "id": row.id,
                "is_this": row.id == signed_in.session_id,
                "browser": name_agent(row.agent or "") or words.text("account.browser_unknown"),
                "method": _method(words, row.method),
                "token_name": row.token_name,
                "address": row.address,
                "last_used_at": row.last_used_at,
            }
            for row in sessions
        ],
        tokens=tokens,
        roles=[(role.value, say_role(words, role)) for role in reversed(Role)],
        **{"password_error": "", "passkey_error": "", "token": "", "token_error": "", **values},
    )


def _method(words: Catalogue, method: str) -> str:
    names = {
        "token": words.text("account.by_token"),
        "link": words.text("account.by_link"),
        "invitation": words.text("account.by_invitation"),
        "password": words.text("account.by_password"),
        "passkey": words.text("account.by_passkey"),
        "oidc": words.text("account.by_oidc"),
    }
    return names[method]


def say_role(words: Catalogue, role: str) -> str:
    """What a role is called, and allows, in the reader's language."""
    names = {
        "owner": words.text("role.owner"),
        "editor": words.text("role.editor"),
        "reviewer": words.text("role.reviewer"),
        "analyst": words.text("role.analyst"),
        "viewer": words.text("role.viewer"),
    }
    return names[role]


@router.get(ACCOUNT)
async def show_account(request: Request, context: CurrentContext, signed_in: CurrentSession) -> Response:
    """The page of one's own account."""
    return await show(request, context, signed_in)


# sessions and tokens


@router.post(f"{ACCOUNT}/sessions/{{session_id}}/end")
async def end_session(context: CurrentContext, signed_in: CurrentSession, session_id: str) -> Response:
    """Sign out in another browser."""
    async with context.database.transaction() as connection:
        await personal.end_session(connection, signed_in.caller, parse_id("Session", session_id))
    return see_other(f"{ACCOUNT}#sessions")


@router.post(f"{ACCOUNT}/sessions/end-others")
async def end_other_sessions(context: CurrentContext, signed_in: CurrentSession) -> Response:
    """Sign out everywhere else."""
    async with context.database.transaction() as connection:
        await personal.end_sessions(connection, signed_in.caller, signed_in.session_id)
    return see_other(f"{ACCOUNT}#sessions")


@router.post(f"{ACCOUNT}/tokens")
async def create_token(request: Request, context: CurrentContext, signed_in: CurrentSession) -> Response:
    """Make a token that is valid for 90 days. Only this page shows its text."""
    form = await read_unknown_form(request)
    name, role = text_of(form, "name").strip()[:MOST_NAME_CHARACTERS], text_of(form, "role")
    if not name:
        error = catalogue_of(request).text("account.token_name_missing")
        return await show(request, context, signed_in, status=400, token_error=error)
    if role and role not in list(Role):
        raise invalid("role", f"Must be one of {', '.join(Role)}.")
    async with context.database.transaction() as connection:
        made = await create_own_token(connection, signed_in.caller, name, Role(role) if role else None)
    return await show(request, context, signed_in, token=made.token)


@router.post(f"{ACCOUNT}/tokens/{{token_id}}/revoke")
async def revoke_token(context: CurrentContext, signed_in: CurrentSession, token_id: str) -> Response:
    """End a token at once."""
    async with context.database.transaction() as connection:
        await personal.revoke_token(connection, signed_in.caller, parse_id("Token", token_id))
    return see_other(f"{ACCOUNT}#tokens")


# password


@router.post(f"{ACCOUNT}/password")
async def set_password(request: Request, context: CurrentContext, signed_in: CurrentSession) -> Response:
    """Set a password, or another one."""
    form = await read_unknown_form(request)
    password = text_of(form, "password")
    if password != text_of(form, "again"):
        fault: str | None = "different"
    else:
        fault = await changes.set_password(context.database, context.caches, signed_in, password)
    if fault is None:
        return see_other(f"{ACCOUNT}#password")
    error = catalogue_of(request).text(FAULTS[fault], least=LEAST_CHARACTERS, most=MOST_CHARACTERS)
    return await show(request, context, signed_in, status=400, password_error=error)


@router.post(f"{ACCOUNT}/password/remove")
async def remove_password(context: CurrentContext, signed_in: CurrentSession) -> Response:
    """Remove the password."""
    async with context.database.transaction() as connection:
        await changes.remove_password(connection, signed_in)
    return see_other(f"{ACCOUNT}#password")


# second factor


async def _show_set_up(
    request: Request, context: Context, signed_in: SignedIn, *, status: int = 200, error: str = ""
) -> Response:
    caller = signed_in.caller
    async with context.database.transaction() as connection:
        if await credentials.find_password_change(connection, caller.id) is None:
            return see_other(f"{ACCOUNT}#password")
        factor = await second_factor.begin(connection, caller.id)
        await require_still(connection, caller)
    if factor.confirmed_at is not None:
        return see_other(f"{ACCOUNT}#second-factor")
    host = origin_of(request, context).partition("//")[2]
    uri = second_factor.key_uri(factor.secret, caller.email, host)
    return render(
        request,
        "second_factor.html",
        status=status,
        caller=caller,
        code=Markup(draw_code(uri, css_class="qr")),
        secret=second_factor.say_secret(factor.secret),
        uri=uri,
        error=error,
    )


@router.get(SECOND_FACTOR)
async def show_set_up(request: Request, context: CurrentContext, signed_in: CurrentSession) -> Response:
    """The code for the app, and a field for its first code."""
    changes.require_fresh(signed_in)
    return await _show_set_up(request, context, signed_in)


@router.post(SECOND_FACTOR)
async def confirm_second_factor(
    request: Request, context: CurrentContext, signed_in: CurrentSession
) -> Response:
    """Turn the second factor on by its first code; shows the recovery codes, which no later page does."""
    form = await read_unknown_form(request)
    async with context.database.transaction() as connection:
        codes = await changes.confirm_second_factor(connection, signed_in, text_of(form, "code"))
    if codes is None:
        error = catalogue_of(request).text("sign_in.wrong_code")
        return await _show_set_up(request, context, signed_in, status=400, error=error)
    return render(request, "recovery_codes.html", caller=signed_in.caller, codes=codes)


@router.post(f"{SECOND_FACTOR}/codes")
async def renew_recovery_codes(
    request: Request, context: CurrentContext, signed_in: CurrentSession
) -> Response:
    """Replace the recovery codes, and show the new ones, which no later page does."""
    async with context.database.transaction() as connection:
        codes = await changes.renew_recovery_codes(connection, signed_in)
    if codes is None:
        return see_other(f"{ACCOUNT}#second-factor")
    return render(request, "recovery_codes.html", caller=signed_in.caller, codes=codes)


@router.post(f"{SECOND_FACTOR}/remove")
async def remove_second_factor(context: CurrentContext, signed_in: CurrentSession) -> Response:
    """Turn the second factor off."""
    async with context.database.transaction() as connection:
        await changes.remove_second_factor(connection, signed_in)
    return see_other(f"{ACCOUNT}#second-factor")
