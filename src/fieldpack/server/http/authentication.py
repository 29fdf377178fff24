"""Telling the connection that its request was authenticated, so that its limits for strangers end.

The connection offers an ASGI extension; the code that authenticates a request calls `mark_authenticated`. Without
such a connection, as in a test of the application alone, nothing happens.
"""

from __future__ import annotations

from starlette.requests import HTTPConnection

from fieldpack.server.http.intake.addresses import plain_address

__all__ = ["EXTENSION", "address_of", "mark_authenticated"]

EXTENSION = "fieldpack.authenticated"


def mark_authenticated(request: HTTPConnection) -> None:
    """Say that a valid token, cookie or signed link came with `request`. Idempotent."""
    mark = request.scope.get("extensions", {}).get(EXTENSION)
    if mark is not None:
        mark()


def address_of(request: HTTPConnection) -> str | None:
    """Where a request came from, as far as the proxies that are believed say; None where there is no address."""
    return plain_address(request.client.host) if request.client else None
