"""What a line of responses.jsonl looks like: writing it, and reading values of any age.

The shapes are those of the archive format (docs/archive.md). `encode_responses` is meant to run once, when a
submission is complete; an export then joins its text with the rest of the record, which may change later.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

import orjson

from fieldpack.errors import InvalidTime, UsageError

FILE_UPLOAD = "file_upload"

_LINE_BREAKS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))

_TIME = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:[Zz]|([+-])(\d{2}):(\d{2}))", re.ASCII
)


class FileEntry(TypedDict):
    """One uploaded file, as `responses.<id>.value` lists it. `path` is relative to the archive's root."""

    path: str
    file_name: str
    content_type: str
    size_bytes: int
    sha256: str


def format_time(at: datetime) -> str:
    """An aware time as RFC 3339 in UTC, always with six decimals: `2026-03-01T09:30:00.000000Z`.

    One length for all, because table readers infer the format of a column from its first value.

    Raises:
        InvalidTime: `at` has no time zone.
    """
    if at.tzinfo is not UTC:
        if at.utcoffset() is None:
            raise InvalidTime(f"The time {at} has no time zone.")
        at = at.astimezone(UTC)
    return at.isoformat(timespec="microseconds")[:-6] + "Z"


def parse_time(text: str) -> datetime:
    """The instant of an RFC 3339 time, in UTC; digits beyond microseconds are cut off.

    Raises:
        InvalidTime: the text is anything else, a time without offset included.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise _invalid(text)
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    fraction, sign, offset_hours, offset_minutes = match.groups()[6:]
    leap = second == 60
    try:
        at = datetime(
            year,
            month,
            day,
            hour,
            minute,
            59 if leap else second,
            int((fraction or "0")[:6].ljust(6, "0")),
            UTC,
        )
        if sign:
            if int(offset_hours) > 23 or int(offset_minutes) > 59:
                raise _invalid(text)
            offset = timedelta(hours=int(offset_hours), minutes=int(offset_minutes))
            at = at - offset if sign == "+" else at + offset
        if leap:  # RFC 3339 §5.7: only ever the last second of a day in UTC
            if (at.hour, at.minute) != (23, 59):
                raise _invalid(text)
            at += timedelta(seconds=1)
    except InvalidTime:
        raise
    except (ValueError, OverflowError):
        raise _invalid(text) from None
    return at


def encode_responses(
    answers: Iterable[tuple[str, str, Mapping[str, Any] | bytes | str]],
    files: Mapping[str, Sequence[FileEntry]] | None = None,
    *,
    order: Iterable[str] = (),
) -> bytes:
    """The JSON text of a record's `responses` object, on one line.

    Args:
        answers: instruction id, type, and the value shape less its type (`{"value": …, …}`), as an object or
            as the JSON text it is stored as.
        files: instruction id to its uploaded files, in order; an instruction with none is left out.
        order: instruction ids in the order wanted. Those not named come after, answers before files.

    Raises:
        UsageError: a value is not an object, or not JSON.
    """
    responses: dict[str, dict[str, Any]] = {}
    for instruction_id, kind, value in answers:
        responses[instruction_id] = {"type": kind, **_without_type(value, instruction_id)}
    for instruction_id, entries in (files or {}).items():
        if entries:
            responses[instruction_id] = {"type": FILE_UPLOAD, "value": list(entries)}
    ordered = {key: responses[key] for key in order if key in responses}
    return dump_json({**ordered, **responses})


def normalize_response(raw: Any) -> dict[str, Any]:
    """A response of an archive of any version, as an object: a bare value `v` is read as `{"value": v}`.

    An object is returned unchanged, with its unknown fields.
    """
    return dict(raw) if isinstance(raw, Mapping) else {"value": raw}


def dump_json(value: object, option: int = 0) -> bytes:
    """JSON text without the characters at which some line readers break a line; `option` is orjson's."""
    text = orjson.dumps(value, option=option)
    if text.isascii():
        return text
    # JSON allows them unescaped, within strings only, but some readers take them for line breaks
    for raw, escaped in _LINE_BREAKS:
        text = text.replace(raw, escaped)
    return text


def _without_type(value: Mapping[str, Any] | bytes | str, instruction_id: str) -> dict[str, Any]:
    if isinstance(value, bytes | str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise UsageError(f"The stored answer to {instruction_id} is not JSON: {error}.") from None
    if not isinstance(value, Mapping):
        raise UsageError(f"The stored answer to {instruction_id} is not an object.")
    return {key: item for key, item in value.items() if key != "type"}


def _invalid(text: str) -> InvalidTime:
    hint = " (a + in a URL is written %2B)" if " " in text else ""
    return InvalidTime(
        f"{text[:60]!r} is not an RFC 3339 time with an offset, like 2026-03-01T09:30:00Z{hint}."
    )
