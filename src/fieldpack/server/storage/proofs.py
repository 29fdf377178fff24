"""Which files had the right CRC-32 when they were last read completely, and have not changed since.

The kernel may send such a file from the page cache without its bytes being checked again. Every change of a file
sets its change time (ctime), which no program can set to another value; so a proof is invalid after any change, and
after a minute in any case, because a disk may lose bytes without one.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import OrderedDict
from dataclasses import dataclass

from fieldpack.server.storage.folders import Folders

__all__ = ["FileRange", "Proofs"]

PROVEN_SECONDS = 60.0
SETTLED_SECONDS = 2.0  # change times are coarse: a second change soon after the first may not be seen
KEPT = 20_000
_NOWAIT: int = getattr(os, "RWF_NOWAIT", 0)

State = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class FileRange:
    """`length` bytes from `offset` of an open file, which stays open until the next item is asked for."""

    descriptor: int
    offset: int
    length: int

    def __len__(self) -> int:
        return self.length


def _state(found: os.stat_result) -> State:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class Proofs:
    """The proofs of one process, for files in `folders`, by key."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._proven: OrderedDict[str, tuple[State, float]] = OrderedDict()

    def look(self, key: str) -> State | None:
        """The state of a file before it is read; None when it changed too recently to prove anything."""
        with contextlib.suppress(OSError):
            found = self._folders.stat(key)
            if time.time() - found.st_ctime > SETTLED_SECONDS:
                return _state(found)
        return None

    def note(self, key: str, state: State | None) -> None:
        """Note that the file was read completely and had the right CRC-32; `state` is from before."""
        if state is None or self.look(key) != state:
            return
        self._proven.pop(key, None)
        self._proven[key] = (state, time.monotonic() + PROVEN_SECONDS)
        if len(self._proven) > KEPT:
            self._proven.popitem(last=False)

    def open(self, key: str) -> int | None:
        """A descriptor of a file with a valid proof; None otherwise."""
        _, until = self._proven.get(key, (None, 0.0))
        if time.monotonic() >= until:
            self._proven.pop(key, None)
            return None
        with contextlib.suppress(OSError):
            descriptor = self._folders.open(key, os.O_RDONLY)
            if self.holds(key, descriptor):
                return descriptor
            os.close(descriptor)
        return None

    def holds(self, key: str, descriptor: int) -> bool:
        """Whether the open file is still as it was proven."""
        state, _ = self._proven.get(key, (None, 0.0))
        if _state(os.fstat(descriptor)) == state:
            return True
        self._proven.pop(key, None)
        return False

    def is_cached(self, descriptor: int, last: int) -> bool:
        """Whether the page cache has the byte at `last`, and so, most likely, the bytes before it."""
        try:
            return os.preadv(descriptor, (bytearray(1),), last, _NOWAIT) == 1
        except OSError:
            return False
