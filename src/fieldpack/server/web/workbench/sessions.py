"""Who is signed in, by cookie, and the renewal of participants' cookies."""

from __future__ import annotations

from uuid import UUID

from fastapi import Request, Response

from fieldpack.server.accounts import sessions
from fieldpack.server.accounts.keys import SESSION_LIFE
from fieldpack.server.accounts.service import Caller
from fieldpack.server.context import Context
from fieldpack.server.http.authentication import mark_authenticated
from fieldpack.server.http.cookies import RESEARCHER, clear_cookie, keep_cookie, keep_submission, read_cookie

__all__ = ["find_researcher", "forget_researcher", "keep_researcher", "renew_participant"]


def keep_researcher(request: Request, response: Response, cookie: str) -> None:
    """Sign a researcher in, in this browser."""
    keep_cookie(request, response, RESEARCHER, cookie, int(SESSION_LIFE.total_seconds()))


async def forget_researcher(request: Request, response: Response, context: Context) -> None:
    """Sign out: the cookie is good for nothing any more, and this browser forgets it."""
    cookie = read_cookie(request, RESEARCHER)
    if cookie is not None:
        async with context.database.transaction() as connection:
            await sessions.end_session(connection, cookie.value)
    clear_cookie(request, response, RESEARCHER)


async def find_researcher(request: Request, context: Context) -> Caller | None:
    """Whoever is signed in."""
    cookie = read_cookie(request, RESEARCHER)
    if cookie is None or not cookie.value:
        return None
    async with context.database.transaction() as connection:
        caller = await sessions.find_session(
            connection, cookie.value, of_before=cookie.made_before is not None
        )
    if caller is not None:
        mark_authenticated(request)
    return caller


def renew_participant(request: Request, response: Response) -> None:
    """Give a participant who came with a cookie of the old name one of the new."""
    held: tuple[UUID, UUID, str] | None = getattr(request.state, "old_key", None)
    if held is not None:
        keep_submission(request, response, *held)
