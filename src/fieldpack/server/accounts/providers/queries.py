"""SQL of identities at other providers."""

from __future__ import annotations

from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.accounts.providers.rows import IdentityRow
from fieldpack.server.db.pool import Connection


async def find_identity(connection: Connection, issuer: str, subject: str) -> IdentityRow | None:
    """The researcher that this identity of a provider belongs to; None for an unknown identity."""
    async with connection.cursor(row_factory=class_row(IdentityRow)) as cursor:
        await cursor.execute(
            """
            UPDATE external_identities SET last_used_at = now() WHERE issuer = %s AND subject = %s
            RETURNING researcher_id, workspace_id
            """,
            [issuer, subject],
        )
        return await cursor.fetchone()


async def insert_identity(connection: Connection, issuer: str, subject: str, researcher_id: UUID) -> None:
    """Store that an identity of a provider belongs to a researcher."""
    await connection.execute(
        "INSERT INTO external_identities (issuer, subject, researcher_id) VALUES (%s, %s, %s)",
        [issuer, subject, researcher_id],
    )


async def note_membership(
    connection: Connection, issuer: str, subject: str, workspace_id: UUID | None
) -> None:
    """Store in which workspace the provider's groups made somebody a member; None for none."""
    await connection.execute(
        "UPDATE external_identities SET workspace_id = %s WHERE issuer = %s AND subject = %s",
        [workspace_id, issuer, subject],
    )
