"""What intake costs a disk: commits and flushes, counted for each kind of request, not measured.

The application runs in this process, on the shared server's database and storage, so that its flushes and what it says
to PostgreSQL can be seen.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from psycopg.pq import Trace
from psycopg.pq.abc import PGconn

from fieldpack.server.app import create_app
from fieldpack.server.config import load_settings
from fieldpack.server.context import Context
from fieldpack.server.submissions.answering import handing_in
from fieldpack.server.submissions.beginning import start
from tests.installation import Installation
from tests.integration.rows import connected
from tests.scenario import FREE_TEXT, PNG, UPLOAD, Scenario

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="libpq traces on Linux only")

# of libpq's trace, whose messages have as many lines as the statements in them
MESSAGE = re.compile(r"^(?=[FB]\t)", re.MULTILINE)
PARSE = re.compile(r"F\s+\d+\s+Parse\s+\"(\w*)\" ")
SENT = re.compile(r"F\s+\d+\s+(?:Bind\s+\"\w*\" \"(\w*)\"|Query\s)")
DONE = re.compile(r"CommandComplete\s+\"\D+(?:\d+ )?(\d*)\"")
READY = re.compile(r"ReadyForQuery\s+([IT])")
WRITES = re.compile(r"INSERT INTO|DELETE FROM|UPDATE \w+( \w+)? SET")
PHOTO = PNG + bytes(20 * 1024 - len(PNG))


@dataclass(frozen=True)
class Asked:
    """What a request asked for."""

    commits: int = 0  # of transactions that wrote
    trips: int = 0  # to PostgreSQL and back
    statements: int = 0
    syncs: tuple[str, ...] = ()  # files and folders that were flushed


class Costs:
    """What was asked of the database and the disk since the last look."""

    def __init__(self, connection: PGconn, trace: Path) -> None:
        self.syncs: list[str] = []
        self._connection = connection
        self._trace = trace
        self._read = 0
        self._writing: dict[str, bool] = {}  # statements by name: whether they write
        self._file = trace.open("wb")
        self._go_on()

    def _go_on(self) -> None:
        self._connection.trace(self._file.fileno())
        self._connection.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)

    def close(self) -> None:
        self._connection.untrace()
        self._file.close()

    def take(self) -> Asked:
        """What was asked since this was called last."""
        self._connection.untrace()  # writes out what there is
        text = self._trace.read_text(errors="replace")
        self._go_on()
        new, self._read = text[self._read :], len(text)
        commits = trips = statements = 0
        has_written = False
        under_way: list[bool] = []
        for message in MESSAGE.split(new):
            if parsed := PARSE.match(message):
                self._writing[parsed[1]] = WRITES.search(message) is not None
            elif sent := SENT.match(message):
                statements += 1
                under_way.append(self._writing[sent[1]] if sent[1] is not None else False)
            elif done := DONE.search(message):
                has_written |= under_way.pop(0) and done[1] not in ("", "0")
            elif ready := READY.search(message):
                trips += 1
                if ready[1] == "I":
                    commits += has_written
                    has_written = False
        syncs, self.syncs = self.syncs, []
        return Asked(commits, trips, statements, tuple(syncs))


def watch(monkeypatch: pytest.MonkeyPatch, costs: Costs) -> None:
    for name in ("fsync", "fdatasync"):
        real = getattr(os, name)

        def sync(descriptor: int, real: Callable[[int], None] = real) -> None:
            real(descriptor)
            costs.syncs.append("folder" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "file")

        monkeypatch.setattr(os, name, sync)


async def serve(
    server: Installation, trace: Path, act: Callable[[httpx.AsyncClient, Costs], Awaitable[None]]
) -> None:
    """Run the application here, on one connection to PostgreSQL that is traced."""
    with connected(server) as connection:
        url = connection.info.dsn
    app = create_app(load_settings(data_dir=server.data_dir), url)
    async with app.router.lifespan_context(app):
        context: Context = app.state.context
        async with context.database.statements() as only:
            costs = Costs(only.pgconn, trace)
        transport = httpx.ASGITransport(app)
        with contextlib.closing(costs):
            async with httpx.AsyncClient(transport=transport, base_url="http://here/api/v1") as http:
                await act(http, costs)


def test_one_commit_each(
    server: Installation, api: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start, an answer, several, a file with its flushes, handing in: each one transaction, in few round trips."""
    scenario = Scenario.create(api, FREE_TEXT, {**FREE_TEXT, "description": "More?"}, UPLOAD, places=7)
    for number in range(256):
        (server.data_dir / "storage" / "blobs" / f"{number:02x}").mkdir(parents=True, exist_ok=True)

    async def come(http: httpx.AsyncClient) -> httpx.Response:
        name = uuid4().hex
        return await http.post(
            f"/participate/studies/{scenario.study['id']}/submissions",
            json={"participant_id": name, "session_id": name},
        )

    async def take_part(http: httpx.AsyncClient, costs: Costs) -> dict[str, Asked]:
        found = {}
        costs.take()
        state = (await come(http)).raise_for_status().json()
        found["start"] = costs.take()
        path = f"/participate/submissions/{state['submission_id']}"
        headers = {"Authorization": f"Bearer {state['token']}"}
        items = [item["id"] for item in state["collection"]["collection_items"][0]["page_items"]]

        async def save(where: str, body: Any, **more: str) -> None:
            answer = await http.put(f"{path}/answers{where}", json=body, headers={**headers, **more})
            answer.raise_for_status()

        await save(f"/{items[0]}", {"value": "Fine"})
        found["answer"] = costs.take()
        await save(f"/{items[0]}", {"value": "Good"}, **{"If-Match": '"1"'})
        found["answer again"] = costs.take()
        await save("", {items[0]: {"value": "a", "revision": 2}, items[1]: {"value": "b", "revision": 0}})
        found["answers"] = costs.take()
        fields = {"instruction_id": items[2], "filename": "a.png", "key": uuid4().hex}
        sent = await http.post(
            f"{path}/uploads",
            content=PHOTO,
            headers={
                **headers,
                "Tus-Resumable": "1.0.0",
                "Content-Type": "application/offset+octet-stream",
                "Upload-Length": str(len(PHOTO)),
                "Upload-Metadata": ",".join(
                    f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in fields.items()
                ),
            },
        )
        assert (sent.status_code, sent.headers["Upload-Offset"]) == (201, str(len(PHOTO)))
        found["file"] = costs.take()
        (await http.post(f"{path}/submit", headers=headers)).raise_for_status()
        found["submit"] = costs.take()
        return found

    async def act(http: httpx.AsyncClient, costs: Costs) -> None:
        watch(monkeypatch, costs)
        for _ in range(6):  # fills what is kept in memory, and has statements prepared
            await take_part(http, costs)
        assert await take_part(http, costs) == {
            "start": Asked(1, 2, 4),
            "answer": Asked(1, 1, 1),
            "answer again": Asked(1, 1, 1),
            "answers": Asked(1, 1, 1),
            "file": Asked(1, 1, 2, ("file", "folder")),
            "submit": Asked(1, 2, 6),
        }
        for _ in range(2):
            assert (await come(http)).status_code == 409  # it is full
        costs.take()
        assert (await come(http)).status_code == 409
        assert costs.take() == Asked(0, 2, 3)

    asyncio.run(serve(server, tmp_path / "trace", act))


def once(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, meanwhile: Callable[[], None]) -> None:
    """Have something happen before the next call of a function, between what was read and what is written."""
    real = getattr(module, name)

    async def wait(*arguments: Any) -> Any:
        monkeypatch.setattr(module, name, real)
        meanwhile()
        return await real(*arguments)

    monkeypatch.setattr(module, name, wait)


def test_what_is_given_while_somebody_hands_in_counts(
    server: Installation, api: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = Scenario.create(api, FREE_TEXT, UPLOAD)
    person = scenario.start("p")
    text, photo = person.item(0), person.item(1)

    def change() -> None:
        assert person.answer(text, {"value": "later"}).status_code == 200
        person.upload(photo, "late.png", PHOTO)

    def clear_and_give() -> None:
        assert person.answer(text, None).status_code == 200
        assert person.answer(text, {"value": "latest"}).status_code == 200

    async def act(http: httpx.AsyncClient, _: Costs) -> None:
        nonlocal person
        for meanwhile, value, files in ((change, "later", 1), (clear_and_give, "latest", 0)):
            assert person.answer(text, {"value": "first"}).status_code == 200
            once(monkeypatch, handing_in, "_activate", meanwhile)
            (await http.post(f"{person.path}/submit", headers=person.headers)).raise_for_status()
            with connected(server) as database:
                handed_in = database.execute(
                    "SELECT answers #>> ARRAY[%s, 'value'], file_count FROM submissions WHERE id = %s",
                    [text, person.submission_id],
                )
                assert handed_in.fetchone() == (value, files)
            person = scenario.start("q")

    asyncio.run(serve(server, tmp_path / "trace", act))


def test_a_place_that_is_taken_while_somebody_comes_is_theirs_no_more(
    server: Installation, api: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = Scenario.create(api, FREE_TEXT, places=2)
    path = f"/participate/studies/{scenario.study['id']}/submissions"
    same = {"participant_id": "p", "session_id": "s"}
    begun: list[str] = []

    def begin() -> None:
        begun.append(api.post(path, json=same).raise_for_status().json()["submission_id"])

    def take_last() -> None:
        scenario.start("q")

    async def act(http: httpx.AsyncClient, _: Costs) -> None:
        once(monkeypatch, start, "_begin", begin)
        found = await http.post(path, json=same)
        assert (found.status_code, found.json()["submission_id"]) == (200, begun[0])
        once(monkeypatch, start, "_begin", take_last)
        assert (await http.post(path, json={"participant_id": "r"})).status_code == 409

    asyncio.run(serve(server, tmp_path / "trace", act))
    counts = api.get(f"/studies/{scenario.study['id']}/submissions/counts").json()
    assert (counts["ACTIVE"], counts["TOTAL"]) == (2, 2)
    assert api.get(f"/studies/{scenario.study['id']}").json()["places_taken"] == 2
