"""Which files were read whole and found right a moment ago, and have not changed since.

Such a file can be sent by the kernel, straight from the page cache, without its bytes being looked at again.
Every change of a file moves its change time, which nobody can set; so the proof ends with any change, and
after a minute in any case, lest what the disk lost meanwhile goes unnoticed.
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
SETTLED_SECONDS = 2.0  # a change time is coarse: one that is younger could hide another change
KEPT = 20_000
_NOWAIT: int = getattr(os, "RWF_NOWAIT", 0)

State = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class FileRange:
    """`length` bytes from `offset` of an open file, to be sent while whoever gave it keeps it open."""

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
        """How a file is, before it is read; None when that could prove nothing."""
        with contextlib.suppress(OSError):
            found = self._folders.stat(key)
            if time.time() - found.st_ctime > SETTLED_SECONDS:
                return _state(found)
        return None

    def note(self, key: str, state: State | None) -> None:
        """The file was read whole and is right; `state` is how it was before."""
        if state is None or self.look(key) != state:
            return
        self._proven.pop(key, None)
        self._proven[key] = (state, time.monotonic() + PROVEN_SECONDS)
        if len(self._proven) > KEPT:
            self._proven.popitem(last=False)

    def open(self, key: str) -> int | None:
        """A descriptor of a file that is proven and unchanged; None otherwise."""
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
        """Whether the page cache has the byte at `last`, and so, most likely, what was read before it."""
        try:
            return os.preadv(descriptor, (bytearray(1),), last, _NOWAIT) == 1
        except OSError:
            return False
