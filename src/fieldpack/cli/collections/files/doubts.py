"""What is valid in a collection but probably a mistake: questions that nobody can answer, texts that are not shown."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from fieldpack.cli.collections.files.checks import Finding
from fieldpack.documents.nodes import Path

__all__ = ["find_doubts"]

MOST_CHARACTERS = 1_000_000
"""The longest answer a server takes (`MAX_TEXT` of its `submissions.answers`)."""
SMALLEST_FILE_MB = 0.0005
"""No photo, film, recording or document of an office program is as small; such a limit is a slip of the unit."""
_CONTENT = ("rich_text", "image")


def find_doubts(body: dict[str, Any], written: dict[Path, str]) -> list[Finding]:
    """The warnings about a collection that a server would accept.

    Args:
        body: a collection without errors.
        written: what its numbers are written as, by path.
    """
    return [Finding(path, message, is_error=False) for path, message in _doubt(body, written)]


def _doubt(body: dict[str, Any], written: dict[Path, str]) -> Iterator[tuple[Path, str]]:
    questions = 0
    for page_number, page in enumerate(body["collection_items"]):
        for number, item in enumerate(page["page_items"]):
            path: Path = ("collection_items", page_number, "page_items", number)
            questions += item["type"] not in _CONTENT
            yield from _DOUBTS[item["type"]](item, path)
            for name in ("description", "content", "alt_text"):
                if isinstance(item.get(name), str) and not item[name].strip():
                    yield (*path, name), f"{name} is blank, so participants see nothing"
    if not questions:
        yield ("collection_items",), "it asks nothing: there is only text and pictures"
    for path, text in written.items():
        digits = text.lstrip("+-")
        if digits[:1] == "0" and digits[1:2].isdigit() and path[-1] in ("value", "default_unit"):
            yield (
                path,
                f"{path[-1]}: {text} is a number, so its zeros in front are lost; put it in quotes to keep them",
            )


def _doubt_text(item: dict[str, Any], path: Path) -> Iterator[tuple[Path, str]]:
    rule = item.get("validation")
    if rule is not None:
        yield from _doubt_rules([rule], (*path, "validation"), "")


def _doubt_units(item: dict[str, Any], path: Path) -> Iterator[tuple[Path, str]]:
    general = item.get("validation")
    if general is not None:
        found = list(_doubt_rules([general], (*path, "validation"), ""))
        yield from found
        if found:
            return
    for number, unit in enumerate(item["unit_options"]):
        if (own := unit.get("validation")) is not None:
            rules = [own] if general is None else [general, own]
            yield from _doubt_rules(rules, (*path, "unit_options", number, "validation"), " in this unit")
    yield from _doubt_labels(item["unit_options"], (*path, "unit_options"))


def _doubt_rules(rules: list[dict[str, Any]], path: Path, where: str) -> Iterator[tuple[Path, str]]:
    """Rules that hold together: is there an answer that keeps all of them?"""
    for kind, low, high in (("string", 1, MOST_CHARACTERS), ("number", -math.inf, math.inf)):
        bounds = [rule for rule in rules if rule["type"] == kind]
        least = max([low, *(rule["min"] for rule in bounds if rule.get("min") is not None)])
        most = min([high, *(rule["max"] for rule in bounds if rule.get("max") is not None)])
        if kind == "string":
            least, most = math.ceil(least), math.floor(most)
        if bounds and least > most:
            what = "characters" if kind == "string" else "of the number"
            said = f"at least {least:,} and at most {most:,} {what}"
            yield (
                path,
                f"nobody can answer{where}: no answer has {said}"
                if kind == "string"
                else (f"nobody can answer{where}: the rules ask for at least {least:,} and at most {most:,}"),
            )
            return


def _doubt_choice(item: dict[str, Any], path: Path) -> Iterator[tuple[Path, str]]:
    options, limit = item["options"], item.get("answer_limit", 1)
    together = [option for option in options if not option.get("exclusive")]
    possible = max(1, len(together))
    if (
        limit is not None
        and limit != 1
        and (possible < limit or (limit == -1 and possible == 1 < len(options)))
    ):
        wanted = "several" if limit == -1 else f"{limit:,}"
        chosen = "one" if possible == 1 else f"{possible:,}"
        yield (
            (*path, "answer_limit"),
            f"answer_limit allows {wanted} answers, but only {chosen} can be chosen: the others are exclusive",
        )
    yield from _doubt_labels(options, (*path, "options"))


def _doubt_labels(options: list[dict[str, Any]], path: Path) -> Iterator[tuple[Path, str]]:
    seen: set[str] = set()
    for number, option in enumerate(options):
        label = " ".join(option["label"].split())
        if not label:
            yield (*path, number, "label"), "label is blank, so participants see nothing"
        elif label in seen:
            yield (
                (*path, number, "label"),
                f"the label {label!r} is there before: participants can't tell which is which",
            )
        seen.add(label)


def _doubt_files(item: dict[str, Any], path: Path) -> Iterator[tuple[Path, str]]:
    size = item.get("max_file_size_mb")
    if size is not None and size < SMALLEST_FILE_MB:
        yield (
            (*path, "max_file_size_mb"),
            f"max_file_size_mb is {size}, which is {math.floor(size * 2**20):,} bytes: hardly any file is as small",
        )


def _doubt_nothing(item: dict[str, Any], path: Path) -> Iterator[tuple[Path, str]]:
    return iter(())


_DOUBTS = {
    "free_text": _doubt_text,
    "multiple_choice": _doubt_choice,
    "multiple_choice_with_free_text": _doubt_choice,
    "free_text_with_unit": _doubt_units,
    "file_upload": _doubt_files,
    "rich_text": _doubt_nothing,
    "image": _doubt_nothing,
}
