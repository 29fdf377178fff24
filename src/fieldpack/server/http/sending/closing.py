"""Hearing that the server is about to end, for answers that would go on for ever.

The server waits for the answers that are under way; the connection offers an ASGI extension by which such an answer is
told to come to its end. Without such a connection, as in a test of the application alone, nothing is told.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import Scope

__all__ = ["CLOSING", "when_closing"]

CLOSING = "fieldpack.closing"


def when_closing(scope: Scope, tell: Callable[[], None]) -> None:
    """Call `tell` when the server begins to end, if the answer to this request is then still under way."""
    offer = scope.get("extensions", {}).get(CLOSING)
    if offer is not None:
        offer(tell)
