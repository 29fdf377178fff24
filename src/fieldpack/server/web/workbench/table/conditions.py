"""What people choose and type into the form of the filter, as parameters of an address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import orjson

from fieldpack.archive.records import format_time
from fieldpack.server.responses.rows import QuestionRow
from fieldpack.server.selection.filters import WITHOUT_OPERAND

__all__ = ["OF_FORMS", "find_options", "read_condition", "show_before", "show_since"]

OF_FORMS = ("question", "test", "operand")
"""Fields of the form that make one condition on an answer; no address keeps them."""

MOST_OFFERED = 100  # options of one question that are offered while somebody types


def read_condition(given: Mapping[str, str], questions: Sequence[QuestionRow]) -> str | None:
    """The condition that the form's fields make, as `where` has it; None where no question is chosen.

    An option is chosen by its label, as people know it, or by its value. What it is to be is missing: that is left
    to be refused by name.
    """
    question, test, operand = (given.get(name, "").strip() for name in OF_FORMS)
    if not question or not test:
        return None
    if test in WITHOUT_OPERAND:
        return f"{question}:{test}"
    if test == "is":
        found = next((each for each in questions if str(each.id) == question.lower()), None)
        operand = _find_value(operand, found.body.get("options", []) if found else [])
    elif test == "between":
        operand = operand.replace(" ", "").replace("–", ",").replace(";", ",")
    return f"{question}:{test}:{operand}"


def _find_value(operand: str, options: Sequence[Mapping[str, Any]]) -> str:
    for same in (str, str.casefold):
        for option in options:
            if same(str(option["label"]).strip()) == same(operand):
                value = option["value"]
                # a text that reads as JSON of something else needs its quotes
                return value if isinstance(value, str) and _is_text(value) else orjson.dumps(value).decode()
    return operand


def _is_text(value: str) -> bool:
    try:
        return not isinstance(orjson.loads(value), str | int | float | bool)
    except orjson.JSONDecodeError:
        return True


def find_options(question: QuestionRow) -> list[str]:
    """Labels of a question's options, offered while somebody types."""
    return [str(option["label"]) for option in question.body.get("options", [])[:MOST_OFFERED]]


def show_since(at: datetime | None) -> str:
    """The beginning of a span as the form's field has it: a day, or a time within one."""
    if at is None:
        return ""
    return at.date().isoformat() if at.time() == at.time().min else format_time(at)


def show_before(at: datetime | None) -> str:
    """The end of a span: the last day that is in it, or a time within one."""
    if at is None:
        return ""
    if at.time() != at.time().min or at.date() == date.min:
        return format_time(at)
    return (at.date() - timedelta(days=1)).isoformat()
