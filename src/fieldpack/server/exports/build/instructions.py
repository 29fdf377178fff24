"""The instructions of collection.json: every one there ever was, numbered as the API numbers it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol
from uuid import UUID

from fieldpack.server.collections.shapes import describe_item
from fieldpack.server.exports.build.retired_options import find_retired_options
from fieldpack.server.exports.rows import OptionsRow

__all__ = ["describe_instructions"]

INTERNAL_FIELDS = {
    "id",
    "type",
    "order",
    "created_at",
    "created_by",
    "parent_id",
    "parent_type",
    "schema_version",
    "description",
}


class Asked(Protocol):
    """What a collection asks or asked."""

    @property
    def id(self) -> UUID:
        """Its id."""

    @property
    def type(self) -> str:
        """Its item type."""

    @property
    def body(self) -> dict[str, Any]:
        """The item, as the researcher wrote it."""

    @property
    def page_order(self) -> int:
        """Of the page it is on, or was on last."""

    @property
    def retired(self) -> bool:
        """Whether the latest version leaves it out."""


def describe_instructions(
    body: Mapping[str, Any], rows: Iterable[Asked], options: Iterable[OptionsRow]
) -> list[dict[str, Any]]:
    """The instructions in their order, each with the options that it has no more.

    Args:
        body: the latest version.
        rows: all there ever were, in order, retired ones last.
        options: of every version, oldest first.
    """
    rows = list(rows)
    pages = {item["id"]: page["order"] for page in body["collection_items"] for item in page["page_items"]}
    retired_options = find_retired_options(
        options, {str(row.id): row.body.get("options") or row.body.get("unit_options") or [] for row in rows}
    )
    found = []
    for row in rows:
        item = describe_item(row.body)
        gone = retired_options.get(str(row.id))
        found.append(
            {
                "id": str(row.id),
                "type": row.type,
                "description": item["description"],
                "page": pages.get(str(row.id), row.page_order),
                "order": item["order"],
                "retired": row.retired,
                **{name: value for name, value in item.items() if name not in INTERNAL_FIELDS},
                **({"retired_options": gone} if gone else {}),
            }
        )
    return found
