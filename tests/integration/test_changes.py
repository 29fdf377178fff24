"""The log of changes: what happens is in it, in the transaction that does it, and nothing of a person."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg

from fieldpack.server.changes.news import PAUSE_SECONDS, News
from fieldpack.server.db.embedded.server import open_embedded
from fieldpack.server.db.pool import Database
from tests.gates import PATIENCE_SECONDS, wait_for
from tests.installation import Installation
from tests.integration.rows import connected
from tests.scenario import Scenario, expect


def logged(server: Installation, scenario: Scenario) -> list[tuple[str, str, dict[str, Any]]]:
    """Type, object and detail of what happened to a collection, in order."""
    with connected(server) as database:
        rows = database.execute(
            "SELECT type, object_id, detail FROM changes WHERE collection_id = %s ORDER BY id",
            [scenario.collection["id"]],
        ).fetchall()
    return [(kind, str(object_id), detail) for kind, object_id, detail in rows]


def test_what_happens_is_logged(api: httpx.Client, server: Installation) -> None:
    scenario = Scenario.create(api, places=1)
    collection, study = scenario.collection["id"], scenario.study["id"]
    name = f"person-{uuid4()}"
    submission = scenario.take_part(name)
    expect(api.post(f"/submissions/{submission}/transition", json={"action": "APPROVE"}), 200)
    expect(api.patch(f"/studies/{study}", json={"name": "Other"}), 200)
    export = scenario.export()["export_id"]
    expect(api.delete(f"{scenario.export_path}/{export}"), 204)
    expect(api.delete(f"/submissions/{submission}"), 204)
    found = logged(server, scenario)
    assert [(kind, object_id) for kind, object_id, _ in found] == [
        ("collection.created", collection),
        ("study.created", study),
        ("study.status", study),
        ("study.progress", study),
        ("study.status", study),
        ("submission.status", submission),
        ("submission.status", submission),
        ("submission.status", submission),
        ("study.changed", study),
        ("export.status", export),
        ("export.status", export),
        ("export.deleted", export),
        ("submission.erased", submission),
    ]
    assert name not in str(found)
    statuses = [detail["status"] for kind, _, detail in found if kind == "submission.status"]
    assert statuses == ["ACTIVE", "AWAITING REVIEW", "APPROVED"]


def test_what_is_rolled_back_did_not_happen(api: httpx.Client, server: Installation) -> None:
    scenario = Scenario.create(api)
    before = logged(server, scenario)
    with connected(server) as database, database.transaction(force_rollback=True):
        database.execute("UPDATE studies SET status = 'PAUSED' WHERE id = %s", [scenario.study["id"]])
    assert logged(server, scenario) == before


def test_one_statement_for_many(api: httpx.Client, server: Installation) -> None:
    """Nothing is lost when one statement changes many rows; what does not change is not logged."""
    scenario = Scenario.create(api)
    submissions = {scenario.take_part(f"p{number}") for number in range(5)}
    body = {"submission_ids": sorted(submissions)}
    expect(api.post("/submissions/bulk-approve", json=body), 200)
    expect(api.post("/submissions/bulk-approve", json=body), 200)
    approved = [row for row in logged(server, scenario) if row[2].get("status") == "APPROVED"]
    assert sorted(row[1] for row in approved) == sorted(submissions)


def test_a_reader_waits_for_who_may_still_come_before(api: httpx.Client, server: Installation) -> None:
    """Ids are given when something is done, and seen when it is committed: a reader who goes on by id misses none."""
    scenario = Scenario.create(api)
    query = """
        SELECT count(*) FROM changes
        WHERE collection_id = %s AND transaction < pg_snapshot_xmin(pg_current_snapshot())
    """

    def settled(database: psycopg.Connection[Any]) -> int:
        row = database.execute(query, [scenario.collection["id"]]).fetchone()
        assert row is not None
        return int(row[0])

    with connected(server) as slow, connected(server) as reader:
        wait_for(lambda: settled(reader) == 3)
        with slow.transaction():
            slow.execute("UPDATE collections SET name = 'Slow' WHERE id = %s", [scenario.collection["id"]])
            scenario.start("a")
            assert settled(reader) == 3
        wait_for(lambda: settled(reader) > 4)


@contextlib.asynccontextmanager
async def opened(server: Installation) -> AsyncIterator[Database]:
    with open_embedded(server.data_dir) as embedded:
        database = Database(embedded.url)
        await database.open()
        try:
            yield database
        finally:
            await database.close()


def test_who_waits_for_a_collection_hears_of_it(api: httpx.Client, server: Installation) -> None:
    """Also of what was logged before later changes, and committed after them; not of what he has heard already."""
    scenario, other = Scenario.create(api), Scenario.create(api)
    ids = UUID(scenario.collection["id"]), UUID(other.collection["id"])

    async def hear() -> None:
        async with contextlib.AsyncExitStack() as stack:
            database = await stack.enter_async_context(opened(server))
            heard = [await stack.enter_async_context(news.subscribed(database, id)) for id in ids]
            for event in heard:
                await asyncio.wait_for(event.wait(), PATIENCE_SECONDS)  # what came before is not known
                event.clear()
            with connected(server) as slow, slow.transaction():
                slow.execute("UPDATE collections SET name = 'Slow' WHERE id = %s", [ids[0]])
                await asyncio.to_thread(other.start, "a")
                await asyncio.wait_for(heard[1].wait(), PATIENCE_SECONDS)
                heard[1].clear()
                await asyncio.sleep(2 * PAUSE_SECONDS)
                assert [event.is_set() for event in heard] == [False, False]
            await asyncio.wait_for(heard[0].wait(), PATIENCE_SECONDS)
            assert not heard[1].is_set()

    news = News()
    asyncio.run(hear())


def test_what_a_backup_brought_is_no_news(api: httpx.Client, server: Installation) -> None:
    """Its rows name transactions of another PostgreSQL, which are still to come in this one."""
    scenario = Scenario.create(api)
    id = UUID(scenario.collection["id"])
    with connected(server) as database:
        database.execute(
            """
            INSERT INTO changes (type, object_id, workspace_id, collection_id, transaction)
            SELECT 'collection.changed', id, workspace_id, id, (pg_current_xact_id()::text::bigint + 10000)::text::xid8
            FROM collections WHERE id = %s
            """,
            [id],
        )

    async def hear() -> None:
        async with contextlib.AsyncExitStack() as stack:
            database = await stack.enter_async_context(opened(server))
            event = await stack.enter_async_context(News().subscribed(database, id))
            await asyncio.wait_for(event.wait(), PATIENCE_SECONDS)
            event.clear()
            await asyncio.sleep(3 * PAUSE_SECONDS)
            assert not event.is_set()
            await asyncio.to_thread(scenario.start, "a")
            await asyncio.wait_for(event.wait(), PATIENCE_SECONDS)

    asyncio.run(hear())


def test_nobody_looks_when_nobody_waits(server: Installation) -> None:
    async def look() -> None:
        news = News()
        async with opened(server) as database:
            async with news.subscribed(database, uuid4()) as event:
                await asyncio.wait_for(event.wait(), PATIENCE_SECONDS)
                assert "news" in {task.get_name() for task in asyncio.all_tasks()}
            await asyncio.sleep(0)
            assert "news" not in {task.get_name() for task in asyncio.all_tasks()}

    asyncio.run(look())
