"""The rows that the queries of credentials answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class AccountRow:
    """A researcher, with the hash of their password if there is one."""

    researcher_id: UUID
    hash: str | None  # of the password; None without one


@dataclass(frozen=True, slots=True)
class FactorRow:
    """A researcher's second factor."""

    secret: bytes
    last_step: int  # number of 30-second steps since 1970: the last one whose code was used
    confirmed_at: datetime | None  # None while it is being set up
    codes_left: int  # recovery codes that were not used yet


@dataclass(frozen=True, slots=True)
class WaysRow:
    """Ways to sign in, besides tokens and links, that at least one researcher here has set up."""

    passwords: bool
    passkeys: bool


@dataclass(frozen=True, slots=True)
class PasskeyRow:
    """A passkey."""

    id: bytes  # the credential id, chosen by the authenticator
    researcher_id: UUID
    name: str  # given by its researcher
    public_key: bytes  # COSE, as WebAuthn gives it
    sign_count: int  # signatures so far; always 0 where the authenticator doesn't count
    created_at: datetime
    last_used_at: datetime | None
