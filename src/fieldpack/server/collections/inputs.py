"""A collection as it came: held to the limits, then field by field; what is wrong is said by the path of its field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from fieldpack.server.collections.limits import check_limits
from fieldpack.server.collections.schemas import ITEM_TYPES, CollectionReplacement
from fieldpack.server.config import Settings
from fieldpack.server.problems import INVALID, Problem
from fieldpack.server.values.entries import check_body, list_faults
from fieldpack.text import say_fault

__all__ = ["describe_faults", "parse_collection"]

Model = TypeVar("Model", bound=CollectionReplacement)


def parse_collection(body: Any, settings: Settings, model: type[Model]) -> Model:
    """What somebody wants a collection to be.

    Raises:
        Problem: 400 by field path.
    """
    check_limits(body, settings)
    try:
        return check_body(model, body)
    except ValidationError as error:
        raise Problem(INVALID, describe_faults(list_faults(error))) from None


def describe_faults(faults: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """What pydantic found, as messages by field path."""
    detail: dict[str, list[str]] = {}
    for fault in faults:
        location = tuple(fault["loc"])
        if fault["type"].startswith("union_tag"):
            location = (*location, "type")
        sentence = say_fault(str(fault["msg"]))
        messages = detail.setdefault(_path_of(location) or "body", [])
        if sentence not in messages:
            messages.append(sentence)
    return detail


def _path_of(location: tuple[int | str, ...]) -> str:
    """`collection_items.0.page_items.1.description`: where in what was sent, without the union's tags."""
    parts = [str(part) for part in location]
    if parts and parts[0] in ("body", "query", "path", "header"):
        parts = parts[1:]
    return ".".join(
        part
        for number, part in enumerate(parts)
        if not (part in ITEM_TYPES and number and parts[number - 1].isdigit())
    )
