"""Rows of uploads, as their queries give them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

__all__ = [
    "Claim",
    "CountedRow",
    "FileRow",
    "HolderRow",
    "OpenerRow",
    "OwnedUploadRow",
    "RemovableRow",
    "StoredSpanRow",
    "UploadRow",
    "WholeUpload",
]


@dataclass(frozen=True, slots=True)
class UploadRow:
    """An upload, with what must be known of its submission."""

    id: UUID
    submission_id: UUID
    study_id: UUID
    collection_id: UUID
    collection_version: int  # which the participant started with
    instruction_id: UUID
    file_name: str
    metadata: str | None  # the header Upload-Metadata as it came, which tus wants given back
    length_bytes: int  # as announced
    offset_bytes: int  # what of it is safe
    crc32: int  # of what is safe
    content_type: str | None  # None until there was enough of it to tell
    blob_id: UUID | None  # once it is complete
    sha256: bytes | None  # once it is complete
    failure: str | None  # why its bytes were refused and removed
    open: bool  # files of the submission may still change
    finishing: bool  # some process is hashing or joining the whole right now


@dataclass(frozen=True, slots=True)
class Claim:
    """An upload that one request may write to, until a newer one claims it."""

    row: UploadRow
    writer: UUID  # names that request
    item: dict[str, Any]  # what the upload answers
    spans: list[StoredSpanRow]  # what is stored of it in objects of their own


@dataclass(frozen=True, slots=True)
class HolderRow:
    """A submission, as far as uploads to it go."""

    id: UUID
    study_id: UUID
    collection_id: UUID
    collection_version: int  # which the participant started with
    open: bool  # files may still change


@dataclass(frozen=True, slots=True)
class OpenerRow:
    """A submission as its participant came to it: what of it never changes, and the token that must open it."""

    id: UUID
    collection_id: UUID
    collection_version: int  # which the participant started with
    token_sha256: bytes
    made_before: datetime | None  # the token must be older than this; None for any


@dataclass(frozen=True, slots=True)
class WholeUpload:
    """A file whose bytes are stored already, as the blob of the same id."""

    id: UUID
    instruction_id: UUID
    file_name: str
    metadata: str | None  # the header Upload-Metadata as it came
    key: str | None  # made by the client
    length_bytes: int
    crc32: int
    sha256: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class StoredSpanRow:
    """A span of an upload and the object that holds it, where storage can't append (the table `upload_chunks`)."""

    offset_bytes: int  # in the upload
    size_bytes: int
    key: str


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file of a submission, finished or not."""

    id: UUID
    instruction_id: UUID
    file_name: str
    content_type: str | None  # None until there was enough of it to tell
    size_bytes: int  # as announced
    sha256: str | None  # in hexadecimal, once it is complete
    status: Literal["uploading", "complete"]
    offset: int  # what of it is safe, in bytes
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RemovableRow:
    """An upload with what there is of it to clear away."""

    id: UUID
    length_bytes: int
    failure: str | None  # of one that counts no more against any cap
    blob_id: UUID | None
    span_keys: list[str]


@dataclass(frozen=True, slots=True)
class OwnedUploadRow:
    """An upload, and whose it is."""

    id: UUID
    submission_id: UUID
    study_id: UUID


@dataclass(frozen=True, slots=True)
class CountedRow:
    """Bytes of files that are counted against a submission and its study."""

    of_submission: int
    of_study: int
