"""Download links: signed, for one archive or what was made of it, until an instant.

The signature covers everything after the host, so nothing can be added, changed or extended. PostgreSQL's clock,
which is the same for all processes, decides whether a link has expired.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from fieldpack.server.accounts.keys import FIRST, KEY_ID, SigningKey, find_key
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import LINK_ALTERED, Problem

__all__ = ["ARCHIVE_PATH", "CONVERSION_PATH", "altered", "is_signed", "make_link", "read_link", "ticks_of"]

ARCHIVE_PATH = "/api/v1/data-collection/exports/{export_id}/archive"
CONVERSION_PATH = "/api/v1/data-collection/exports/{export_id}/conversions/{conversion_id}"
# links from before there were several keys name none
_QUERY = re.compile(rf"(expires=(\d{{1,16}})(?:&key=({KEY_ID}))?)&signature=([0-9a-f]{{64}})", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


def make_link(key: SigningKey, origin: str, path: str, expires_at: datetime) -> str:
    """A link to one of these paths. Its expiry is in microseconds, so that no two looks get the same."""
    signed = f"{path}?expires={ticks_of(expires_at)}&key={key.id}"
    return f"{origin}{signed}&signature={key.sign(signed)}"


def ticks_of(expires_at: datetime) -> int:
    """The microseconds of Unix time that name a link of an export: no two have the same."""
    return (expires_at - _EPOCH) // _TICK


def is_signed(query: str) -> bool:
    """Whether a query is that of a link, right or wrong."""
    return _QUERY.fullmatch(query) is not None


def altered() -> Problem:
    """The 403 of a link that is not as it was signed."""
    return Problem(
        LINK_ALTERED,
        "This link is not one this server made, or was changed. Ask for the export again to get a fresh link.",
    )


async def read_link(connection: Connection, raw_path: str, query: str) -> datetime:
    """When the link that was asked for expires.

    Raises:
        Problem: 403 when any part of it after the host is not as it was signed, or its key was taken away.
    """
    match = _QUERY.fullmatch(query)
    key = await find_key(connection, "links", match[3] or FIRST) if match else None
    if match is None or key is None or not key.has_signed(f"{raw_path}?{match[1]}", match[4]):
        raise altered()
    return _EPOCH + int(match[2]) * _TICK
