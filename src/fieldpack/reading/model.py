"""What an archive holds, as typed objects. How they are read is in `shapes`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

__all__ = [
    "CHOICE_TYPES",
    "CONTENT_TYPES",
    "KNOWN_TYPES",
    "TEXT_TYPES",
    "Answer",
    "Choice",
    "Collection",
    "Instruction",
    "Option",
    "Scalar",
    "Submission",
    "UploadedFile",
    "dump_text",
    "scalar_text",
]

Scalar = str | int | float | bool

TEXT_TYPES = frozenset({"free_text", "free_text_with_unit"})
CHOICE_TYPES = frozenset({"multiple_choice", "multiple_choice_with_free_text"})
CONTENT_TYPES = frozenset({"rich_text", "image"})
KNOWN_TYPES = TEXT_TYPES | CHOICE_TYPES | CONTENT_TYPES | {"file_upload"}


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a choice: what was shown (`label`), and what was recorded (`value`)."""

    value: Scalar
    label: str
    exclusive: bool = False
    heading: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One item of a page: a question, or content shown between questions (`is_question` tells)."""

    id: str
    type: str
    description: str
    page: int | None = None
    order: int | None = None
    retired: bool = False
    required: bool = True
    options: tuple[Option, ...] = ()
    answer_limit: int = 1
    unit_options: tuple[Option, ...] = ()
    retired_options: tuple[Option, ...] = ()
    """Options (or units) that are no longer offered, and earlier labels of those that are; in the order in which they
    were retired, each with `until` in its `extra`."""
    validation: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    has_alike_units: bool = field(init=False, repr=False, compare=False, default=False)
    """Whether two units, offered now or before, differ only in type, as 1 and "1" do. Every answer asks."""

    def __post_init__(self) -> None:
        units = (*self.unit_options, *self.retired_options) if self.unit_options else ()
        texts = {unit.value for unit in units if isinstance(unit.value, str)}
        others = {scalar_text(unit.value) for unit in units if not isinstance(unit.value, str)}
        object.__setattr__(self, "has_alike_units", not texts.isdisjoint(others))

    @property
    def is_question(self) -> bool:
        return self.type not in CONTENT_TYPES

    @property
    def takes_several(self) -> bool:
        """Whether more than one option may be chosen."""
        return self.type in CHOICE_TYPES and self.answer_limit != 1

    @property
    def asks_for_number(self) -> bool:
        """Whether a text answer to this question is meant to be a number."""
        kind = (self.validation or {}).get("type")
        return kind != "string" if self.type == "free_text_with_unit" else kind == "number"

    def unit_text(self, value: Scalar) -> str:
        """A unit as a text: as JSON writes it where units differ in type alone, else the plain one."""
        return dump_text(value) if self.has_alike_units else scalar_text(value)

    @property
    def title(self) -> str:
        """The question's text, or its id when it has none."""
        return self.description.strip() or self.id


@dataclass(frozen=True, slots=True)
class Collection:
    """`collection.json`. `export` is the export's own record: id, created_at, filter and counts."""

    id: str
    name: str
    description: str | None
    workspace_id: str | None
    schema_version: int | None
    created_at: dt.datetime | None
    task_details: Mapping[str, Any]
    export: Mapping[str, Any]
    instructions: tuple[Instruction, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choice:
    """One chosen option, with the participant's explanation where the question asks for one."""

    value: Scalar
    explanation: str | None = None


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """One uploaded file. `path` is its member's name; `file_name` is what the participant called it."""

    submission_id: str
    instruction_id: str
    path: str
    file_name: str
    content_type: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. By type: `text` (and `unit`), `choices`, or `files`; the others are empty."""

    instruction_id: str
    type: str
    text: str | None = None
    unit: str | None = None
    choices: tuple[Choice, ...] = ()
    files: tuple[UploadedFile, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Submission:
    """One line of `responses.jsonl`. `answers` is keyed by instruction id and lacks what was left
    unanswered."""

    submission_id: str
    participant_id: str | None
    study_id: str | None
    status: str | None
    started_at: dt.datetime | None
    completed_at: dt.datetime | None
    answers: Mapping[str, Answer]
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> tuple[UploadedFile, ...]:
        """All its files, in the order of its answers."""
        return tuple(file for answer in self.answers.values() for file in answer.files)


def scalar_text(value: Scalar) -> str:
    """A text as it is; a number or a boolean as JSON writes it."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def dump_text(value: Any) -> str:
    """A value that was read from JSON, as JSON again.

    Raises:
        ValueError: it is nested more deeply than can be written (254 levels; reading takes 1,024).
    """
    try:
        return orjson.dumps(value).decode()
    except TypeError as error:
        raise ValueError("a value is nested too deeply") from error
