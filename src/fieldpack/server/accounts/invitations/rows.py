"""The rows that the queries of invitations answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class InvitationRow:
    """An invitation, without its code, which only its link has."""

    id: UUID
    workspace_id: UUID
    collection_id: UUID | None  # None for the whole workspace
    role: str  # one of `permissions.roles.Role`
    email: str | None  # whom it is for; None for whoever has the link
    created_at: datetime
    created_by: str | None  # e-mail address of who invited; None for the command line
    expires_at: datetime
    accepted_at: datetime | None
    accepted_by: str | None  # e-mail address of who accepted
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class OfferRow:
    """A valid invitation, as whoever follows its link sees it."""

    id: UUID
    workspace_id: UUID
    workspace_title: str
    collection_id: UUID | None
    collection_name: str | None
    role: str
    email: str | None
    inviter: str | None  # their name, or address; None for one of the command line
    expires_at: datetime
