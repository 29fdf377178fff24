"""How much a collection may be. Looked at before anything else is: each further step costs more.

Only what is sent is held to it: a collection that was made under other limits is shown, answered and exported as ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fieldpack.server.config import Settings
from fieldpack.server.problems import INVALID, Problem

__all__ = ["check_limits"]

_OPTIONS = ("options", "unit_options")
_TASK_MARKUP = ("task_introduction", "task_steps")


def check_limits(body: Any, settings: Settings) -> None:
    """Refuse a collection, as it came, that is larger than the settings allow.

    Whatever is not of the expected shape is left to those who look at shapes.

    Raises:
        Problem: 400 by field path.
    """
    pages = _entries(body, "collection_items")
    _check("collection_items", len(pages), settings.max_collection_pages, "pages")
    items = [
        (f"collection_items.{page_number}.page_items.{number}", item)
        for page_number, page in enumerate(pages)
        for number, item in enumerate(_entries(page, "page_items"))
    ]
    _check("collection_items", len(items), settings.max_collection_items, "page items")
    for path, item in items:
        for name in _OPTIONS:
            _check(f"{path}.{name}", len(_entries(item, name)), settings.max_options, "entries")
    total = 0
    for path, text in _iter_markup(body, items):
        _check(path, len(text), settings.max_markup_characters, "characters")
        total += len(text)
        _check(
            path,
            total,
            settings.max_collection_markup_characters,
            "characters of HTML and Markdown up to here",
        )


def _iter_markup(body: Any, items: list[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    """Every text that is HTML or Markdown, with its path."""
    details = body.get("task_details") if isinstance(body, dict) else None
    for name in _TASK_MARKUP:
        if isinstance(details, dict) and isinstance(details.get(name), str):
            yield f"task_details.{name}", details[name]
    for path, item in items:
        if (
            isinstance(item, dict)
            and item.get("type") == "rich_text"
            and isinstance(item.get("content"), str)
        ):
            yield f"{path}.content", item["content"]


def _entries(outer: Any, name: str) -> list[Any]:
    found = outer.get(name) if isinstance(outer, dict) else None
    return found if isinstance(found, list) else []


def _check(path: str, count: int, most: int, what: str) -> None:
    if count > most:
        raise Problem(INVALID, {path: [f"Has {count:,} {what}; at most {most:,} are allowed here."]})
