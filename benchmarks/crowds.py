"""More participants than places, and a hundred at work: what each is told when, and whether anything is lost.

Both schedules are open: when somebody acts does not depend on how fast the others were answered. A start that is
refused for the moment (503, 429) comes again when `Retry-After` says so.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
from tests.installation import Installation, installed
from tests.scenario import Scenario

from .intake import ITEMS, send_photo, start
from .machine import PeakMemory, keep, show

STARTS, PLACES, OVER_SECONDS = 1_000, 500, 5.0
PEOPLE, SECONDS = 100, 15.0
FULL_STARTS, FULL_PLACES, FULL_OVER_SECONDS, FULL_SECONDS = 10_000, 5_000, 30.0, 60.0
SAVE_EVERY, UPLOAD_EVERY, PHOTO_BYTES = 2.0, 20.0, 1 << 20
LONGEST_SECONDS = 300.0
CLIENTS, CONNECTIONS = 25, 20  # of each: httpx looks through all of a client's connections for every request


def _percentile(times: list[float], share: float) -> float:
    return sorted(times)[min(int(len(times) * share), len(times) - 1)] * 1e3 if times else 0.0


async def rush(url: str, study_id: str, starts: int, over_seconds: float) -> dict[str, Any]:
    """Offer starts evenly; who got a place, who was told that it is full, and how long each answer took."""
    told: Counter[str] = Counter()
    times: list[float] = []
    began = time.perf_counter()
    limits = httpx.Limits(max_connections=CONNECTIONS)
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                httpx.AsyncClient(base_url=url, limits=limits, timeout=60, trust_env=False)
            )
            for _ in range(CLIENTS)
        ]

        async def come(number: int) -> None:
            http = clients[number % CLIENTS]
            await asyncio.sleep(number * over_seconds / starts)
            name = uuid4().hex
            body = {"participant_id": name, "session_id": name}
            while time.perf_counter() - began < LONGEST_SECONDS:
                at = time.perf_counter()
                answer = await http.post(f"/participate/studies/{study_id}/submissions", json=body)
                if answer.status_code not in (429, 503):
                    times.append(time.perf_counter() - at)
                    told[str(answer.status_code)] += 1
                    return
                told["asked to come again"] += 1
                await asyncio.sleep(float(answer.headers["Retry-After"]))
            told["gave up"] += 1

        await asyncio.gather(*map(come, range(starts)))
    return {
        "told": dict(told),
        "seconds": time.perf_counter() - began,
        "p50_ms": _percentile(times, 0.5),
        "p95_ms": _percentile(times, 0.95),
    }


async def work(url: str, study_id: str, people: int, seconds: float) -> dict[str, Any]:
    """Everybody saves an answer every two seconds and uploads a photo every twenty, whatever the others do."""
    saves: list[float] = []
    uploads: list[float] = []
    errors: Counter[str] = Counter()
    limits = httpx.Limits(max_connections=people * 2)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60, trust_env=False) as http:

        async def timed(times: list[float], act: Awaitable[None]) -> None:
            at = time.perf_counter()
            try:
                await act
            except (httpx.HTTPError, AssertionError) as error:
                errors[type(error).__name__] += 1
            else:
                times.append(time.perf_counter() - at)

        async def every(
            wait: float, until: float, times: list[float], act: Callable[[], Awaitable[None]]
        ) -> None:
            acting = []
            await asyncio.sleep(random.random() * wait)
            at = time.perf_counter()
            while at < until:
                acting.append(asyncio.create_task(timed(times, act())))
                at += wait
                await asyncio.sleep(at - time.perf_counter())
            await asyncio.gather(*acting)

        found = [await start(http, study_id) for _ in range(people)]
        until = time.perf_counter() + seconds
        tasks = []
        for person in found:

            async def save(person: Any = person) -> None:
                path = f"{person.path}/answers/{person.items[0]}"
                answer = await http.put(path, json={"value": uuid4().hex}, headers=person.headers)
                answer.raise_for_status()

            async def upload(person: Any = person) -> None:
                await send_photo(http, person, PHOTO_BYTES)

            tasks.append(every(SAVE_EVERY, until, saves, save))
            tasks.append(every(UPLOAD_EVERY, until, uploads, upload))
        await asyncio.gather(*tasks)
    return {
        "people": people,
        "saves": len(saves),
        "uploads": len(uploads),
        "errors": dict(errors),
        "save_p50_ms": _percentile(saves, 0.5),
        "save_p95_ms": _percentile(saves, 0.95),
        "upload_p95_ms": _percentile(uploads, 0.95),
    }


def measure(server: Installation, *, full: bool) -> dict[str, Any]:
    """Both crowds, one after the other."""
    starts, places = (FULL_STARTS, FULL_PLACES) if full else (STARTS, PLACES)
    with server.client() as api:
        crowded = Scenario.create(api, *ITEMS, places=places).study["id"]
        working = Scenario.create(api, *ITEMS, places=PEOPLE).study["id"]
        url = f"{server.url}/api/v1"
        with PeakMemory(server.children("web")) as peak:
            rushed = asyncio.run(rush(url, crowded, starts, FULL_OVER_SECONDS if full else OVER_SECONDS))
        rushed["memory_growth_mib"] = peak.together_mib - peak.before_mib
        rushed["places_taken"] = api.get(f"/studies/{crowded}").json()["places_taken"]
        worked = asyncio.run(work(url, working, PEOPLE, FULL_SECONDS if full else SECONDS))
    if rushed["places_taken"] != places:
        raise RuntimeError(f"{rushed['places_taken']} of {places} places were taken")
    return {"starts": starts, "places": places, "rush": rushed, "work": worked}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crowds", description=__doc__)
    parser.add_argument("--full", action="store_true", help="10,000 starts on 5,000 places; 60 s of work")
    arguments = parser.parse_args()
    most = "1000000"
    with installed(
        *("--no-worker", "--workers", "2"),
        FIELDPACK_RATE_PER_ADDRESS=most,
        FIELDPACK_RATE_PER_SUBMISSION=most,
        FIELDPACK_CONNECTIONS_PER_ADDRESS=most,
    ) as server:
        figures = measure(server, full=arguments.full)
    rushed, worked = figures["rush"], figures["work"]
    show(
        f"{figures['starts']:,} starts on {figures['places']:,} places, two web processes",
        ["places taken", "told", "p50 ms", "p95 ms", "memory grew by MiB"],
        [
            [
                f"{rushed['places_taken']:,}",
                ", ".join(f"{count:,} {what}" for what, count in sorted(rushed["told"].items())),
                f"{rushed['p50_ms']:.0f}",
                f"{rushed['p95_ms']:.0f}",
                f"{rushed['memory_growth_mib']:.0f}",
            ]
        ],
    )
    show(
        f"{worked['people']} people: an answer every {SAVE_EVERY:.0f} s, 1 MiB every {UPLOAD_EVERY:.0f} s",
        ["answers", "p50 ms", "p95 ms", "files", "p95 ms", "errors"],
        [
            [
                f"{worked['saves']:,}",
                f"{worked['save_p50_ms']:.1f}",
                f"{worked['save_p95_ms']:.1f}",
                f"{worked['uploads']:,}",
                f"{worked['upload_p95_ms']:.1f}",
                sum(worked["errors"].values()),
            ]
        ],
    )
    keep("crowds", figures)


if __name__ == "__main__":
    main()
