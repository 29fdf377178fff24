"""Which responses are meant: read from a URL's parameters, checked, written back, and put into SQL by `queries.py`.

A filter is what a person can read in the address of a page: `state=APPROVED&where=<question>:is:<option>`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, get_args
from uuid import UUID

import orjson

from fieldpack.archive.records import format_time, parse_time
from fieldpack.errors import InvalidTime
from fieldpack.server.problems import INVALID, Problem
from fieldpack.server.values.participant_ids import parse_participant_id
from fieldpack.server.values.statuses import STATUSES
from fieldpack.server.values.uuids import is_uuid

__all__ = [
    "MOST_CHOSEN",
    "MOST_CONDITIONS",
    "MOST_TEXT",
    "TRUTHS",
    "WITHOUT_OPERAND",
    "Condition",
    "ResponseFilter",
    "parse_filter",
]

Test = Literal["is", "contains", "between", "unit", "type", "answered", "missing", "left"]
TESTS: tuple[Test, ...] = get_args(Test)
WITHOUT_OPERAND: tuple[Test, ...] = ("answered", "missing", "left")
MOST_CONDITIONS = 10
MOST_TEXT = 500
MOST_CHOSEN = 500  # submissions that are named one by one
MOST_DIGITS = 1000  # of a bound, before its point or after it; PostgreSQL's numeric holds more
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_LENGTH = re.compile(r"(\d{1,9})(s|m|h|d)?", re.ASCII)
_SECONDS = {None: 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
TRUTHS = ("files", "note", "pending", "submitted", "tests")
"""Parameters that are `yes` or `no`."""
_YES, _NO = ("yes", "true", "1"), ("no", "false", "0")


@dataclass(frozen=True, slots=True)
class Condition:
    """What one question's answer must be.

    Attributes:
        instruction_id: the question.
        test: `is` an option, `contains` a text in any case, `between` two numbers, in a `unit`, with a file of a
            `type`, `answered` or `missing`; `left`: the last answer of somebody who has not submitted.
        operand: the option's or unit's value as JSON or plain text, the text, `low,high` with either left out and a
            `)` after it where the highest is not included, the content type; '' for the rest.
    """

    instruction_id: UUID
    test: Test
    operand: str = ""

    def __str__(self) -> str:
        return ":".join(filter(None, (str(self.instruction_id), self.test, self.operand)))

    @property
    def bounds(self) -> tuple[Decimal | None, Decimal | None]:
        """Lowest and highest number of `between`."""
        low, _, high = self.operand.removesuffix(")").partition(",")
        return (Decimal(low) if low else None), (Decimal(high) if high else None)

    @property
    def is_open(self) -> bool:
        """Whether the highest number of `between` is not included itself."""
        return self.test == "between" and self.operand.endswith(")")

    @property
    def option(self) -> Any:
        """The option's value of `is`, or the unit's of `unit`: JSON of a text, number or truth.

        What is no JSON is itself the text.
        """
        try:
            value = orjson.loads(self.operand)
        except orjson.JSONDecodeError:
            return self.operand
        return value if isinstance(value, str | int | float | bool) else self.operand


@dataclass(frozen=True, slots=True)
class ResponseFilter:
    """Which of a collection's submissions are meant; all of what is given holds."""

    state: tuple[str, ...] = ()  # any of these
    study: tuple[UUID, ...] = ()  # any of these
    submission: tuple[UUID, ...] = ()  # any of these, chosen one by one
    participant: str | None = None
    since: datetime | None = None  # completed, or else started, at or after this
    before: datetime | None = None  # the same, before this
    files: bool | None = None  # with or without
    note: bool | None = None  # with or without one of the researchers'
    pending: bool | None = None  # whether a decision on it is held
    assigned: UUID | Literal["nobody"] | None = None  # to this reviewer
    submitted: bool | None = None  # with or without an active response
    tests: bool | None = None  # of people who tried a study, or of all others
    shorter: int | None = None  # seconds from start to completion, at most
    longer: int | None = None  # the same, at least
    search: str | None = None  # words that the answers hold, as a search engine takes them
    where: tuple[Condition, ...] = field(default=())

    def parameters(self) -> list[tuple[str, str]]:
        """The filter as parameters of a URL, in its one normal form; none for all responses."""
        found = [("state", state) for state in self.state]
        found += [("study", str(study)) for study in self.study]
        found += [("submission", str(submission)) for submission in self.submission]
        if self.participant is not None:
            found.append(("participant", self.participant))
        for name in ("since", "before"):
            at = getattr(self, name)
            if at is not None:
                found.append((name, format_time(at)))
        for name in TRUTHS:
            wanted = getattr(self, name)
            if wanted is not None:
                found.append((name, "yes" if wanted else "no"))
        if self.assigned is not None:
            found.append(("assigned", str(self.assigned)))
        for name in ("shorter", "longer"):
            seconds = getattr(self, name)
            if seconds is not None:
                found.append((name, f"{seconds}s"))
        if self.search is not None:
            found.append(("search", self.search))
        return found + [("where", str(condition)) for condition in self.where]

    def as_details(self) -> dict[str, Any]:
        """What the audit log says of it: of a person's id and of words, no more than that they were looked for."""
        named = ("submission", "participant", *TRUTHS, "assigned", "shorter", "longer", "search")
        return {
            "status": list(self.state) or None,
            "studies": list(self.study) or None,
            "since": self.since,
            "until": self.before,
            "filters": [name for name in named if getattr(self, name) not in (None, ())] or None,
            "questions": [condition.instruction_id for condition in self.where] or None,
        }

    @property
    def is_everything(self) -> bool:
        """Whether it leaves nothing out."""
        return not self.parameters()


NAMES = tuple(each.name for each in fields(ResponseFilter))


def parse_filter(parameters: Iterable[tuple[str, str]], questions: Collection[str]) -> ResponseFilter:
    """The filter that parameters of a URL say; others are passed over, and so are empty ones, as forms send them.

    Args:
        parameters: names and texts, in order.
        questions: ids of everything that the collection asks or ever asked.

    Raises:
        Problem: 400 naming what is malformed.
    """
    values: dict[str, Any] = {}
    errors: dict[str, list[str]] = {}
    # each once, in their order
    lists: dict[str, dict[Any, None]] = {"state": {}, "study": {}, "submission": {}, "where": {}}
    for name, text in parameters:
        text = text.strip()
        if name not in NAMES or not text:
            continue
        try:
            if "\0" in text:
                raise ValueError("Text must not contain U+0000.")
            value = _PARSERS[name](text, questions)
        except ValueError as error:
            errors.setdefault(name, []).append(str(error))
            continue
        if name in lists:
            lists[name][value] = None
        elif name in values:
            errors[name] = ["Give this parameter once."]
        else:
            values[name] = value
    if len(lists["where"]) > MOST_CONDITIONS:
        errors["where"] = [f"At most {MOST_CONDITIONS} conditions."]
    if len(lists["submission"]) > MOST_CHOSEN:
        errors["submission"] = [f"At most {MOST_CHOSEN} submissions."]
    if errors:
        raise Problem(INVALID, errors)
    return ResponseFilter(**values | {name: tuple(found) for name, found in lists.items()})


def _parse_state(text: str, _: Collection[str]) -> str:
    state = text.upper().replace("_", " ")
    if state not in STATUSES:
        raise ValueError(f"Must be one of {', '.join(STATUSES)}.")
    return state


def _parse_study(text: str, _: Collection[str]) -> UUID:
    if not is_uuid(text):
        raise ValueError(f"There is no study {text}.")
    return UUID(text)


def _parse_submission(text: str, _: Collection[str]) -> UUID:
    if not is_uuid(text):
        raise ValueError(f"There is no submission {text[:MOST_TEXT]}.")
    return UUID(text)


def _parse_text(text: str, _: Collection[str]) -> str:
    if len(text) > MOST_TEXT:
        raise ValueError(f"At most {MOST_TEXT} characters.")
    return text


def _parse_participant(text: str, _: Collection[str]) -> str:
    return parse_participant_id(text)


def _parse_from(text: str, _: Collection[str]) -> datetime:
    try:
        if _DAY.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        # an unencoded + of an offset arrives as a space
        return parse_time(text.replace(" ", "+"))
    except (ValueError, InvalidTime):
        raise ValueError("Must be a day such as 2026-01-31, or a time in RFC 3339.") from None


def _parse_before(text: str, questions: Collection[str]) -> datetime:
    at = _parse_from(text, questions)
    try:
        # a day is meant with all its hours
        return at + timedelta(days=1) if _DAY.fullmatch(text) else at
    except OverflowError:
        raise ValueError("Must be a day before 9999-12-31.") from None


def _parse_truth(text: str, _: Collection[str]) -> bool:
    if text.lower() not in (*_YES, *_NO):
        raise ValueError("Must be yes or no.")
    return text.lower() in _YES


def _parse_assigned(text: str, _: Collection[str]) -> UUID | Literal["nobody"]:
    if text.lower() == "nobody":
        return "nobody"
    if not is_uuid(text):
        raise ValueError("Must be `me`, `nobody` or the id of a reviewer.")
    return UUID(text)


def _parse_length(text: str, _: Collection[str]) -> int:
    found = _LENGTH.fullmatch(text)
    if found is None:
        raise ValueError("Must be a length of time, such as 90s, 10m or 2h.")
    return int(found[1]) * _SECONDS[found[2]]


def _parse_condition(text: str, questions: Collection[str]) -> Condition:
    identifier, _, rest = text.partition(":")
    named, _, operand = rest.partition(":")
    test = next((test for test in TESTS if test == named), None)
    if not is_uuid(identifier) or str(UUID(identifier)) not in questions:
        raise ValueError(f"There is no question {identifier[:MOST_TEXT]} in this collection.")
    if test is None:
        raise ValueError(f"A question is followed by one of {', '.join(TESTS)}.")
    if len(operand) > MOST_TEXT:
        raise ValueError(f"At most {MOST_TEXT} characters.")
    if test in WITHOUT_OPERAND:
        return Condition(UUID(identifier), test)
    if not operand:
        raise ValueError(f"What follows `{test}` is missing.")
    if test == "between":
        low, comma, high = operand.removesuffix(")").partition(",")
        try:
            numbers = [Decimal(each) for each in (low, high) if each]
        except InvalidOperation:
            numbers = []
        if not comma or not numbers or not all(number.is_finite() for number in numbers):
            raise ValueError("`between` takes two numbers with a comma, either of which may be left out.")
        if operand.endswith(")") and not high:
            raise ValueError("`)` follows the highest number of `between`, which is then not included.")
        if any(abs(number.adjusted()) > MOST_DIGITS for number in numbers):
            raise ValueError(f"`between` takes numbers of at most {MOST_DIGITS} digits.")
    condition = Condition(UUID(identifier), test, operand)
    if test in ("is", "unit") and "\0" in str(condition.option):
        raise ValueError("Text must not contain U+0000.")
    return condition


_PARSERS: dict[str, Any] = {
    "state": _parse_state,
    "study": _parse_study,
    "submission": _parse_submission,
    "participant": _parse_participant,
    "since": _parse_from,
    "before": _parse_before,
    "files": _parse_truth,
    "note": _parse_truth,
    "pending": _parse_truth,
    "assigned": _parse_assigned,
    "submitted": _parse_truth,
    "tests": _parse_truth,
    "shorter": _parse_length,
    "longer": _parse_length,
    "search": _parse_text,
    "where": _parse_condition,
}
