"""SQL of passwords, second factors, and devices that signed in before."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.accounts.addresses import of_address
from fieldpack.server.accounts.credentials.rows import AccountRow, FactorRow, WaysRow
from fieldpack.server.accounts.queries import OF_ADDRESS
from fieldpack.server.db.pool import Connection

# passwords


async def find_ways(connection: Connection) -> WaysRow:
    """Which ways to sign in any researcher of this installation has set up."""
    async with connection.cursor(row_factory=class_row(WaysRow)) as cursor:
        await cursor.execute(
            "SELECT EXISTS (SELECT FROM passwords) AS passwords, EXISTS (SELECT FROM passkeys) AS passkeys"
        )
        row = await cursor.fetchone()
        assert row is not None
        return row


async def find_account(connection: Connection, email: str) -> AccountRow | None:
    """The researcher with this email, in any case, and the hash of their password if there is one; None for an
    unknown one."""
    async with connection.cursor(row_factory=class_row(AccountRow)) as cursor:
        await cursor.execute(
            "SELECT r.id AS researcher_id, p.hash"
            f" FROM researchers r LEFT JOIN passwords p ON p.researcher_id = r.id {OF_ADDRESS}",
            of_address(email),
        )
        return await cursor.fetchone()


async def find_password_change(connection: Connection, researcher_id: UUID) -> datetime | None:
    """When the password was set; None without one."""
    cursor = await connection.execute(
        "SELECT changed_at FROM passwords WHERE researcher_id = %s", [researcher_id]
    )
    row = await cursor.fetchone()
    return row["changed_at"] if row else None


async def write_password(connection: Connection, researcher_id: UUID, hash: str) -> None:
    """Store the hash of a password, over an earlier one."""
    await connection.execute(
        """
        INSERT INTO passwords (researcher_id, hash) VALUES (%s, %s)
        ON CONFLICT (researcher_id) DO UPDATE SET hash = excluded.hash, changed_at = now()
        """,
        [researcher_id, hash],
    )


async def renew_hash(connection: Connection, researcher_id: UUID, old: str, new: str) -> bool:
    """Replace the hash of a password by another of the same password; return False when the password was changed or
    removed meanwhile."""
    cursor = await connection.execute(
        "UPDATE passwords SET hash = %s WHERE researcher_id = %s AND hash = %s RETURNING researcher_id",
        [new, researcher_id, old],
    )
    return await cursor.fetchone() is not None


async def delete_password(connection: Connection, researcher_id: UUID) -> None:
    """Delete a password; no error when there is none."""
    await connection.execute("DELETE FROM passwords WHERE researcher_id = %s", [researcher_id])


# all of them


async def delete_ways(connection: Connection, researcher_id: UUID) -> None:
    """End all that signs in as a researcher, or does their work: what they know or have, what is under way, sessions,
    tokens. Locks what it ends, in the order in which it is used."""
    for table in (
        "sign_in_links",
        "sign_in_steps",
        "second_factors",  # and its recovery codes
        "passwords",
        "passkeys",
        "external_identities",
        "known_devices",
    ):
        await connection.execute(f"DELETE FROM {table} WHERE researcher_id = %s", [researcher_id])
    await connection.execute(
        "UPDATE researcher_sessions SET ended_at = now() WHERE researcher_id = %s AND ended_at IS NULL",
        [researcher_id],
    )
    await connection.execute(
        "UPDATE tokens SET revoked_at = now() WHERE researcher_id = %s AND revoked_at IS NULL",
        [researcher_id],
    )


# second factors


async def find_factor(connection: Connection, researcher_id: UUID) -> FactorRow | None:
    """A researcher's second factor, confirmed or not; None without one."""
    async with connection.cursor(row_factory=class_row(FactorRow)) as cursor:
        await cursor.execute(
            """
            SELECT f.secret, f.last_step, f.confirmed_at,
                   (SELECT count(*) FROM recovery_codes c
                    WHERE c.researcher_id = f.researcher_id AND c.used_at IS NULL) AS codes_left
            FROM second_factors f WHERE f.researcher_id = %s
            """,
            [researcher_id],
        )
        return await cursor.fetchone()


async def begin_factor(connection: Connection, researcher_id: UUID, secret: bytes) -> None:
    """Store a secret that is to be confirmed. One that is stored already stays, confirmed or not."""
    await connection.execute(
        "INSERT INTO second_factors (researcher_id, secret) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        [researcher_id, secret],
    )


async def use_step(connection: Connection, researcher_id: UUID, secret: bytes, step: int) -> bool:
    """Store that the code of this step was used; return False when it, or one of a later step, was used before."""
    cursor = await connection.execute(
        """
        UPDATE second_factors SET last_step = %(step)s, confirmed_at = coalesce(confirmed_at, now())
        WHERE researcher_id = %(researcher)s AND secret = %(secret)s AND last_step < %(step)s
        RETURNING researcher_id
        """,
        {"step": step, "researcher": researcher_id, "secret": secret},
    )
    return await cursor.fetchone() is not None


async def delete_factor(connection: Connection, researcher_id: UUID) -> None:
    """Delete a second factor; no error when there is none."""
    await connection.execute("DELETE FROM second_factors WHERE researcher_id = %s", [researcher_id])


async def replace_codes(connection: Connection, researcher_id: UUID, hashes: list[bytes]) -> None:
    """Replace a researcher's recovery codes."""
    await connection.execute("DELETE FROM recovery_codes WHERE researcher_id = %s", [researcher_id])
    await connection.execute(
        "INSERT INTO recovery_codes (researcher_id, code_sha256) SELECT %s, unnest(%s::bytea[])",
        [researcher_id, hashes],
    )


async def use_recovery_code(connection: Connection, researcher_id: UUID, code_sha256: bytes) -> bool:
    """Store that a recovery code was used; return False for an unknown one, or one that was used before."""
    cursor = await connection.execute(
        """
        UPDATE recovery_codes SET used_at = now()
        WHERE researcher_id = %s AND code_sha256 = %s AND used_at IS NULL RETURNING researcher_id
        """,
        [researcher_id, code_sha256],
    )
    return await cursor.fetchone() is not None


# between the password and the second factor


async def insert_step(
    connection: Connection, code_sha256: bytes, researcher_id: UUID, life: timedelta
) -> None:
    """Store that the password was right, and the second factor is asked for. Deletes expired steps."""
    await connection.execute("DELETE FROM sign_in_steps WHERE expires_at < now()")
    await connection.execute(
        "INSERT INTO sign_in_steps (code_sha256, researcher_id, expires_at) VALUES (%s, %s, now() + %s)",
        [code_sha256, researcher_id, life],
    )


async def find_step(connection: Connection, code_sha256: bytes) -> UUID | None:
    """The researcher whose second factor is asked for; None when the step expired, or the password was changed or
    removed since."""
    cursor = await connection.execute(
        """
        SELECT s.researcher_id FROM sign_in_steps s JOIN passwords p ON p.researcher_id = s.researcher_id
        WHERE s.code_sha256 = %s AND s.expires_at > now() AND p.changed_at <= s.created_at
        """,
        [code_sha256],
    )
    row = await cursor.fetchone()
    return row["researcher_id"] if row else None


async def delete_step(connection: Connection, code_sha256: bytes) -> bool:
    """Delete a step; return whether it was there. Of several requests at once one gets True."""
    cursor = await connection.execute(
        "DELETE FROM sign_in_steps WHERE code_sha256 = %s RETURNING researcher_id", [code_sha256]
    )
    return await cursor.fetchone() is not None


# devices


async def is_known_device(connection: Connection, token_sha256: bytes, researcher_id: UUID) -> bool:
    """Whether this token is of a device that this researcher signed in from before, and has not expired."""
    cursor = await connection.execute(
        "SELECT 1 FROM known_devices WHERE token_sha256 = %s AND researcher_id = %s AND expires_at > now()",
        [token_sha256, researcher_id],
    )
    return await cursor.fetchone() is not None


async def move_device(connection: Connection, old_sha256: bytes, new_sha256: bytes) -> None:
    """Give a device a new token, for every researcher who signed in from it."""
    await connection.execute(
        "UPDATE known_devices SET token_sha256 = %s WHERE token_sha256 = %s", [new_sha256, old_sha256]
    )


async def remember_device(
    connection: Connection, token_sha256: bytes, researcher_id: UUID, life: timedelta, most: int
) -> None:
    """Store a researcher's device. Deletes expired devices, and of this researcher's all but the latest `most`."""
    await connection.execute("DELETE FROM known_devices WHERE expires_at < now()")
    await connection.execute(
        """
        INSERT INTO known_devices (token_sha256, researcher_id, expires_at) VALUES (%s, %s, now() + %s)
        ON CONFLICT (token_sha256, researcher_id)
            DO UPDATE SET last_used_at = now(), expires_at = excluded.expires_at
        """,
        [token_sha256, researcher_id, life],
    )
    await connection.execute(
        """
        DELETE FROM known_devices WHERE researcher_id = %(researcher)s AND token_sha256 NOT IN (
            SELECT token_sha256 FROM known_devices WHERE researcher_id = %(researcher)s
            ORDER BY last_used_at DESC LIMIT %(most)s)
        """,
        {"researcher": researcher_id, "most": most},
    )
