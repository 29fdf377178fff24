"""Download links: signed, for one archive, until an instant.

The signature covers everything after the host, so nothing can be added, changed or extended. Whether the
link has expired is told by PostgreSQL's clock, the same for every process.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

from ..problems import LINK_ALTERED, Problem

__all__ = ["ARCHIVE_PATH", "altered", "is_signed", "make_link", "read_link"]

ARCHIVE_PATH = "/api/v1/data-collection/exports/{export_id}/archive"
_QUERY = re.compile(r"expires=(\d{1,16})&signature=([0-9a-f]{64})", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


def _sign(key: bytes, path_and_query: str) -> str:
    return hmac.new(key, path_and_query.encode(), hashlib.sha256).hexdigest()


def make_link(key: bytes, origin: str, export_id: UUID, expires_at: datetime) -> str:
    """A link to the archive of one export. Its expiry is in microseconds, so that no two looks get the same."""
    signed = f"{ARCHIVE_PATH.format(export_id=export_id)}?expires={(expires_at - _EPOCH) // _TICK}"
    return f"{origin}{signed}&signature={_sign(key, signed)}"


def is_signed(query: str) -> bool:
    """Whether a query is that of a link, right or wrong."""
    return _QUERY.fullmatch(query) is not None


def altered() -> Problem:
    """The 403 of a link that is not as it was signed."""
    return Problem(
        LINK_ALTERED,
        "This link is not one this server made, or was changed. Ask for the export again to get a fresh link.",
    )


def read_link(key: bytes, raw_path: str, query: str) -> datetime:
    """When the link that was asked for expires.

    Raises:
        Problem: 403 when any part of it after the host is not as it was signed.
    """
    match = _QUERY.fullmatch(query)
    if match is None or not hmac.compare_digest(_sign(key, f"{raw_path}?expires={match[1]}"), match[2]):
        raise altered()
    return _EPOCH + int(match[1]) * _TICK
