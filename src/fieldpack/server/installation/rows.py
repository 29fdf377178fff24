"""The row that says which installation a database is."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

__all__ = ["InstallationRow"]


@dataclass(frozen=True, slots=True)
class InstallationRow:
    """Which installation a database is of, and how often that was claimed."""

    id: UUID
    generation: int  # that of storage is never ahead, unless the database was taken back to an earlier time
