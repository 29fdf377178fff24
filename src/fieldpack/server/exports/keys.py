"""What is kept in storage of an export, and under which keys."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid5

from fieldpack.server.exports.rows import BuildRow

__all__ = [
    "INDEX",
    "archive_name",
    "build_prefix",
    "head_id",
    "object_key",
    "read_head_crc32",
    "stored_key",
]

INDEX = "index"


def build_prefix(export_id: UUID, build: UUID) -> str:
    """What the keys of one build of an export begin with."""
    return f"exports/{export_id}/{build}/"


def stored_key(export_id: UUID, build: UUID, name: str) -> str:
    """Where a stored part of an export is kept: one of `members.LEADING`, or the index."""
    return build_prefix(export_id, build) + name


def head_id(build: UUID, name: str, crc32: int) -> bytes:
    """The id that the index has for a stored member: it says what CRC-32 the stored, deflated bytes have."""
    return uuid5(build, name).bytes[:12] + crc32.to_bytes(4, "little")


def read_head_crc32(head: bytes) -> int:
    """The CRC-32 that `head_id` was told."""
    return int.from_bytes(head[12:], "little")


def archive_name(collection_id: UUID, created_at: datetime) -> str:
    """`<collection-id>-export-<YYYYMMDD-HHMMSS>.zip`, in UTC."""
    return f"{collection_id}-export-{created_at:%Y%m%d-%H%M%S}.zip"


def object_key(export: BuildRow) -> str:
    """Where the whole archive is, when it is delivered from the bucket."""
    name = archive_name(export.collection_id, export.created_at)
    return stored_key(export.id, export.build, name)
