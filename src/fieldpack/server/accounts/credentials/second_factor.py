"""The second factor: codes of an app (TOTP, RFC 6238), and recovery codes for when the app is lost. No HTTP, no SQL."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from urllib.parse import quote
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.hotp import HOTP

from fieldpack.server.accounts.credentials import queries
from fieldpack.server.accounts.credentials.rows import FactorRow
from fieldpack.server.db.pool import Connection

__all__ = ["RECOVERY_CODES", "begin", "key_uri", "make_codes", "say_secret", "use_code"]

SECRET_BYTES = 20
STEP_SECONDS = 30
DIGITS = 6
STEPS_OFF = 1  # earlier or later, because clocks differ and people type slowly (RFC 6238 §5.2)
RECOVERY_CODES = 10
CODE_GROUPS, GROUP_CHARACTERS = 4, 4
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # without what can be misread


async def begin(connection: Connection, researcher_id: UUID) -> FactorRow:
    """The secret to set an app up with. The factor is asked for only after one code has shown that the app has it."""
    await queries.begin_factor(connection, researcher_id, secrets.token_bytes(SECRET_BYTES))
    row = await queries.find_factor(connection, researcher_id)
    assert row is not None
    return row


def say_secret(secret: bytes) -> str:
    """The secret in the form in which people type it into an app: base32, in groups of four characters."""
    text = base64.b32encode(secret).decode()
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def key_uri(secret: bytes, email: str, host: str) -> str:
    """The content of the QR code: `otpauth://totp/…`, the format of Google Authenticator, which all apps read."""
    issuer = quote(f"fieldpack {host}")
    return (
        f"otpauth://totp/{issuer}:{quote(email)}?secret={base64.b32encode(secret).decode()}&issuer={issuer}"
    )


def _find_step(secret: bytes, code: str, now: float) -> int | None:
    """The step whose code this is, among those that are accepted now, the newest first; None for a wrong code."""
    hotp = HOTP(secret, DIGITS, SHA1())  # as all apps compute it; collisions of SHA-1 do not weaken HMAC
    current = int(now) // STEP_SECONDS
    found = None
    for step in range(current - STEPS_OFF, current + STEPS_OFF + 1):
        if secrets.compare_digest(hotp.generate(step), code.encode()):
            found = step
    return found


async def use_code(connection: Connection, researcher_id: UUID, text: str) -> bool:
    """Accept a code of the app or a recovery code, once.

    A code of the app also confirms a factor that is being set up. A recovery code can't: there are none before that.

    Returns:
        False for a wrong code, or one that was used before.
    """
    factor = await queries.find_factor(connection, researcher_id)
    if factor is None:
        return False
    code = "".join(text.split()).replace("-", "").lower()
    if len(code) == DIGITS and code.isascii() and code.isdecimal():
        step = _find_step(factor.secret, code, time.time())
        return step is not None and await queries.use_step(connection, researcher_id, factor.secret, step)
    return await queries.use_recovery_code(connection, researcher_id, _hash(code))


def _hash(code: str) -> bytes:
    """What is stored of a recovery code. It has 79 random bits, so a plain SHA-256 can't be reversed."""
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).digest()


async def make_codes(connection: Connection, researcher_id: UUID) -> list[str]:
    """New recovery codes, as text. Only their hashes are stored, so they can't be shown again."""
    made = [
        "".join(secrets.choice(ALPHABET) for _ in range(CODE_GROUPS * GROUP_CHARACTERS))
        for _ in range(RECOVERY_CODES)
    ]
    await queries.replace_codes(connection, researcher_id, [_hash(code) for code in made])
    return [
        "-".join(code[at : at + GROUP_CHARACTERS] for at in range(0, len(code), GROUP_CHARACTERS))
        for code in made
    ]
