"""Taking in: an answer, a small file, whole submissions; beside a bare route, one INSERT by psycopg, and bare files.

CPU is that of the server's processes and of PostgreSQL's, each per request; the clients' own is not in it, nor a
proxy's. Figures of CPU hold on a busy machine too, rates and times do not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import ssl
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import uvloop
from tests.installation import Installation, installed
from tests.scenario import Scenario

from fieldpack.server.db.embedded.server import open_embedded
from fieldpack.server.db.server_role import as_owner

from .earlier import source_of
from .machine import keep, show
from .nginx import proxying
from .participants import ITEMS, PHOTO_BYTES, Person, make_photo, save, send_photo, start, take_part
from .population import connected
from .wire import Wire

CLIENTS = (1, 8, 64)
SECONDS = 6.0
MOST = "1000000"
EARLIER_SETTINGS = {"FIELDPACK_RATE_PER_ADDRESS": MOST, "FIELDPACK_RATE_PER_SUBMISSION": MOST}
SETTINGS = {**EARLIER_SETTINGS, "FIELDPACK_CONNECTIONS_PER_ADDRESS": MOST}
WORKS = ("bare route", "start", "answer", "file", "submission")

Act = Callable[[Wire, int], Awaitable[None]]


@dataclass
class Costs:
    """Seconds of CPU so far, of the server's processes and of PostgreSQL's."""

    python: float
    postgres: float


class Meter:
    """Reads what the processes of an installation have used, and those of its PostgreSQL."""

    def __init__(self, server: Installation) -> None:
        assert server.process is not None
        postmaster = server.data_dir / "postgres" / "data" / "postmaster.pid"
        self._server = psutil.Process(server.process.pid)
        self._postgres = psutil.Process(int(postmaster.read_text().split()[0]))

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


async def drive(wire: Wire, meter: Meter, clients: int, seconds: float, act: Act) -> dict[str, float]:
    """Let clients act as fast as they are answered; rate within `seconds`, times, and CPU of each act."""
    times: list[float] = []
    in_time = 0
    for number in range(clients):
        await act(wire, number)  # connections are made, caches filled
    before, began = meter.read(), time.perf_counter()

    async def run(number: int) -> None:
        nonlocal in_time
        while time.perf_counter() - began < seconds:
            at = time.perf_counter()
            await act(wire, number)
            ended = time.perf_counter()
            times.append(ended - at)
            in_time += ended - began <= seconds  # a client that was told to come again ends later

    await asyncio.gather(*map(run, range(clients)))
    after = meter.read()
    times.sort()
    count = len(times)
    return {
        "clients": clients,
        "rate": in_time / seconds,
        "p50_ms": statistics.median(times) * 1e3,
        "p95_ms": times[int(count * 0.95)] * 1e3,
        "python_ms": (after.python - before.python) * 1e3 / count,
        "postgres_ms": (after.postgres - before.postgres) * 1e3 / count,
    }


@dataclass
class Server:
    """A server that is measured.

    Attributes:
        name: of its rows in the table.
        at_once: it takes several answers, and a file, in one request each.
    """

    name: str
    url: str
    trusted: ssl.SSLContext | None
    meter: Meter
    study_id: str
    at_once: bool = True

    async def measure(self, work: str, clients: int, seconds: float, photo_bytes: int) -> dict[str, float]:
        """Rate, times and CPU of one kind of work."""
        people: dict[int, Person] = {}
        wire = Wire(self.url, self.trusted)

        async def act(wire: Wire, number: int) -> None:
            if work == "bare route":
                (await wire.ask("GET", "/health/live")).require(200)
            elif work == "start":
                await start(wire, self.study_id)
            elif work == "submission":
                await take_part(wire, self.study_id, photo_bytes, at_once=self.at_once)
            else:
                if number not in people:
                    people[number] = await start(wire, self.study_id)
                if work == "answer":
                    await save(wire, people[number], 0, "Fine")
                else:
                    await send_photo(wire, people[number], photo_bytes, at_once=self.at_once)

        try:
            return await drive(wire, self.meter, clients, seconds, act)
        finally:
            wire.close()


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


def write_files(folder: Path, clients: int, seconds: float, size_bytes: int) -> float:
    """Files a second by as many threads: each made, written, flushed, and its folder flushed."""
    until = time.perf_counter() + seconds

    def write(number: int) -> int:
        count = 0
        home = os.open(folder, os.O_RDONLY)
        try:
            while time.perf_counter() < until:
                made = os.open(f"{number}-{count}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=home)
                os.write(made, make_photo(size_bytes))
                os.fsync(made)
                os.close(made)
                os.fsync(home)
                count += 1
        finally:
            os.close(home)
        return count

    with ThreadPoolExecutor(clients) as threads:
        return sum(threads.map(write, range(clients))) / seconds


def measure_peers(
    server: Installation, clients: int, seconds: float, photo_bytes: int
) -> list[dict[str, Any]]:
    """What the database and the disk alone take."""
    with connected(server) as connection:
        database = connection.info.dsn
    inserted = insert_rows(database, clients, seconds / 2)
    with tempfile.TemporaryDirectory(dir=server.data_dir) as folder:
        written = write_files(Path(folder), clients, seconds / 2, photo_bytes)
    found = {"INSERT + commit": inserted, f"{photo_bytes >> 10} KiB written + flushed": written}
    return [{"server": "", "work": name, "clients": clients, "rate": rate} for name, rate in found.items()]


def _prepared(server: Installation, name: str, url: str, trusted: ssl.SSLContext | None) -> Server:
    with server.client() as api:
        study_id = Scenario.create(api, *ITEMS, places=1_000_000).study["id"]
    return Server(name, url, trusted, Meter(server), study_id, at_once=name != "earlier")


def _trusted(server: Installation) -> ssl.SSLContext | None:
    return server.verify if server.scheme == "https" else None


@contextlib.contextmanager
def serving(
    over: list[str], workers: int, earlier: str | None
) -> Iterator[tuple[Installation, list[Server]]]:
    """The installation that is measured, and every way to it; and the same work at an earlier version.

    Args:
        over: of `plain`, `tls` and `nginx`.
        earlier: revision of this repository.
    """
    options = ("--no-worker", "--workers", str(workers))
    with contextlib.ExitStack() as stack:
        main = stack.enter_context(installed(*options, **SETTINGS))
        servers = []
        if "plain" in over:
            servers.append(_prepared(main, "plain", main.url, None))
        if "tls" in over:
            secure = stack.enter_context(installed(*options, "--tls", **SETTINGS))
            servers.append(_prepared(secure, "tls", secure.url, _trusted(secure)))
        if "nginx" in over:
            url, trusted = stack.enter_context(proxying(main))
            servers.append(_prepared(main, "nginx", url, trusted))
        if earlier is not None:
            source = stack.enter_context(source_of(earlier))
            before = stack.enter_context(installed(*options, **EARLIER_SETTINGS, PYTHONPATH=str(source)))
            servers.append(_prepared(before, "earlier", before.url, None))
        yield main, servers


def set_commit_delay(server: Installation, microseconds: int) -> None:
    """Have PostgreSQL wait before a flush for others that commit, if five are at it."""
    with (
        open_embedded(server.data_dir) as embedded,
        psycopg.connect(as_owner(embedded.url), autocommit=True) as connection,
    ):
        connection.execute(f"ALTER SYSTEM SET commit_delay = {int(microseconds)}")
        connection.execute("SELECT pg_reload_conf()")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.intake", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each measurement")
    parser.add_argument("--clients", type=int, nargs="*", default=list(CLIENTS))
    parser.add_argument("--photo", type=int, default=PHOTO_BYTES >> 10, help="KiB of each file")
    parser.add_argument("--workers", type=int, default=1, help="web processes")
    parser.add_argument("--work", nargs="*", default=list(WORKS), help=f"of {', '.join(WORKS)}")
    parser.add_argument(
        "--over", nargs="*", default=["plain"], choices=("plain", "tls", "nginx"), help="ways to the server"
    )
    parser.add_argument("--earlier", metavar="REVISION", help="measure this revision's server beside it")
    parser.add_argument("--commit-delay", type=int, default=0, help="microseconds, as PostgreSQL has it")
    arguments = parser.parse_args()
    photo_bytes = arguments.photo << 10
    rows: list[dict[str, Any]] = []
    with serving(arguments.over, arguments.workers, arguments.earlier) as (server, servers):
        if arguments.commit_delay:
            set_commit_delay(server, arguments.commit_delay)
        for clients in arguments.clients:
            for work in arguments.work:
                for each in servers:
                    figures = uvloop.run(each.measure(work, clients, arguments.seconds, photo_bytes))
                    name = f"{arguments.photo} KiB {work}" if work == "file" else work
                    rows.append({"server": each.name, "work": name, **figures})
            rows += measure_peers(server, clients, arguments.seconds, photo_bytes)
    show(
        f"Taking in, web processes: {arguments.workers} (CPU of each request; rates are those of this moment)",
        ["work", "over", "clients", "a second", "p50 ms", "p95 ms", "CPU ms Python", "CPU ms PostgreSQL"],
        [
            [
                row["work"],
                row["server"],
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
    keep("intake", {**vars(arguments), "rows": rows})


if __name__ == "__main__":
    main()
