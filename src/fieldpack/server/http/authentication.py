"""How the layers below learn that a request is of somebody we know.

The connection offers an ASGI extension; whoever finds out who is asking calls `mark_authenticated`. Without a
connection of ours, as in a test of the application alone, nothing happens.
"""

from __future__ import annotations

from starlette.requests import HTTPConnection

__all__ = ["EXTENSION", "mark_authenticated"]

EXTENSION = "fieldpack.authenticated"


def mark_authenticated(request: HTTPConnection) -> None:
    """Say that a valid token, cookie or signed link came with `request`. Idempotent."""
    mark = request.scope.get("extensions", {}).get(EXTENSION)
    if mark is not None:
        mark()
