"""Passkeys: what scripts of the pages ask and send. Browsers offer passkeys to scripts only."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from fieldpack.server.accounts.credentials import passkeys
from fieldpack.server.accounts.credentials.signing_in import WrongCredentials
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.intake.forms import read_unknown_form
from fieldpack.server.http.origin import origin_of
from fieldpack.server.web.participants.forms import text_of
from fieldpack.server.web.rendering import PageRoute, catalogue_of
from fieldpack.server.web.workbench.account_pages import ACCOUNT, show
from fieldpack.server.web.workbench.agents import name_agent
from fieldpack.server.web.workbench.sessions import visitor_of
from fieldpack.server.web.workbench.sign_in_pages import admit, ask, local_path
from fieldpack.server.web.workbench.signed_in import CurrentSession, WorkbenchRoute, see_other

__all__ = ["router"]

router = APIRouter(include_in_schema=False)
public_router = APIRouter(route_class=PageRoute, include_in_schema=False)
own_router = APIRouter(route_class=WorkbenchRoute, include_in_schema=False)

PASSKEYS = f"{ACCOUNT}/passkeys"


def _json(text: str) -> Response:
    headers: dict[str, Any] = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(text, media_type="application/json", headers=headers)


@public_router.post("/sign-in/passkey/options")
async def ask_to_sign_in(request: Request, context: CurrentContext) -> Response:
    """The options for signing in by a passkey, as JSON."""
    async with context.database.transaction() as connection:
        return _json(await passkeys.ask_to_sign_in(connection, origin_of(request, context)))


@public_router.post("/sign-in/passkey")
async def sign_in(request: Request, context: CurrentContext) -> Response:
    """Sign in with the browser's answer."""
    form = await read_unknown_form(request)
    next = local_path(text_of(form, "next"))
    origin = origin_of(request, context)
    try:
        async with context.database.transaction() as connection:
            entry = await passkeys.enter_with_passkey(
                connection, visitor_of(request), origin, text_of(form, "credential")
            )
    except WrongCredentials:
        error = catalogue_of(request).text("sign_in.wrong_passkey")
        return await ask(request, context, status=403, next=next, error=error)
    return await admit(request, context, entry, next)


@own_router.post(f"{PASSKEYS}/options")
async def ask_for_new(request: Request, context: CurrentContext, signed_in: CurrentSession) -> Response:
    """The options for making a passkey, as JSON."""
    async with context.database.transaction() as connection:
        return _json(await passkeys.ask_for_new(connection, signed_in, origin_of(request, context)))


@own_router.post(PASSKEYS)
async def keep_new(request: Request, context: CurrentContext, signed_in: CurrentSession) -> Response:
    """Store the passkey of the browser's answer."""
    form = await read_unknown_form(request)
    name = text_of(form, "name").strip() or name_agent(request.headers.get("user-agent", ""))
    try:
        async with context.database.transaction() as connection:
            await passkeys.keep_new(
                connection, signed_in, origin_of(request, context), text_of(form, "credential"), name
            )
    except WrongCredentials:
        error = catalogue_of(request).text("account.passkey_failed")
        return await show(request, context, signed_in, status=400, passkey_error=error)
    return see_other(f"{ACCOUNT}#passkeys")


@own_router.post(f"{PASSKEYS}/remove")
async def remove(request: Request, context: CurrentContext, signed_in: CurrentSession) -> Response:
    """Delete a passkey."""
    form = await read_unknown_form(request)
    async with context.database.transaction() as connection:
        await passkeys.remove(connection, signed_in, text_of(form, "passkey"))
    return see_other(f"{ACCOUNT}#passkeys")


router.include_router(public_router)
router.include_router(own_router)
