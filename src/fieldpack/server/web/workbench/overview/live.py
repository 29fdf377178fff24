"""What keeps an open overview up to date: a stream of its numbers, or the numbers once, for who can't have a stream."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from fieldpack.server.accounts.permissions.authorization import require
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import SESSION_OVER
from fieldpack.server.accounts.sessions import SignedIn as Session
from fieldpack.server.context import Context
from fieldpack.server.http.authentication import address_of
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import CollectionId
from fieldpack.server.http.responses import OrjsonResponse
from fieldpack.server.http.sending.events import EventStream, Told, Wake, write_event
from fieldpack.server.problems import UNAUTHENTICATED, Problem
from fieldpack.server.responses.overview.watching import Numbers, Watch, Watches, read_numbers
from fieldpack.server.web.catalogue import Catalogue
from fieldpack.server.web.rendering import catalogue_of
from fieldpack.server.web.workbench.overview.figures import say_figures
from fieldpack.server.web.workbench.sessions import find_signed_in
from fieldpack.server.web.workbench.signed_in import CurrentSession, WorkbenchRoute

STREAM = "text/event-stream"
BEAT_SECONDS = 15.0  # of silence, after which something is sent: proxies end what says nothing
LOOK_SECONDS = (
    30.0  # after which it is asked anew whether the reader may see it; word of a change may be lost
)


class LiveRoute(WorkbenchRoute):
    """What scripts ask for: without a session it is refused, not led to the page that signs in."""

    async def divert(self, request: Request) -> Response | None:
        if await super().divert(request) is not None:
            raise Problem(UNAUTHENTICATED, SESSION_OVER)
        return None


router = APIRouter(route_class=LiveRoute, include_in_schema=False)


@router.get("/workbench/collections/{collection_id}/live")
async def follow(
    request: Request, context: CurrentContext, session: CurrentSession, collection_id: CollectionId
) -> Response:
    """The numbers of a collection: for `Accept: text/event-stream` again and again, as they change."""
    async with context.database.transaction() as connection:
        await require(connection, session.caller, Action.COUNTS_READ, collection=collection_id)
    catalogue = catalogue_of(request)
    if STREAM not in request.headers.get("accept", ""):
        numbers = await read_numbers(context, collection_id)
        return OrjsonResponse(_describe(numbers, catalogue), headers={"Cache-Control": "no-store"})
    watches = context.caches.get(Watches)
    counted_as = (f"session {session.session_id}", f"address {address_of(request)}")
    watches.require_room(counted_as)

    async def events(wake: Wake) -> AsyncGenerator[bytes]:
        access = Told(wake)
        async with (
            watches.watching(context, collection_id, wake.news, counted_as) as watch,
            context.notices.subscribed(str(session.caller.id), access),
        ):
            told, looked_at = 0, time.monotonic()
            while not wake.is_over and not watch.is_over:
                if watch.number != told:
                    told = watch.number
                    yield _say(watch, catalogue)
                elif not await wake.wait(BEAT_SECONDS):
                    yield write_event("beat", None)
                if access.is_set() or time.monotonic() - looked_at > LOOK_SECONDS:
                    access.clear()
                    looked_at = time.monotonic()
                    if not await _may_see(request, context, session, collection_id):
                        return

    return EventStream(events)


def _say(watch: Watch, catalogue: Catalogue) -> bytes:
    """The numbers as an event, made once for all who read one language."""
    assert watch.numbers is not None
    if catalogue.language not in watch.said:
        watch.said[catalogue.language] = write_event("figures", _describe(watch.numbers, catalogue))
    return watch.said[catalogue.language]


def _describe(numbers: Numbers, catalogue: Catalogue) -> dict[str, Any]:
    gathered = numbers.gathered
    return {
        "figures": say_figures(numbers, catalogue),
        "gathered": gathered.at.isoformat() if gathered else None,
    }


async def _may_see(request: Request, context: Context, session: Session, collection_id: UUID) -> bool:
    """Whether the session that a stream began with still goes on, and whoever it is of may still see the numbers."""
    found = await find_signed_in(request, context)
    if found is None or found.session_id != session.session_id:
        return False
    try:
        async with context.database.transaction() as connection:
            await require(connection, found.caller, Action.COUNTS_READ, collection=collection_id)
    except Problem:
        return False
    return True
