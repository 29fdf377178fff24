"""What looks at every response of a collection, gathered once and kept while nothing changes.

Of a large collection in which things change all the time, what was gathered is shown for a while although it is no
longer quite so, and says as of when: so gathering takes a small share of the time, however large the collection is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from fieldpack.reading.model import CHOICE_TYPES, TEXT_TYPES, scalar_text
from fieldpack.reading.shapes import read_collection
from fieldpack.report.summary import FileKind, Question
from fieldpack.report.tallies import Kinds, Tally
from fieldpack.server.caches import Recent
from fieldpack.server.collections.queries import find_collection
from fieldpack.server.context import Context
from fieldpack.server.exports.build.instructions import describe_instructions
from fieldpack.server.problems import not_found
from fieldpack.server.responses.overview import queries
from fieldpack.server.responses.overview.rows import GivenRow, SnapshotRow, SpreadRow, TextsRow
from fieldpack.server.responses.queries import list_questions
from fieldpack.server.responses.rows import QuestionRow

__all__ = ["Gathered", "find_gathered", "gather", "is_gathering"]

KEPT = 64  # collections
LARGE = 2_000  # responses: of so many it is quick enough to look anew whenever something has changed
SHARE = 40  # gathering may take one part of so many of the time


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was found in every response of a collection.

    Attributes:
        seen: what of the database it was made of.
        seconds: how long that took.
        made_at: when it was made, by this process's clock.
        spread: of participants and of time.
        asked: everything that the collection asks or ever asked, in order.
        questions: by id, the answers to each question as reports count them.
        left: by id of a question, how many gave their last answer to it and have not submitted; '' for those without.
        files: those of active responses, by type.
    """

    seen: SnapshotRow
    seconds: float
    made_at: float
    spread: SpreadRow
    asked: list[QuestionRow]
    questions: dict[str, Question]
    left: dict[str, int]
    files: list[FileKind]

    @property
    def at(self) -> datetime:
        """As of when it holds."""
        return self.seen.at

    @property
    def is_large(self) -> bool:
        """Whether gathering is work, so that it is not done for every change."""
        return self.spread.submitted > LARGE

    @property
    def due_at(self) -> float:
        """From when on it may be gathered anew, by this process's clock, if that is to be a small share of the work."""
        return self.made_at + SHARE * self.seconds


@dataclass
class _Kept:
    """What this process has gathered, and who is at it."""

    found: Recent[UUID, Gathered] = field(default_factory=lambda: Recent(KEPT))
    locks: Recent[UUID, asyncio.Lock] = field(default_factory=lambda: Recent(KEPT))
    tasks: dict[UUID, asyncio.Task[Gathered]] = field(default_factory=dict)


async def gather(context: Context, collection_id: UUID) -> Gathered:
    """What is in the responses now.

    Raises:
        Problem: 404 for a collection that is gone.
    """
    kept = context.caches.get(_Kept)
    lock = kept.locks.get(collection_id)
    if lock is None:
        kept.locks.put(collection_id, lock := asyncio.Lock())
    async with lock:
        found, changed = kept.found.get(collection_id), True
        if found is not None:
            async with context.database.statements() as connection:
                changed = await queries.has_changed(connection, collection_id, found.seen.snapshot)
            if not changed and found.is_large and found.due_at > time.monotonic():
                return found
        if found is not None and not changed:
            # answers that are saved under way are not logged
            async with context.database.statements() as connection:
                left = await queries.count_left(connection, collection_id)
            found = replace(found, left=left, made_at=time.monotonic())
        else:
            found = await _gather(context, collection_id)
        kept.found.put(collection_id, found)
        return found


async def find_gathered(
    context: Context, collection_id: UUID, count: int, *, paced: bool = False
) -> Gathered | None:
    """What is in the responses, without a long wait: of a large collection it may be a little older, or not there yet,
    and is gathered meanwhile.

    Args:
        count: about how many responses there are.
        paced: whether that of a small one may be older too, for who asks all the time.

    Raises:
        Problem: 404 for a collection that is gone.
    """
    kept = context.caches.get(_Kept)
    found = kept.found.get(collection_id)
    is_due = found is None or found.due_at <= time.monotonic()
    if count <= LARGE and (found is None or not found.is_large):
        return await gather(context, collection_id) if is_due or not paced else found
    if is_due and collection_id not in kept.tasks:
        task = asyncio.create_task(gather(context, collection_id), name="gather overview")
        kept.tasks[collection_id] = task
        task.add_done_callback(lambda done: _forget(kept, collection_id, done))
    return found


def is_gathering(context: Context, collection_id: UUID) -> bool:
    """Whether what is in the responses is being gathered for somebody who does not wait for it."""
    return collection_id in context.caches.get(_Kept).tasks


def _forget(kept: _Kept, collection_id: UUID, done: asyncio.Task[Gathered]) -> None:
    """A task that has ended; why it failed is said to whoever asks next, who tries again."""
    kept.tasks.pop(collection_id, None)
    if not done.cancelled():
        done.exception()


async def _gather(context: Context, collection_id: UUID) -> Gathered:
    started = time.monotonic()
    async with context.database.transaction() as connection:
        seen = await queries.begin_snapshot(connection)
        collection = await find_collection(connection, collection_id)
        if collection is None:
            raise not_found("Collection", collection_id)
        asked = await list_questions(connection, collection_id)
        options = await queries.list_options(connection, collection_id)
        described = describe_instructions(collection.body, asked, options)
        instructions = read_collection({"instructions": described}).instructions
        texts = [each.id for each in instructions if each.type in TEXT_TYPES and not each.asks_for_number]
        spread = await queries.read_spread(connection, collection_id)
        left = await queries.count_left(connection, collection_id)
        given = await queries.list_given(connection, collection_id, texts)
        said = await queries.list_texts(connection, collection_id, texts) if texts else []
    tallies = {each.id: Tally(each) for each in instructions}
    if len(given) <= LARGE:
        questions, files = _count(tallies, given, said, spread.submitted)
    else:
        questions, files = await asyncio.to_thread(_count, tallies, given, said, spread.submitted)
    return Gathered(seen, time.monotonic() - started, time.monotonic(), spread, asked, questions, left, files)


def _count(
    tallies: dict[str, Tally], given: Sequence[GivenRow], said: Sequence[TextsRow], submitted: int
) -> tuple[dict[str, Question], list[FileKind]]:
    """The answers to each question as reports count them, and all files by type."""
    kinds = Kinds()
    for row in given:
        tally = tallies[row.instruction_id]
        item = tally.instruction
        tally.answered += row.answers
        if row.value is None:
            continue
        if item.type in CHOICE_TYPES:
            tally.add_choice(row.value, row.count)
        elif item.type in TEXT_TYPES:
            unit = item.unit_text(row.unit) if row.unit is not None else None
            tally.add_text(scalar_text(row.value), unit, row.count)
        else:
            tally.add_files(str(row.value), row.count, row.size_bytes)
            kinds.add(str(row.value), row.count, row.size_bytes)
    for texts in said:
        tally = tallies[texts.instruction_id]
        tally.answered = texts.answers
        for length, count in texts.lengths:
            tally.add_lengths(length, count)
        commonest = [(str(text), int(count)) for text, count in texts.commonest]
        tally.take_texts(texts.distinct, commonest, texts.examples)
    return {id: tally.finish(submitted) for id, tally in tallies.items()}, kinds.sort()
