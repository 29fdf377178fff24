"""Open overviews: what they cost while submissions come in, and how soon they show them.

The same submissions come in twice, once while nobody watches and once while all overviews are open, each a stream as a
browser has it that fetches the page anew as often as the page's script does. The difference is what watching costs: CPU
of the server's processes and of PostgreSQL's, in parts of one core. It holds on a busy machine too; delays do not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from tests.installation import Installation, installed
from tests.scenario import FREE_TEXT, Scenario

from fieldpack.server.exports.line_queries import write_line_end

from .intake import Costs, Meter
from .machine import keep, show
from .population import connected

OVERVIEWS = 50
RATE = 5.0  # submissions a second
SECONDS = 60.0
FETCH_SECONDS = 30.0  # between two fetches of the page by its script
SIZES = (0, 10_000, 100_000)
MOST_OF_A_SESSION = 60
ITEMS: list[dict[str, Any]] = [
    FREE_TEXT,
    {
        "type": "multiple_choice",
        "description": "Again?",
        "options": [{"label": name, "value": name} for name in ("yes", "no")],
    },
    {"type": "free_text", "description": "How many?", "validation": {"type": "number"}},
]


@dataclass
class Seen:
    """What the overviews were told.

    Attributes:
        at: of each count of submissions, when each overview first had it, or a higher one.
        events: how many came.
        fetched: how often a page was fetched.
    """

    at: dict[int, list[float]] = field(default_factory=dict)
    events: int = 0
    fetched: int = 0


async def watch(http: httpx.AsyncClient, page: str, seen: Seen) -> None:
    """One open overview."""
    latest, gathered, fetch_at = -1, None, time.monotonic() + random.uniform(0, FETCH_SECONDS)
    async with http.stream("GET", f"{page}/live", headers={"Accept": "text/event-stream"}) as stream:
        assert stream.status_code == 200, stream.status_code
        async for line in stream.aiter_lines():
            if not line.startswith("data: {"):
                continue
            now = time.monotonic()
            said = json.loads(line.removeprefix("data: "))
            count = int(said["figures"]["submitted"])
            seen.events += 1
            for number in range(max(latest, 0) + 1, count + 1) if latest >= 0 else ():
                seen.at.setdefault(number, []).append(now)
            latest = count
            if said["gathered"] != gathered and now >= fetch_at:
                gathered, fetch_at = said["gathered"], now + FETCH_SECONDS
                answer = await http.get(page)
                assert answer.status_code == 200
                seen.fetched += 1


async def submit(
    http: httpx.AsyncClient, people: list[tuple[str, dict[str, str]]], seconds: float
) -> list[float]:
    """Submissions at the rate; when each was answered."""
    done: list[float] = []
    begun = time.monotonic()
    tasks = []

    async def one(path: str, headers: dict[str, str]) -> None:
        answer = await http.post(f"{path}/submit", headers=headers)
        assert answer.status_code == 200, answer.text
        done.append(time.monotonic())

    for number in range(int(RATE * seconds)):
        await asyncio.sleep(max(0.0, begun + number / RATE - time.monotonic()))
        tasks.append(asyncio.create_task(one(*people.pop())))
    await asyncio.gather(*tasks)
    return sorted(done)


async def start(http: httpx.AsyncClient, scenario: Scenario, count: int) -> list[tuple[str, dict[str, str]]]:
    """People who have answered all and not submitted."""
    turns = asyncio.Semaphore(8)
    items = [item["id"] for page in scenario.collection["collection_items"] for item in page["page_items"]]

    async def one(number: int) -> tuple[str, dict[str, str]]:
        async with turns:
            body = {"participant_id": f"live-{random.getrandbits(48):012x}-{number}", "session_id": "x" * 24}
            answer = await http.post(
                f"/api/v1/participate/studies/{scenario.study['id']}/submissions", json=body
            )
            assert answer.status_code == 201, answer.text
            state = answer.json()
            path = f"/api/v1/participate/submissions/{state['submission_id']}"
            headers = {"Authorization": f"Bearer {state['token']}"}
            values: list[Any] = ["Fine", [random.choice(["yes", "no"])], str(random.randint(0, 99))]
            for instruction_id, value in zip(items, values, strict=True):
                saved = await http.put(
                    f"{path}/answers/{instruction_id}", json={"value": value}, headers=headers
                )
                assert saved.status_code == 200, saved.text
            return path, headers

    return list(await asyncio.gather(*(one(number) for number in range(count))))


async def sign_in(stack: contextlib.AsyncExitStack, server: Installation) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    http = await stack.enter_async_context(
        httpx.AsyncClient(
            base_url=server.url,
            trust_env=False,
            timeout=60,
            limits=limits,
            headers={"Accept": "text/html", "Origin": server.url},
        )
    )
    answer = await http.post("/sign-in", data={"token": server.token})
    assert answer.status_code == 303
    return http


async def measure(server: Installation, meter: Meter, scenario: Scenario, seconds: float) -> dict[str, Any]:
    """The figures of one collection."""
    page = f"/workbench/collections/{scenario.collection['id']}"

    def used(before: Costs, after: Costs) -> dict[str, float]:
        return {
            "python": (after.python - before.python) / seconds,
            "postgres": (after.postgres - before.postgres) / seconds,
        }

    async with contextlib.AsyncExitStack() as stack:
        plain = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=server.url,
                trust_env=False,
                timeout=60,
                headers={"Authorization": f"Token {server.token}"},
            )
        )
        people = await start(plain, scenario, int(2 * RATE * seconds) + 1)
        before = meter.read()
        await submit(plain, people, seconds)
        alone = used(before, meter.read())
        sessions = [await sign_in(stack, server) for _ in range(-(-OVERVIEWS // MOST_OF_A_SESSION))]
        seen = Seen()
        watching = [
            asyncio.create_task(watch(sessions[number % len(sessions)], page, seen))
            for number in range(OVERVIEWS)
        ]
        while seen.events < OVERVIEWS:  # all are open
            await asyncio.sleep(0.1)
            for task in watching:
                if task.done():
                    task.result()
        await asyncio.sleep(2)
        counts = (
            await plain.get(f"/api/v1/data-collection/collections/{scenario.collection['id']}/overview")
        ).json()
        base = counts["submitted"]
        events, before = seen.events, meter.read()
        done = await submit(plain, people, seconds)
        watched = used(before, meter.read())
        await asyncio.sleep(2)
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
    delays = [
        at - submitted for number, submitted in enumerate(done, base + 1) for at in seen.at.get(number, ())
    ]
    assert len(delays) == len(done) * OVERVIEWS, (len(delays), len(done))
    return {
        "share_of_a_core": sum(watched.values()) - sum(alone.values()),
        "python": watched["python"] - alone["python"],
        "postgres": watched["postgres"] - alone["postgres"],
        "alone": sum(alone.values()),
        "events_a_second": (seen.events - events) / seconds / OVERVIEWS,
        "fetched_a_second": seen.fetched / seconds,
        "delay_p50_s": statistics.median(delays),
        "delay_p95_s": statistics.quantiles(delays, n=20)[-1],
        "delay_max_s": max(delays),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=SIZES, help="responses that are there already"
    )
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--workers", type=int, default=1, help="web processes")
    arguments = parser.parse_args()
    rows = []
    with installed("--workers", str(arguments.workers)) as server, server.client() as api:
        meter = Meter(server)
        for size in arguments.sizes:
            scenario = Scenario.create(api, *ITEMS, places=1_000_000)
            if size:
                fill(server, scenario, size)
            rows.append(
                {"responses": size, **asyncio.run(measure(server, meter, scenario, arguments.seconds))}
            )
    show(
        f"{OVERVIEWS} open overviews, {RATE:g} submissions a second (parts of a core beyond the submissions' own)",
        ["responses", "of a core", "Python", "PostgreSQL", "events/s", "shown p50 s", "p95 s", "longest s"],
        [
            [
                f"{row['responses']:,}",
                *(f"{row[name]:.1%}" for name in ("share_of_a_core", "python", "postgres")),
                f"{row['events_a_second']:.1f}",
                *(f"{row[name]:.2f}" for name in ("delay_p50_s", "delay_p95_s", "delay_max_s")),
            ]
            for row in rows
        ],
    )
    keep("live", {"overviews": OVERVIEWS, "rate": RATE, "seconds": arguments.seconds, "rows": rows})


ANSWERS = """
    '{"' || %(text)s || '":{"type":"free_text","value":"It went well, number ' || n || '."},"'
        || %(again)s || '":{"type":"multiple_choice","value":["' || CASE n %% 3 WHEN 0 THEN 'yes' ELSE 'no' END
        || '"]},"' || %(many)s || '":{"type":"free_text","value":"' || n %% 1000 || '"}}'
"""
RESPONSES = f"""
    INSERT INTO submissions (id, study_id, collection_id, collection_version, participant_id, session_id, ordinal,
        status, response, holds_place, started_at, completed_at, line_end, file_count, answer_count, activated_counter)
    SELECT gen_random_uuid(), %(study)s, %(collection)s, 1, md5('p' || n), 'session', 1, 'AWAITING REVIEW', 'active',
        false, at - interval '7 minutes', at, {write_line_end("(at - interval '7 minutes')", "at", ANSWERS)}, 0, 3, n
    FROM (SELECT n, timestamptz '2026-01-01 00:00:00Z' + n * interval '1 second' AS at
          FROM generate_series(1, %(count)s) AS n) seed
"""


def fill(server: Installation, scenario: Scenario, count: int) -> None:
    """Responses that are there already, written straight into the database."""
    items = scenario.collection["collection_items"][0]["page_items"]
    values = {name: item["id"] for name, item in zip(("text", "again", "many"), items, strict=True)}
    values |= {"study": scenario.study["id"], "collection": scenario.collection["id"], "count": count}
    with connected(server) as database:
        database.execute(RESPONSES, values)
        database.execute("VACUUM ANALYZE submissions")


if __name__ == "__main__":
    main()
