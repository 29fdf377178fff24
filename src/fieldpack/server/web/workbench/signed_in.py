"""Pages for researchers who are signed in. All others are asked to sign in, and come back afterwards."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Request, Response
from starlette.responses import RedirectResponse

from fieldpack.server.accounts import sessions
from fieldpack.server.accounts.service import Caller, require_still
from fieldpack.server.web.rendering import PageRoute
from fieldpack.server.web.workbench.sessions import find_signed_in

__all__ = ["HOME", "CurrentSession", "SignedIn", "WorkbenchRoute", "see_other", "to_sign_in"]

HOME = "/researcher"


def see_other(path: str) -> RedirectResponse:
    """A redirect that is not cached."""
    return RedirectResponse(path, status_code=303, headers={"Cache-Control": "no-store"})


def to_sign_in(request: Request) -> RedirectResponse:
    """A redirect to the page that signs in, and back here afterwards."""
    query = f"?{request.url.query}" if request.url.query else ""
    wanted = f"{request.url.path}{query}" if request.method == "GET" else HOME
    return see_other(f"/sign-in?next={quote(wanted, safe='')}")


class WorkbenchRoute(PageRoute):
    """A page for researchers who are signed in."""

    async def divert(self, request: Request) -> Response | None:
        session = await find_signed_in(request, request.app.state.context)
        if session is None:
            return to_sign_in(request)
        request.state.session = session
        request.state.ask_again = _require_still
        return None


async def _require_still(request: Request) -> None:
    async with request.app.state.context.database.transaction() as connection:
        await require_still(connection, request.state.session.caller)


async def _session(request: Request) -> sessions.SignedIn:
    session: sessions.SignedIn = request.state.session
    return session


CurrentSession = Annotated[sessions.SignedIn, Depends(_session)]


async def _caller(session: CurrentSession) -> Caller:
    return session.caller


SignedIn = Annotated[Caller, Depends(_caller)]
