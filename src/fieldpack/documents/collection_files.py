"""A collection as a file holds it: all that a researcher says, and nothing that the server adds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fieldpack.documents.yaml_writing import write_yaml

__all__ = ["file_of", "write_collection"]

_OF_THE_SERVER = frozenset(
    ("created_at", "created_by", "parent_id", "parent_type", "schema_version", "order", "page_items")
)


def file_of(collection: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a collection, as the API answers it, that a `PUT` of the same takes: ids of pages and items too.

    `order` is there only where it is another one than the position, which counts in its place.
    """
    found = {"name": collection["name"]}
    if collection.get("description") is not None:
        found["description"] = collection["description"]
    found["task_details"] = dict(collection["task_details"])
    found["collection_items"] = [
        _own(page, number) | {"page_items": [_own(item, at) for at, item in enumerate(page["page_items"])]}
        for number, page in enumerate(collection["collection_items"])
    ]
    return found


def _own(thing: Mapping[str, Any], position: int) -> dict[str, Any]:
    found = {name: value for name, value in thing.items() if name not in _OF_THE_SERVER}
    leading = {name: found.pop(name) for name in ("id", "type", "description") if name in found}
    order = {} if thing.get("order", position) == position else {"order": thing["order"]}
    return leading | order | found


def write_collection(collection: Mapping[str, Any]) -> str:
    """The same as YAML."""
    return write_yaml(file_of(collection))
