"""What choices and units were called before a collection was edited: `retired_options` of collection.json."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import orjson

from fieldpack.archive.records import format_time
from fieldpack.server.exports.rows import OptionsRow

__all__ = ["find_retired_options"]


def find_retired_options(
    versions: Iterable[OptionsRow],
    current: dict[str, list[dict[str, Any]]],
) -> dict[str, list[dict[str, Any]]]:
    """The options that an instruction had and has no more, by instruction id, in the order they went.

    Args:
        versions: the options of each version of the collection, oldest first.
        current: the options that each instruction has now, or had last.

    Returns:
        `{value, label, until}` each: a value and label that stood together in some version and don't now, so a
        reworded option is among them with its earlier label. `until` is when the first version without it was made.
    """
    shown: dict[str, dict[bytes, dict[str, Any]]] = {}
    until: dict[str, dict[bytes, datetime | None]] = {}
    for version in versions:
        for instruction_id, ends in until.items():
            here = {_key(option) for option in version.options.get(instruction_id, ())}
            for key, end in ends.items():
                if key in here:
                    ends[key] = None
                elif end is None:
                    ends[key] = version.made_at
        for instruction_id, options in version.options.items():
            for option in options:
                key = _key(option)
                shown.setdefault(instruction_id, {}).setdefault(key, option)
                until.setdefault(instruction_id, {}).setdefault(key, None)
    found: dict[str, list[dict[str, Any]]] = {}
    for instruction_id, ends in until.items():
        kept = {_key(option) for option in current.get(instruction_id, ())}
        gone = [(end, key) for key, end in ends.items() if end is not None and key not in kept]
        if gone:
            found[instruction_id] = [
                {
                    "value": shown[instruction_id][key]["value"],
                    "label": shown[instruction_id][key]["label"],
                    "until": format_time(end),
                }
                for end, key in sorted(gone, key=lambda pair: pair[0])
            ]
    return found


def _key(option: dict[str, Any]) -> bytes:
    """`1`, `"1"` and `true` are three values."""
    return orjson.dumps([option["value"], option["label"]])
