"""What every request and job of a process shares."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request

from .config import Settings
from .db.pool import Database
from .notices import Notices
from .reserve import Reserve
from .storage import Storage, StorageFull

__all__ = ["Context", "CurrentContext", "make_room", "require_room"]

GROWING = ("POST", "PUT", "PATCH")


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of one process: settings, the database, the blobs, and the news between processes.

    `upgraded_at`: when an installation from before `__Host-` cookies was brought up to date; None for others.
    """

    settings: Settings
    database: Database
    storage: Storage
    notices: Notices
    upgraded_at: datetime | None
    reserve: Reserve


def _current(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


CurrentContext = Annotated[Context, Depends(_current)]


def require_room(request: Request, context: CurrentContext) -> None:
    """Refuse what would grow while the disk is nearly full. A dependency of routes.

    Raises:
        StorageFull: what is free is left to erasures and the database.
    """
    if request.method in GROWING and context.reserve.is_low():
        raise StorageFull("The disk of the data folder is nearly full.")


def make_room(request: Request) -> None:
    """Before anything is deleted on a full disk: the reserve is for this. A dependency of all routes."""
    if request.method == "DELETE":
        _current(request).reserve.make_room()
