"""Rows of what a backup holds, as their queries give them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from fieldpack.server.exports.rows import BuildRow

__all__ = ["BlobRow", "DumpedRow", "StoredExportRow"]


@dataclass(frozen=True, slots=True)
class DumpedRow:
    """The database as of a backup."""

    snapshot: str  # by which other connections use the same snapshot
    made_at: str  # RFC 3339, in UTC
    postgres: int  # major version of the server


@dataclass(frozen=True, slots=True)
class BlobRow:
    """A finished upload, or a picture that collections show."""

    id: UUID
    size_bytes: int
    sha256: str  # in hexadecimal
    submission_id: UUID | None  # None of a picture


@dataclass(frozen=True, slots=True)
class StoredExportRow(BuildRow):
    """A complete export, as far as what is stored for it goes."""

    delivery: str  # "stream" by the server, "store" from the bucket
    with_history: bool  # its archive has `members.HISTORY`
