"""SQL of the budgets of guesses."""

from __future__ import annotations

from typing import LiteralString

from fieldpack.server.db.pool import Connection

# What is spent comes back at a steady rate. PostgreSQL's clock counts, the same for every process.
_LEFT_OVER: LiteralString = (
    "greatest(0, b.spent - extract(epoch FROM clock_timestamp() - b.updated_at) * %(rate)s::float8)"
)


async def find_spent(connection: Connection, kind: str, slot: int, rate: float) -> float:
    """How much of a budget is spent now."""
    cursor = await connection.execute(
        f"SELECT {_LEFT_OVER} AS spent FROM guess_budgets b WHERE b.kind = %(kind)s AND b.slot = %(slot)s",
        {"kind": kind, "slot": slot, "rate": rate},
    )
    row = await cursor.fetchone()
    return float(row["spent"]) if row else 0.0


async def spend(connection: Connection, kind: str, slot: int, rate: float, most: int) -> bool:
    """Spend one try; return False, and change nothing, where that would exceed `most`. Locks the budget's row until
    commit."""
    cursor = await connection.execute(
        f"""
        INSERT INTO guess_budgets AS b (kind, slot, spent, updated_at)
        VALUES (%(kind)s, %(slot)s, 1, clock_timestamp())
        ON CONFLICT (kind, slot) DO UPDATE SET spent = {_LEFT_OVER} + 1, updated_at = clock_timestamp()
        WHERE {_LEFT_OVER} + 1 <= %(most)s
        RETURNING 1
        """,
        {"kind": kind, "slot": slot, "rate": rate, "most": most},
    )
    return await cursor.fetchone() is not None


async def give_back(connection: Connection, kind: str, slot: int) -> None:
    """Give one try back, which was no guess."""
    await connection.execute(
        "UPDATE guess_budgets SET spent = greatest(0, spent - 1) WHERE kind = %s AND slot = %s", [kind, slot]
    )
