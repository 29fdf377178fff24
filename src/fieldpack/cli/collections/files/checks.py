"""Checks of one value: of its type, its length or range, its fields. `rules` builds a collection's rules from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from fieldpack.documents.nodes import Path
from fieldpack.text import say_count

__all__ = [
    "Check",
    "Field",
    "Fields",
    "Finding",
    "boolean",
    "check_fields",
    "find_wrong",
    "list_of",
    "megabytes",
    "number",
    "object_with",
    "one_of",
    "scalar",
    "show_value",
    "suggest",
    "text",
    "whole_number",
]


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


def find_wrong(path: Path, message: str) -> list[Finding]:
    """One finding, as the list that checks return."""
    return [Finding(path, message)]


def show_value(value: Any) -> str:
    """A value as a file would have it, short."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…'"


def text(least: int, most: int) -> Check:
    """A check of a text's length, in characters."""

    def check(value: Any, path: Path, name: str) -> list[Finding]:
        if not isinstance(value, str):
            return find_wrong(path, f"{name} must be text, not {show_value(value)}")
        if len(value) < least:
            return find_wrong(path, f"{name} is empty")
        if len(value) > most:
            return find_wrong(path, f"{name} has {say_count(len(value), 'character')}; {most:,} are possible")
        return []

    return check


def boolean(value: Any, path: Path, name: str) -> list[Finding]:
    """Check for true or false."""
    if isinstance(value, bool):
        return []
    return find_wrong(path, f"{name} must be true or false, not {show_value(value)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(value: Any, path: Path, name: str) -> list[Finding]:
    """Check for a number."""
    return [] if _is_number(value) else find_wrong(path, f"{name} must be a number, not {show_value(value)}")


def megabytes(value: Any, path: Path, name: str) -> list[Finding]:
    """Check for a file size in megabytes."""
    if found := number(value, path, name):
        return found
    if not 0 < value <= 1_000_000:
        return find_wrong(path, f"{name} must be above 0 and at most 1,000,000, not {value}")
    return []


def whole_number(least: int | None = None, most: int | None = None) -> Check:
    """A check for a whole number, within these bounds where they are given."""

    def check(value: Any, path: Path, name: str) -> list[Finding]:
        if not _is_number(value) or value != int(value) or (isinstance(value, float) and abs(value) >= 2**63):
            return find_wrong(path, f"{name} must be a whole number, not {show_value(value)}")
        if (least is not None and value < least) or (most is not None and value > most):
            return find_wrong(path, f"{name} must be from {least:,} to {most:,}, not {value}")
        return []

    return check


def scalar(least: int, most: int) -> Check:
    """A check for the value of an option: text of so many characters, a number, true or false."""

    def check(value: Any, path: Path, name: str) -> list[Finding]:
        if not isinstance(value, bool | int | float | str):
            return find_wrong(path, f"{name} must be text, a number, true or false, not {show_value(value)}")
        if isinstance(value, str) and not least <= len(value) <= most:
            return find_wrong(path, f"{name} must have {least} to {most:,} characters")
        return []

    return check


def one_of(*words: str) -> Check:
    """A check for one of these words."""

    def check(value: Any, path: Path, name: str) -> list[Finding]:
        if value in words:
            return []
        choices = " or ".join(repr(word) for word in words)
        return find_wrong(path, f"{name} must be {choices}, not {show_value(value)}{suggest(value, words)}")

    return check


def suggest(value: Any, words: Any) -> str:
    """`; did you mean 'x'?` when a word is similar to one of `words`, else nothing."""
    near = get_close_matches(value, list(words), n=1) if isinstance(value, str) else []
    return f"; did you mean {near[0]!r}?" if near else ""


def list_of(check_one: Check, least: int, most: int, noun: str) -> Check:
    """A check for a list of so many values that `check_one` accepts; `noun` is what one is called."""

    def check(value: Any, path: Path, name: str) -> list[Finding]:
        if not isinstance(value, list):
            return find_wrong(path, f"{name} must be a list, not {show_value(value)}")
        if not least <= len(value) <= most:
            held = f"{name} holds nothing" if not value else f"{name} holds {say_count(len(value), noun)}"
            return find_wrong(path, f"{held}; from {least} to {most:,} are possible")
        return [finding for n, one in enumerate(value) for finding in check_one(one, (*path, n), noun)]

    return check


def object_with(fields: Fields, *rules: Callable[[dict[str, Any], Path], list[Finding]]) -> Check:
    """A check for an object with these fields, and of rules between them."""

    def check(value: Any, path: Path, name: str) -> list[Finding]:
        if not isinstance(value, dict):
            return find_wrong(path, f"{name} must be an object with fields, not {show_value(value)}")
        return check_fields(value, path, fields, *rules)

    return check


def check_fields(
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
                found += find_wrong((*path, name), f"{name} is missing")
            continue
        wrong = field.check(value[name], (*path, name), name)
        found += wrong
        if not wrong:
            right[name] = value[name]
    for rule in rules:
        found += rule(right, path)
    for name in value:
        if name not in fields and name not in _ANSWERED:
            message = f"there is no field {name!r}, it is ignored{suggest(name, fields)}"
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
