"""What is in an archive: counts and distributions. `gathering` makes them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from fieldpack.reading.model import Instruction, Scalar, UploadedFile

__all__ = [
    "Bar",
    "FileKind",
    "Histogram",
    "NumbersOfUnit",
    "Question",
    "Sample",
    "Summary",
    "describe_kinds",
    "describe_question",
]


@dataclass(frozen=True, slots=True)
class Bar:
    """One value of a distribution and how often it was given.

    Attributes:
        value: what was recorded, where it is not the label itself.
    """

    label: str
    count: int
    value: Scalar | None = None


@dataclass(frozen=True, slots=True)
class Histogram:
    """Numbers in bins of equal width: `counts[i]` are from `start + i * step` up to the next, the last
    included."""

    start: float
    step: float
    counts: tuple[int, ...]
    minimum: float
    median: float
    mean: float
    maximum: float

    @property
    def edges(self) -> list[float]:
        """Where the bins begin, and the last one ends: without the noise in the last digits of a sum of steps, so that
        a number that is an edge is in the bin that begins with it."""
        step = Decimal(f"{self.step:.12g}")
        first = round(self.start / self.step)
        return [float((first + at) * step) for at in range(len(self.counts) + 1)]


@dataclass(frozen=True, slots=True)
class NumbersOfUnit:
    """The numbers that were given in one unit; `unit` is its label, None where the question has no units.

    Attributes:
        unit_value: what is recorded for the unit.
    """

    unit: str | None
    count: int
    histogram: Histogram
    unit_value: Scalar | None = None


@dataclass(frozen=True, slots=True)
class FileKind:
    """Uploaded files of one content type."""

    content_type: str
    count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Sample:
    """An uploaded file and who it came from."""

    file: UploadedFile
    participant_id: str | None


@dataclass
class Question:
    """One question's answers.

    Attributes:
        instruction: the question.
        answered, missing: submissions with and without an answer.
        bars: choices by label, or units, or the commonest texts where texts repeat.
        numbers: by unit, the commonest first; numbers of different units are never put together.
        not_numbers: answers to a question for a number that are none, and so in no histogram.
        distinct: how many different texts; None when there are more than are told apart.
        lengths: shortest, median and longest text, in characters.
        examples: a few texts.
        files: uploaded files by type.
        samples: some of the files, each with the participant it came from.
    """

    instruction: Instruction
    answered: int = 0
    missing: int = 0
    bars: list[Bar] = field(default_factory=list)
    numbers: list[NumbersOfUnit] = field(default_factory=list)
    not_numbers: int = 0
    distinct: int | None = None
    lengths: tuple[int, float, int] | None = None
    examples: list[str] = field(default_factory=list)
    files: list[FileKind] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)


@dataclass
class Summary:
    """What is in an archive."""

    archive: str
    size_bytes: int
    name: str = ""
    collection_id: str = ""
    export_id: str = ""
    exported_at: dt.datetime | None = None
    narrowed_by: dict[str, Any] = field(default_factory=dict)
    submissions: int = 0
    participants: int = 0
    studies: int = 0
    statuses: list[Bar] = field(default_factory=list)
    first_at: dt.datetime | None = None
    last_at: dt.datetime | None = None
    median_seconds: float | None = None
    days: list[tuple[dt.date, int]] = field(default_factory=list)
    files: list[FileKind] = field(default_factory=list)
    files_missing: int = 0
    questions: list[Question] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def file_count(self) -> int:
        """How many files were uploaded."""
        return sum(kind.count for kind in self.files)

    @property
    def file_bytes(self) -> int:
        """Their sizes together, in bytes."""
        return sum(kind.size_bytes for kind in self.files)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: times as RFC 3339, questions by id."""

        def say(when: dt.datetime | None) -> str | None:
            return None if when is None else when.isoformat().replace("+00:00", "Z")

        return {
            "archive": self.archive,
            "size_bytes": self.size_bytes,
            "collection": {"id": self.collection_id, "name": self.name},
            "export": {
                "id": self.export_id,
                "created_at": say(self.exported_at),
                "filter": self.narrowed_by or None,
            },
            "submissions": self.submissions,
            "participants": self.participants,
            "studies": self.studies,
            "statuses": {bar.label: bar.count for bar in self.statuses},
            "first_completed_at": say(self.first_at),
            "last_completed_at": say(self.last_at),
            "median_seconds": self.median_seconds,
            "days": {str(day): count for day, count in self.days},
            "files": {
                "count": self.file_count,
                "size_bytes": self.file_bytes,
                "missing": self.files_missing,
                "types": describe_kinds(self.files),
            },
            "questions": [describe_question(question) for question in self.questions],
            "notes": self.notes,
        }


def _describe_numbers(numbers: NumbersOfUnit) -> dict[str, Any]:
    found = numbers.histogram
    return {
        "unit": numbers.unit,
        "count": numbers.count,
        "minimum": found.minimum,
        "median": found.median,
        "mean": found.mean,
        "maximum": found.maximum,
        "histogram": {"start": found.start, "step": found.step, "counts": list(found.counts)},
    }


def describe_kinds(kinds: list[FileKind]) -> list[dict[str, Any]]:
    """Types of files, for JSON."""
    return [{"content_type": k.content_type, "count": k.count, "size_bytes": k.size_bytes} for k in kinds]


def describe_question(question: Question) -> dict[str, Any]:
    """What was answered to a question, for JSON; texts only where they are commonest ones."""
    item = question.instruction
    found: dict[str, Any] = {
        "instruction_id": item.id,
        "question": item.title,
        "type": item.type,
        "retired": item.retired,
        "answered": question.answered,
        "missing": question.missing,
    }
    if question.bars:
        found["counts"] = [{"label": bar.label, "count": bar.count} for bar in question.bars]
    if question.numbers:
        by_unit = [_describe_numbers(numbers) for numbers in question.numbers]
        found["numbers"] = {**by_unit[0], "not_numbers": question.not_numbers}
        if len(by_unit) > 1:
            found["numbers_by_unit"] = by_unit
    if question.lengths is not None:
        found["distinct"] = question.distinct
        found["lengths"] = dict(zip(("shortest", "median", "longest"), question.lengths, strict=True))
    if question.files:
        found["files"] = describe_kinds(question.files)
    return found
