"""SQL of one's own tokens."""

from __future__ import annotations

from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.accounts.personal.rows import OwnTokenRow
from fieldpack.server.db.columns import columns_of
from fieldpack.server.db.pool import Connection


async def list_tokens(connection: Connection, researcher_id: UUID) -> list[OwnTokenRow]:
    """A researcher's valid tokens, oldest first."""
    async with connection.cursor(row_factory=class_row(OwnTokenRow)) as cursor:
        await cursor.execute(
            f"""
            SELECT {columns_of(OwnTokenRow, "t")} FROM tokens t
            WHERE t.researcher_id = %s AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now())
            ORDER BY t.created_at, t.id
            """,
            [researcher_id],
        )
        return await cursor.fetchall()


async def revoke_token(connection: Connection, researcher_id: UUID, token_id: UUID) -> bool:
    """Revoke a token of this researcher; return whether there was one that was not revoked."""
    cursor = await connection.execute(
        """
        UPDATE tokens SET revoked_at = now() WHERE id = %s AND researcher_id = %s AND revoked_at IS NULL
        RETURNING id
        """,
        [token_id, researcher_id],
    )
    return await cursor.fetchone() is not None
