"""Passwords: what one must be, and its hash by Argon2id (RFC 9106), which costs memory and time on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fieldpack.server.accounts.credentials.budgets import Throttled
from fieldpack.server.caches import Caches
from fieldpack.text import normalise

__all__ = ["LEAST_CHARACTERS", "MOST_CHARACTERS", "check", "find_fault", "hash_password"]

LEAST_CHARACTERS = 12
MOST_CHARACTERS = 1000
LEAST_DIFFERENT = 5
MOST_WAITING = 20  # tries from unknown browsers that wait in a process; a dozen take about a second
BUSY_SECONDS = 5.0

T = TypeVar("T")

_hasher = PasswordHasher()  # the library's profile: RFC 9106's for little memory, 64 MiB and 3 passes


def _normal(password: str) -> str:
    """The password in one Unicode form, so that every keyboard gives the same bytes (RFC 8265 §4.2)."""
    return normalise(password)


def find_fault(password: str, email: str) -> str | None:
    """What keeps a text from being a password: `short`, `long`, `simple` or `own`; None for a good one.

    Length makes guessing hopeless; rules about kinds of characters only make people write `Password1!` (NIST SP 800-63B
    §3.1.1).
    """
    text = _normal(password)
    if len(text) < LEAST_CHARACTERS:
        return "short"
    if len(text) > MOST_CHARACTERS:
        return "long"
    if len(set(text)) < LEAST_DIFFERENT:
        return "simple"
    if text.casefold() in (email.casefold(), email.partition("@")[0].casefold()):
        return "own"
    return None


class Hashing:
    """Hashes of a process, computed in threads: one at a time for browsers that are known, and one for all others.

    So those who guess take one core and the memory of one hash at most, and nobody who is known waits for them. A part
    of `Context.caches`.
    """

    def __init__(self) -> None:
        self._known = asyncio.Lock()
        self._unknown = asyncio.Lock()
        self._waiting = 0

    async def run(self, work: Callable[[], T], *, is_known: bool) -> T:
        """What `work` returns, once it is its turn.

        Raises:
            Throttled: too many wait already.
        """
        if is_known:
            async with self._known:
                return await asyncio.to_thread(work)
        if self._waiting >= MOST_WAITING:
            raise Throttled(BUSY_SECONDS)
        self._waiting += 1
        try:
            async with self._unknown:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1


@cache
def _nobodys_hash() -> str:
    """A hash to compare with where there is no password, so that the answer takes as long."""
    return _hasher.hash("nobody has this password")


async def hash_password(caches: Caches, password: str) -> str:
    """The hash to store, in the PHC string format."""
    return await caches.get(Hashing).run(lambda: _hasher.hash(_normal(password)), is_known=True)


async def check(caches: Caches, hash: str | None, password: str, *, is_known: bool) -> str | None:
    """Compare a password with a hash: the hash to store from now on, or None when it is not the right one.

    Takes as long where there is no hash.

    Args:
        hash: in the PHC string format; None where there is no account or no password.
        is_known: the browser signed in to this account before.

    Raises:
        Throttled: too many others are being looked at.
    """
    text = _normal(password[: 2 * MOST_CHARACTERS])

    def compare() -> str | None:
        try:
            _hasher.verify(hash if hash is not None else _nobodys_hash(), text)
        except (VerificationError, InvalidHashError):
            return None
        if hash is None:
            return None
        return _hasher.hash(text) if _hasher.check_needs_rehash(hash) else hash

    return await caches.get(Hashing).run(compare, is_known=is_known)
