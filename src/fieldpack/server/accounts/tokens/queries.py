"""SQL of API tokens."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import LiteralString
from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.accounts.tokens.rows import TokenRow
from fieldpack.server.db.pool import Connection

FIND: LiteralString = """
    SELECT t.id, t.name, t.researcher_id, r.email AS researcher, t.role, t.created_at, t.expires_at,
           t.last_used_at, t.last_used_address, t.revoked_at
    FROM tokens t JOIN researchers r ON r.id = t.researcher_id
"""
LIVE: LiteralString = "t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now())"


async def insert_token(
    connection: Connection,
    id: UUID,
    researcher_id: UUID,
    name: str,
    token_sha256: bytes,
    role: str | None,
    expires_at: datetime | timedelta | None,
) -> datetime | None:
    """Store a new token; returns when it expires.

    Args:
        role: what it allows at most; None for all that its researcher may do.
        expires_at: a time, or a duration from now by PostgreSQL's clock; None for never.
    """
    life = expires_at if isinstance(expires_at, timedelta) else None
    at = None if isinstance(expires_at, timedelta) else expires_at
    cursor = await connection.execute(
        """
        INSERT INTO tokens (id, researcher_id, name, token_sha256, role, expires_at)
        VALUES (%s, %s, %s, %s, %s, coalesce(%s::timestamptz, now() + %s::interval)) RETURNING expires_at
        """,
        [id, researcher_id, name, token_sha256, role, at, life],
    )
    row = await cursor.fetchone()
    assert row is not None
    found: datetime | None = row["expires_at"]
    return found


async def find_token(connection: Connection, id: UUID) -> TokenRow | None:
    """A valid token; None for an unknown, revoked or expired one."""
    cursor = await connection.cursor(row_factory=class_row(TokenRow)).execute(
        f"{FIND} WHERE t.id = %s AND {LIVE}", [id]
    )
    return await cursor.fetchone()


async def list_tokens(connection: Connection) -> list[TokenRow]:
    """All tokens, also revoked and expired ones, oldest first."""
    cursor = await connection.cursor(row_factory=class_row(TokenRow)).execute(
        f"{FIND} ORDER BY t.created_at, t.id"
    )
    return await cursor.fetchall()


async def revoke_token(connection: Connection, id: UUID) -> bool:
    """Revoke a token; return whether there is one. Again it changes nothing."""
    cursor = await connection.execute(
        "UPDATE tokens SET revoked_at = coalesce(revoked_at, now()) WHERE id = %s RETURNING id", [id]
    )
    return await cursor.fetchone() is not None


async def expire_token(connection: Connection, id: UUID, after: timedelta) -> datetime | None:
    """Shorten the life of a valid token to this duration from now; returns when it expires, None when it was not
    valid."""
    cursor = await connection.execute(
        f"""
        UPDATE tokens t SET expires_at = least(t.expires_at, now() + %s)
        WHERE t.id = %s AND {LIVE} RETURNING t.expires_at
        """,
        [after, id],
    )
    row = await cursor.fetchone()
    return row["expires_at"] if row else None
