"""Download links: signed, for one archive, until an instant.

The signature covers everything after the host, so nothing can be added, changed or extended. Whether the
link has expired is told by PostgreSQL's clock, the same for every process.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime
from uuid import UUID

from ..problems import LINK_ALTERED, Problem

__all__ = ["ARCHIVE_PATH", "make_link", "read_link"]

ARCHIVE_PATH = "/api/v1/data-collection/exports/{export_id}/archive"
_QUERY = re.compile(r"expires=(\d{1,12})&signature=([0-9a-f]{64})", re.ASCII)


def _sign(key: bytes, path_and_query: str) -> str:
    return hmac.new(key, path_and_query.encode(), hashlib.sha256).hexdigest()


def make_link(key: bytes, origin: str, export_id: UUID, expires_at: datetime) -> str:
    """A link to the archive of one export; `expires_at` must be whole seconds."""
    signed = f"{ARCHIVE_PATH.format(export_id=export_id)}?expires={int(expires_at.timestamp())}"
    return f"{origin}{signed}&signature={_sign(key, signed)}"


def read_link(key: bytes, raw_path: str, query: str) -> datetime:
    """When the link that was asked for expires.

    Raises:
        Problem: 403 when any part of it after the host is not as it was signed.
    """
    match = _QUERY.fullmatch(query)
    if match is None or not hmac.compare_digest(_sign(key, f"{raw_path}?expires={match[1]}"), match[2]):
        raise Problem(
            LINK_ALTERED,
            "This link is not one this server made, or was changed."
            " Ask for the export again to get a fresh link.",
        )
    return datetime.fromtimestamp(int(match[1]), UTC)
