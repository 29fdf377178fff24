"""SQL of garbage: keys whose rows are deleted and whose objects are still to be deleted from storage."""

from __future__ import annotations

from fieldpack.server.db.pool import Connection


async def insert_garbage(connection: Connection, keys: list[str]) -> None:
    """Have these keys deleted from storage, once this transaction commits."""
    await connection.execute(
        "INSERT INTO garbage (key) SELECT unnest(%s::text[]) ON CONFLICT (key) DO NOTHING", [keys]
    )


async def take_garbage(connection: Connection, most: int) -> list[str]:
    """The oldest keys, locked until commit; keys that another process has locked are skipped."""
    cursor = await connection.execute(
        "SELECT key FROM garbage ORDER BY created_at, key LIMIT %s FOR UPDATE SKIP LOCKED", [most]
    )
    return [row["key"] for row in await cursor.fetchall()]


async def count_garbage(connection: Connection) -> int:
    """How many keys are still to be deleted."""
    cursor = await connection.execute("SELECT count(*) AS count FROM garbage")
    row = await cursor.fetchone()
    return row["count"] if row else 0


async def has_garbage(connection: Connection, prefixes: list[str]) -> bool:
    """Whether anything below these is still to be deleted."""
    cursor = await connection.execute(
        "SELECT 1 FROM garbage g JOIN unnest(%s::text[]) AS p (prefix)"
        " ON starts_with(g.key, p.prefix) LIMIT 1",
        [prefixes],
    )
    return await cursor.fetchone() is not None


async def delete_garbage(connection: Connection, keys: list[str]) -> None:
    """Forget keys whose objects are deleted. The caller has locked them (`take_garbage`)."""
    await connection.execute("DELETE FROM garbage WHERE key = ANY(%s)", [keys])
