"""The keys that sign: one for download links, one for researchers' cookies, one for participants' personal links.

They are rows, read whenever something is signed or checked. So a new key is used by every process at once, and a
deleted one is accepted by none. A signature names its key, so that several can be valid.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from fieldpack.server.accounts import key_queries as queries
from fieldpack.server.accounts.rows import KeyRow
from fieldpack.server.db.pool import Connection

__all__ = [
    "FIRST",
    "KEY_ID",
    "SESSION_LIFE",
    "TICKET_LIFE",
    "Purpose",
    "SigningKey",
    "find_key",
    "get_signing_key",
    "rotate",
]

Purpose = Literal["links", "sessions", "participation"]
PURPOSES: tuple[Purpose, ...] = ("links", "sessions", "participation")
FIRST = "first"
"""Name of the key from before there were several; what it signed then names none."""
KEY_ID = r"[0-9a-z]{1,16}"
_KEY_ID = re.compile(KEY_ID)
SECRET_BYTES = 32
SESSION_LIFE = timedelta(hours=12)
TICKET_LIFE = timedelta(days=366)  # of a personal link, at most
SLACK = timedelta(minutes=10)  # because another process may sign with the old key while it is being retired


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key, and the name by which signatures refer to it."""

    id: str
    secret: bytes

    def sign(self, text: str) -> str:
        """The signature of `text`: HMAC-SHA256 in hexadecimal."""
        return hmac.new(self.secret, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()

    def has_signed(self, text: str, signature: str) -> bool:
        """Whether `signature` is that of `text`, compared in constant time."""
        return hmac.compare_digest(self.sign(text).encode(), signature.encode("utf-8", "surrogateescape"))


async def get_signing_key(connection: Connection, purpose: Purpose) -> SigningKey:
    """The key to sign with. It is made if there is none: in a new installation, or one restored without its keys."""
    row = await queries.find_current(connection, purpose)
    if row is None:
        await queries.insert_current(connection, purpose, *_make())
        row = await queries.find_current(connection, purpose)
        assert row is not None
    return SigningKey(row.id, row.secret)


async def find_key(connection: Connection, purpose: Purpose, id: str) -> SigningKey | None:
    """The key of this name, as long as its signatures are accepted; None for what can't be the name of one."""
    if _KEY_ID.fullmatch(id) is None:  # strangers send these, and no query takes U+0000
        return None
    row = await queries.find_live(connection, purpose, id)
    return SigningKey(row.id, row.secret) if row else None


def _make() -> tuple[str, bytes]:
    return secrets.token_hex(4), secrets.token_bytes(SECRET_BYTES)


async def rotate(connection: Connection, link_life: timedelta, *, now: bool) -> list[KeyRow]:
    """Make new keys for every purpose; returns the keys whose signatures are accepted afterwards.

    Args:
        connection: the new keys sign once its transaction is committed.
        link_life: how long a link that was signed a moment ago is valid.
        now: make every link, personal ones too, every session and every sign-in link invalid at once. Otherwise the old
            keys are accepted until everything that they signed has expired.
    """
    await queries.lock_keys(connection)
    if now:
        await queries.delete_all(connection)
    else:
        lives: dict[Purpose, timedelta] = {
            "links": link_life,
            "sessions": SESSION_LIFE,
            "participation": TICKET_LIFE,
        }
        for purpose in PURPOSES:
            await queries.retire_current(connection, purpose, (lives[purpose] + SLACK).total_seconds())
        await queries.delete_expired(connection)
    for purpose in PURPOSES:
        await queries.insert_current(connection, purpose, *_make())
    return await queries.list_keys(connection)
