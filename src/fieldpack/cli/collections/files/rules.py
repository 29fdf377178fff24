"""What a collection may hold, checked without a server.

A server's own rules are `fieldpack.server.collections.schemas`, which needs more than the command line comes with.
These say the same in tables, with sentences for people who write files; a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fieldpack.cli.collections.files.checks import (
    Field,
    Fields,
    Finding,
    boolean,
    check_fields,
    find_wrong,
    list_of,
    megabytes,
    number,
    object_with,
    one_of,
    scalar,
    show_value,
    suggest,
    text,
    whole_number,
)
from fieldpack.documents.nodes import Path
from fieldpack.text import say_count

__all__ = ["ITEMS", "check_collection", "value_key"]


def value_key(value: Any) -> tuple[str, Any]:
    """Identity of an option's value: `1`, `"1"` and `true` are three, `1` and `1.0` are one."""
    kind = "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
    return kind, value


def _bounds(rule: dict[str, Any], path: Path) -> list[Finding]:
    found = []
    low, high = rule.get("min"), rule.get("max")
    if rule.get("type") == "string":
        for name, bound in (("min", low), ("max", high)):
            if bound is not None and bound < 0:
                found += find_wrong(
                    (*path, name), f"validation.{name} is {bound}: a length can't be negative"
                )
    if not found and low is not None and high is not None and low > high:
        found += find_wrong((*path, "max"), f"validation.max is {high}, less than min, which is {low}")
    return found


def _unique_values(name: str) -> Callable[[dict[str, Any], Path], list[Finding]]:
    def rule(item: dict[str, Any], path: Path) -> list[Finding]:
        seen = set()
        for option in item.get(name, ()):
            key = value_key(option["value"])
            if key in seen:
                return find_wrong(
                    (*path, name), f"the value {show_value(option['value'])} occurs twice; each must differ"
                )
            seen.add(key)
        return []

    return rule


def _limit(item: dict[str, Any], path: Path) -> list[Finding]:
    limit, options = item.get("answer_limit"), item.get("options")
    if limit is None or limit == -1:
        return []
    if limit < 1:
        return find_wrong(
            (*path, "answer_limit"), f"answer_limit is {limit}; it is -1 (no limit) or at least 1"
        )
    if options is not None and limit > len(options) and not _unique_values("options")(item, path):
        verb = "is" if len(options) == 1 else "are"
        return find_wrong(
            (*path, "answer_limit"),
            f"answer_limit is {limit}, but there {verb} {say_count(len(options), 'option')}",
        )
    return []


def _default_unit(item: dict[str, Any], path: Path) -> list[Finding]:
    unit, units = item.get("default_unit"), item.get("unit_options")
    if unit in (None, "") or units is None or _unique_values("unit_options")(item, path):
        return []
    values = [option["value"] for option in units]
    if value_key(unit) in {value_key(value) for value in values}:
        return []
    return find_wrong(
        (*path, "default_unit"),
        f"default_unit {show_value(unit)} is not the value of a unit ({', '.join(map(show_value, values[:10]))})",
    )


_EXTENSION = re.compile(r"(\.[\w+~-]+)+")


def _extensions(item: dict[str, Any], path: Path) -> list[Finding]:
    for extension in item.get("accepted_file_types", ()):
        if _EXTENSION.fullmatch(extension) is None:
            message = f"{extension!r} is no file type: write extensions with a leading dot, such as .jpg"
            return find_wrong((*path, "accepted_file_types"), message)
    return []


def _file_counts(item: dict[str, Any], path: Path) -> list[Finding]:
    least, most = item.get("min_file_count", 1), item.get("max_file_count")
    if most is not None and most < least:
        return find_wrong(
            (*path, "max_file_count"), f"max_file_count is {most}, less than min_file_count, {least}"
        )
    return []


def _picture(value: Any, path: Path, name: str) -> list[Finding]:
    from fieldpack.server.values.urls import is_picture_url  # needs nothing that a server needs

    if found := text(0, 4_000)(value, path, name):
        return found
    if not is_picture_url(value):
        return find_wrong(
            path, f"{name} must be a file beside this one such as ./picture.png, or an https address"
        )
    return []


_ORDER = Field(whole_number(0, 1_000_000))
_LONG, _SHORT = text(1, 100_000), text(1, 2_000)
_OPTIONAL = Field(text(0, 100_000))
_VALIDATION = Field(
    object_with(
        {
            "type": Field(one_of("number", "string"), is_required=True),
            "min": Field(number),
            "max": Field(number),
        },
        _bounds,
    )
)
_INSTRUCTION = {"order": _ORDER, "description": Field(_LONG, is_required=True), "required": Field(boolean)}
_HINTS = {"helper_text": _OPTIONAL, "placeholder_text_input": _OPTIONAL}
_OPTION = {
    "label": Field(_SHORT, is_required=True),
    "value": Field(scalar(0, 2_000), is_required=True),
    "exclusive": Field(boolean),
}
_UNIT = {
    "label": Field(_SHORT, is_required=True),
    "value": Field(scalar(1, 200), is_required=True),
    "validation": _VALIDATION,
}


def _choice(option: Fields) -> Fields:
    return {
        **_INSTRUCTION,
        **_HINTS,
        "options": Field(list_of(object_with(option), 1, 1000, "option"), is_required=True),
        "answer_limit": Field(whole_number()),
        "disable_dropdown": Field(boolean),
    }


@dataclass(frozen=True, slots=True)
class ItemType:
    """A kind of page item: its fields, and the rules between them."""

    fields: Fields
    rules: tuple[Callable[[dict[str, Any], Path], list[Finding]], ...] = ()


ITEMS = {
    "free_text": ItemType({**_INSTRUCTION, **_HINTS, "validation": _VALIDATION}),
    "multiple_choice": ItemType(_choice(_OPTION), (_unique_values("options"), _limit)),
    "multiple_choice_with_free_text": ItemType(
        _choice({**_OPTION, "heading": Field(_SHORT, is_required=True)}), (_unique_values("options"), _limit)
    ),
    "free_text_with_unit": ItemType(
        {
            **_INSTRUCTION,
            **_HINTS,
            "unit_options": Field(list_of(object_with(_UNIT), 1, 1000, "unit"), is_required=True),
            "default_unit": Field(scalar(0, 2_000)),
            "unit_position": Field(one_of("prefix", "suffix")),
            "validation": _VALIDATION,
        },
        (_unique_values("unit_options"), _default_unit),
    ),
    "file_upload": ItemType(
        {
            **_INSTRUCTION,
            **_HINTS,
            "accepted_file_types": Field(list_of(text(0, 2**31), 0, 100, "file type")),
            "max_file_size_mb": Field(megabytes),
            "min_file_count": Field(whole_number(1, 10_000)),
            "max_file_count": Field(whole_number(1, 10_000)),
        },
        (_extensions, _file_counts),
    ),
    "rich_text": ItemType(
        {
            "order": _ORDER,
            "content": Field(text(1, 200_000), is_required=True),
            "content_format": Field(one_of("html", "markdown")),
        }
    ),
    "image": ItemType(
        {
            "order": _ORDER,
            "url": Field(_picture, is_required=True),
            "alt_text": Field(_SHORT, is_required=True),
            "caption": _OPTIONAL,
        }
    ),
}
"""The kinds of page item, by `type`."""


def _item(value: Any, path: Path, name: str) -> list[Finding]:
    if not isinstance(value, dict):
        return find_wrong(path, f"an {name} must be an object with fields, not {show_value(value)}")
    kind = value.get("type")
    if kind is None:
        return find_wrong((*path, "type"), f"type is missing; it is one of {', '.join(ITEMS)}")
    if not isinstance(kind, str) or kind not in ITEMS:
        hint = suggest(kind, ITEMS) or f"; there are {', '.join(ITEMS)}"
        return find_wrong((*path, "type"), f"there is no type {show_value(kind)}{hint}")
    known = ITEMS[kind]
    return check_fields(value, path, {"type": Field(one_of(kind)), **known.fields}, *known.rules)


_PAGE = {
    "order": _ORDER,
    "page_items": Field(list_of(_item, 1, 1000, "item"), is_required=True),
}
_TASK = {
    "task_name": Field(_SHORT, is_required=True),
    "task_introduction": Field(text(0, 200_000), is_required=True),
    "task_steps": Field(text(0, 200_000), is_required=True),
}
_COLLECTION = {
    "workspace_id": Field(text(0, 200)),
    "name": Field(_SHORT, is_required=True),
    "description": _OPTIONAL,
    "task_details": Field(object_with(_TASK), is_required=True),
    "collection_items": Field(list_of(object_with(_PAGE), 1, 1000, "page"), is_required=True),
}


def check_collection(body: dict[str, Any]) -> list[Finding]:
    """What a server would refuse in a new collection, and which of its fields it would ignore."""
    return check_fields(body, (), _COLLECTION)
