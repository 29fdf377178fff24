"""What an export may be narrowed to: a study, and a span of completion times."""

from __future__ import annotations

from collections.abc import Iterable

from fieldpack.archive.records import format_time, parse_time
from fieldpack.errors import InvalidTime
from fieldpack.server.exports.rows import Filter
from fieldpack.server.problems import INVALID, Problem
from fieldpack.server.values.uuids import is_uuid

__all__ = ["parse_filter"]


def parse_filter(parameters: Iterable[tuple[str, str]]) -> Filter:
    """The filter in its one normal form: ids in lower case, instants in UTC; `{}` is everything.

    Raises:
        Problem: 400 for a parameter that is unknown, given twice or malformed.
    """
    found: Filter = {}
    errors: dict[str, list[str]] = {}
    for name, text in parameters:
        if name in found:
            errors[name] = ["Give this parameter once."]
        elif name == "study_id":
            found[name] = text.lower()
            if not is_uuid(text):
                errors[name] = [f"There is no study {text}."]
        elif name in ("from", "to"):
            try:
                # an unencoded + of an offset arrives as a space
                found[name] = format_time(parse_time(text.replace(" ", "+")))
            except InvalidTime:
                errors[name] = ["Must be a time in RFC 3339 with its offset, such as 2026-01-31T09:30:00Z."]
        else:
            errors[name] = ["Unknown parameter; study_id, from and to narrow an export."]
    if not errors and "from" in found and "to" in found and found["from"] > found["to"]:
        errors["to"] = ["Must not be earlier than `from`."]
    if errors:
        raise Problem(INVALID, errors)
    return found
