"""What is done a while after it was asked for: whoever may not have it any more by then does not get it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from fieldpack.server.accounts.credentials.changes import hand_over
from fieldpack.server.accounts.permissions.roles import Role
from fieldpack.server.app import create_app
from fieldpack.server.config import load_settings
from fieldpack.server.db.embedded.server import open_embedded
from fieldpack.server.http import routing
from tests.installation import Installation
from tests.integration.rows import connected, insert_researcher
from tests.integration.test_signing_in import COOKIE, PASSWORD, by_link, make_researcher
from tests.integration.waiting import wait_for
from tests.refusals import refused
from tests.scenario import Scenario, expect

GONE = "DELETE FROM memberships WHERE researcher_id = %s"
LOWER = "UPDATE memberships SET role = 'viewer' WHERE researcher_id = %s"
REVOKED = "UPDATE tokens SET revoked_at = now() WHERE researcher_id = %s"


# a worker makes anew what is generating without a job
WAITING = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at)
    SELECT 'never', t.name, jsonb_build_object(t.key, t.id), now() + interval '1 day'
    FROM (SELECT 'fieldpack:export' AS name, 'export_id' AS key, id FROM exports WHERE id = %(export)s
          UNION ALL
          SELECT 'fieldpack:convert', 'conversion_id', id FROM conversions WHERE export_id = %(export)s) t
"""


@pytest.fixture(scope="module")
def made(server: Installation) -> Any:
    """A collection with an export and a conversion of it, which no worker makes again."""
    with server.client() as api:
        scenario = Scenario.create(api)
        scenario.take_part("one")
        export = scenario.export()
        path = f"{scenario.export_path}/{export['export_id']}/conversions/csv"
        for _ in range(10):
            found = api.post(path, headers={"Prefer": "wait=60"}).json()
            if found["status"] == "complete":
                break
        assert found["status"] == "complete", found
        with connected(server) as database:
            database.execute(WAITING, {"export": export["export_id"]})
            yield scenario, export["export_id"]
            database.execute("DELETE FROM procrastinate_jobs WHERE queue_name = 'never'")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("table", ["exports", "conversions"])
@pytest.mark.parametrize("end", [GONE, LOWER, REVOKED, None])
def test_an_answer_that_was_waited_for(
    server: Installation, made: Any, method: str, table: str, end: str | None
) -> None:
    scenario, export_id = made
    of_export = f"{scenario.export_path}/{export_id}"
    path = f"{of_export}/conversions/csv" if table == "conversions" else of_export
    if method == "POST" and table == "exports":
        path = scenario.export_path
    workspace = scenario.collection["workspace_id"]
    researcher, token = insert_researcher(server, role=Role.EDITOR, workspace_id=workspace)
    key = "id" if table == "exports" else "export_id"
    change = f"UPDATE {table} SET status = %s WHERE {key} = %s"
    with connected(server) as database, server.client(token) as api, ThreadPoolExecutor(1) as pool:
        database.execute(change, ["generating", export_id])
        try:
            asked = pool.submit(api.request, method, path, headers={"Prefer": "wait=50"})
            used = "SELECT 1 FROM tokens WHERE researcher_id = %s AND last_used_at IS NOT NULL"
            wait_for(lambda: asked.done() or database.execute(used, [researcher]).fetchone() is not None)
            assert not asked.done(), asked.result().text
            if end is not None:
                database.execute(end, [researcher])
        finally:
            database.execute(change, ["complete", export_id])
        answer, fresh = asked.result(), api.request(method, path)
        if end is None:
            assert "url" in expect(answer, 200)
        else:
            assert refused(answer, fresh.status_code) == refused(fresh, fresh.status_code)


Send = Callable[[httpx.AsyncClient, str, AsyncIterator[bytes]], Any]


async def send_json(http: httpx.AsyncClient, token: str, body: AsyncIterator[bytes]) -> httpx.Response:
    return await http.post("/api/v1/workspaces", content=body, headers={"Authorization": f"Token {token}"})


async def send_form(http: httpx.AsyncClient, token: str, body: AsyncIterator[bytes]) -> httpx.Response:
    answer = await http.post("/sign-in", data={"token": token}, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 303, answer.text
    headers = {
        "Cookie": f"{COOKIE}={answer.cookies[COOKIE]}",
        "Sec-Fetch-Site": "same-origin",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    http.cookies.clear()
    return await http.post("/researcher/account/tokens", content=body, headers=headers)


@pytest.mark.parametrize(
    ("send", "content"), [(send_json, b'{"title": "Slow"}'), (send_form, b"name=Slow&role=viewer")]
)
@pytest.mark.parametrize("long_seconds", [-1.0, 3600.0])
def test_a_body_that_took_long(
    server: Installation, monkeypatch: pytest.MonkeyPatch, send: Send, content: bytes, long_seconds: float
) -> None:
    """Whoever sent it is asked again. What came soon is carried out, as ever."""
    monkeypatch.setattr(routing, "LONG_SECONDS", long_seconds)
    with server.client() as api:
        workspace = expect(api.get("/workspaces"), 200)["results"][0]["id"]
    researcher, token = insert_researcher(server, role=Role.OWNER, workspace_id=workspace)
    with connected(server) as connection:
        url = connection.info.dsn
    app = create_app(load_settings(data_dir=server.data_dir), url)

    async def body() -> AsyncIterator[bytes]:
        yield content[:5]
        if long_seconds < 0:
            with connected(server) as database:
                database.execute(REVOKED, [researcher])
        yield content[5:]

    async def run() -> httpx.Response:
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
                found: httpx.Response = await send(http, token, body())
                return found

    answer = asyncio.run(run())
    assert (answer.status_code == 401) == (long_seconds < 0), answer.text
    with connected(server) as database:
        tokens = database.execute("SELECT count(*) FROM tokens WHERE researcher_id = %s", [researcher])
        owned = database.execute("SELECT count(*) FROM memberships WHERE researcher_id = %s", [researcher])
        found = tokens.fetchone()[0] + owned.fetchone()[0]  # type: ignore[index]
    assert found == (2 if long_seconds < 0 else 3)


@pytest.mark.parametrize(
    ("path", "form", "table"),
    [
        ("/researcher/account/tokens", {"name": "kept"}, "tokens"),
        ("/researcher/account/password", {"password": PASSWORD, "again": PASSWORD}, "passwords"),
    ],
)
def test_what_is_set_up_while_an_account_is_handed_over(
    server: Installation, path: str, form: dict[str, str], table: str
) -> None:
    """It waits for whoever takes the account over, and leaves nothing behind then."""
    email = make_researcher(server)
    browser = by_link(server, email)
    blocked = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
    of = "SELECT FROM researchers WHERE email = %s"
    with connected(server) as database, connected(server) as watcher, ThreadPoolExecutor(1) as pool:
        with database.transaction():
            database.execute(f"{of} FOR UPDATE", [email])
            sent = pool.submit(browser.post, path, **form)
            wait_for(lambda: sent.done() or watcher.execute(blocked, [f"%INTO {table} %"]).rowcount)
            assert not sent.done(), sent.result().text
            database.execute(
                "UPDATE researcher_sessions s SET ended_at = now() FROM researchers r"
                " WHERE r.id = s.researcher_id AND r.email = %s",
                [email],
            )
        assert sent.result().status_code == 401, sent.result().text
        left = f"SELECT FROM {table} t JOIN researchers r ON r.id = t.researcher_id WHERE r.email = %s"
        assert database.execute(left, [email]).rowcount == 0


def test_who_signs_in_while_an_account_is_handed_over_is_waited_for(server: Installation) -> None:
    """Each locks what the other wants next; neither may be told that the database doesn't answer."""
    email = make_researcher(server)
    browser = by_link(server, email)
    expect(browser.post("/researcher/account/password", password=PASSWORD, again=PASSWORD), 303)
    blocked = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FROM passwords%'"

    async def take_over(url: str, researcher: UUID) -> None:
        async with await psycopg.AsyncConnection.connect(url, row_factory=dict_row) as connection:
            await hand_over(connection, researcher)

    with (
        open_embedded(server.data_dir) as embedded,
        connected(server) as database,
        connected(server) as watcher,
        ThreadPoolExecutor(1) as pool,
    ):
        [(researcher,)] = database.execute("SELECT id FROM researchers WHERE email = %s", [email]).fetchall()
        with database.transaction():
            database.execute("UPDATE passwords SET hash = hash WHERE researcher_id = %s", [researcher])
            taken = pool.submit(asyncio.run, take_over(embedded.url, researcher))
            wait_for(lambda: taken.done() or watcher.execute(blocked).rowcount)
            # as the foreign key of a new session does
            database.execute("SELECT FROM researchers WHERE id = %s FOR KEY SHARE", [researcher])
        taken.result()
        left = "SELECT FROM passwords WHERE researcher_id = %s"
        assert database.execute(left, [researcher]).rowcount == 0
