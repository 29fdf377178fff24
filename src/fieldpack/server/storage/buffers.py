"""Buffers used again and again: making half a megabyte anew for every read costs as much as the reading.

They begin where a page of memory does. A large bytearray of itself begins 16 bytes into one, and there some
processors copy what the page cache holds at a seventh of their speed (`rep movsb` to 1 to 31 bytes past the
source, modulo the page, on AMD's Zen 3 and later).
"""

from __future__ import annotations

import ctypes
import mmap
from collections import deque

__all__ = ["Buffers"]

LOOKS = 3


class Buffers:
    """Buffers of one size, lent as memoryviews; one is free again when nobody holds a view of it any more.

    Nobody gives anything back, so nothing can be given back too early: a transport that still has bytes to
    send holds its view, and Python refuses to resize a bytearray of which there are views. Not for threads.

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
                buffer.append(0)  # refused while somebody has a view
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
