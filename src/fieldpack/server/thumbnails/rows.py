"""The rows that the queries of small pictures answer."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class ClaimedRow:
    """A blob whose small pictures are being made."""

    blob_id: UUID
    content_type: str
    size_bytes: int
    attempts: int  # this one included


@dataclass(frozen=True, slots=True)
class ThumbnailRow:
    """A small picture that is stored."""

    blob_id: UUID
    side: int  # the longest that it may have, in pixels; one of `formats.SIDES`
    width: int
    height: int
    size_bytes: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class PageRow:
    """The picture of a document's page that is stored."""

    blob_id: UUID
    number: int  # from 2; the first is the large picture
    first_byte: int  # in the object that has all of them
    size_bytes: int
    width: int
    height: int
    sha256: bytes
