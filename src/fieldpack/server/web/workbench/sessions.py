"""The researcher who is signed in, by cookie; and the renewal of participants' cookies."""

from __future__ import annotations

from uuid import UUID

from fastapi import Request, Response

from fieldpack.server.accounts import sessions
from fieldpack.server.accounts.credentials.devices import DEVICE_LIFE
from fieldpack.server.accounts.credentials.signing_in import Entry
from fieldpack.server.accounts.keys import SESSION_LIFE
from fieldpack.server.accounts.service import Caller
from fieldpack.server.accounts.sessions import SignedIn, Visitor
from fieldpack.server.context import Context
from fieldpack.server.http.authentication import mark_authenticated
from fieldpack.server.http.cookies import (
    DEVICE,
    RESEARCHER,
    clear_cookie,
    keep_cookie,
    keep_submission,
    read_cookie,
)
from fieldpack.server.http.intake.addresses import network_of, plain_address

__all__ = [
    "end_previous",
    "find_researcher",
    "find_signed_in",
    "forget_researcher",
    "keep_entry",
    "keep_researcher",
    "renew_participant",
    "visitor_of",
]


def visitor_of(request: Request) -> Visitor:
    """Where a request comes from, by its headers and its connection."""
    host = request.client.host if request.client else ""
    device = read_cookie(request, DEVICE)
    return Visitor(
        plain_address(host),
        network_of(host),
        request.headers.get("user-agent", ""),
        device.value if device is not None and device.made_before is None else None,
    )


def keep_researcher(request: Request, response: Response, cookie: str) -> None:
    """Set the cookie of a session."""
    keep_cookie(request, response, RESEARCHER, cookie, int(SESSION_LIFE.total_seconds()))


def keep_entry(request: Request, response: Response, entry: Entry) -> None:
    """Set the cookies of a session and of the device."""
    keep_researcher(request, response, entry.session)
    keep_cookie(request, response, DEVICE, entry.device, int(DEVICE_LIFE.total_seconds()))


async def end_previous(request: Request, context: Context) -> None:
    """End the session that this browser had before, because its cookie is overwritten."""
    cookie = read_cookie(request, RESEARCHER)
    if cookie is not None and cookie.value:
        async with context.database.transaction() as connection:
            await sessions.end_session(connection, cookie.value)


async def forget_researcher(request: Request, response: Response, context: Context) -> None:
    """Sign out: end the session and delete the cookie."""
    await end_previous(request, context)
    clear_cookie(request, response, RESEARCHER)


async def find_signed_in(request: Request, context: Context) -> SignedIn | None:
    """The researcher who is signed in, and their session; None without one."""
    cookie = read_cookie(request, RESEARCHER)
    if cookie is None or not cookie.value:
        return None
    async with context.database.transaction() as connection:
        found = await sessions.find_session(
            connection,
            cookie.value,
            visitor_of(request).address,
            of_before=cookie.made_before is not None,
        )
    if found is not None:
        mark_authenticated(request)
    return found


async def find_researcher(request: Request, context: Context) -> Caller | None:
    """The researcher who is signed in; None without one."""
    found = await find_signed_in(request, context)
    return found.caller if found is not None else None


def renew_participant(request: Request, response: Response) -> None:
    """Give a participant whose cookie has the old name one with the new name."""
    held: tuple[UUID, UUID, str] | None = getattr(request.state, "old_key", None)
    if held is not None:
        keep_submission(request, response, *held)
