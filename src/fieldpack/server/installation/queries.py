"""SQL of the one row that says which installation a database is, and of restores into it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row

from fieldpack.server.db.pool import Connection
from fieldpack.server.installation.rows import InstallationRow

Blocking = psycopg.Connection[Any]

RESTORE_KEY = 0x66706B5F726573  # "fpk_res": a restore alone, or many who open the database


def lock_restores(connection: Blocking, *, shared: bool) -> bool:
    """Take the lock of restores, for as long as the connection lasts: whether others leave it to us."""
    function = "pg_try_advisory_lock_shared" if shared else "pg_try_advisory_lock"
    row = connection.execute(f"SELECT {function}(%s)", [RESTORE_KEY]).fetchone()
    return row is not None and bool(row[0])


def unlock_restores(connection: Blocking) -> None:
    """Give the lock of restores back: a pooler between may keep the session beyond this connection."""
    connection.execute("SELECT pg_advisory_unlock_all()")


def is_half_restored(connection: Blocking) -> bool:
    """Whether a restore into this database has not come to its end."""
    row = connection.execute("SELECT to_regclass('restore_under_way') IS NOT NULL").fetchone()
    return row is not None and bool(row[0])


def note_restore(connection: Blocking) -> None:
    """Have everybody see that this database is being restored; a table, for there are no others yet."""
    connection.execute("CREATE TABLE IF NOT EXISTS restore_under_way ()")


async def forget_restore(connection: Connection) -> None:
    """The end of a restore."""
    await connection.execute("DROP TABLE IF EXISTS restore_under_way")


async def lock_installation(connection: Connection) -> InstallationRow:
    """The row, locked until commit: one process at a time claims storage for it."""
    cursor = await connection.cursor(row_factory=class_row(InstallationRow)).execute(
        "SELECT id, generation FROM installation FOR NO KEY UPDATE"
    )
    row = await cursor.fetchone()
    assert row is not None, "the migration made it"
    return row


async def set_generation(connection: Connection, generation: int) -> None:
    """Store the number of this restore."""
    await connection.execute("UPDATE installation SET generation = %s", [generation])


async def set_restored(connection: Connection) -> None:
    """Note that this database is an earlier state of itself, brought back now."""
    await connection.execute("UPDATE installation SET restored_at = clock_timestamp()")


async def find_restored(connection: Connection) -> datetime | None:
    """When this database was last brought back to an earlier state."""
    cursor = await connection.execute("SELECT restored_at FROM installation")
    row = await cursor.fetchone()
    return row["restored_at"] if row else None
