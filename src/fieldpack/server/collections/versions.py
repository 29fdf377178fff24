"""The versions of collections, kept in memory: a version never changes, and every request of intake asks for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from fieldpack.server.caches import Caches, Recent
from fieldpack.server.collections.queries import get_version
from fieldpack.server.collections.service import iter_items
from fieldpack.server.collections.shapes import describe_body
from fieldpack.server.db.pool import Connection
from fieldpack.server.pictures.references import make_absolute

__all__ = ["Items", "Version", "find_items", "get_items", "load_version", "show_version"]

MOST = 32

Items = Mapping[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a collection; not to be changed."""

    items: Items  # by id, in the order participants see them
    described: dict[str, Any]  # its body as answers show it


class _Versions(Recent[tuple[UUID, int], Version]):
    """Those that were asked for last."""

    def __init__(self) -> None:
        super().__init__(MOST)


async def load_version(connection: Connection, caches: Caches, collection_id: UUID, number: int) -> Version:
    """A version that is there."""
    versions = caches.get(_Versions)
    version = versions.get((collection_id, number))
    if version is None:
        body = await get_version(connection, collection_id, number)
        version = Version({item["id"]: item for item in iter_items(body)}, describe_body(body))
        versions.put((collection_id, number), version)
    return version


async def get_items(connection: Connection, caches: Caches, collection_id: UUID, version: int) -> Items:
    """The items of a version that is there."""
    return (await load_version(connection, caches, collection_id, version)).items


class _Shown(Recent[tuple[UUID, int, str], orjson.Fragment]):
    """What was answered last of versions, as JSON."""

    def __init__(self) -> None:
        super().__init__(MOST)


def show_version(
    caches: Caches,
    collection_id: UUID,
    number: int,
    described: dict[str, Any],
    origin: str,
    render: Callable[[Any], bytes],
) -> orjson.Fragment:
    """What answers hold of a version, written once: its pictures are URLs of `origin`.

    Args:
        render: writes JSON as answers have it.
    """
    shown = caches.get(_Shown)
    found = shown.get((collection_id, number, origin))
    if found is None:
        body = {"id": collection_id, "version": number, **make_absolute(described, origin)}
        found = orjson.Fragment(render(body))
        shown.put((collection_id, number, origin), found)
    return found


def find_items(caches: Caches, collection_id: UUID, version: int) -> Items | None:
    """The same of one that is in memory; None for another."""
    found = caches.get(_Versions).get((collection_id, version))
    return found.items if found is not None else None
