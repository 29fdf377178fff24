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

import uvloop
from tests.installation import Installation, installed
from tests.scenario import Scenario

from .earlier import source_of
from .intake import EARLIER_SETTINGS, SETTINGS
from .machine import PeakMemory, keep, show
from .participants import ITEMS, Person, ask_start, save, send_photo, start
from .wire import Wire

STARTS, PLACES, OVER_SECONDS = 1_000, 500, 5.0
PEOPLE, SECONDS = 100, 15.0
FULL_STARTS, FULL_PLACES, FULL_OVER_SECONDS, FULL_SECONDS = 10_000, 5_000, 30.0, 60.0
SAVE_EVERY, UPLOAD_EVERY, PHOTO_BYTES = 2.0, 20.0, 1 << 20
LONGEST_SECONDS = 300.0


def _percentile(times: list[float], share: float) -> float:
    return sorted(times)[min(int(len(times) * share), len(times) - 1)] * 1e3 if times else 0.0


async def rush(url: str, study_id: str, starts: int, over_seconds: float) -> dict[str, Any]:
    """Offer starts evenly; who got a place, who was told that it is full, and how long each answer took."""
    told: Counter[str] = Counter()
    times: list[float] = []
    began = time.perf_counter()
    with contextlib.closing(Wire(url)) as wire:

        async def come(number: int) -> None:
            await asyncio.sleep(number * over_seconds / starts)
            while time.perf_counter() - began < LONGEST_SECONDS:
                at = time.perf_counter()
                answer = await ask_start(wire, study_id)
                if answer.status not in (429, 503):
                    times.append(time.perf_counter() - at)
                    told[str(answer.status)] += 1
                    return
                told["asked to come again"] += 1
                await asyncio.sleep(float(answer.header("Retry-After")))
            told["gave up"] += 1

        await asyncio.gather(*map(come, range(starts)))
    return {
        "told": dict(told),
        "seconds": time.perf_counter() - began,
        "p50_ms": _percentile(times, 0.5),
        "p95_ms": _percentile(times, 0.95),
    }


async def work(url: str, study_id: str, people: int, seconds: float, *, at_once: bool) -> dict[str, Any]:
    """Everybody saves an answer every two seconds and uploads a photo every twenty, whatever the others do.

    Args:
        at_once: a file is one request.
    """
    saves: list[float] = []
    uploads: list[float] = []
    errors: Counter[str] = Counter()
    with contextlib.closing(Wire(url)) as wire:

        async def timed(times: list[float], act: Awaitable[None]) -> None:
            at = time.perf_counter()
            try:
                await act
            except (RuntimeError, OSError) as error:
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

        found = [await start(wire, study_id) for _ in range(people)]
        until = time.perf_counter() + seconds
        tasks = []
        for person in found:

            async def answer(person: Person = person) -> None:
                await save(wire, person, 0, uuid4().hex)

            async def upload(person: Person = person) -> None:
                await send_photo(wire, person, PHOTO_BYTES, at_once=at_once)

            tasks.append(every(SAVE_EVERY, until, saves, answer))
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


def measure(server: Installation, *, full: bool, at_once: bool = True) -> dict[str, Any]:
    """Both crowds, one after the other."""
    starts, places = (FULL_STARTS, FULL_PLACES) if full else (STARTS, PLACES)
    with server.client() as api:
        crowded = Scenario.create(api, *ITEMS, places=places).study["id"]
        working = Scenario.create(api, *ITEMS, places=PEOPLE).study["id"]
        over_seconds, seconds = (FULL_OVER_SECONDS, FULL_SECONDS) if full else (OVER_SECONDS, SECONDS)
        with PeakMemory(server.children("web")) as peak:
            rushed = uvloop.run(rush(server.url, crowded, starts, over_seconds))
        rushed["memory_growth_mib"] = peak.together_mib - peak.before_mib
        rushed["places_taken"] = api.get(f"/studies/{crowded}").json()["places_taken"]
        worked = uvloop.run(work(server.url, working, PEOPLE, seconds, at_once=at_once))
    if rushed["places_taken"] != places:
        raise RuntimeError(f"{rushed['places_taken']} of {places} places were taken")
    return {"starts": starts, "places": places, "rush": rushed, "work": worked}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crowds", description=__doc__)
    parser.add_argument("--full", action="store_true", help="10,000 starts on 5,000 places; 60 s of work")
    parser.add_argument("--earlier", metavar="REVISION", help="measure this revision's server after it")
    arguments = parser.parse_args()
    options = ("--no-worker", "--workers", "2")
    with installed(*options, **SETTINGS) as server:
        found = {"this": measure(server, full=arguments.full)}
    if arguments.earlier is not None:
        with (
            source_of(arguments.earlier) as source,
            installed(*options, **EARLIER_SETTINGS, PYTHONPATH=str(source)) as server,
        ):
            found["earlier"] = measure(server, full=arguments.full, at_once=False)
    first = found["this"]
    show(
        f"{first['starts']:,} starts on {first['places']:,} places, two web processes",
        ["", "places taken", "told", "p50 ms", "p95 ms", "memory grew by MiB"],
        [
            [
                name,
                f"{rushed['places_taken']:,}",
                ", ".join(f"{count:,} {what}" for what, count in sorted(rushed["told"].items())),
                f"{rushed['p50_ms']:.0f}",
                f"{rushed['p95_ms']:.0f}",
                f"{rushed['memory_growth_mib']:.0f}",
            ]
            for name, rushed in ((name, figures["rush"]) for name, figures in found.items())
        ],
    )
    show(
        f"{PEOPLE} people: an answer every {SAVE_EVERY:.0f} s, 1 MiB every {UPLOAD_EVERY:.0f} s",
        ["", "answers", "p50 ms", "p95 ms", "files", "p95 ms", "errors"],
        [
            [
                name,
                f"{worked['saves']:,}",
                f"{worked['save_p50_ms']:.1f}",
                f"{worked['save_p95_ms']:.1f}",
                f"{worked['uploads']:,}",
                f"{worked['upload_p95_ms']:.1f}",
                sum(worked["errors"].values()),
            ]
            for name, worked in ((name, figures["work"]) for name, figures in found.items())
        ],
    )
    keep("crowds", found)


if __name__ == "__main__":
    main()
