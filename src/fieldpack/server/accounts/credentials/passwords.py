"""Passwords: what one must be, and its hash by Argon2id (RFC 9106), which costs memory and time on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar
from weakref import WeakKeyDictionary

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fieldpack.server.accounts.credentials.budgets import Throttled
from fieldpack.text import normalise

__all__ = ["LEAST_CHARACTERS", "MOST_CHARACTERS", "check", "find_fault", "hash_password"]

LEAST_CHARACTERS = 12
MOST_CHARACTERS = 1000
LEAST_DIFFERENT = 5
MOST_WAITING = 20  # strangers' tries in a process that wait for the one before; a dozen take about a second
BUSY_SECONDS = 5.0

T = TypeVar("T")

_hasher = PasswordHasher()  # the library's profile: RFC 9106's for little memory, 64 MiB and 3 passes


@dataclass(slots=True)
class _Lanes:
    """Of a process: those who are known don't queue behind those who guess."""

    known: asyncio.Lock = field(default_factory=asyncio.Lock)
    unknown: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


_lanes: WeakKeyDictionary[asyncio.AbstractEventLoop, _Lanes] = WeakKeyDictionary()


def _normal(password: str) -> str:
    """The same text, whichever keyboard typed it (RFC 8265 §4.2)."""
    return normalise(password)


def find_fault(password: str, email: str) -> str | None:
    """What keeps a text from being a password: `short`, `long`, `simple` or `own`; None when nothing does.

    Length is what makes guessing hopeless; rules about kinds of characters only make people write `Password1!`
    (NIST SP 800-63B §3.1.1).
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


async def _run(work: Callable[[], T], *, is_known: bool) -> T:
    """In a thread, one at a time in each lane: a flood of guesses takes one core and one share of memory.

    Raises:
        Throttled: too many wait already.
    """
    lanes = _lanes.setdefault(asyncio.get_running_loop(), _Lanes())
    if is_known:
        async with lanes.known:
            return await asyncio.to_thread(work)
    if lanes.waiting >= MOST_WAITING:
        raise Throttled(BUSY_SECONDS)
    lanes.waiting += 1
    try:
        async with lanes.unknown:
            return await asyncio.to_thread(work)
    finally:
        lanes.waiting -= 1


@cache
def _nobodys_hash() -> str:
    """What is compared with where there is no password, so that it takes as long."""
    return _hasher.hash("nobody has this password")


async def hash_password(password: str) -> str:
    """The hash to store, in the PHC string format."""
    return await _run(lambda: _hasher.hash(_normal(password)), is_known=True)


async def check(hash: str | None, password: str, *, is_known: bool) -> str | None:
    """Whether `password` is that of `hash`: the hash to store from now on, None when it isn't.

    Takes as long where there is no hash.

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

    return await _run(compare, is_known=is_known)
