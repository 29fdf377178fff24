"""The rows of imports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class ImportRow:
    """An import, under way or complete. Until it is complete its id is that of the workspace that hides it, too."""

    id: UUID  # told by the archive's content and the workspace, so that the same import is found again
    workspace_id: UUID  # where the collection goes
    collection_id: UUID
    source_id: str  # the collection's id in the archive
    started_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    lines: int  # lines of responses.jsonl that were taken over, from the first on
    submissions: int  # that were made of them
    files: int
    file_bytes: int
    erased: int  # submissions left out because they were erased here


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version of a collection that is made."""

    made_at: datetime
    body: dict[str, Any]  # as `collections.rows.CollectionRow.body`


@dataclass(frozen=True, slots=True)
class PlacedRow:
    """An item that is made, and where it stands."""

    page_order: int  # number of its page
    item_order: int
    body: dict[str, Any]  # as the API takes it, with id and type
    retired: bool


@dataclass(frozen=True, slots=True)
class RenamedRow:
    """An id that had to be made anew."""

    kind: str  # `collection`, `instruction`, `study` or `submission`
    old_id: str  # in the archive
    new_id: UUID


@dataclass(frozen=True, slots=True)
class CountedRow:
    """How many rows an import has made, and how many of them were erased since."""

    submissions: int
    files: int
    uploads: int  # of files: as many, unless something is wrong
    erased: int
    erased_files: int
    erased_bytes: int


@dataclass(frozen=True, slots=True)
class OrdinalRow:
    """How many submissions a participant has to a study."""

    study_id: UUID
    participant_id: str
    ordinal: int


@dataclass(frozen=True, slots=True)
class UnfinishedRow:
    """An import that has not come to its end."""

    id: UUID
    name: str  # of the collection
    workspace_id: UUID
    submissions: int
    updated_at: datetime
