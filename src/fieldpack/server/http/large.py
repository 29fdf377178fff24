"""Work that grows with what a client sent, kept from holding up everybody else.

What is small is done at once: a thread would cost more than it. What is large is done in a thread, in each process one
after another of participants' and one after another of researchers', so that any number of large requests take one
another's time and nobody else's. What researchers write may take seconds, which no participant is to wait for.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import ClassVar, ParamSpec, TypeVar

from fieldpack.server.caches import Caches
from fieldpack.server.machine.metrics import TURNED_AWAY
from fieldpack.server.problems import BUSY, Problem

__all__ = ["LARGE_BYTES", "LargeWork", "Participants", "Researchers", "Shown", "run_large"]

P = ParamSpec("P")
T = TypeVar("T")

LARGE_BYTES = 4096  # what can be made of so much takes milliseconds at worst


class LargeWork:
    """Whose turn it is, among those who wait for the same turn.

    Attributes:
        most_waiting: requests, whose bodies are held in memory meanwhile.
        again_seconds: after which whoever is refused comes again, from and to: not all at the same moment.
    """

    most_waiting: ClassVar[int]
    again_seconds: ClassVar[tuple[int, int]]

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """A turn, in the order in which they are asked for.

        Raises:
            Problem: 503 with `Retry-After`, where too many wait.
        """
        if self._waiting >= self.most_waiting:
            TURNED_AWAY.labels("large").inc()
            seconds = random.randint(*self.again_seconds)
            raise Problem(
                BUSY,
                f"Too many large requests came at this moment. Nothing was saved: send this again in {seconds} s.",
                headers={"Retry-After": str(seconds)},
            )
        self._waiting += 1
        try:
            await self._lock.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._lock.release()


class Participants(LargeWork):
    """What participants send, and whoever was not asked who they are: some milliseconds each."""

    most_waiting = 200
    again_seconds = (1, 3)


class Shown(LargeWork):
    """Pages of what was saved before: they wait as long as it takes, for nobody is told anymore that it was not."""

    most_waiting = sys.maxsize
    again_seconds = (0, 0)


class Researchers(LargeWork):
    """What researchers send: some seconds each, at worst."""

    most_waiting = 20
    again_seconds = (2, 10)


async def run_large(
    caches: Caches,
    whose: type[LargeWork],
    size_bytes: int,
    work: Callable[P, T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """`work` of input of so many bytes, here when it is small and in a thread when it is large.

    Raises:
        Problem: 503 with `Retry-After`, where too much that is large waits already.
    """
    if size_bytes <= LARGE_BYTES:
        return work(*args, **kwargs)
    async with caches.get(whose).turn():
        return await asyncio.to_thread(work, *args, **kwargs)
