"""What clients send about participant groups."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from fieldpack.server.values.entries import Entry
from fieldpack.server.values.participant_ids import ParticipantId
from fieldpack.server.values.placeholders import NamedParticipantId

MANY = 10_000

Name = Annotated[str, StringConstraints(min_length=1, max_length=1_000, strip_whitespace=True)]
Description = Annotated[str, StringConstraints(max_length=10_000)]
Most = Field(max_length=MANY)


class GroupInput(BaseModel):
    """A group to create."""

    workspace_id: str
    name: Name
    description: Description | None = None
    participant_ids: Annotated[list[Entry[NamedParticipantId]] | None, Most] = None


class GroupPatch(BaseModel):
    """What may change later; `participant_ids` is who is in it from then on."""

    name: Name | None = None
    description: Description | None = None
    participant_ids: Annotated[list[Entry[NamedParticipantId]] | None, Most] = None


class NewMembers(BaseModel):
    """Who comes into a group."""

    participant_ids: Annotated[list[Entry[NamedParticipantId]], Most]


class FormerMembers(BaseModel):
    """Who leaves it."""

    participant_ids: Annotated[list[Entry[ParticipantId]], Most]
