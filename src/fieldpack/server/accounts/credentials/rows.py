"""The rows that the queries of credentials answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class AccountRow:
    """A researcher who may have a password."""

    researcher_id: UUID
    hash: str | None  # of the password; None without one


@dataclass(frozen=True, slots=True)
class FactorRow:
    """A researcher's second factor."""

    secret: bytes
    last_step: int  # of 30 seconds since 1970; the last whose code was used
    confirmed_at: datetime | None  # None while it is being set up
    codes_left: int  # recovery codes that were not used yet


@dataclass(frozen=True, slots=True)
class WaysRow:
    """How anybody at all can sign in here, besides with a token or a link."""

    passwords: bool
    passkeys: bool


@dataclass(frozen=True, slots=True)
class PasskeyRow:
    """A passkey."""

    id: bytes  # what its authenticator calls it
    researcher_id: UUID
    name: str  # what its researcher knows it by
    public_key: bytes  # COSE, as WebAuthn gives it
    sign_count: int  # how often it signed; 0 where its authenticator doesn't count
    created_at: datetime
    last_used_at: datetime | None
