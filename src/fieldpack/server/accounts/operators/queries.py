"""SQL of operators."""

from __future__ import annotations

from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.accounts.operators.rows import OperatorRow
from fieldpack.server.db.pool import Connection


async def insert_operator(connection: Connection, researcher_id: UUID) -> bool:
    """Make a researcher an operator; False when they are one."""
    cursor = await connection.execute(
        "INSERT INTO operators (researcher_id) VALUES (%s) ON CONFLICT DO NOTHING", [researcher_id]
    )
    return cursor.rowcount > 0


async def delete_operator(connection: Connection, researcher_id: UUID) -> bool:
    """Make an operator none; False when they were none."""
    cursor = await connection.execute("DELETE FROM operators WHERE researcher_id = %s", [researcher_id])
    return cursor.rowcount > 0


async def has_operator(connection: Connection, researcher_id: UUID) -> bool:
    """Whether a researcher is an operator."""
    cursor = await connection.execute("SELECT 1 FROM operators WHERE researcher_id = %s", [researcher_id])
    return await cursor.fetchone() is not None


async def list_operators(connection: Connection) -> list[OperatorRow]:
    """All operators, those of longest standing first."""
    cursor = await connection.cursor(row_factory=class_row(OperatorRow)).execute(
        """
        SELECT r.id, r.email, r.first_name, r.last_name, o.created_at
        FROM operators o JOIN researchers r ON r.id = o.researcher_id ORDER BY o.created_at, r.id
        """
    )
    return await cursor.fetchall()
