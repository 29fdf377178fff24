"""Taking in: a saved answer, a small file, whole submissions; beside a bare route and one INSERT by psycopg.

CPU is that of the server's processes and of PostgreSQL's, each per request; the clients' own is not in it. Figures of
CPU hold on a busy machine too, rates and times do not.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import psutil
import psycopg
from tests.installation import Installation, installed
from tests.scenario import FREE_TEXT, PNG, Scenario

from .machine import keep, show
from .population import connected

CLIENTS = (1, 8, 64)
SECONDS = 6.0
PHOTO_BYTES = 20 * 1024
ITEMS: list[dict[str, Any]] = [
    FREE_TEXT,
    {**FREE_TEXT, "description": "Anything else?"},
    {
        "type": "multiple_choice",
        "description": "Again?",
        "options": [{"label": name, "value": name} for name in ("yes", "no")],
    },
    {
        "type": "file_upload",
        "description": "A photo",
        "accepted_file_types": [".png"],
        "max_file_count": 10_000,
    },
]
BYTES = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}

Act = Callable[[httpx.AsyncClient, int], Awaitable[None]]


@dataclass
class Costs:
    """Seconds of CPU so far, of the server's processes and of PostgreSQL's."""

    python: float
    postgres: float


class Meter:
    """Reads what a server's processes have used, and those of its PostgreSQL."""

    def __init__(self, server: int, backend: int) -> None:
        self._server = psutil.Process(server)
        parent = psutil.Process(backend).parent()
        assert parent is not None
        self._postgres = parent

    def read(self) -> Costs:
        return Costs(_used(self._server), _used(self._postgres))


def _used(root: psutil.Process) -> float:
    """Seconds of CPU of a process, those below it, and those below it that have ended."""
    seconds = 0.0
    for process in (root, *root.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


@dataclass
class Person:
    """A submission under way."""

    path: str
    headers: dict[str, str]
    items: list[str]


async def start(http: httpx.AsyncClient, study_id: str) -> Person:
    name = uuid4().hex
    answer = await http.post(
        f"/participate/studies/{study_id}/submissions", json={"participant_id": name, "session_id": name}
    )
    state = answer.raise_for_status().json()
    items = [item["id"] for item in state["collection"]["collection_items"][0]["page_items"]]
    path = f"/participate/submissions/{state['submission_id']}"
    return Person(path, {"Authorization": f"Bearer {state['token']}"}, items)


async def send_photo(http: httpx.AsyncClient, person: Person, size_bytes: int = PHOTO_BYTES) -> None:
    """A file of its own, in one request."""
    data = PNG + hashlib.shake_128(uuid4().bytes).digest(size_bytes - len(PNG))
    fields = {"instruction_id": person.items[3], "filename": "a.png", "key": uuid4().hex}
    metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in fields.items())
    headers = {**person.headers, **BYTES, "Upload-Length": str(len(data)), "Upload-Metadata": metadata}
    answer = await http.post(f"{person.path}/uploads", content=data, headers=headers)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, str(len(data))), answer.text


async def take_part(http: httpx.AsyncClient, study_id: str, photo_bytes: int) -> None:
    """A whole submission as the page sends it: start, answers together, a photo, submit."""
    person = await start(http, study_id)
    first, second, third, _ = person.items
    answers = {first: {"value": "Fine"}, second: {"value": "No"}, third: {"value": ["yes"]}}
    saved = await http.put(f"{person.path}/answers", json=answers, headers=person.headers)
    saved.raise_for_status()
    await send_photo(http, person, photo_bytes)
    (await http.post(f"{person.path}/submit", headers=person.headers)).raise_for_status()


async def drive(url: str, meter: Meter, clients: int, seconds: float, act: Act) -> dict[str, float]:
    """Let clients act as fast as they are answered; rate, times, and CPU of each act."""
    times: list[float] = []
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60, trust_env=False) as http:
        for number in range(clients):
            await act(http, number)  # connections are made, caches filled
        before, began = meter.read(), time.perf_counter()

        async def run(number: int) -> None:
            while time.perf_counter() - began < seconds:
                at = time.perf_counter()
                await act(http, number)
                times.append(time.perf_counter() - at)

        await asyncio.gather(*map(run, range(clients)))
        took, after = time.perf_counter() - began, meter.read()
    times.sort()
    count = len(times)
    return {
        "clients": clients,
        "rate": count / took,
        "p50_ms": statistics.median(times) * 1e3,
        "p95_ms": times[int(count * 0.95)] * 1e3,
        "python_ms": (after.python - before.python) * 1e3 / count,
        "postgres_ms": (after.postgres - before.postgres) * 1e3 / count,
    }


def insert_rows(url: str, clients: int, seconds: float) -> float:
    """Rows a second by one INSERT and commit each: what PostgreSQL takes from as many connections."""

    async def run() -> float:
        rows = 0
        began = time.perf_counter()

        async def insert() -> None:
            nonlocal rows
            async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
                while time.perf_counter() - began < seconds:
                    await connection.execute(
                        "INSERT INTO bench_rows (value) VALUES (%s)", ['{"value": "Fine"}']
                    )
                    rows += 1

        await asyncio.gather(*(insert() for _ in range(clients)))
        return rows / (time.perf_counter() - began)

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS bench_rows (id bigserial PRIMARY KEY, value json)")
    return asyncio.run(run())


def measure(
    server: Installation, clients: tuple[int, ...], seconds: float, photo_bytes: int
) -> list[dict[str, Any]]:
    """Every kind of work by as many clients."""
    assert server.process is not None
    with connected(server) as connection:
        meter = Meter(server.process.pid, connection.info.backend_pid)
        database = connection.info.dsn
    with server.client() as api:
        study_id = Scenario.create(api, *ITEMS, places=1_000_000).study["id"]
    found: list[dict[str, Any]] = []
    for many in clients:
        people: dict[int, Person] = {}

        async def person_of(
            http: httpx.AsyncClient, number: int, people: dict[int, Person] = people
        ) -> Person:
            if number not in people:
                people[number] = await start(http, study_id)
            return people[number]

        async def ask(http: httpx.AsyncClient, _: int) -> None:
            (await http.get("../../health/live")).raise_for_status()

        async def save(http: httpx.AsyncClient, number: int) -> None:
            person = await person_of(http, number)
            path = f"{person.path}/answers/{person.items[0]}"
            (await http.put(path, json={"value": "Fine"}, headers=person.headers)).raise_for_status()

        async def upload(http: httpx.AsyncClient, number: int) -> None:
            await send_photo(http, await person_of(http, number), photo_bytes)

        async def submit(http: httpx.AsyncClient, _: int) -> None:
            await take_part(http, study_id, photo_bytes)

        async def begin(http: httpx.AsyncClient, _: int) -> None:
            await start(http, study_id)

        acts: dict[str, Act] = {
            "bare route": ask,
            "start": begin,
            "answer": save,
            f"{photo_bytes >> 10} KiB file": upload,
            "submission": submit,
        }
        for name, act in acts.items():
            url = f"{server.url}/api/v1"
            found.append({"work": name, **asyncio.run(drive(url, meter, many, seconds, act))})
        found.append(
            {"work": "INSERT + commit", "clients": many, "rate": insert_rows(database, many, seconds / 2)}
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.intake", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each measurement")
    parser.add_argument("--clients", type=int, nargs="*", default=list(CLIENTS))
    parser.add_argument("--photo", type=int, default=PHOTO_BYTES >> 10, help="KiB of each file")
    parser.add_argument("--workers", type=int, default=1, help="web processes")
    arguments = parser.parse_args()
    most = "1000000"
    with installed(
        *("--no-worker", "--workers", str(arguments.workers)),
        FIELDPACK_RATE_PER_ADDRESS=most,
        FIELDPACK_RATE_PER_SUBMISSION=most,
    ) as server:
        rows = measure(server, tuple(arguments.clients), arguments.seconds, arguments.photo << 10)
    show(
        f"Taking in, web processes: {arguments.workers} (CPU of each request; rates are those of this moment)",
        ["work", "clients", "a second", "p50 ms", "p95 ms", "CPU ms Python", "CPU ms PostgreSQL"],
        [
            [
                row["work"],
                row["clients"],
                f"{row['rate']:,.0f}",
                *(
                    f"{row[key]:.2f}" if key in row else ""
                    for key in ("p50_ms", "p95_ms", "python_ms", "postgres_ms")
                ),
            ]
            for row in rows
        ],
    )
    keep("intake", {"seconds": arguments.seconds, "workers": arguments.workers, "rows": rows})


if __name__ == "__main__":
    main()
