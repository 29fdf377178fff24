"""The rows that the queries of an overview answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fieldpack.reading.model import Scalar


@dataclass(frozen=True, slots=True)
class CountsRow:
    """A collection's submissions, counted by what became of them; tests left out."""

    started: int  # all that were begun and not erased
    under_way: int
    responses: int  # active ones, which exports hold
    review: int  # that wait for a decision
    approved: int
    rejected: int
    returned: int
    timed_out: int
    erased: int
    files: int  # of active responses


@dataclass(frozen=True, slots=True)
class DayRow:
    """How many responses came in on one day (UTC)."""

    day: datetime
    count: int


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """What of the database a reading saw."""

    snapshot: str  # as `pg_snapshot`
    at: datetime


@dataclass(frozen=True, slots=True)
class SpreadRow:
    """Who the submissions are of, and how long active responses took."""

    participants: int
    submitted: int
    median_seconds: float | None
    low_seconds: float | None  # a quarter took less
    high_seconds: float | None  # a quarter took more


@dataclass(frozen=True, slots=True)
class GivenRow:
    """One value that active responses gave to a question: an option, a type of file, or a number as text."""

    instruction_id: str
    value: Scalar | None  # None for an answer without any
    unit: Scalar | None
    answers: int  # that have it first, so that each is counted once
    count: int
    size_bytes: int  # of files


@dataclass(frozen=True, slots=True)
class TextsRow:
    """The texts that active responses gave to a question."""

    instruction_id: str
    answers: int
    distinct: int
    lengths: list[list[int]]  # each length in characters, and how many have it
    commonest: list[list[str | int]]  # text and count
    examples: list[str]
