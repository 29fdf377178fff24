"""Buffers used again and again: making half a megabyte anew for every read costs as much as the reading."""

from __future__ import annotations

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
            return memoryview(buffer)
        buffer = bytearray(self.size_bytes)
        if len(buffers) < self._kept:
            buffers.append(buffer)
        return memoryview(buffer)
