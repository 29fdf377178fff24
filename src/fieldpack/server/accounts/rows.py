"""The rows that the queries of accounts answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class CallerRow:
    """The researcher of a valid API token."""

    id: UUID  # the researcher's
    email: str
    first_name: str
    last_name: str  # '' where only one name is known
    token_id: UUID
    cap: str | None  # the role that the token allows at most; None for all that its researcher may
    stale: bool  # the token's last use was noted more than a minute ago, or never


@dataclass(frozen=True, slots=True)
class HolderRow:
    """The researcher of a session or a sign-in link."""

    id: UUID
    email: str
    first_name: str
    last_name: str
    token_id: UUID | None = None  # the API token that the session is by
    cap: str | None = None  # the role that this token allows at most


@dataclass(frozen=True, slots=True)
class EndedRow:
    """A session that was ended just now."""

    id: UUID
    researcher_id: UUID


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key that signs, and how long it is used."""

    purpose: str  # `links` or `sessions`
    id: str  # the name by which signatures refer to it
    secret: bytes
    created_at: datetime
    retired_at: datetime | None  # since when it signs nothing new; None for the one that does
    expires_at: datetime | None  # from when on what it signed is refused; None for the one that signs


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A researcher as a member of a workspace."""

    workspace_id: UUID
    id: UUID  # the researcher's
    email: str
    first_name: str
    last_name: str
    role: str  # one of `roles.Role`


@dataclass(frozen=True, slots=True)
class ResearcherRow:
    """A researcher, with what one chooses them by."""

    id: UUID
    email: str


@dataclass(frozen=True, slots=True)
class SessionHolderRow:
    """A session that has not ended, and its researcher."""

    id: UUID  # the researcher's
    email: str
    first_name: str
    last_name: str
    token_id: UUID | None  # the API token that the session is by
    cap: str | None  # the role that this token allows at most
    session_id: UUID
    method: str  # how it was signed in: `token`, `link`, `invitation`, `password`, `passkey` or `oidc`
    created_at: datetime
    stale: bool  # its last use was noted more than a minute ago


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session in a browser, as its researcher sees it."""

    id: UUID
    method: str
    token_name: str | None  # of the API token that it was signed in with
    address: str | None  # from which it was used last; None where that isn't known
    agent: str | None  # what the browser called itself
    created_at: datetime
    last_used_at: datetime  # to the minute
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class StandingRow:
    """A researcher's role in a workspace, or on a collection and what belongs to it."""

    collection_id: UUID | None  # None for a workspace
    collections_enabled: bool  # whether Collections are on in the workspace
    role: str | None  # one of `roles.Role`; None for a stranger


@dataclass(frozen=True, slots=True)
class WorkspaceRow:
    """A workspace."""

    id: UUID
    title: str
    description: str  # '' where none was given
    collections_enabled: bool  # whether Collections are on in it
    export_dialect: str  # `seed` or `2026-11`: how its exports are requested
    created_at: datetime
