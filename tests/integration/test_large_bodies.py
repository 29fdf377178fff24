"""What participants send waits for nothing large that researchers sent.

The application runs in this process, on the shared server's database and storage, so that its work can be held.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from fieldpack.server.app import create_app
from fieldpack.server.collections.routes import CollectionRoute
from fieldpack.server.config import Settings, load_settings
from fieldpack.server.http.large import LARGE_BYTES
from tests.installation import Installation
from tests.integration.rows import connected
from tests.scenario import FREE_TEXT, Participant, Scenario, collection_body

LONG = "x" * (LARGE_BYTES + 1)

Send = Callable[[httpx.AsyncClient, Participant], Awaitable[httpx.Response]]


async def send_answer(http: httpx.AsyncClient, person: Participant) -> httpx.Response:
    path = f"/api/v1{person.path}/answers/{person.item(0)}"
    return await http.put(path, json={"value": LONG}, headers=person.headers)


async def send_answers(http: httpx.AsyncClient, person: Participant) -> httpx.Response:
    given = {person.item(0): {"value": LONG}}
    return await http.put(f"/api/v1{person.path}/answers", json=given, headers=person.headers)


async def send_start(http: httpx.AsyncClient, person: Participant) -> httpx.Response:
    given = {"participant_id": uuid4().hex, "session_id": uuid4().hex}
    path = f"/api/v1/participate/studies/{person.state['study_id']}/submissions"
    body = httpx.Request("POST", "http://a.example", json=given).content + b" " * LARGE_BYTES
    return await http.post(path, content=body, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize("send", [send_answer, send_answers, send_start])
def test_participants_do_not_wait_for_researchers(
    server: Installation, api: httpx.Client, monkeypatch: pytest.MonkeyPatch, send: Send
) -> None:
    scenario = Scenario.create(api, FREE_TEXT)
    person = scenario.start(uuid4().hex)
    person.state["study_id"] = scenario.study["id"]
    begun, gate = threading.Event(), threading.Event()

    def hold(route: CollectionRoute, body: Any, settings: Settings) -> None:
        begun.set()
        assert gate.wait(300)

    monkeypatch.setattr(CollectionRoute, "check_body", hold)
    with connected(server) as connection:
        url = connection.info.dsn
    app = create_app(load_settings(data_dir=server.data_dir), url)

    async def run() -> None:
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
                body = {
                    **collection_body(scenario.collection["workspace_id"], FREE_TEXT),
                    "description": LONG,
                }
                asked = http.post(
                    "/api/v1/data-collection/collections",
                    json=body,
                    headers={"Authorization": api.headers["Authorization"]},
                )
                researcher = asyncio.create_task(asked)
                try:
                    assert await asyncio.to_thread(begun.wait, 300)
                    async with asyncio.timeout(300):
                        answer = await send(http, person)
                    assert answer.status_code in (200, 201), answer.text
                    assert not researcher.done()
                finally:
                    gate.set()
                assert (await researcher).status_code in (200, 201)

    asyncio.run(run())
