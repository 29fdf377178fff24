"""What every request and job of a process shares."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .config import Settings
from .db.pool import Database
from .notices import Notices
from .reserve import Reserve
from .storage import Storage

__all__ = ["Context"]


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
