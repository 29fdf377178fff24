"""What downloads of one build that run at the same time have in common: the chunks they are sent in step."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from fieldpack.server.storage import Buffer

__all__ = ["Shared"]

SHARED_CHUNKS = 8


class Shared:
    """The downloads of one build in this process, and the last chunks they read; it goes with the last of them."""

    def __init__(self) -> None:
        self.downloads = 0
        self._chunks: OrderedDict[tuple[int, int], asyncio.Task[Buffer]] = OrderedDict()

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Count a download."""
        self.downloads += 1
        try:
            yield
        finally:
            self.downloads -= 1
            if self.downloads < 2:
                self._chunks.clear()

    async def get(self, key: tuple[int, int], read: Callable[[], Coroutine[Any, Any, Buffer]]) -> Buffer:
        """A chunk that another download has or reads just now, or what `read` gives."""
        task = self._chunks.get(key)
        if task is None:
            task = self._chunks[key] = asyncio.create_task(read())
            if len(self._chunks) > SHARED_CHUNKS:
                self._chunks.popitem(last=False)
        try:
            return await asyncio.shield(task)  # who leaves takes nothing from those who stay
        except Exception:
            self._chunks.pop(key, None)
            raise
