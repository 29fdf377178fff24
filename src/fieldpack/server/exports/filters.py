"""What an export may be narrowed to: a study and a span of completion times, and in a body whatever a view of
responses can be narrowed to but what reviewers do with them, which is in no export."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from fieldpack.archive.records import format_time, parse_time
from fieldpack.errors import InvalidTime
from fieldpack.server.exports.rows import Filter
from fieldpack.server.problems import INVALID, Problem
from fieldpack.server.selection.filters import ResponseFilter
from fieldpack.server.selection.filters import parse_filter as parse_view
from fieldpack.server.values.uuids import is_uuid

__all__ = ["is_narrowed", "parse_filter", "read_view", "read_whole_view", "write_view"]

LISTS = ("state", "study", "submission", "where")
PASSED_OVER = ("note", "pending", "assigned")
OF_BODIES = (*LISTS, "participant", "files", "submitted", "tests", "shorter", "longer", "search")
ALWAYS = (("submitted", "yes"), ("tests", "no"))
MOST_NAMES = 100
MOST_VALUES = 1_000  # of one name


def parse_filter(
    parameters: Iterable[tuple[str, str]],
    given: Mapping[str, Any] | None = None,
    questions: Collection[str] = (),
) -> Filter:
    """The filter in its one normal form: ids in lower case, instants in UTC, lists sorted; `{}` is everything.

    Args:
        parameters: of the URL.
        given: `filter` of the body.
        questions: ids of everything that the collection asks or ever asked.

    Raises:
        Problem: 400 for what is unknown, given twice or malformed.
    """
    found: Filter = {}
    errors: dict[str, list[str]] = {}
    for name, text in parameters:
        _parse_one(name, text, found, errors)
    if given is not None and len(given) > MOST_NAMES:
        raise Problem(INVALID, {"filter": [f"Has {len(given):,} names; at most {MOST_NAMES} are looked at."]})
    rest: list[tuple[str, str]] = []
    for name, value in (given or {}).items():
        if value is None or value == "" or value == []:
            continue  # clients send every field they know
        values = value if isinstance(value, list) else [value]
        if len(values) > MOST_VALUES:
            errors[f"filter.{name}"] = [f"Give at most {MOST_VALUES:,} of these."]
        elif not all(isinstance(each, str | int | bool) for each in values):
            errors[f"filter.{name}"] = ["Must be a text, or a list of texts."]
        elif name in OF_BODIES:
            rest += [(name, _say(each)) for each in values]
        elif len(values) > 1:
            errors[f"filter.{name}"] = ["Give this once."]
        else:
            _parse_one(name, _say(values[0]), found, errors, f"filter.{name}")
    try:
        found |= write_view(parse_view(rest, questions))
    except Problem as problem:
        named = problem.detail if isinstance(problem.detail, dict) else {}
        errors |= {f"filter.{name}": messages for name, messages in named.items()}
    if not errors and "from" in found and "to" in found and found["from"] > found["to"]:
        errors["to"] = ["Must not be earlier than `from`."]
    if errors:
        raise Problem(INVALID, errors)
    return found


def _say(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parse_one(name: str, text: str, found: Filter, errors: dict[str, list[str]], path: str = "") -> None:
    path = path or name
    if name in found:
        errors[path] = ["Give this parameter once."]
    elif name == "study_id":
        found[name] = text.lower()
        if not is_uuid(text):
            errors[path] = [f"There is no study {text}."]
    elif name in ("from", "to"):
        try:
            # an unencoded + of an offset arrives as a space
            found[name] = format_time(parse_time(text.replace(" ", "+")))
        except InvalidTime:
            errors[path] = ["Must be a time in RFC 3339 with its offset, such as 2026-01-31T09:30:00Z."]
    elif path != name:
        errors[path] = [f"Unknown; study_id, from, to, {', '.join(OF_BODIES)} narrow an export."]
    else:
        errors[path] = ["Unknown parameter; study_id, from and to narrow an export."]


def write_view(wanted: ResponseFilter) -> Filter:
    """The filter of an export that holds what a view of responses shows; what reviewers do with them is passed over,
    and so is what holds for every export."""
    found: Filter = {}
    names = {"since": "from", "before": "to"}
    for name, text in wanted.parameters():
        if name in LISTS:
            found.setdefault(name, []).append(text)
        elif name not in PASSED_OVER and (name, text) not in ALWAYS:
            found[names.get(name, name)] = text
    return {name: sorted(value) if isinstance(value, list) else value for name, value in found.items()}


def is_narrowed(filter: Filter) -> bool:
    """Whether an export's filter is more than a study and a span of time."""
    return any(name in OF_BODIES for name in filter)


def read_whole_view(filter: Filter) -> ResponseFilter:
    """The view of responses that shows what an export's filter lets through, study and span of time included."""
    view = read_view(filter)
    since, before = (parse_time(filter[name]) if name in filter else None for name in ("from", "to"))
    study = (*((UUID(filter["study_id"]),) if "study_id" in filter else ()), *view.study)
    return replace(view, study=study, since=since, before=before)


def read_view(filter: Filter) -> ResponseFilter:
    """What of an export's filter is more than a study and a span of time."""
    pairs = [
        (name, each)
        for name, value in filter.items()
        if name in OF_BODIES
        for each in (value if isinstance(value, list) else [value])
    ]
    return parse_view(pairs, {text.partition(":")[0] for name, text in pairs if name == "where"})
