"""How pages and items look in answers, whenever they were stored: one rule for the API and for archives.

Bodies stored by earlier versions hold null for what was not given, and another `parent_type`.
"""

from __future__ import annotations

from typing import Any

__all__ = ["CONTENT_TYPES", "PARENT_TYPE", "SCHEMA_VERSION", "describe_body", "describe_item"]

SCHEMA_VERSION = 1
PARENT_TYPE = "collection"
CONTENT_TYPES = ("rich_text", "image")


def _without_nulls(value: Any) -> Any:
    """`value` without members that are null, on every level: what was not given is absent."""
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value


def describe_item(item: dict[str, Any]) -> dict[str, Any]:
    """An item: what was not given is absent, and a content block says its schema's version."""
    found: dict[str, Any] = {**_without_nulls(item), "parent_type": PARENT_TYPE}
    return {**found, "schema_version": SCHEMA_VERSION} if item["type"] in CONTENT_TYPES else found


def describe_body(body: dict[str, Any]) -> dict[str, Any]:
    """A version's pages, with their items."""
    pages = [
        {**page, "page_items": [describe_item(item) for item in page["page_items"]]}
        for page in body["collection_items"]
    ]
    return {**body, "collection_items": pages}
