"""SQL of passkeys."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.accounts.credentials.rows import PasskeyRow
from fieldpack.server.db.columns import columns_of
from fieldpack.server.db.pool import Connection

_COLUMNS = columns_of(PasskeyRow, "k")


async def list_passkeys(connection: Connection, researcher_id: UUID) -> list[PasskeyRow]:
    """A researcher's passkeys, oldest first."""
    async with connection.cursor(row_factory=class_row(PasskeyRow)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM passkeys k WHERE k.researcher_id = %s ORDER BY k.created_at, k.id",
            [researcher_id],
        )
        return await cursor.fetchall()


async def find_passkey(connection: Connection, id: bytes) -> PasskeyRow | None:
    """The passkey of this credential id, whichever researcher it belongs to; None for an unknown one."""
    async with connection.cursor(row_factory=class_row(PasskeyRow)) as cursor:
        await cursor.execute(f"SELECT {_COLUMNS} FROM passkeys k WHERE k.id = %s", [id])
        return await cursor.fetchone()


async def insert_passkey(
    connection: Connection, id: bytes, researcher_id: UUID, name: str, public_key: bytes, sign_count: int
) -> bool:
    """Store a passkey; return False, and store nothing, when there is one of this id, of any researcher."""
    cursor = await connection.execute(
        """
        INSERT INTO passkeys (id, researcher_id, name, public_key, sign_count) VALUES (%s, %s, %s, %s, %s)
        ON CONFLICT DO NOTHING RETURNING id
        """,
        [id, researcher_id, name, public_key, sign_count],
    )
    return await cursor.fetchone() is not None


async def note_use(connection: Connection, id: bytes, old_count: int, new_count: int) -> bool:
    """Store the new signature count; return False when the stored one is another by now, or the passkey is gone."""
    cursor = await connection.execute(
        """
        UPDATE passkeys SET sign_count = %s, last_used_at = now() WHERE id = %s AND sign_count = %s
        RETURNING id
        """,
        [new_count, id, old_count],
    )
    return await cursor.fetchone() is not None


async def delete_passkey(connection: Connection, researcher_id: UUID, id: bytes) -> bool:
    """Delete a passkey of this researcher; return whether there was one."""
    cursor = await connection.execute(
        "DELETE FROM passkeys WHERE id = %s AND researcher_id = %s RETURNING id", [id, researcher_id]
    )
    return await cursor.fetchone() is not None


async def spend_challenge(connection: Connection, challenge_sha256: bytes, life: timedelta) -> bool:
    """Store that a challenge was answered; return False when it was before. Deletes expired challenges."""
    await connection.execute("DELETE FROM spent_challenges WHERE expires_at < now()")
    cursor = await connection.execute(
        """
        INSERT INTO spent_challenges (challenge_sha256, expires_at) VALUES (%s, now() + %s)
        ON CONFLICT DO NOTHING RETURNING challenge_sha256
        """,
        [challenge_sha256, life],
    )
    return await cursor.fetchone() is not None
