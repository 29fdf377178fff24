"""Browsers that a researcher has signed in from before. No HTTP, no SQL."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from uuid import UUID

from fieldpack.server.accounts.credentials import queries
from fieldpack.server.db.pool import Connection

__all__ = ["DEVICE_LIFE", "hash_device", "is_known", "remember"]

DEVICE_LIFE = timedelta(days=365)
MOST_DEVICES = 20  # of one researcher
TOKEN_BYTES = 32


def hash_device(device: str) -> bytes:
    """What is stored of a device's token. It has 256 random bits, so a plain SHA-256 can't be reversed."""
    return hashlib.sha256(device.encode("utf-8", "surrogatepass")).digest()


async def is_known(connection: Connection, device: str | None, researcher_id: UUID) -> bool:
    """Whether this researcher has signed in from the device."""
    return bool(device) and await queries.is_known_device(
        connection, hash_device(device or ""), researcher_id
    )


async def remember(connection: Connection, device: str | None, researcher_id: UUID) -> str:
    """Return a new token for this device. It is new each time, so that a token that somebody else set before is
    worth nothing."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    if device:
        await queries.move_device(connection, hash_device(device), hash_device(token))
    await queries.remember_device(connection, hash_device(token), researcher_id, DEVICE_LIFE, MOST_DEVICES)
    return token
