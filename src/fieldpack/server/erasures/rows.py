"""Rows of erasures, as their queries give them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

__all__ = ["ErasureRow"]


@dataclass(frozen=True, slots=True)
class ErasureRow:
    """One erased submission that is not listed everywhere."""

    submission_id: UUID
    erased_at: datetime
    stored: bool  # storage has it; lists beside backups may not
