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
from tests.installation import Installation
from tests.integration.rows import connected
from tests.scenario import FREE_TEXT, PNG, UPLOAD, Scenario

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="libpq traces on Linux only")

WRITTEN = re.compile(r"CommandComplete\s+\"(?:INSERT \d+|UPDATE|DELETE) ([1-9]\d*)\"")
READY = re.compile(r"ReadyForQuery\s+([IT])")
PHOTO = PNG + bytes(20 * 1024 - len(PNG))


class Costs:
    """What was asked of the disk since the last look."""

    def __init__(self, connection: PGconn, trace: Path) -> None:
        self.syncs: list[str] = []
        self._connection = connection
        self._trace = trace
        self._read = 0
        self._file = trace.open("wb")
        self._go_on()

    def _go_on(self) -> None:
        self._connection.trace(self._file.fileno())
        self._connection.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)

    def close(self) -> None:
        self._connection.untrace()
        self._file.close()

    def take(self) -> tuple[int, int, list[str]]:
        """Transactions that wrote and were committed, round trips to PostgreSQL, and files and folders flushed."""
        self._connection.untrace()  # writes out what there is
        text = self._trace.read_text(errors="replace")
        self._go_on()
        new, self._read = text[self._read :], len(text)
        commits = trips = 0
        has_written = False
        for line in new.splitlines():
            has_written |= WRITTEN.search(line) is not None
            ready = READY.search(line)
            if ready is not None:
                trips += 1
                if ready[1] == "I":
                    commits += has_written
                    has_written = False
        syncs, self.syncs = self.syncs, []
        return commits, trips, syncs


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
        async with context.database.reading() as only:
            costs = Costs(only.pgconn, trace)
        transport = httpx.ASGITransport(app)
        with contextlib.closing(costs):
            async with httpx.AsyncClient(transport=transport, base_url="http://here/api/v1") as http:
                await act(http, costs)


def test_one_commit_each(
    server: Installation, api: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start, an answer, several, a file with its flushes, handing in: each one transaction, in few round trips."""
    scenario = Scenario.create(api, FREE_TEXT, {**FREE_TEXT, "description": "More?"}, UPLOAD)
    for number in range(256):
        (server.data_dir / "storage" / "blobs" / f"{number:02x}").mkdir(parents=True, exist_ok=True)

    async def take_part(http: httpx.AsyncClient, costs: Costs) -> dict[str, tuple[int, int, list[str]]]:
        found = {}
        costs.take()
        name = uuid4().hex
        started = await http.post(
            f"/participate/studies/{scenario.study['id']}/submissions",
            json={"participant_id": name, "session_id": name},
        )
        state = started.raise_for_status().json()
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
        fields = {"instruction_id": items[2], "filename": "a.png", "key": name}
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
        await take_part(http, costs)  # fills what is kept in memory
        found = await take_part(http, costs)
        assert {name: commits for name, (commits, _, _) in found.items()} == dict.fromkeys(found, 1)
        assert {name: trips for name, (_, trips, _) in found.items()} == {
            "start": 3,
            "answer": 1,
            "answer again": 1,
            "answers": 2,
            "file": 1,
            "submit": 2,
        }
        assert {name: syncs for name, (_, _, syncs) in found.items() if syncs} == {"file": ["file", "folder"]}

    asyncio.run(serve(server, tmp_path / "trace", act))
