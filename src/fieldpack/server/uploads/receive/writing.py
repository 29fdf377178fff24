"""Bytes on their way from a connection to a sink."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fieldpack.server.uploads.receive.digests import Digests
from fieldpack.server.uploads.receive.sinks import Sink

__all__ = ["WriteBehind"]

BUFFER_BYTES = 1 << 20
BUFFERS = 4


class WriteBehind:
    """Collects bytes in large buffers, which are written and hashed while the next bytes arrive.

    A few buffers are reused, so that they stay in the processor's cache. When the disk or the processor is busy,
    several full buffers are written with one call. `add` waits while all of them are full.

    Args:
        sink: writes the bytes.
        digests: hashes them.
        offset: where in the upload they begin.
        look: called with every buffer before the sink gets it, and with the offset of its end; may raise.

    Attributes:
        handed_on: the offset up to which the sink has the bytes, or will have them.
    """

    def __init__(
        self, sink: Sink, digests: Digests, offset: int, look: Callable[[memoryview, int], None]
    ) -> None:
        self.handed_on = offset
        self._landed = offset
        self._sink = sink
        self._digests = digests
        self._look = look
        self._buffer = bytearray(BUFFER_BYTES)
        self._filled = 0
        self._made = 1
        self._free: list[bytearray] = []
        self._freed = asyncio.Event()
        self._queued: list[memoryview] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def end(self) -> int:
        """The offset of the last byte that was added."""
        return self.handed_on + self._filled

    async def add(self, data: bytes) -> bool:
        """Add bytes; whether some were handed on to the sink."""
        handed_on = False
        start = 0
        while start < len(data):
            room = min(BUFFER_BYTES - self._filled, len(data) - start)
            self._buffer[self._filled : self._filled + room] = memoryview(data)[start : start + room]
            self._filled += room
            start += room
            if self._filled == BUFFER_BYTES:
                await self.hand_on()
                handed_on = True
        return handed_on

    async def hand_on(self) -> None:
        """Hand what was added on to the sink, without waiting until it is written."""
        if not self._filled:
            return
        buffer = memoryview(self._buffer)[: self._filled]
        end = self.end
        self._look(buffer, end)
        self._queued.append(buffer)
        self.handed_on, self._filled = end, 0
        if self._task is None or self._task.done():
            await self.drain()
            self._task = asyncio.create_task(self._write())
        self._buffer = await self._take_buffer(self._task)

    async def _take_buffer(self, task: asyncio.Task[None]) -> bytearray:
        while not self._free:
            if self._made < BUFFERS:
                self._made += 1
                return bytearray(BUFFER_BYTES)
            if task.done():
                task.result()
            self._freed.clear()
            await self._freed.wait()
        return self._free.pop()

    async def _write(self) -> None:
        try:
            while self._queued:
                buffers, self._queued = self._queued, []
                await self._sink.write(buffers, self._landed, self._digests)
                self._landed += sum(map(len, buffers))
                for buffer in buffers:
                    assert isinstance(buffer.obj, bytearray)
                    self._free.append(buffer.obj)
                self._freed.set()
        finally:
            self._freed.set()

    async def drain(self) -> None:
        """Wait until the sink has written everything that was handed on.

        Raises:
            StorageError: what the sink raised.
        """
        if self._task is not None:
            task, self._task = self._task, None
            await task

    def close(self) -> None:
        """Release the buffers. No write may be running any more."""
        self._free.clear()
        self._queued.clear()
        self._buffer = bytearray()
        self._look = _look_away


def _look_away(data: memoryview, end: int) -> None:
    """Replaces `look` at the end, because it refers to an object that refers to this one."""
