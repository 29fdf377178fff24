"""What researchers send to have personal links made."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field

from fieldpack.server.values.entries import Entry
from fieldpack.server.values.json_types import Boolean
from fieldpack.server.values.placeholders import NamedParticipantId

MANY = 10_000


class LinksInput(BaseModel):
    """For whom, and for how long."""

    participant_ids: Annotated[list[Entry[NamedParticipantId]], Field(min_length=1, max_length=MANY)]
    expires_at: AwareDatetime | None = None
    once: Boolean = False
