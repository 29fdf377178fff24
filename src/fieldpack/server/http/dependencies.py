"""What routes depend on: the context of their process, and room for what grows."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from fieldpack.errors import StorageFull
from fieldpack.server.context import Context

__all__ = ["CurrentContext", "make_room", "require_room"]

GROWING = ("POST", "PUT", "PATCH")


# Coroutines, although none waits: the framework gives every plain function a thread of its own.


async def _current(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


CurrentContext = Annotated[Context, Depends(_current)]


async def require_room(request: Request) -> None:
    """Refuse what would grow while the disk is nearly full. A dependency of routes.

    Raises:
        StorageFull: what is free is left to erasures and the database.
    """
    context: Context = request.app.state.context
    if request.method in GROWING and context.reserve.is_low():
        raise StorageFull("The disk of the data folder is nearly full.")


async def make_room(request: Request) -> None:
    """Before anything is deleted on a full disk: the reserve is for this. A dependency of all routes."""
    if request.method == "DELETE":
        context: Context = request.app.state.context
        context.reserve.make_room()
