"""Reused buffers: allocating half a megabyte for every read costs as much time as the read itself.

They are aligned to pages of memory. A large bytearray by itself begins 16 bytes after a page, and to there some
processors copy from the page cache at a seventh of their speed (`rep movsb` to 1 to 31 bytes past the source,
modulo the page, on AMD's Zen 3 and later).
"""

from __future__ import annotations

import ctypes
import mmap
from collections import deque

__all__ = ["Buffers"]

LOOKS = 3


class Buffers:
    """Buffers of one size, lent as memoryviews; one is free again when no view of it exists any more.

    There is no call that returns a buffer, so none can be returned too early: a transport that still has bytes to
    send keeps its view, and Python refuses to resize a bytearray of which there are views. Not thread-safe.

    Args:
        size_bytes: of each.
        kept: how many are kept for another use; more than that may be lent at a time.
    """

    def __init__(self, size_bytes: int, kept: int = 16) -> None:
        self.size_bytes = size_bytes
        self._kept = kept
        self._buffers: deque[bytearray] = deque()

    def lend(self) -> memoryview:
        """A view of a whole buffer, of any content."""
        buffers = self._buffers
        for _ in range(min(LOOKS, len(buffers))):
            buffers.rotate(-1)
            buffer = buffers[-1]
            try:
                buffer.append(0)  # BufferError while there is a view
            except BufferError:
                continue
            buffer.pop()
            return self._view(buffer)
        buffer = bytearray(self.size_bytes + mmap.PAGESIZE)
        if len(buffers) < self._kept:
            buffers.append(buffer)
        return self._view(buffer)

    def _view(self, buffer: bytearray) -> memoryview:
        start = -ctypes.addressof(ctypes.c_char.from_buffer(buffer)) % mmap.PAGESIZE
        return memoryview(buffer)[start : start + self.size_bytes]
