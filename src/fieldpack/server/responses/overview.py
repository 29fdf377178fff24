"""A collection in numbers: how many came, how far they got, how long it took. Nothing in it is of one person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.collections.rows import CollectionRow
from fieldpack.server.collections.service import get_collection
from fieldpack.server.db.pool import Connection
from fieldpack.server.responses import queries
from fieldpack.server.responses.rows import CountsRow, DayRow, QuestionRow

__all__ = ["Overview", "QuestionCounts", "describe_overview", "get_overview"]


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
        left_at_once: who began, gave no answer and has not submitted.
        days: active responses by the day of their completion (UTC).
    """

    collection: CollectionRow
    counts: CountsRow
    questions: list[QuestionCounts]
    left_at_once: int
    days: list[DayRow]


async def get_overview(connection: Connection, caller: Caller, collection_id: UUID) -> Overview:
    """The numbers of a collection, for whoever may see counts.

    Raises:
        Problem: 404 and 403 as `authorization.require` says.
    """
    collection = await get_collection(connection, caller, collection_id, Action.COUNTS_READ)
    counts = await queries.count_collection(connection, collection_id)
    answered = await queries.count_answered(connection, collection_id)
    left = await queries.count_left(connection, collection_id)
    questions = [
        QuestionCounts(
            question,
            answered.get(str(question.id), 0),
            counts.submitted - answered.get(str(question.id), 0),
            left.get(str(question.id), 0),
        )
        for question in await queries.list_questions(connection, collection_id)
    ]
    days = await queries.list_days(connection, collection_id)
    return Overview(collection, counts, questions, left.get("", 0), days)


def describe_overview(found: Overview) -> dict[str, Any]:
    """The numbers as the API answers them; lengths of time in seconds."""
    counts = found.counts
    return {
        "collection_id": found.collection.id,
        "started": counts.started,
        "under_way": counts.under_way,
        "submitted": counts.submitted,
        "awaiting_review": counts.review,
        "approved": counts.approved,
        "rejected": counts.rejected,
        "returned": counts.returned,
        "timed_out": counts.timed_out,
        "erased": counts.erased,
        "participants": counts.participants,
        "files": counts.files,
        "file_bytes": counts.file_bytes,
        "median_seconds": counts.median_seconds,
        "quartiles_seconds": [counts.low_seconds, counts.high_seconds],
        "left_without_an_answer": found.left_at_once,
        "days": [{"day": f"{day.day:%Y-%m-%d}", "count": day.count} for day in found.days],
        "questions": [
            {
                "instruction_id": each.question.id,
                "type": each.question.type,
                "description": each.question.body["description"],
                "retired": each.question.retired,
                "answered": each.answered,
                "missing": each.missing,
                "left": each.left,
            }
            for each in found.questions
        ],
    }
