"""What a collection may hold, checked without a server.

A server's own rules are `fieldpack.server.collections.schemas`, which needs more than the command line comes with.
These say the same in tables, with sentences for people who write files; a test holds both to one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from fieldpack.cli.collections.documents import Path
from fieldpack.text import say_count

__all__ = ["ITEMS", "Field", "Finding", "check_collection", "value_key"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with a collection (`is_error`), or worth knowing before participants meet it."""

    path: Path
    message: str
    is_error: bool = True


Check = Callable[[Any, Path, str], list[Finding]]
"""A value, where it stands and the field's name, to what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an object."""

    check: Check
    is_required: bool = False


Fields = dict[str, Field]


def _wrong(path: Path, message: str) -> list[Finding]:
    return [Finding(path, message)]


def _show(value: Any) -> str:
    """A value as a file would have it, short."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…'"


def _text(least: int, most: int) -> Check:
    def check(value: Any, path: Path, name: str) -> list[Finding]:
        if not isinstance(value, str):
            return _wrong(path, f"{name} must be text, not {_show(value)}")
        if len(value) < least:
            return _wrong(path, f"{name} is empty")
        if len(value) > most:
            return _wrong(path, f"{name} has {say_count(len(value), 'character')}; {most:,} are possible")
        return []

    return check


def _boolean(value: Any, path: Path, name: str) -> list[Finding]:
    if isinstance(value, bool):
        return []
    return _wrong(path, f"{name} must be true or false, not {_show(value)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any, path: Path, name: str) -> list[Finding]:
    return [] if _is_number(value) else _wrong(path, f"{name} must be a number, not {_show(value)}")


def _size(value: Any, path: Path, name: str) -> list[Finding]:
    if found := _number(value, path, name):
        return found
    if not 0 < value <= 1_000_000:
        return _wrong(path, f"{name} must be above 0 and at most 1,000,000, not {value}")
    return []


def _whole(least: int | None = None, most: int | None = None) -> Check:
    def check(value: Any, path: Path, name: str) -> list[Finding]:
        if not _is_number(value) or value != int(value) or (isinstance(value, float) and abs(value) >= 2**63):
            return _wrong(path, f"{name} must be a whole number, not {_show(value)}")
        if (least is not None and value < least) or (most is not None and value > most):
            return _wrong(path, f"{name} must be from {least:,} to {most:,}, not {value}")
        return []

    return check


def _scalar(least: int, most: int) -> Check:
    def check(value: Any, path: Path, name: str) -> list[Finding]:
        if not isinstance(value, bool | int | float | str):
            return _wrong(path, f"{name} must be text, a number, true or false, not {_show(value)}")
        if isinstance(value, str) and not least <= len(value) <= most:
            return _wrong(path, f"{name} must have {least} to {most:,} characters")
        return []

    return check


def _one_of(*words: str) -> Check:
    def check(value: Any, path: Path, name: str) -> list[Finding]:
        if value in words:
            return []
        choices = " or ".join(repr(word) for word in words)
        return _wrong(path, f"{name} must be {choices}, not {_show(value)}{_suggest(value, words)}")

    return check


def _suggest(value: Any, words: Any) -> str:
    near = get_close_matches(value, list(words), n=1) if isinstance(value, str) else []
    return f"; did you mean {near[0]!r}?" if near else ""


def _list_of(check_one: Check, least: int, most: int, noun: str) -> Check:
    def check(value: Any, path: Path, name: str) -> list[Finding]:
        if not isinstance(value, list):
            return _wrong(path, f"{name} must be a list, not {_show(value)}")
        if not least <= len(value) <= most:
            held = f"{name} holds nothing" if not value else f"{name} holds {say_count(len(value), noun)}"
            return _wrong(path, f"{held}; from {least} to {most:,} are possible")
        return [finding for n, one in enumerate(value) for finding in check_one(one, (*path, n), noun)]

    return check


def _object(fields: Fields, *rules: Callable[[dict[str, Any], Path], list[Finding]]) -> Check:
    def check(value: Any, path: Path, name: str) -> list[Finding]:
        if not isinstance(value, dict):
            return _wrong(path, f"{name} must be an object with fields, not {_show(value)}")
        return _check_fields(value, path, fields, *rules)

    return check


def _check_fields(
    value: dict[str, Any],
    path: Path,
    fields: Fields,
    *rules: Callable[[dict[str, Any], Path], list[Finding]],
) -> list[Finding]:
    """Every field by itself; then the rules between them, which see only those that are right."""
    found = []
    right = {}
    for name, field in fields.items():
        if value.get(name) is None:
            if field.is_required:
                found += _wrong((*path, name), f"{name} is missing")
            continue
        wrong = field.check(value[name], (*path, name), name)
        found += wrong
        if not wrong:
            right[name] = value[name]
    for rule in rules:
        found += rule(right, path)
    for name in value:
        if name not in fields and name not in _ANSWERED:
            message = f"there is no field {name!r}, it is ignored{_suggest(name, fields)}"
            found.append(Finding((*path, name), message, is_error=False))
    return found


# What the API answers and ignores when it is sent back.
_ANSWERED = frozenset(
    (
        *(
            "id",
            "order",
            "schema_version",
            "created_at",
            "created_by",
            "last_modified_at",
            "last_modified_by",
        ),
        *("workspace_id", "item_count", "parent_id", "parent_type", "retired", "retired_options"),
    )
)


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
                found += _wrong((*path, name), f"validation.{name} is {bound}: a length can't be negative")
    if not found and low is not None and high is not None and low > high:
        found += _wrong((*path, "max"), f"validation.max is {high}, less than min, which is {low}")
    return found


def _unique_values(name: str) -> Callable[[dict[str, Any], Path], list[Finding]]:
    def rule(item: dict[str, Any], path: Path) -> list[Finding]:
        seen = set()
        for option in item.get(name, ()):
            key = value_key(option["value"])
            if key in seen:
                return _wrong(
                    (*path, name), f"the value {_show(option['value'])} occurs twice; each must differ"
                )
            seen.add(key)
        return []

    return rule


def _limit(item: dict[str, Any], path: Path) -> list[Finding]:
    limit, options = item.get("answer_limit"), item.get("options")
    if limit is None or limit == -1:
        return []
    if limit < 1:
        return _wrong((*path, "answer_limit"), f"answer_limit is {limit}; it is -1 (no limit) or at least 1")
    if options is not None and limit > len(options) and not _unique_values("options")(item, path):
        verb = "is" if len(options) == 1 else "are"
        return _wrong(
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
    return _wrong(
        (*path, "default_unit"),
        f"default_unit {_show(unit)} is not the value of a unit ({', '.join(map(_show, values[:10]))})",
    )


_EXTENSION = re.compile(r"(\.[\w+~-]+)+")


def _extensions(item: dict[str, Any], path: Path) -> list[Finding]:
    for extension in item.get("accepted_file_types", ()):
        if _EXTENSION.fullmatch(extension) is None:
            message = f"{extension!r} is no file type: write extensions with a leading dot, such as .jpg"
            return _wrong((*path, "accepted_file_types"), message)
    return []


def _file_counts(item: dict[str, Any], path: Path) -> list[Finding]:
    least, most = item.get("min_file_count", 1), item.get("max_file_count")
    if most is not None and most < least:
        return _wrong(
            (*path, "max_file_count"), f"max_file_count is {most}, less than min_file_count, {least}"
        )
    return []


def _picture(value: Any, path: Path, name: str) -> list[Finding]:
    from fieldpack.server.values.urls import is_picture_url  # needs nothing that a server needs

    if found := _text(0, 4_000)(value, path, name):
        return found
    if not is_picture_url(value):
        return _wrong(
            path, f"{name} must be a file beside this one such as ./picture.png, or an https address"
        )
    return []


_ORDER = Field(_whole(0, 1_000_000))
_LONG, _SHORT = _text(1, 100_000), _text(1, 2_000)
_OPTIONAL = Field(_text(0, 100_000))
_VALIDATION = Field(
    _object(
        {
            "type": Field(_one_of("number", "string"), is_required=True),
            "min": Field(_number),
            "max": Field(_number),
        },
        _bounds,
    )
)
_INSTRUCTION = {"order": _ORDER, "description": Field(_LONG, is_required=True), "required": Field(_boolean)}
_HINTS = {"helper_text": _OPTIONAL, "placeholder_text_input": _OPTIONAL}
_OPTION = {
    "label": Field(_SHORT, is_required=True),
    "value": Field(_scalar(0, 2_000), is_required=True),
    "exclusive": Field(_boolean),
}
_UNIT = {
    "label": Field(_SHORT, is_required=True),
    "value": Field(_scalar(1, 200), is_required=True),
    "validation": _VALIDATION,
}


def _choice(option: Fields) -> Fields:
    return {
        **_INSTRUCTION,
        **_HINTS,
        "options": Field(_list_of(_object(option), 1, 1000, "option"), is_required=True),
        "answer_limit": Field(_whole()),
        "disable_dropdown": Field(_boolean),
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
            "unit_options": Field(_list_of(_object(_UNIT), 1, 1000, "unit"), is_required=True),
            "default_unit": Field(_scalar(0, 2_000)),
            "unit_position": Field(_one_of("prefix", "suffix")),
            "validation": _VALIDATION,
        },
        (_unique_values("unit_options"), _default_unit),
    ),
    "file_upload": ItemType(
        {
            **_INSTRUCTION,
            **_HINTS,
            "accepted_file_types": Field(_list_of(_text(0, 2**31), 0, 100, "file type")),
            "max_file_size_mb": Field(_size),
            "min_file_count": Field(_whole(1, 10_000)),
            "max_file_count": Field(_whole(1, 10_000)),
        },
        (_extensions, _file_counts),
    ),
    "rich_text": ItemType(
        {
            "order": _ORDER,
            "content": Field(_text(1, 200_000), is_required=True),
            "content_format": Field(_one_of("html", "markdown")),
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
        return _wrong(path, f"an {name} must be an object with fields, not {_show(value)}")
    kind = value.get("type")
    if kind is None:
        return _wrong((*path, "type"), f"type is missing; it is one of {', '.join(ITEMS)}")
    if not isinstance(kind, str) or kind not in ITEMS:
        hint = _suggest(kind, ITEMS) or f"; there are {', '.join(ITEMS)}"
        return _wrong((*path, "type"), f"there is no type {_show(kind)}{hint}")
    known = ITEMS[kind]
    return _check_fields(value, path, {"type": Field(_one_of(kind)), **known.fields}, *known.rules)


_PAGE = {
    "order": _ORDER,
    "page_items": Field(_list_of(_item, 1, 1000, "item"), is_required=True),
}
_TASK = {
    "task_name": Field(_SHORT, is_required=True),
    "task_introduction": Field(_text(0, 200_000), is_required=True),
    "task_steps": Field(_text(0, 200_000), is_required=True),
}
_COLLECTION = {
    "workspace_id": Field(_text(0, 200)),
    "name": Field(_SHORT, is_required=True),
    "description": _OPTIONAL,
    "task_details": Field(_object(_TASK), is_required=True),
    "collection_items": Field(_list_of(_object(_PAGE), 1, 1000, "page"), is_required=True),
}


def check_collection(body: dict[str, Any]) -> list[Finding]:
    """What a server would not take of a new collection, and what of it would be ignored."""
    return _check_fields(body, (), _COLLECTION)
