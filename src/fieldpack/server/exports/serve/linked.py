"""What a download link opens: the same checks, in the same order, for all that is served by one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar
from uuid import UUID

from fastapi import Request

from fieldpack.server.audit.service import Actor, write_entry
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.exports import queries
from fieldpack.server.exports.serve.links import read_link, ticks_of
from fieldpack.server.http.authentication import address_of, mark_authenticated
from fieldpack.server.machine.metrics import LINK_ERRORS
from fieldpack.server.problems import GONE, LINK_EXPIRED, Problem

__all__ = ["find_linked", "gone"]


class OfCollection(Protocol):
    """Something that can be downloaded."""

    @property
    def collection_id(self) -> UUID:
        """Whose responses are in it."""


Linked = TypeVar("Linked", bound=OfCollection)


def gone() -> Problem:
    """The 410 of what was there when the link was made."""
    LINK_ERRORS.labels("gone").inc()
    return Problem(
        GONE,
        "This export no longer exists: it was deleted, or data in it was erased. Request the export again.",
    )


async def find_linked(
    request: Request,
    context: Context,
    find: Callable[[Connection], Awaitable[Linked | None]],
    details: Callable[[Linked], dict[str, Any]],
) -> Linked:
    """What the link that was asked for opens, if the link holds. The audit log has who used it, from where.

    Args:
        find: looks for it, once the link is known to be one of ours.
        details: what the audit log says of it: `object_id`, its export, and what there is besides.

    Raises:
        Problem: 403 for a link that was changed or has expired, 410 for what is there no longer.
    """
    raw_path = request.scope.get("raw_path") or request.scope["path"].encode()
    async with context.database.transaction() as connection:
        try:
            expires_at = await read_link(
                connection, raw_path.decode("latin-1"), request.scope["query_string"].decode("latin-1")
            )
        except Problem:
            LINK_ERRORS.labels("altered").inc()
            raise
        found = await find(connection)
        expired = await queries.has_passed(connection, expires_at)
        if request.method == "GET" and found is not None and not expired:
            # who has a link is not known, only from where it is used: noted once an hour, in however many pieces
            link = Actor("link", None, "link", str(ticks_of(expires_at)), address_of(request) or "")
            await write_entry(
                connection,
                link,
                "archive.download",
                collection_id=found.collection_id,
                expires_at=expires_at,
                **details(found),
            )
    if expired:
        LINK_ERRORS.labels("expired").inc()
        raise Problem(LINK_EXPIRED, "This link has expired. Ask for the export again to get a fresh link.")
    mark_authenticated(request)
    if found is None:
        raise gone()
    return found
