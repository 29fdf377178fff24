"""Rows of long results are made in steps, so that others are served meanwhile."""

from __future__ import annotations

import asyncio

import pytest
from psycopg.rows import scalar_row

from fieldpack.server.db.cursors import ROWS_AT_ONCE
from fieldpack.server.db.embedded.server import open_embedded
from fieldpack.server.db.pool import Database
from tests.installation import Installation


@pytest.mark.parametrize("rows", [0, 1, ROWS_AT_ONCE - 1, ROWS_AT_ONCE, ROWS_AT_ONCE + 1, 40 * ROWS_AT_ONCE])
def test_others_have_their_turn_while_rows_are_made(server: Installation, rows: int) -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def fetch(url: str) -> tuple[list[int], int]:
        database = Database(url)
        await database.open()
        try:
            async with database.transaction() as connection:
                cursor = await connection.cursor(row_factory=scalar_row).execute(
                    "SELECT * FROM generate_series(1, %s)", [rows]
                )
                others = asyncio.create_task(take_turns())
                await asyncio.sleep(0)
                before = turns
                found = await cursor.fetchall()
                had = turns - before
                others.cancel()
                return found, had
        finally:
            await database.close()

    with open_embedded(server.data_dir) as embedded:
        found, had = asyncio.run(fetch(embedded.url))
    assert found == list(range(1, rows + 1))
    assert had >= rows // ROWS_AT_ONCE
