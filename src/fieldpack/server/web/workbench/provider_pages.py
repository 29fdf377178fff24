"""Signing in at an identity provider: the way there and the way back."""

from __future__ import annotations

import secrets
from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Request, Response
from starlette.responses import RedirectResponse

from fieldpack.server.accounts.providers.identities import NotAdmitted, enter_with_identity
from fieldpack.server.accounts.providers.oidc import (
    STATE_SECONDS,
    Provider,
    ProviderError,
    open_state,
    seal_state,
)
from fieldpack.server.context import Context
from fieldpack.server.http.cookies import PROVIDER, clear_cookie, keep_cookie, read_cookie
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.origin import origin_of
from fieldpack.server.problems import not_found
from fieldpack.server.web.rendering import PageRoute, catalogue_of
from fieldpack.server.web.workbench.sessions import visitor_of
from fieldpack.server.web.workbench.sign_in_pages import admit, ask, local_path
from fieldpack.server.web.workbench.signed_in import HOME

__all__ = ["router"]

router = APIRouter(route_class=PageRoute, include_in_schema=False)
log = structlog.get_logger()

PATH = "/sign-in/provider"

Text = Annotated[str, Query()]


def _provider(request: Request, context: Context) -> Provider:
    """This process's provider, which caches its metadata."""
    if context.settings.oidc_issuer is None:
        raise not_found("Page", request.url.path)
    if not hasattr(request.app.state, "provider"):
        request.app.state.provider = Provider(context.settings)
    provider: Provider = request.app.state.provider
    return provider


def _return_url(request: Request, context: Context) -> str:
    return f"{origin_of(request, context)}{PATH}/return"


@router.get(PATH)
async def begin(request: Request, context: CurrentContext, next: Text = HOME) -> Response:
    """Redirect to the provider."""
    provider = _provider(request, context)
    try:
        url, state = await provider.begin(_return_url(request, context), local_path(next))
    except ProviderError as error:
        log.error("provider", error=str(error))
        return await ask(
            request, context, status=503, next=next, error=catalogue_of(request).text("sign_in.provider_away")
        )
    async with context.database.transaction() as connection:
        cookie = await seal_state(connection, state)
    response = RedirectResponse(url, status_code=303, headers={"Cache-Control": "no-store"})
    keep_cookie(request, response, PROVIDER, cookie, STATE_SECONDS)
    return response


@router.get(f"{PATH}/return")
async def come_back(
    request: Request, context: CurrentContext, state: Text = "", code: Text = "", error: Text = ""
) -> Response:
    """The way back, with a code that the provider redeems for an identity."""
    provider = _provider(request, context)
    cookie = read_cookie(request, PROVIDER)
    begun = None
    if cookie is not None and cookie.made_before is None:
        async with context.database.transaction() as connection:
            begun = await open_state(connection, cookie.value)
    words = catalogue_of(request)
    # some providers leave out the state after a cancelled sign-in; there is no code to redeem then
    is_ours = begun is not None and (not code or secrets.compare_digest(begun.state.encode(), state.encode()))
    if begun is None or not is_ours:
        response = await ask(request, context, status=403, error=words.text("sign_in.step_over"))
    elif error or not code:
        log.info("provider.refused", error=error[:200])
        text = words.text("sign_in.provider_refused")
        response = await ask(request, context, status=403, next=begun.next, error=text)
    else:
        try:
            identity = await provider.redeem(_return_url(request, context), begun, code)
            async with context.database.transaction() as connection:
                entry = await enter_with_identity(connection, visitor_of(request), identity, context.settings)
            response = await admit(request, context, entry, begun.next)
        except ProviderError as fault:
            log.warning("provider", error=str(fault))
            text = words.text("sign_in.provider_refused")
            response = await ask(request, context, status=403, next=begun.next, error=text)
        except NotAdmitted:
            text = words.text("sign_in.not_admitted")
            response = await ask(request, context, status=403, next=begun.next, error=text)
    clear_cookie(request, response, PROVIDER)
    return response
