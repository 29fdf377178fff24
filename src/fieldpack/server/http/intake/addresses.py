"""How many connections without an authenticated request an address has, counted over all web processes.

The processes share a file of fixed size, mapped into memory: a header with a secret, then one region for each
process, a table of pairs (hash of the address, count). Each process writes its own region only, so there are no
locks; the supervisor clears the region of one that died. An address that finds no place in its process's table
is counted by that process alone, so memory is bounded whatever addresses come.
"""

from __future__ import annotations

import hashlib
import ipaddress
import mmap
import os
import secrets
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

__all__ = [
    "AddressTable",
    "Admission",
    "Ticket",
    "clear_region",
    "create_table",
    "network_of",
    "plain_address",
]

SLOTS = 8192
WINDOW = 16  # places that one address may have
SECRET_BYTES = 32
HEADER_BYTES = 64
REGION_BYTES = SLOTS * 16
MAPPED = "::ffff:"


def plain_address(host: str) -> str:
    """An IPv4 address as itself, also where a socket of IPv6 took its connection."""
    return host[len(MAPPED) :] if host.lower().startswith(MAPPED) and "." in host else host


def network_of(host: str) -> bytes:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 one; whatever it is, if it is neither."""
    try:
        address = ipaddress.ip_address(plain_address(host).partition("%")[0])
    except ValueError:
        return host.encode()
    if isinstance(address, ipaddress.IPv6Address):
        return (address.ipv4_mapped or address).packed[:8]
    return address.packed


def create_table(path: Path, regions: int) -> None:
    """Make the file, for `regions` processes, readable by us alone."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_bytes(SECRET_BYTES))
        os.ftruncate(descriptor, HEADER_BYTES + regions * REGION_BYTES)
    finally:
        os.close(descriptor)


def clear_region(path: Path, region: int) -> None:
    """Clear the counts of a process that ended."""
    with path.open("r+b") as file:
        file.seek(HEADER_BYTES + region * REGION_BYTES)
        file.write(bytes(REGION_BYTES))


class AddressTable:
    """The counts of this process, and those of the others as far as they fit.

    Args:
        path: the shared file; None for a process that shares with nobody.
        region: this process's number.
    """

    def __init__(self, path: Path | None = None, region: int = 0) -> None:
        self._own: dict[int, int] = {}
        self._region = region
        self._pairs: memoryview | None = None
        self._secret = secrets.token_bytes(SECRET_BYTES)
        self._starts: list[int] = []
        if path is not None:
            with path.open("r+b") as file:
                shared = mmap.mmap(file.fileno(), 0)
            self._secret = shared[:SECRET_BYTES]
            self._pairs = memoryview(shared)[HEADER_BYTES:].cast("Q")
            self._starts = list(range(0, len(self._pairs), SLOTS * 2))

    def key_of(self, network: bytes) -> int:
        """The hash of an address; not 0. It is keyed, so that nobody can choose addresses that collide."""
        digest = hashlib.blake2b(network, digest_size=8, key=self._secret).digest()
        return int.from_bytes(digest, "little") or 1

    def count(self, key: int) -> int:
        """Connections of an address in all processes."""
        total = self._own.get(key, 0)
        if self._pairs is not None:
            at = self._window(key)
            for number, start in enumerate(self._starts):
                if number == self._region:
                    continue
                window = self._pairs[start + at : start + at + WINDOW * 2].tolist()
                for place in range(0, WINDOW * 2, 2):
                    if window[place] == key:
                        total += window[place + 1]
        return total

    def change(self, key: int, by: int) -> None:
        """Count one more or one less of an address in this process."""
        count = self._own.get(key, 0) + by
        if count > 0:
            self._own[key] = count
        else:
            self._own.pop(key, None)
        if self._pairs is None:
            return
        at = self._starts[self._region] + self._window(key)
        window = self._pairs[at : at + WINDOW * 2].tolist()
        free = None
        for place in range(0, WINDOW * 2, 2):
            if window[place] == key:
                self._pairs[at + place + 1] = max(count, 0)
                return
            if free is None and window[place + 1] == 0:
                free = at + place
        if free is not None and count > 0:
            self._pairs[free + 1] = 0
            self._pairs[free] = key
            self._pairs[free + 1] = count

    @staticmethod
    def _window(key: int) -> int:
        return key % (SLOTS - WINDOW + 1) * 2


class Ticket:
    """One connection's place among those of its address, given back once, at the latest when it is lost."""

    __slots__ = ("_admission", "key")

    def __init__(self, admission: Admission, key: int) -> None:
        self._admission: Admission | None = admission
        self.key = key

    @property
    def is_held(self) -> bool:
        """Whether it still counts."""
        return self._admission is not None

    def release(self) -> None:
        """Count this connection no longer. Idempotent."""
        if self._admission is not None:
            admission, self._admission = self._admission, None
            admission.leave(self)

    def rest(self, close: Callable[[], None]) -> None:
        """Mark the connection as idle between two requests, so that `close` may be called without harm."""
        if self._admission is not None:
            self._admission.idle.setdefault(self.key, {})[self] = close

    def wake(self) -> None:
        """It is in use again."""
        if self._admission is not None:
            self._admission.forget(self)


class Admission:
    """Whether one more connection of an address is accepted.

    A browser opens six connections for a page and its scripts, and only one of them carries what we know it
    by. So an address that is at its limit first loses connections of its own that only wait: browsers make
    another when they need one.

    Args:
        limit: connections of one address, in all processes, that have no authenticated request yet.
        is_trusted: whether an address is a proxy, whose connections are not counted.
    """

    def __init__(self, limit: int, is_trusted: Callable[[str], bool], table: AddressTable) -> None:
        self.limit = limit
        self.table = table
        self.idle: dict[int, dict[Ticket, Callable[[], None]]] = {}

        def find(host: str) -> int | None:
            return None if is_trusted(plain_address(host)) else table.key_of(network_of(host))

        self._key_of = lru_cache(maxsize=4096)(find)

    def admit(self, host: str) -> Ticket | None:
        """Count one more connection; None when the address is at its limit. A trusted proxy's are not counted."""
        key = self._key_of(host)
        if key is None:
            ticket = Ticket(self, 0)
            ticket._admission = None
            return ticket
        if self.table.count(key) >= self.limit and not self._make_room(key):
            return None
        self.table.change(key, 1)
        return Ticket(self, key)

    def leave(self, ticket: Ticket) -> None:
        """Count a connection no more."""
        self.forget(ticket)
        self.table.change(ticket.key, -1)

    def forget(self, ticket: Ticket) -> None:
        """Take a connection out of those that are idle."""
        idle = self.idle.get(ticket.key)
        if idle is not None:
            idle.pop(ticket, None)
            if not idle:
                del self.idle[ticket.key]

    def _make_room(self, key: int) -> bool:
        """Close the connection of this address that has waited longest."""
        idle = self.idle.get(key)
        if not idle:
            return False
        ticket, close = next(iter(idle.items()))
        ticket.release()
        close()
        return True
