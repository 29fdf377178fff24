"""The items of a collection's versions, kept in memory: a version never changes, and every answer asks for its item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fieldpack.server.caches import Caches, Recent
from fieldpack.server.collections.queries import get_version
from fieldpack.server.collections.service import iter_items
from fieldpack.server.db.pool import Connection

__all__ = ["get_items"]

MOST = 32

Items = Mapping[str, dict[str, Any]]


class _Versions(Recent[tuple[UUID, int], Items]):
    """Those that were asked for last."""

    def __init__(self) -> None:
        super().__init__(MOST)


async def get_items(connection: Connection, caches: Caches, collection_id: UUID, version: int) -> Items:
    """The items of a version that is there, by id, in the order participants see them; not to be changed."""
    versions = caches.get(_Versions)
    items = versions.get((collection_id, version))
    if items is None:
        body = await get_version(connection, collection_id, version)
        items = {item["id"]: item for item in iter_items(body)}
        versions.put((collection_id, version), items)
    return items
