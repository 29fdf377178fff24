"""Who watches a collection in this process, and the one reading of its numbers that all of them share.

What follows one another closely is read once: the counts twice a second at most, and what looks at every response as
seldom as it takes to spend a small share of the time on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from fieldpack.server.changes.news import News
from fieldpack.server.context import Context
from fieldpack.server.problems import TOO_MANY_REQUESTS, Problem
from fieldpack.server.responses.overview import queries
from fieldpack.server.responses.overview.gathering import Gathered, find_gathered, is_gathering
from fieldpack.server.responses.overview.rows import CountsRow

__all__ = ["Numbers", "Watch", "Watches", "read_numbers"]

PAUSE_SECONDS = 0.5  # between two readings
LOOK_SECONDS = 30.0  # after which it is read without word of a change, which may have been missed
MOST_OF_ONE = 64  # streams of one session, or from one address, in this process
MOST = 1_000  # of all
RETRY_SECONDS = 30

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Numbers:
    """A collection's numbers at one time."""

    counts: CountsRow
    gathered: Gathered | None


async def read_numbers(context: Context, collection_id: UUID) -> Numbers:
    """The counts as of now, and what was gathered last.

    Raises:
        Problem: 404 for a collection that is gone.
    """
    async with context.database.statements() as connection:
        counts = await queries.read_counts(connection, collection_id)
    return Numbers(counts, await find_gathered(context, collection_id, counts.responses, paced=True))


@dataclass
class Watch:
    """One collection that is watched: its latest numbers, and who is told of them.

    Attributes:
        number: rises with each reading that found something else.
        is_over: whether the collection is gone.
        said: the numbers as they are sent, by language, of the reading `number`.
    """

    numbers: Numbers | None = None
    number: int = 0
    is_over: bool = False
    said: dict[str, bytes] = field(default_factory=dict)
    listeners: set[asyncio.Event] = field(default_factory=set)
    task: asyncio.Task[None] | None = None

    def tell(self, numbers: Numbers | None) -> None:
        """Wake all who watch, if these are other numbers; None: there are no more."""
        if numbers is None:
            self.is_over = True
        elif self.numbers is not None and _is_same(self.numbers, numbers):
            return
        else:
            self.numbers = numbers
            self.number += 1
            self.said.clear()
        for event in self.listeners:
            event.set()


def _is_same(one: Numbers, other: Numbers) -> bool:
    return one.counts == other.counts and one.gathered is other.gathered


class Watches:
    """The collections that are watched in this process."""

    def __init__(self) -> None:
        self._watched: dict[UUID, Watch] = {}
        self._streams: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def watching(
        self, context: Context, collection_id: UUID, event: asyncio.Event, counted_as: tuple[str, ...]
    ) -> AsyncIterator[Watch]:
        """Watch a collection: `event` is set with each reading that found something else.

        Args:
            counted_as: whom the stream is for; see `require_room`.
        """
        with self._counted(counted_as):
            watch = self._watched.get(collection_id)
            if watch is None:
                watch = self._watched[collection_id] = Watch()
                watch.task = asyncio.create_task(
                    _read_on(context, collection_id, watch), name="watch collection"
                )
            watch.listeners.add(event)
            try:
                yield watch
            finally:
                watch.listeners.discard(event)
                if not watch.listeners and self._watched.get(collection_id) is watch:
                    del self._watched[collection_id]
                    assert watch.task is not None
                    watch.task.cancel()

    def require_room(self, names: tuple[str, ...]) -> None:
        """Return if there may be another stream for a session, from an address, and in this process.

        Raises:
            Problem: 429.
        """
        if self._streams.total() >= MOST * len(names) or any(
            self._streams[name] >= MOST_OF_ONE for name in names
        ):
            raise Problem(
                TOO_MANY_REQUESTS,
                f"At most {MOST_OF_ONE} pages are kept up to date for one session or address at a time.",
                headers={"Retry-After": str(RETRY_SECONDS)},
            )

    @contextlib.contextmanager
    def _counted(self, names: tuple[str, ...]) -> Iterator[None]:
        self._streams.update(names)
        try:
            yield
        finally:
            self._streams.subtract(names)
            for name in names:
                if not self._streams[name]:
                    del self._streams[name]


async def _read_on(context: Context, collection_id: UUID, watch: Watch) -> None:
    """Read the numbers whenever something has changed, until nobody watches any more or the collection is gone."""
    news_of_all = context.caches.get(News)
    try:
        async with news_of_all.subscribed(context.database, collection_id) as news:
            while True:
                news.clear()
                try:
                    watch.tell(await read_numbers(context, collection_id))
                except (psycopg.Error, PoolTimeout) as error:
                    log.debug("watch.again", collection_id=str(collection_id), error=str(error))
                await asyncio.sleep(PAUSE_SECONDS)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), _wait_seconds(context, collection_id, watch))
    except Problem:
        log.debug("watch.gone", collection_id=str(collection_id))
    finally:
        watch.tell(None)


def _wait_seconds(context: Context, collection_id: UUID, watch: Watch) -> float:
    """How long to wait for word of a change: until what is older than the last one may be gathered anew."""
    gathered = watch.numbers.gathered if watch.numbers is not None else None
    if gathered is None or is_gathering(context, collection_id):
        return PAUSE_SECONDS
    left = gathered.due_at - time.monotonic()
    return left if 0 < left < LOOK_SECONDS else LOOK_SECONDS
