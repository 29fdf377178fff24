"""Whose turn it is when more participants come than a web process can serve: who saves goes before who starts.

Only so many work on the database at a time; the others wait in two queues, both bounded. A start waits as long as
somebody waits to save, and is refused early: whoever has not begun has nothing to lose. A class that presses Start at
once is only slowed, but a queue that stands is kept short, for a long one would make everybody wait as long and serve
nobody sooner (the idea of CoDel, RFC 8289 §3). Saving waits in a long queue, and is refused only when that is full. Who
is refused is told when to come again.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fieldpack.server.machine.metrics import TURNED_AWAY
from fieldpack.server.problems import BUSY, Problem

__all__ = ["Turns"]

AT_ONCE = 12  # of the 16 connections of a process's pool: researchers have theirs
STARTS_AT_ONCE = 4
MOST_SAVES = 1000  # a second's work or two
MOST_STARTS = 500
LONGEST_START_SECONDS = 15.0  # of waiting, while those who save go first
STANDING_SECONDS = 0.5  # a queue of starts that never ended for so long stands
MOST_STANDING = 24  # a fifth of a second's
SAVE_AGAIN_SECONDS = (1, 3)
START_AGAIN_SECONDS = (2, 10)  # not all at the same moment

Queue = deque[asyncio.Future[None]]


def _turn_away(what: str, again_seconds: tuple[int, int]) -> Problem:
    TURNED_AWAY.labels(what).inc()
    seconds = random.randint(*again_seconds)
    return Problem(
        BUSY,
        f"Too many participants are at it at this moment. Nothing was lost: send this again in {seconds} s.",
        headers={"Retry-After": str(seconds)},
    )


class Turns:
    """The turns of one web process.

    Args:
        clock: seconds, as `time.monotonic`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stands_since = 0.0  # when the queue of starts began that there is now
        self._saves: Queue = deque()
        self._starts: Queue = deque()
        self._saving = 0
        self._starting = 0

    @asynccontextmanager
    async def saving(self) -> AsyncIterator[None]:
        """A turn to save what a participant gave, or to hand it in.

        Raises:
            Problem: 503 with `Retry-After`.
        """
        if self._saves or not self._has_room():
            await self._wait(self._saves, MOST_SAVES, SAVE_AGAIN_SECONDS, "save")
        else:
            self._saving += 1
        try:
            yield
        finally:
            self._saving -= 1
            self._call_next()

    @asynccontextmanager
    async def starting(self) -> AsyncIterator[None]:
        """A turn to start a submission.

        Raises:
            Problem: 503 with `Retry-After`.
        """
        if self._starts or not self._may_start():
            if not self._starts:
                self._stands_since = self._clock()
            stands = self._clock() - self._stands_since >= STANDING_SECONDS
            most = MOST_STANDING if stands else MOST_STARTS
            try:
                async with asyncio.timeout(LONGEST_START_SECONDS):
                    await self._wait(self._starts, most, START_AGAIN_SECONDS, "start")
            except TimeoutError:
                raise _turn_away("start", START_AGAIN_SECONDS) from None
        else:
            self._starting += 1
        try:
            yield
        finally:
            self._starting -= 1
            self._call_next()

    def _has_room(self) -> bool:
        return self._saving + self._starting < AT_ONCE

    def _may_start(self) -> bool:
        return self._has_room() and not self._saves and self._starting < STARTS_AT_ONCE

    async def _wait(self, queue: Queue, most: int, again_seconds: tuple[int, int], what: str) -> None:
        """Wait for a turn; whoever ends one before has counted it as taken by us."""
        if len(queue) >= most:
            raise _turn_away(what, again_seconds)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.done() or turn.cancelled():
                if turn in queue:
                    queue.remove(turn)
            elif queue is self._saves:  # called, and gone before it came
                self._saving -= 1
                self._call_next()
            else:
                self._starting -= 1
                self._call_next()
            raise

    def _call_next(self) -> None:
        while self._saves and self._has_room():
            turn = self._saves.popleft()
            if not turn.done():
                self._saving += 1
                turn.set_result(None)
        while self._starts and self._may_start():
            turn = self._starts.popleft()
            if not turn.done():
                self._starting += 1
                turn.set_result(None)
