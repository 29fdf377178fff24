"""Rows of exports, as their queries give them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

__all__ = [
    "ArchiveRow",
    "BuildRow",
    "ClaimedRow",
    "CountedRow",
    "ExportRow",
    "Facts",
    "Filter",
    "InstructionRow",
    "LostRow",
    "MemberSpan",
    "NarrowedRow",
    "ObjectRow",
    "OptionsRow",
    "PartRow",
    "ReachableRow",
    "ReachedRow",
    "SentPartRow",
    "SnapshotRow",
]

# What narrows an export, in the normal form that `filters.parse_filter` gives: `study_id`, `from` and `to`, ids in
# lower case and instants in UTC (RFC 3339); what else a view of responses is narrowed to, texts or sorted lists.
Filter = dict[str, Any]


@dataclass(frozen=True, slots=True)
class BuildRow:
    """One build of an export: what the keys of its objects are made of."""

    id: UUID  # of the export
    build: UUID  # names the attempt that may finish the export
    collection_id: UUID
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ExportRow(BuildRow):
    """An export as requests see it."""

    filter: Filter
    with_history: bool  # what answers were before they were corrected is in it too
    status: Literal["generating", "complete", "failed"]
    delivery: str  # "stream" by this server, "store" from the bucket
    progress: float  # 0 to 1
    snapshot_at: (
        datetime | None
    )  # of the last build that had its index made, complete or not; so are the figures
    completed_at: datetime | None
    submission_count: int | None
    file_count: int | None
    size_bytes: int | None  # of the archive
    failure_reason: str | None  # for the person who asked for it; only of a failed one
    links_expire_at: datetime | None  # the latest of those that were made; None when none was
    waiting_since: datetime | None  # while its storage does not answer
    waiting_reason: str | None


@dataclass(frozen=True, slots=True)
class ClaimedRow(BuildRow):
    """An export that a job has just claimed, with the build that is the job's own."""

    filter: Filter
    with_history: bool  # what answers were before they were corrected is to be in it too
    delivery: str
    attempts: int  # this one included; what an erasure has start over counts once


@dataclass(frozen=True, slots=True)
class ArchiveRow(BuildRow):
    """A build whose archive can be read: its index is stored."""

    size_bytes: int  # of the archive
    index_bytes: int
    etag: str  # of the archive, with its quotes


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is to know of an archive once its index is made."""

    snapshot_at: datetime
    snapshot_counter: int  # the collection's counter as of the snapshot
    submission_count: int
    file_count: int
    size_bytes: int  # of the archive
    index_bytes: int
    etag: str  # of the archive, with its quotes


@dataclass(frozen=True, slots=True)
class ObjectRow(ArchiveRow):
    """A build that is made into an object of the bucket, part by part."""

    snapshot_at: datetime
    snapshot_counter: int
    submission_count: int
    file_count: int
    multipart_id: str | None  # None where the bucket takes the object in one go

    @property
    def facts(self) -> Facts:
        """What its index told."""
        return Facts(
            self.snapshot_at,
            self.snapshot_counter,
            self.submission_count,
            self.file_count,
            self.size_bytes,
            self.index_bytes,
            self.etag,
        )


@dataclass(frozen=True, slots=True)
class PartRow(ArchiveRow):
    """A build with one of the parts that its object is made of."""

    multipart_id: str | None
    start_offset: int  # in the archive
    stop_offset: int
    part_etag: str | None  # None until the part is in the bucket


@dataclass(frozen=True, slots=True)
class MemberSpan:
    """A span of a member that was read without the rest. Its fields, in this order, are what is stored of it."""

    member_no: int  # in the archive, from 0
    name: str
    length: int  # bytes
    crc32: int  # of the span
    member_crc32: int  # the one on record for the whole member


@dataclass(frozen=True, slots=True)
class SentPartRow:
    """A part that is in the bucket."""

    etag: str
    member_spans: list[MemberSpan]  # of the members that other parts hold the rest of


@dataclass(frozen=True, slots=True)
class LostRow:
    """An export that is generating without a job that would ever finish it."""

    id: UUID
    build: UUID
    in_parts: bool  # its index is made, and its parts are noted


@dataclass(frozen=True, slots=True)
class NarrowedRow:
    """A complete export that was narrowed by more than a study and a span of time."""

    id: UUID
    filter: Filter


@dataclass(frozen=True, slots=True)
class ReachedRow:
    """An export that an erasure reaches."""

    id: UUID
    status: Literal["generating", "complete"]


@dataclass(frozen=True, slots=True)
class ReachableRow:
    """An export that an erasure would reach."""

    id: UUID
    status: Literal["generating", "complete"]
    created_at: datetime
    filter: Filter
    by_inactive: bool  # also for a response that is not active any more


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """A collection as of the snapshot of a build."""

    id: UUID
    name: str
    description: str | None
    workspace_id: UUID
    created_at: datetime
    body: dict[str, Any]  # its current version: pages and items, as the researcher wrote them
    counter: int
    snapshot_at: datetime


@dataclass(frozen=True, slots=True)
class InstructionRow:
    """An instruction, shown or retired."""

    id: UUID
    type: str
    body: dict[str, Any]  # the item, as the researcher wrote it
    page_order: int  # of the page it is on, or was on last
    retired: bool


@dataclass(frozen=True, slots=True)
class OptionsRow:
    """The options of one version of a collection."""

    made_at: datetime
    options: dict[str, list[dict[str, Any]]]  # or units, by instruction id


@dataclass(frozen=True, slots=True)
class CountedRow:
    """How many submissions a snapshot holds, how many files they say they have, and how often they were corrected."""

    submissions: int
    files: int
    corrections: int
