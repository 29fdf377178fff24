"""What the audit log costs a request: the same requests with their entries written and left out, by turns."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg.rows import class_row
from tests.installation import Installation, installed
from tests.scenario import Scenario

from fieldpack.server.app import create_app
from fieldpack.server.audit import queries
from fieldpack.server.config import load_settings
from fieldpack.server.machine.logs import configure_logs

from .machine import keep, show
from .population import connected, make_blobs, populate

REQUESTS = (
    600  # with and without an entry, one after the other: a machine's speed changes from second to second
)
WARM = 60
SUBMISSIONS = 400
PHOTO_BYTES = 200_000

Request = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


async def _leave_out(*given: Any) -> None:
    """In the place of the statement that writes an entry."""


async def _only_find(connection: Any, kind: Any, found: str, values: dict[str, Any], entry: Any) -> Any:
    """In the place of the one that finds a row and writes an entry about it."""
    return await (await connection.cursor(row_factory=class_row(kind)).execute(found, values)).fetchone()


def _cpu_seconds(connection: psycopg.Connection[Any]) -> float:
    """CPU of this process and of all PostgreSQL backends of the database, but the one that asks."""
    pids = connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    ).fetchall()
    spent = time.process_time()
    for (pid,) in pids:
        try:
            spent += int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
        except OSError:  # it ended meanwhile
            continue
    return spent


async def _measure(
    api: httpx.AsyncClient, connection: psycopg.Connection[Any], ask: Request
) -> tuple[float, float]:
    """How long a request takes, and its CPU; in ms."""
    before, started = _cpu_seconds(connection), time.perf_counter()
    answer = await ask(api)
    taken = time.perf_counter() - started
    assert answer.status_code == 200, answer.text
    return taken * 1000, (_cpu_seconds(connection) - before) * 1000


async def _compare(installation: Installation, url: str, asked: dict[str, Request]) -> dict[str, Any]:
    writing = (queries.insert_entry, queries.find_and_insert)
    settings = load_settings(data_dir=installation.data_dir, rate_per_submission=1_000_000)
    configure_logs(settings, process="benchmark")
    app = create_app(settings, url)
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": f"Token {installation.token}"}
    figures: dict[str, Any] = {}
    with connected(installation) as connection:
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://here/api/v1", headers=headers) as api,
        ):
            for name, ask in asked.items():
                found: dict[str, list[tuple[float, float]]] = {"written": [], "left out": []}
                ways: dict[str, Any] = {"written": writing, "left out": (_leave_out, _only_find)}
                for _ in range(WARM):
                    await _measure(api, connection, ask)
                entries = _count(connection)
                for number in range(REQUESTS):
                    for way in sorted(ways, reverse=bool(number % 2)):
                        queries.insert_entry, queries.find_and_insert = ways[way]
                        found[way].append(await _measure(api, connection, ask))
                queries.insert_entry, queries.find_and_insert = writing
                figures[name] = _sum_up(found, (_count(connection) - entries) / REQUESTS)
    return figures


def _count(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT count(*) FROM audit_entries").fetchone()
    assert row is not None
    return int(row[0])


def _sum_up(found: dict[str, list[tuple[float, float]]], entries: float) -> dict[str, Any]:
    def median_of(way: str, which: int) -> float:
        return statistics.median(values[which] for values in found[way])

    median, without = median_of("written", 0), median_of("left out", 0)
    cpu = median_of("written", 1) - median_of("left out", 1)
    return {
        "entries_per_request": entries,
        "median_ms": median,
        "median_without_ms": without,
        "added_of_median": median / without - 1,
        "added_cpu_ms": cpu,
        "within": cpu <= 0.2 or median / without - 1 <= 0.05,
    }


def run() -> dict[str, Any]:
    with installed("--no-worker") as installation:
        blobs = make_blobs(installation, 8, PHOTO_BYTES)
        population = populate(installation, SUBMISSIONS, blobs)
        path = f"/data-collection/collections/{population.collection_id}"
        with installation.client() as api, connected(installation) as connection:
            listed = api.get(f"{path}/responses").json()["results"]
            photo = next(
                answer["file_key"]
                for record in listed
                for answer in record["response"]["answer"]
                if "file_key" in answer
            )
            participant = Scenario.create(api).start("participant")
            url = connection.info.dsn
        answer = f"{participant.path}/answers/{participant.item(0)}"
        asked: dict[str, Request] = {
            "saving an answer": lambda api: api.put(
                answer, json={"value": "It was fine."}, headers=participant.headers
            ),
            "listing 200 responses": lambda api: api.get(f"{path}/responses"),
            "opening a photo": lambda api: api.get(f"{path}/files/{photo}"),
        }
        figures = asyncio.run(_compare(installation, url, asked))
    show(
        f"audit entries written and left out, {REQUESTS} requests each by turns",
        ["", "entries", "median", "without", "added", "CPU added"],
        [
            [
                name,
                f"{found['entries_per_request']:.0f}",
                f"{found['median_ms']:.2f} ms",
                f"{found['median_without_ms']:.2f} ms",
                f"{found['added_of_median']:+.1%}",
                f"{found['added_cpu_ms']:+.3f} ms",
            ]
            for name, found in figures.items()
        ],
    )
    keep("audit", figures)
    return figures


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    run()


if __name__ == "__main__":
    main()
