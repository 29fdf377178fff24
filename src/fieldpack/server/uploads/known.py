"""Which stored objects have a row."""

from __future__ import annotations

from uuid import UUID

from fieldpack.server.db.pool import Connection
from fieldpack.server.thumbnails import queries as thumbnail_queries
from fieldpack.server.uploads import queries
from fieldpack.server.values.uuids import is_uuid

__all__ = ["list_known"]


async def list_known(connection: Connection, prefix: str, keys: list[str]) -> set[str]:
    """Which of these keys some row needs. A key that is not one of ours is left alone: someone else's."""
    parts = {key: key.split("/") for key in keys}
    if prefix == "thumbnails/":
        return await _list_known_thumbnails(connection, keys)
    at = {"blobs/": 2, "uploads/": 1, "exports/": 1}[prefix]
    ids = {key: UUID(part[at]) for key, part in parts.items() if len(part) > at and is_uuid(part[at])}
    foreign = set(keys) - set(ids)
    if prefix == "exports/":
        builds = await queries.list_known_builds(connection, list(set(ids.values())))
        return foreign | {key for key, id in ids.items() if f"{id}/{parts[key][2]}" in builds}
    spans = await queries.list_known_keys(connection, keys)
    if prefix == "uploads/":
        return foreign | spans
    uploads = await queries.list_known_uploads(connection, list(ids.values()))
    return foreign | spans | {key for key, id in ids.items() if id in uploads}


async def _list_known_thumbnails(connection: Connection, keys: list[str]) -> set[str]:
    blobs = {}
    for key in keys:
        name, _, side = key.rpartition("/")[2].rpartition("-")
        if is_uuid(name) and side.isdecimal():
            blobs[key] = UUID(name)
    known = await thumbnail_queries.list_known(connection, list(blobs.values()))
    return {key for key in keys if key not in blobs or blobs[key] in known}
