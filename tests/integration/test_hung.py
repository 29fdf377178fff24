"""A PostgreSQL that hangs: stopped processes, a network that swallows packets. Requests are told so in time."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from urllib.parse import quote

import httpx
import psutil
import psycopg
import pytest

from fieldpack.server.db.embedded.keeper import find_processes, make_tag
from fieldpack.server.db.embedded.locks import FileLock
from fieldpack.server.db.patience import keep_alive
from fieldpack.server.db.pool import Database
from tests.gates import wait_for
from tests.installation import Installation, installed
from tests.integration.rows import connected
from tests.scenario import Scenario, expect

ANSWER_SECONDS = 50.0  # 7 on a machine with nothing else to do; without limits it would take until the end
READY_SECONDS = 50.0  # 2 on a machine with nothing else to do


@pytest.fixture(scope="module")
def server() -> Iterator[Installation]:
    """One of its own, whose database is stopped and goes on."""
    with installed("--workers", "1") as installation:
        yield installation


@pytest.fixture(scope="module")
def scenario(server: Installation) -> Iterator[Scenario]:
    with server.client() as client:
        made = Scenario.create(client)
        made.take_part("one", "Fine")
        made.export()
        yield made


def processes_of(server: Installation) -> tuple[psutil.Process, list[psutil.Process]]:
    with FileLock(server.data_dir / "postgres" / "server.lock") as lock:
        postmaster, children = find_processes(make_tag(lock.fd))
    assert postmaster is not None
    return postmaster, children


@contextmanager
def hung(server: Installation, who: str) -> Iterator[None]:
    """While the block runs, PostgreSQL's processes do nothing at all, but are there."""
    postmaster, children = processes_of(server)
    stopped = {"all": [postmaster, *children], "postmaster": [postmaster], "backends": children}[who]
    try:
        for process in stopped:
            with suppress(psutil.NoSuchProcess):  # one that ended meanwhile, such as autovacuum's
                process.suspend()
        yield
    finally:
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def timed(send: Callable[[], httpx.Response]) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    response = send()
    return response, time.monotonic() - began


def is_ready(server: Installation) -> bool:
    return httpx.get(f"{server.url}/health/ready", trust_env=False, timeout=60).status_code == 200


@pytest.mark.parametrize("who", ["all", "backends"])
def test_requests_are_told_in_time_and_all_is_well_afterwards(
    server: Installation,
    scenario: Scenario,
    who: str,
    record_property: Callable[[str, object], None],
) -> None:
    api, collection = scenario.api, scenario.collection["id"]
    participant = scenario.start(f"two {who}")
    link = scenario.export()["url"]
    page = f"{server.url}/participate/{scenario.study['id']}?PROLIFIC_PID=three&SESSION_ID={who}"
    sends: list[Callable[[], httpx.Response]] = [
        lambda: api.get(f"/data-collection/collections/{collection}"),
        lambda: api.get("/studies"),
        lambda: api.post(scenario.export_path),
        lambda: api.post(scenario.export_path, headers={"Prefer": "wait=1"}),
        lambda: api.delete(f"/submissions/{participant.submission_id}"),
        lambda: participant.answer(participant.item(0), {"value": "now"}),
        lambda: httpx.get(link, trust_env=False, timeout=60),
        lambda: httpx.get(page, trust_env=False, timeout=60),
        lambda: api.post(
            f"/participate/studies/{scenario.study['id']}/submissions", json={"participant_id": "five"}
        ),
    ] * 4  # more than there are connections
    with ThreadPoolExecutor(len(sends) + 1) as threads:
        list(threads.map(lambda number: api.get("/studies"), range(30)))  # so that the pool has some
        with hung(server, who):
            if who == "all":
                answer, seconds = timed(
                    lambda: httpx.get(f"{server.url}/health/ready", trust_env=False, timeout=60)
                )
                assert answer.status_code == 503
                assert answer.json()["error"]["detail"].startswith("The database does not answer")
                assert seconds < READY_SECONDS
            answers = list(threads.map(timed, sends))
            assert httpx.get(f"{server.url}/health/live", trust_env=False).status_code == 200
    if who == "all":
        assert {answer.status_code for answer, _ in answers} == {503}, [a.text[:200] for a, _ in answers]
        assert all("Retry-After" in answer.headers for answer, _ in answers)
    slowest = max(seconds for _, seconds in answers)
    assert slowest < ANSWER_SECONDS
    record_property("slowest_answer_seconds", round(slowest, 2))
    wait_for(lambda: is_ready(server))
    for _ in range(20):
        expect(api.get("/studies"), 200)
    scenario.take_part(f"four {who}", "As before")
    assert scenario.export()["submission_count"] >= 2


def test_a_statement_under_way_when_it_begins(server: Installation, scenario: Scenario) -> None:
    """It waits for a lock, which is no reason to give up; then everything hangs, which is."""
    with connected(server) as other, other.transaction(), ThreadPoolExecutor(1) as threads:
        other.execute("LOCK TABLE studies IN ACCESS EXCLUSIVE MODE")
        waits = threads.submit(timed, lambda: scenario.api.get("/studies"))
        with connected(server) as looking:
            asked = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            wait_for(lambda: looking.execute(asked).fetchone() is not None)
        time.sleep(7.5)  # longer than any statement gets that waits for nothing
        assert not waits.done(), "a lock is waited for"
        began = time.monotonic()
        with hung(server, "all"):
            response, _ = waits.result(60)
            assert response.status_code == 503
            assert time.monotonic() - began < ANSWER_SECONDS
    wait_for(lambda: is_ready(server))
    expect(scenario.api.get("/studies"), 200)


def test_many_who_wait_for_a_lock_are_served_in_the_end(server: Installation, scenario: Scenario) -> None:
    """More than there are connections: nobody is sent away as long as PostgreSQL answers."""
    with ThreadPoolExecutor(30) as threads:
        with connected(server) as other, other.transaction():
            other.execute("LOCK TABLE studies IN ACCESS EXCLUSIVE MODE")
            waiting = [threads.submit(scenario.api.get, "/studies") for _ in range(30)]
            time.sleep(8)
            assert not any(answer.done() for answer in waiting)
        assert {answer.result(60).status_code for answer in waiting} == {200}


def test_a_query_that_takes_long_is_let_finish(server: Installation) -> None:
    """A long list on a busy machine: PostgreSQL says that it is at work on it."""
    with connected(server) as looking:
        url = f"postgresql://fieldpack@/fieldpack?host={quote(looking.info.host, safe='')}&port={looking.info.port}"

    async def ask() -> int:
        database = Database(url, patient=True)
        await database.open()
        try:
            async with database.transaction() as connection:
                cursor = await connection.execute(
                    "SELECT count(pg_sleep(0.5)) AS n FROM generate_series(1, 17)"
                )
                row = await cursor.fetchone()
                assert row is not None
                return int(row["n"])
        finally:
            await database.close()

    assert asyncio.run(ask()) == 17


class BlackHole:
    """Between a server and a PostgreSQL on TCP: passes everything on, until it swallows all and says nothing."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.swallows = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.path)
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError), source:
            while data := source.recv(65536):
                while self.swallows:
                    time.sleep(0.05)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def test_a_network_that_swallows_packets(server: Installation) -> None:
    """A PostgreSQL of one's own, on another machine, from which nothing comes any more."""
    with connected(server) as database:
        database.execute("CREATE DATABASE elsewhere")
        folder, port = database.info.host, database.info.port
    hole = BlackHole(f"{folder}/.s.PGSQL.{port}")
    url = f"postgresql://fieldpack@127.0.0.1:{hole.port}/elsewhere"
    try:
        with installed("--no-worker", FIELDPACK_DATABASE_URL=url) as other, other.client() as api:
            expect(api.get("/studies"), 200)
            hole.swallows = True
            response, seconds = timed(lambda: api.get("/studies"))
            assert (response.status_code, seconds < ANSWER_SECONDS) == (503, True)
            _, seconds = timed(lambda: httpx.get(f"{other.url}/health/ready", trust_env=False, timeout=60))
            assert seconds < READY_SECONDS
            hole.swallows = False
            wait_for(lambda: is_ready(other))
            expect(api.get("/studies"), 200)
    finally:
        hole.swallows = False
        hole.listener.close()


def test_a_dead_peer_is_noticed() -> None:
    found = psycopg.conninfo.conninfo_to_dict(keep_alive("postgresql://a:b@host/c?tcp_user_timeout=7"))
    assert found["tcp_user_timeout"] == "7"
    idle, interval, count = (int(str(found[f"keepalives_{name}"])) for name in ("idle", "interval", "count"))
    assert idle + interval * count <= 60
    assert (found["host"], found["password"], found["dbname"]) == ("host", "b", "c")


def test_a_server_whose_database_hangs_can_be_stopped(server: Installation) -> None:
    with hung(server, "all"):
        time.sleep(6)  # the supervisor has looked, and found it hanging
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(150)  # its children get 25 s, the database some time to close
