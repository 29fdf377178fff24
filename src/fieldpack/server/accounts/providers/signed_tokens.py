"""Signed tokens of others (JSON Web Signatures, RFC 7515), before a library takes them."""

from __future__ import annotations

import base64
from typing import Any

from fieldpack.server.values.json_types import parse_object

__all__ = ["read_header"]


def read_header(token: str) -> dict[str, Any]:
    """What a token in compact form says of itself; nothing of it is proved yet.

    Libraries take header and claims for objects, and read them however deep they are.

    Raises:
        ValueError: it has not three parts, or one of these two is no JSON object.
    """
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError("it is no signed token")
    header, _ = (parse_object(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts[:2])
    return header
