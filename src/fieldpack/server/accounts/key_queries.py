"""SQL of the keys that sign links and cookies."""

from __future__ import annotations

from typing import LiteralString

from psycopg.rows import class_row

from fieldpack.server.accounts.rows import KeyRow
from fieldpack.server.db.columns import columns_of
from fieldpack.server.db.pool import Connection

_COLUMNS = columns_of(KeyRow, "signing_keys")
# By PostgreSQL's clock, which is the same for every process.
_LIVE: LiteralString = "(expires_at IS NULL OR expires_at > clock_timestamp())"


async def find_current(connection: Connection, purpose: str) -> KeyRow | None:
    """The key of this purpose that signs; None where there is none yet."""
    async with connection.cursor(row_factory=class_row(KeyRow)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM signing_keys WHERE purpose = %s AND retired_at IS NULL", [purpose]
        )
        return await cursor.fetchone()


async def find_live(connection: Connection, purpose: str, id: str) -> KeyRow | None:
    """The key of this name, unless it has expired."""
    async with connection.cursor(row_factory=class_row(KeyRow)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM signing_keys WHERE purpose = %s AND id = %s AND {_LIVE}", [purpose, id]
        )
        return await cursor.fetchone()


async def list_keys(connection: Connection) -> list[KeyRow]:
    """All keys whose signatures are still accepted, newest first."""
    async with connection.cursor(row_factory=class_row(KeyRow)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM signing_keys WHERE {_LIVE}"
            " ORDER BY purpose, retired_at DESC NULLS FIRST, created_at"
        )
        return await cursor.fetchall()


async def insert_current(connection: Connection, purpose: str, id: str, secret: bytes) -> None:
    """Store a key that signs from now on; return whether it was stored. Another process may have stored one first."""
    await connection.execute(
        """
        INSERT INTO signing_keys (purpose, id, secret) VALUES (%s, %s, %s)
        ON CONFLICT (purpose) WHERE retired_at IS NULL DO NOTHING
        """,
        [purpose, id, secret],
    )


async def lock_keys(connection: Connection) -> None:
    """Lock the table of keys until commit: nobody else changes it meanwhile. Signing and checking go on."""
    await connection.execute("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE")


async def retire_current(connection: Connection, purpose: str, seconds: float) -> None:
    """Let the current key sign no more. Its signatures are accepted for `seconds` more, and as long as any link of
    an export."""
    await connection.execute(
        """
        UPDATE signing_keys SET retired_at = now(), expires_at = greatest(
            now() + %(seconds)s * interval '1 second',
            CASE purpose WHEN 'links' THEN (SELECT max(links_expire_at) FROM exports) END)
        WHERE purpose = %(purpose)s AND retired_at IS NULL
        """,
        {"purpose": purpose, "seconds": seconds},
    )


async def delete_expired(connection: Connection) -> None:
    """Delete keys whose signatures are not accepted any more."""
    await connection.execute(f"DELETE FROM signing_keys WHERE NOT {_LIVE}")


async def delete_all(connection: Connection) -> None:
    """Delete every key, and every session and sign-in link that they signed."""
    await connection.execute("DELETE FROM signing_keys")
    await connection.execute("DELETE FROM researcher_sessions")
    await connection.execute("DELETE FROM sign_in_links")
