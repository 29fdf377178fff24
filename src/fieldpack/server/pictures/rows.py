"""The rows that the queries of pictures answer."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class PictureRow:
    """A picture of a workspace."""

    id: UUID  # also that of its blob
    content_type: str  # one that browsers show
    size_bytes: int
    sha256: bytes
