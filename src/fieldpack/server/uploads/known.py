"""Which stored objects have a row."""

from __future__ import annotations

from uuid import UUID

from fieldpack.server.db.pool import Connection
from fieldpack.server.uploads import queries
from fieldpack.server.values.uuids import is_uuid

__all__ = ["list_known"]


async def list_known(connection: Connection, prefix: str, keys: list[str]) -> set[str]:
    """Which of these keys some row needs. A key that is not one of ours is left alone: someone else's."""
    parts = {key: key.split("/") for key in keys}
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
