"""Rows of operators, as their queries give them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

__all__ = ["OperatorRow"]


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """A researcher who may look after the installation."""

    id: UUID
    email: str
    first_name: str
    last_name: str
    created_at: datetime  # since when they may
