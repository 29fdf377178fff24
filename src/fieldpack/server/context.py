"""What every request and job of a process shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from .config import Settings
from .db.pool import Database
from .notices import Notices
from .storage import Storage

__all__ = ["Context", "CurrentContext"]


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of one process: settings, the database, the blobs, and the news between processes.

    `link_key` signs download links and cookies; all processes of an installation read the same one.
    """

    settings: Settings
    database: Database
    storage: Storage
    notices: Notices
    link_key: bytes


def _current(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


CurrentContext = Annotated[Context, Depends(_current)]
