"""SQL of the one row that says which installation a database is."""

from __future__ import annotations

from datetime import datetime

from psycopg.rows import class_row

from fieldpack.server.db.pool import Connection
from fieldpack.server.installation.rows import InstallationRow


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
