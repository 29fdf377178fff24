"""SQL of researchers' sessions and of the links that sign in once."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.accounts.rows import EndedRow, HolderRow, SessionHolderRow, SessionRow
from fieldpack.server.db.pool import Connection


async def insert_session(
    connection: Connection,
    id: UUID,
    token_sha256: bytes,
    researcher_id: UUID,
    token_id: UUID | None,
    method: str,
    address: str,
    agent: str,
    life: timedelta,
) -> None:
    """Store a session. Deletes expired ones."""
    await connection.execute("DELETE FROM researcher_sessions WHERE expires_at < now()")
    await connection.execute(
        """
        INSERT INTO researcher_sessions
            (id, token_sha256, researcher_id, token_id, method, address, agent, expires_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, now() + %s)
        """,
        [id, token_sha256, researcher_id, token_id, method, address, agent, life],
    )


async def find_session(connection: Connection, token_sha256: bytes) -> SessionHolderRow | None:
    """A session that has not ended or expired, nor has the API token that it began with; with its researcher."""
    async with connection.cursor(row_factory=class_row(SessionHolderRow)) as cursor:
        await cursor.execute(
            """
            SELECT r.id, r.email, r.first_name, r.last_name, s.token_id, t.role AS cap,
                   s.id AS session_id, s.method, s.created_at,
                   s.last_used_at < now() - interval '1 minute' AS stale
            FROM researcher_sessions s JOIN researchers r ON r.id = s.researcher_id
            LEFT JOIN tokens t ON t.id = s.token_id
            WHERE s.token_sha256 = %s AND s.ended_at IS NULL AND s.expires_at > now() AND t.revoked_at IS NULL
                AND (t.expires_at IS NULL OR t.expires_at > now())
            """,
            [token_sha256],
        )
        return await cursor.fetchone()


async def note_use(connection: Connection, token_sha256: bytes, address: str) -> None:
    """Store that a session is used now, and from which address."""
    await connection.execute(
        "UPDATE researcher_sessions SET last_used_at = now(), address = %s WHERE token_sha256 = %s",
        [address, token_sha256],
    )


async def list_sessions(connection: Connection, researcher_id: UUID) -> list[SessionRow]:
    """A researcher's sessions that have not ended, the one used last first."""
    async with connection.cursor(row_factory=class_row(SessionRow)) as cursor:
        await cursor.execute(
            """
            SELECT s.id, s.method, t.name AS token_name, s.address, s.agent,
                   s.created_at, s.last_used_at, s.expires_at
            FROM researcher_sessions s LEFT JOIN tokens t ON t.id = s.token_id
            WHERE s.researcher_id = %s AND s.ended_at IS NULL AND s.expires_at > now() AND t.revoked_at IS NULL
                AND (t.expires_at IS NULL OR t.expires_at > now())
            ORDER BY s.last_used_at DESC, s.id
            """,
            [researcher_id],
        )
        return await cursor.fetchall()


async def end_session_of(connection: Connection, researcher_id: UUID, session_id: UUID) -> bool:
    """End a session of this researcher; return whether there was one that had not ended."""
    cursor = await connection.execute(
        """
        UPDATE researcher_sessions SET ended_at = now()
        WHERE id = %s AND researcher_id = %s AND ended_at IS NULL AND expires_at > now() RETURNING id
        """,
        [session_id, researcher_id],
    )
    return await cursor.fetchone() is not None


async def end_sessions(connection: Connection, researcher_id: UUID, spared: UUID | None) -> int:
    """End a researcher's sessions, but one if given; return how many had not ended."""
    cursor = await connection.execute(
        """
        UPDATE researcher_sessions SET ended_at = now()
        WHERE researcher_id = %s AND id IS DISTINCT FROM %s AND ended_at IS NULL AND expires_at > now()
        """,
        [researcher_id, spared],
    )
    return cursor.rowcount


async def end_session(connection: Connection, token_sha256: bytes) -> EndedRow | None:
    """End a session; return what was ended, None for one that had ended already."""
    async with connection.cursor(row_factory=class_row(EndedRow)) as cursor:
        await cursor.execute(
            """
            UPDATE researcher_sessions SET ended_at = now() WHERE token_sha256 = %s AND ended_at IS NULL
            RETURNING id, researcher_id
            """,
            [token_sha256],
        )
        return await cursor.fetchone()


async def find_token_holder(
    connection: Connection, token_id: UUID, expires_at: int, cookie_sha256: bytes
) -> HolderRow | None:
    """The researcher of a valid token, for a cookie of an earlier version, which names the token and its end,
    `expires_at` (Unix time); None when the cookie was ended."""
    async with connection.cursor(row_factory=class_row(HolderRow)) as cursor:
        await cursor.execute(
            """
            SELECT r.id, r.email, r.first_name, r.last_name, t.id AS token_id, t.role AS cap
            FROM tokens t JOIN researchers r ON r.id = t.researcher_id
            WHERE t.id = %s AND t.revoked_at IS NULL AND to_timestamp(%s) > now()
                AND (t.expires_at IS NULL OR t.expires_at > now())
                AND NOT EXISTS (SELECT FROM researcher_sessions s WHERE s.token_sha256 = %s)
            """,
            [token_id, expires_at, cookie_sha256],
        )
        return await cursor.fetchone()


async def insert_ended(
    connection: Connection,
    id: UUID,
    cookie_sha256: bytes,
    researcher_id: UUID,
    token_id: UUID,
    expires_at: int,
) -> None:
    """Store that a cookie of an earlier version was ended, until it would have expired."""
    await connection.execute(
        """
        INSERT INTO researcher_sessions
            (id, token_sha256, researcher_id, token_id, method, expires_at, ended_at)
        VALUES (%s, %s, %s, %s, 'token', to_timestamp(%s), now()) ON CONFLICT DO NOTHING
        """,
        [id, cookie_sha256, researcher_id, token_id, expires_at],
    )


# links that sign in once


async def insert_link(
    connection: Connection, code_sha256: bytes, researcher_id: UUID, life: timedelta
) -> None:
    """Store a sign-in link. Deletes expired ones."""
    await connection.execute("DELETE FROM sign_in_links WHERE expires_at < now() - interval '1 day'")
    await connection.execute(
        "INSERT INTO sign_in_links (code_sha256, researcher_id, expires_at) VALUES (%s, %s, now() + %s)",
        [code_sha256, researcher_id, life],
    )


async def find_link(connection: Connection, code_sha256: bytes) -> HolderRow | None:
    """The researcher of a sign-in link that was not used and has not expired."""
    async with connection.cursor(row_factory=class_row(HolderRow)) as cursor:
        await cursor.execute(
            """
            SELECT r.id, r.email, r.first_name, r.last_name
            FROM sign_in_links l JOIN researchers r ON r.id = l.researcher_id
            WHERE l.code_sha256 = %s AND l.used_at IS NULL AND l.expires_at > now()
            """,
            [code_sha256],
        )
        return await cursor.fetchone()


async def use_link(connection: Connection, code_sha256: bytes) -> UUID | None:
    """Store that a sign-in link was used, and return its researcher; None when it is not valid any more. Of several
    requests at once one gets the researcher."""
    cursor = await connection.execute(
        """
        UPDATE sign_in_links SET used_at = now()
        WHERE code_sha256 = %s AND used_at IS NULL AND expires_at > now() RETURNING researcher_id
        """,
        [code_sha256],
    )
    row = await cursor.fetchone()
    return row["researcher_id"] if row else None
