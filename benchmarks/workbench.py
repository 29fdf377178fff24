"""Pages of the workbench at 100,000 submissions with 300,000 files: at the server, in Chromium, and their memory.

Every filter of the list of responses alone and every two of them together, every order, each with several operands;
the first screens of the other pages; one response and the next. Wall time and CPU (of the web process, of PostgreSQL).
"""

from __future__ import annotations

import argparse
import itertools
import re
import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
from tests.installation import Installation, installed
from tests.scenario import expect

from .fieldwork import Fieldwork, populate_fieldwork
from .machine import describe_load, keep, resident_mib, show
from .population import connected
from .store import working

SUBMISSIONS = 100_000
APPROVED = 10_000  # at most so many are decided on at once
APPROVED_MS = 5000.0
HELD_SECONDS = 4.0  # longer than a worker takes to look again
LONGEST_SECONDS = 120.0
TIMES = 12  # of each case; its operands go round
WANTED_MS = 150.0
SHOWN = 20
Parameters = list[tuple[str, str]]


@dataclass
class Case:
    """Requests of one kind, and how long each took."""

    name: str
    paths: Sequence[str]
    walls_ms: list[float] = field(default_factory=list)
    web_ms: float = 0.0  # CPU of a request
    database_ms: float = 0.0
    largest_bytes: int = 0

    @property
    def p95_ms(self) -> float:
        return sorted(self.walls_ms)[max(0, -(-len(self.walls_ms) * 95 // 100) - 1)]

    def figures(self) -> dict[str, Any]:
        return {
            "p50_ms": round(statistics.median(self.walls_ms), 1),
            "p95_ms": round(self.p95_ms, 1),
            "web_cpu_ms": round(self.web_ms, 1),
            "database_cpu_ms": round(self.database_ms, 1),
            "bytes": self.largest_bytes,
        }


def filters(work: Fieldwork, participants: list[str], submissions: list[str]) -> dict[str, list[Parameters]]:
    """Every filter of the list, each with operands that let much, little and nothing through."""
    q = work.questions

    def where(name: str, *conditions: str) -> list[Parameters]:
        return [[("where", f"{q[name]}:{condition}")] for condition in conditions]

    return {
        "state": [
            [("state", state)] for state in ("APPROVED", "AWAITING REVIEW", "ACTIVE", "PARTIALLY APPROVED")
        ],
        "study": [[("study", study)] for study in work.studies[:3]],
        "since": [[("since", day)] for day in ("2025-09-03", "2025-10-20", "2025-11-09")],
        "before": [[("before", day)] for day in ("2025-09-01", "2025-10-01", "2025-11-01")],
        "participant": [[("participant", each)] for each in (*participants, "nobody")],
        "submission": [[("submission", each) for each in submissions]],
        "files": [[("files", "yes")], [("files", "no")]],
        "note": [[("note", "yes")], [("note", "no")]],
        "shorter": [[("shorter", length)] for length in ("65s", "5m", "1h")],
        "longer": [[("longer", length)] for length in ("1m", "30m", "1d")],
        "search": [
            [("search", words)]
            for words in ("bread", "place0042", "Vögel Baum", '"quiet and"', "птиц -дереве", "nowhereword")
        ],
        "is": where("often", "is:response2")
        + where("seen", "is:trees", "is:nothing")
        + where("why", "is:work"),
        "contains": where("how", "contains:place001", "contains:ree", "contains:птиц", "contains:qxz")
        + where("change", "contains:quiet"),
        "between": where("distance", "between:100,200", "between:,1", "between:4000,")
        + where("age", "between:20,60"),
        "answered": where("change", "answered") + where("photos", "answered"),
        "missing": where("change", "missing") + where("extra", "missing"),
    }


def second_filters(work: Fieldwork) -> dict[str, list[Parameters]]:
    """Conditions on another question, so that two of one kind can be together."""
    q = work.questions
    return {
        "is": [[("where", f"{q['seen']}:is:benches")], [("where", f"{q['why']}:is:leisure")]],
        "contains": [
            [("where", f"{q['change']}:contains:bread")],
            [("where", f"{q['change']}:contains:place")],
        ],
        "between": [[("where", f"{q['age']}:between:30,31")], [("where", f"{q['age']}:between:16,80")]],
    }


def cases(work: Fieldwork, participants: list[str], submissions: list[str]) -> Iterator[Case]:
    """Everything that is asked of the server, in groups."""
    base = f"/workbench/collections/{work.collection_id}"
    responses = f"{base}/responses"

    def address(path: str, parameters: Parameters) -> str:
        return str(httpx.URL(path, params=httpx.QueryParams([*parameters])))

    yield Case("home", ["/researcher"])
    yield Case("overview", [base])
    yield Case("gallery", [f"{base}/gallery"])
    yield Case("gallery of approved", [f"{base}/gallery?state=APPROVED"])
    yield Case("responses", [responses])
    orders = ("completed", "started", "duration", "state", "participant")
    questions = [work.questions[name] for name in ("how", "often", "distance", "age")]
    for order in (*orders, *questions):
        name = next((name for name, id in work.questions.items() if id == order), order)
        yield Case(f"sort {name}", [f"{responses}?sort={sign}{order}" for sign in ("", "-")])
    known = filters(work, participants, submissions)
    for name, alone in known.items():
        yield Case(name, [address(responses, each) for each in alone])
    for name, sorted_too in known.items():
        if name not in ("participant", "submission"):
            by = [*orders, work.questions["distance"]]
            yield Case(
                f"{name}, sorted",
                [
                    address(responses, [*each, ("sort", by[at % len(by)])])
                    for at, each in enumerate(sorted_too * 2)
                ],
            )
    others = second_filters(work)
    for one, other in itertools.combinations_with_replacement(known, 2):
        second = others.get(one) if one == other else known[other]
        if second is None:
            continue
        pairs = [
            (known[one][at % len(known[one])], second[(at // 2) % len(second)])
            for at in range(max(len(known[one]), len(second), TIMES // 2))
        ]
        yield Case(f"{one} + {other}", [address(responses, a + b) for a, b in pairs])
    yield Case("one response", [f"/workbench/submissions/{each}" for each in submissions])
    rest = "?state=AWAITING+REVIEW&sort=participant"
    yield Case(
        "one response within a filter", [f"/workbench/submissions/{each}{rest}" for each in submissions]
    )


@contextmanager
def signed_in(installation: Installation) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=installation.url,
        trust_env=False,
        timeout=120,
        headers={"Accept": "text/html", "Origin": installation.url},
    ) as client:
        assert client.post("/sign-in", data={"token": installation.token}).status_code == 303
        yield client


def cpu_seconds(pids: Sequence[int]) -> float:
    spent = 0.0
    for pid in pids:
        try:
            spent += int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
        except OSError:  # it ended meanwhile
            continue
    return spent


def backends(connection: psycopg.Connection[Any]) -> list[int]:
    found = connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    return [pid for (pid,) in found]


def ask(client: httpx.Client, case: Case, web: Sequence[int], connection: psycopg.Connection[Any]) -> None:
    """Ask for each address in turn, `TIMES` times in all; the first round is not counted."""
    for path in case.paths:
        answer = client.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:500])
    database = backends(connection)
    before = cpu_seconds(web), cpu_seconds(database)
    for path in itertools.islice(itertools.cycle(case.paths), max(TIMES, len(case.paths))):
        started = time.perf_counter()
        answer = client.get(path)
        case.walls_ms.append((time.perf_counter() - started) * 1000)
        assert answer.status_code == 200, (path, answer.status_code)
        case.largest_bytes = max(case.largest_bytes, len(answer.content))
    case.web_ms = (cpu_seconds(web) - before[0]) / len(case.walls_ms) * 1000
    case.database_ms = (cpu_seconds(database) - before[1]) / len(case.walls_ms) * 1000


def follow(client: httpx.Client, path: str, web: Sequence[int], connection: psycopg.Connection[Any]) -> Case:
    """From one response to the next, as `j` does."""
    case = Case("next response", [path])
    database = backends(connection)
    before = cpu_seconds(web), cpu_seconds(database)
    for _ in range(TIMES * 2):
        started = time.perf_counter()
        answer = client.get(path)
        case.walls_ms.append((time.perf_counter() - started) * 1000)
        found = re.search(r'rel="next"[^>]* href="([^"]*)"|href="([^"]*)"[^>]* rel="next"', answer.text)
        assert found, path
        path = (found[1] or found[2]).replace("&amp;", "&")
    case.web_ms = (cpu_seconds(web) - before[0]) / len(case.walls_ms) * 1000
    case.database_ms = (cpu_seconds(database) - before[1]) / len(case.walls_ms) * 1000
    return case


def approve(
    installation: Installation, work: Fieldwork, connection: psycopg.Connection[Any]
) -> dict[str, float]:
    """Approve those that were handed in last, as many as can be decided on at once, by a filter: ms until the decision
    is held, and from the end of the hold until all are approved."""
    found = connection.execute(
        """
        SELECT completed_at FROM submissions
        WHERE collection_id = %s AND status = 'AWAITING REVIEW' AND response = 'active'
        ORDER BY completed_at DESC, id DESC LIMIT %s
        """,
        [work.collection_id, APPROVED],
    ).fetchall()
    since = {"since": found[-1][0].isoformat()} if len(found) == APPROVED else {}
    path = f"/data-collection/collections/{work.collection_id}/submissions"
    with working(installation, 1), installation.client() as api:
        count = expect(api.get(f"{path}/reviewable", params=since), 200)["count"]
        while count > APPROVED:  # some were handed in at the very same moment
            since["since"] = str(found.pop()[0].isoformat())
            count = expect(api.get(f"{path}/reviewable", params=since), 200)["count"]
        begun = time.perf_counter()
        decision = {"action": "APPROVE", "count": count}
        held = expect(api.post(f"{path}/decisions", params=since, json=decision), 201)
        held_ms = (time.perf_counter() - begun) * 1000
        due = "UPDATE decisions SET due_at = now() + make_interval(secs => %s) WHERE id = %s"
        connection.execute(due, [HELD_SECONDS, held["id"]])
        begun = time.perf_counter() + HELD_SECONDS
        ended = "SELECT FROM decisions WHERE id = %s AND ended_at IS NOT NULL"
        while connection.execute(ended, [held["id"]]).fetchone() is None:
            if time.perf_counter() - begun > LONGEST_SECONDS:
                raise RuntimeError("The decision was not made.")
            time.sleep(0.02)
        made_ms = (time.perf_counter() - begun) * 1000
        assert expect(api.get(f"/decisions/{held['id']}"), 200)["made"] == count
    return {"count": count, "held_ms": round(held_ms), "made_ms": round(made_ms)}


def run(submissions: int = SUBMISSIONS, *, only: str = "", browser: bool = True) -> dict[str, Any]:
    with installed("--no-worker") as installation:
        started = time.monotonic()
        work = populate_fieldwork(installation, submissions)
        made_seconds = time.monotonic() - started
        print(
            f"   {work.submissions:,} submissions, {work.files:,} files in {made_seconds:.0f} s", flush=True
        )
        with connected(installation) as connection, signed_in(installation) as client:
            participants, ids = _choose(connection, work)
            web = installation.children("web")
            measured = [each for each in cases(work, participants, ids) if re.search(only or ".", each.name)]
            for path in ("/researcher", *measured[0].paths):
                client.get(path)
            before_mib = resident_mib(web)
            halfway_mib = 0.0
            for number, case in enumerate(measured):
                ask(client, case, web, connection)
                if number == len(measured) // 2:
                    halfway_mib = resident_mib(web)
            first = f"/workbench/submissions/{ids[0]}?state=AWAITING+REVIEW"
            measured.append(follow(client, first, web, connection))
            memory = {"before_mib": before_mib, "halfway_mib": halfway_mib, "after_mib": resident_mib(web)}
            approval = approve(installation, work, connection)
        figures: dict[str, Any] = {
            "submissions": work.submissions,
            "files": work.files,
            "made_seconds": round(made_seconds),
            "memory": {name: round(value, 1) for name, value in memory.items()},
            "approval": approval,
            "server": {case.name: case.figures() for case in measured},
            "over": [case.name for case in measured if case.p95_ms > WANTED_MS]
            + (["approval"] if approval["made_ms"] > APPROVED_MS else []),
        }
        _show(measured, figures)
        if browser:
            from .workbench_browser import look

            figures["browser"] = look(installation, work, ids[0])
    keep("workbench", figures)
    return figures


def _choose(connection: psycopg.Connection[Any], work: Fieldwork) -> tuple[list[str], list[str]]:
    """Ids of a few participants, and of a few responses that wait for a review, from all over the collection."""
    found = connection.execute(
        """
        SELECT participant_id, id::text FROM submissions
        WHERE collection_id = %s AND status = 'AWAITING REVIEW' AND response = 'active' ORDER BY id LIMIT 6
        """,
        [work.collection_id],
    ).fetchall()
    return [name for name, _ in found[:3]], [id for _, id in found]


def _show(measured: list[Case], figures: dict[str, Any]) -> None:
    alone = [case for case in measured if " + " not in case.name]
    pairs = sorted((case for case in measured if " + " in case.name), key=lambda case: -case.p95_ms)
    for title, chosen in (("alone", alone), (f"two filters together, the slowest {SHOWN}", pairs[:SHOWN])):
        show(
            f"pages at {figures['submissions']:,} submissions, ms: {title} ({describe_load()})",
            ["", "p50", "p95", "CPU web", "CPU PostgreSQL", "KB"],
            [
                [
                    case.name,
                    f"{statistics.median(case.walls_ms):.0f}",
                    f"{case.p95_ms:.0f}{' !' if case.p95_ms > WANTED_MS else ''}",
                    f"{case.web_ms:.0f}",
                    f"{case.database_ms:.0f}",
                    f"{case.largest_bytes / 1000:.0f}",
                ]
                for case in chosen
            ],
        )
    memory, approval = figures["memory"], figures["approval"]
    over = sum(case.p95_ms > WANTED_MS for case in measured)
    print(
        f"   {approval['count']:,} approved by a filter: held after {approval['held_ms']:,.0f} ms,"
        f" made {approval['made_ms']:,.0f} ms after the hold (at most {APPROVED_MS:,.0f})"
    )
    print(
        f"   web process: {memory['before_mib']:.0f} MiB before, {memory['halfway_mib']:.0f} halfway,"
        f" {memory['after_mib']:.0f} after; {over} of {len(measured)} cases over {WANTED_MS:.0f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submissions", type=int, default=SUBMISSIONS)
    parser.add_argument("--only", default="", metavar="PATTERN", help="cases whose names match")
    parser.add_argument("--no-browser", action="store_true")
    given = parser.parse_args()
    has_browser = any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    run(given.submissions, only=given.only, browser=has_browser and not given.no_browser)


if __name__ == "__main__":
    main()
