"""Signing in by password and second factor, by token, or by a link that works once."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.datastructures import FormData

from fieldpack.server.accounts import queries as account_queries
from fieldpack.server.accounts.credentials import queries as credentials
from fieldpack.server.accounts.credentials import signing_in
from fieldpack.server.accounts.credentials.budgets import Throttled
from fieldpack.server.accounts.credentials.signing_in import Entry, Step, WrongCredentials
from fieldpack.server.accounts.service import Caller, hash_token
from fieldpack.server.accounts.sessions import SIGN_IN_ONCE, begin_session, peek_code, use_code
from fieldpack.server.context import Context
from fieldpack.server.http.authentication import address_of, mark_authenticated
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.intake.forms import read_unknown_form
from fieldpack.server.values.urls import is_own_path
from fieldpack.server.web.participants.forms import text_of
from fieldpack.server.web.rendering import PageRoute, catalogue_of, render
from fieldpack.server.web.workbench.sessions import (
    end_previous,
    forget_researcher,
    keep_entry,
    keep_researcher,
    visitor_of,
)
from fieldpack.server.web.workbench.signed_in import HOME, see_other

__all__ = ["admit", "ask", "local_path", "router"]

router = APIRouter(route_class=PageRoute, include_in_schema=False)

Text = Annotated[str, Query()]


def local_path(path: str) -> str:
    """A path of this server. For anything that a browser could take for another site it is the researchers' first
    page."""
    return path if is_own_path(path) else HOME


async def ask(
    request: Request,
    context: Context,
    *,
    status: int = 200,
    next: str = HOME,
    email: str = "",
    error: str = "",
    token_error: str = "",
) -> Response:
    """The page that signs in, with the ways to do it that somebody here has set up."""
    async with context.database.transaction() as connection:
        ways = await credentials.find_ways(connection)
    return render(
        request,
        "sign_in.html",
        status=status,
        next=next,
        ways=ways,
        provider=context.settings.oidc_label if context.settings.oidc_issuer else "",
        email=email,
        error=error,
        token_error=token_error,
    )


async def admit(request: Request, context: Context, entry: Entry, next: str) -> Response:
    """The redirect after signing in, with its cookies."""
    mark_authenticated(request)
    await end_previous(request, context)
    response = see_other(next)
    keep_entry(request, response, entry)
    return response


def _wait_text(request: Request, error: Throttled) -> tuple[str, dict[str, str]]:
    minutes = max(1, math.ceil(error.wait_seconds / 60))
    text = catalogue_of(request).text("sign_in.throttled", count=minutes)
    return text, {"Retry-After": str(math.ceil(error.wait_seconds))}


@router.get("/sign-in")
async def show_sign_in(request: Request, context: CurrentContext, next: Text = HOME) -> Response:
    """The page that signs in."""
    return await ask(request, context, next=local_path(next))


@router.post("/sign-in")
async def sign_in(request: Request, context: CurrentContext) -> Response:
    """Sign in with an address and a password, or with a token."""
    form = await read_unknown_form(request)
    next = local_path(text_of(form, "next"))
    if "token" in form:
        return await _sign_in_with_token(request, context, form, next)
    email, password = text_of(form, "email").strip(), text_of(form, "password")
    words = catalogue_of(request)
    if not email or not password:
        error = words.text("sign_in.missing_password")
        return await ask(request, context, status=400, next=next, email=email, error=error)
    try:
        found = await signing_in.sign_in_with_password(
            context.database, context.caches, visitor_of(request), email, password
        )
    except WrongCredentials:
        error = words.text("sign_in.wrong_password")
        return await ask(request, context, status=403, next=next, email=email, error=error)
    except Throttled as throttled:
        error, headers = _wait_text(request, throttled)
        response = await ask(request, context, status=429, next=next, email=email, error=error)
        response.headers.update(headers)
        return response
    if isinstance(found, Step):
        return render(request, "sign_in_code.html", step=found.code, next=next, error="")
    return await admit(request, context, found, next)


async def _sign_in_with_token(request: Request, context: Context, form: FormData, next: str) -> Response:
    token = text_of(form, "token").strip()
    cookie = None
    if token:
        async with context.database.transaction() as connection:
            row = await account_queries.find_caller(connection, hash_token(token), address_of(request))
            if row is not None:
                cookie = await begin_session(connection, visitor_of(request), row.id, "token", row.token_id)
    if cookie is None:
        words = catalogue_of(request)
        error = words.text("sign_in.wrong") if token else words.text("sign_in.missing")
        return await ask(request, context, status=403 if token else 400, next=next, token_error=error)
    mark_authenticated(request)
    await end_previous(request, context)
    response = see_other(next)
    keep_researcher(request, response, cookie)
    return response


@router.post("/sign-in/code")
async def prove_second_factor(request: Request, context: CurrentContext) -> Response:
    """Sign in with a code of the app, or a recovery code, after the password."""
    form = await read_unknown_form(request)
    step, next = text_of(form, "step"), local_path(text_of(form, "next"))
    words = catalogue_of(request)
    status, error = 403, words.text("sign_in.wrong_code")
    headers: dict[str, str] = {}
    try:
        entry = await signing_in.prove_second_factor(
            context.database, visitor_of(request), step, text_of(form, "code")
        )
        if entry is not None:
            return await admit(request, context, entry, next)
        return await ask(request, context, status=403, next=next, error=words.text("sign_in.step_over"))
    except WrongCredentials:
        pass
    except Throttled as throttled:
        status = 429
        error, headers = _wait_text(request, throttled)
    response = render(request, "sign_in_code.html", status=status, step=step, next=next, error=error)
    response.headers.update(headers)
    return response


@router.get(SIGN_IN_ONCE)
async def show_sign_in_link(request: Request, context: CurrentContext, code: Text = "") -> Response:
    """Say whom a link of the command line signs in, and ask to go on. Looking does not use the link."""
    async with context.database.transaction() as connection:
        caller = await peek_code(connection, code)
    return _sign_in_once(request, code, caller)


@router.post(SIGN_IN_ONCE)
async def sign_in_once(request: Request, context: CurrentContext) -> Response:
    """Sign in with the code of a link."""
    code = text_of(await read_unknown_form(request), "code")
    async with context.database.transaction() as connection:
        researcher_id = await use_code(connection, code)
        entry = (
            await signing_in.enter(connection, visitor_of(request), researcher_id, "link")
            if researcher_id is not None
            else None
        )
    if entry is None:
        return _sign_in_once(request, "", None)
    return await admit(request, context, entry, HOME)


def _sign_in_once(request: Request, code: str, caller: Caller | None) -> Response:
    return render(request, "sign_in_once.html", status=200 if caller else 403, code=code, caller=caller)


@router.post("/sign-out")
async def sign_out(request: Request, context: CurrentContext) -> Response:
    """End the session."""
    response = see_other("/sign-in")
    # small pictures are kept by browsers, if only to be asked about (W3C Clear Site Data §3.1)
    response.headers["Clear-Site-Data"] = '"cache"'
    await forget_researcher(request, response, context)
    return response
