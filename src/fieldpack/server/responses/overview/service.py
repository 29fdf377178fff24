"""A collection in numbers: how many came, how far they got, how long it took, what they answered. Nothing in it is of
one person, but for the texts that somebody who may read responses asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from fieldpack.reading.model import CHOICE_TYPES
from fieldpack.report.summary import Question, describe_kinds, describe_question
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import write_entry
from fieldpack.server.collections.rows import CollectionRow
from fieldpack.server.collections.service import get_collection
from fieldpack.server.context import Context
from fieldpack.server.responses.overview import queries
from fieldpack.server.responses.overview.gathering import Gathered, find_gathered, gather
from fieldpack.server.responses.overview.rows import CountsRow, DayRow
from fieldpack.server.responses.rows import QuestionRow

__all__ = ["Overview", "QuestionCounts", "describe_overview", "get_overview", "hide_texts"]


@dataclass(frozen=True, slots=True)
class QuestionCounts:
    """A question, and how people got on with it.

    Attributes:
        answered: active responses that answer it.
        missing: those that don't.
        left: of those who began and have not submitted, how many gave their last answer here.
    """

    question: QuestionRow
    answered: int
    missing: int
    left: int


@dataclass(frozen=True, slots=True)
class Overview:
    """A collection in numbers.

    Attributes:
        counts: as of now.
        days: active responses by the day of their completion (UTC), as of now.
        gathered: what looks at every response; None while it is gathered for the first time.
    """

    collection: CollectionRow
    counts: CountsRow
    days: list[DayRow]
    gathered: Gathered | None

    @property
    def questions(self) -> list[QuestionCounts]:
        """Everything that the collection asks or ever asked, in order; nothing while it is gathered."""
        found = self.gathered
        if found is None:
            return []
        return [
            QuestionCounts(
                row,
                found.questions[str(row.id)].answered,
                found.questions[str(row.id)].missing,
                found.left.get(str(row.id), 0),
            )
            for row in found.asked
        ]


async def get_overview(
    context: Context, caller: Caller, collection_id: UUID, *, texts: bool = False, patient: bool = True
) -> Overview:
    """The numbers of a collection, for whoever may see counts.

    Args:
        texts: whether texts of answers are shown as well, which the audit log is told.
        patient: whether to wait for what looks at every response of a large collection; else it may be a little older.

    Raises:
        Problem: 404 and 403 as `authorization.require` says; 403 for texts of somebody who may not read responses.
    """
    async with context.database.transaction() as connection:
        collection = await get_collection(connection, caller, collection_id, Action.COUNTS_READ)
        if texts:
            await get_collection(connection, caller, collection_id, Action.RESPONSES_READ)
        counts = await queries.read_counts(connection, collection_id)
        days = await queries.list_days(connection, collection_id)
        if texts:
            await write_entry(
                connection, caller.actor, "response.list", collection_id=collection_id, total=counts.responses
            )
    if patient:
        gathered: Gathered | None = await gather(context, collection_id)
    else:
        gathered = await find_gathered(context, collection_id, counts.responses)
    return Overview(collection, counts, days, gathered)


def hide_texts(question: Question) -> Question:
    """The same without what participants wrote: their texts, of which they may be known."""
    if question.instruction.type in CHOICE_TYPES or question.numbers:
        return question
    return replace(question, bars=[], examples=[])


def describe_overview(found: Overview, *, texts: bool = False) -> dict[str, Any]:
    """The numbers as the API answers them; lengths of time in seconds."""
    counts, gathered = found.counts, found.gathered
    assert gathered is not None
    spread = gathered.spread
    return {
        "collection_id": found.collection.id,
        "as_of": gathered.at,
        "started": counts.started,
        "under_way": counts.under_way,
        "submitted": counts.responses,
        "awaiting_review": counts.review,
        "approved": counts.approved,
        "rejected": counts.rejected,
        "returned": counts.returned,
        "timed_out": counts.timed_out,
        "erased": counts.erased,
        "participants": spread.participants,
        "files": counts.files,
        "file_bytes": sum(kind.size_bytes for kind in gathered.files),
        "files_by_type": describe_kinds(gathered.files),
        "median_seconds": spread.median_seconds,
        "quartiles_seconds": [spread.low_seconds, spread.high_seconds],
        "left_without_an_answer": gathered.left.get("", 0),
        "days": [{"day": f"{day.day:%Y-%m-%d}", "count": day.count} for day in found.days],
        "questions": [
            {
                **_describe(gathered.questions[str(each.question.id)], texts=texts),
                "instruction_id": each.question.id,
                "description": each.question.body["description"],
                "left": each.left,
            }
            for each in found.questions
        ],
    }


def _describe(question: Question, *, texts: bool) -> dict[str, Any]:
    found = describe_question(question if texts else hide_texts(question))
    del found["question"]
    return found
