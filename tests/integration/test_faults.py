"""What breaks in real life, broken on purpose: each ends in a right archive, or in a clear failure.

Workers and servers are killed, PostgreSQL is, clocks are wrong. Everything is real: processes and signals.
What storage does wrong is in `test_storage_faults.py`.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
import psutil
import pytest

from fieldpack.client.download.archive import download_archive
from tests.installation import FIELDPACK, STOP_SECONDS, Installation, environment, installed
from tests.integration.rows import connected, insert_submissions
from tests.integration.waiting import PHOTO, TEXT, check, held_jobs, photos, wait_for, wait_until_ended
from tests.lengths import length
from tests.proxy import Proxy
from tests.refusals import refused
from tests.scenario import PNG, Scenario, expect

MANY = 40_000
SEED = 4
KILLS = length(3, 10)


@pytest.fixture(scope="module")
def shaky() -> Iterator[Installation]:
    """A server whose parts are about to be killed."""
    settings = {"FIELDPACK_WORKER_CONCURRENCY": "4", "FIELDPACK_LOG_FORMAT": "json"}
    with installed("--workers", "2", **settings) as installation:
        yield installation


@pytest.fixture(scope="module")
def large(shaky: Installation) -> Iterator[Scenario]:
    """A collection whose export takes a moment."""
    with shaky.client() as client:
        made = Scenario.create(client, TEXT, PHOTO, places=10 * MANY)
        made.take_part("first", "One", [("photo.png", PNG)])
        insert_submissions(shaky, made.study["id"], MANY)
        yield made


@pytest.fixture
def small(shaky: Installation) -> Iterator[Scenario]:
    """A collection to fill with files."""
    with shaky.client() as client:
        yield Scenario.create(client, TEXT, PHOTO)


def narrowed(number: int) -> dict[str, str]:
    """One of many filters that let everything through, each for an export of its own."""
    return {"from": f"2020-01-01T00:{number // 60:02}:{number % 60:02}Z"}


@contextmanager
def another_worker(server: Installation, *options: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    with (server.data_dir.parent / "other-worker.log").open("ab") as log:
        process = subprocess.Popen(
            [*FIELDPACK, "worker", "--data-dir", str(server.data_dir), *options],
            env=environment(**{**server.settings, **settings}),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS)


def count_workers(server: Installation) -> int:
    with connected(server) as database:
        row = database.execute(
            "SELECT count(DISTINCT l.pid) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.classid = %s",
            [0x666C706B],
        ).fetchone()
    assert row is not None
    found: int = row[0]
    return found


def count_running(server: Installation) -> int:
    """Export jobs in a worker's hands, or in those of one that is gone."""
    with connected(server) as database:
        row = database.execute(
            "SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing' AND queue_name = 'exports'"
        ).fetchone()
    assert row is not None
    found: int = row[0]
    return found


def test_workers_killed_at_random_points(large: Scenario, shaky: Installation) -> None:
    """Four jobs at a time; each kill hits those that run wherever they are."""
    points = random.Random(SEED)
    began = time.monotonic()  # what a job takes on this machine, as busy as it is
    wait_until_ended(large, expect(large.api.post(large.export_path, params=narrowed(99)), 202)["export_id"])
    job_seconds = time.monotonic() - began
    exports: list[str] = []
    hit = 0
    while hit < KILLS:
        assert len(exports) < 400, hit
        exports += [
            expect(large.api.post(large.export_path, params=narrowed(100 + number)), 202)["export_id"]
            for number in range(len(exports), len(exports) + 4)
        ]
        wait_for(lambda: count_workers(shaky) == 1 and count_running(shaky))
        time.sleep(points.random() * job_seconds)
        worker = shaky.children("worker")[0]
        os.kill(worker, signal.SIGKILL)
        hit += count_running(shaky)
        wait_for(lambda gone=worker: shaky.children("worker") not in ([], [gone]))
    for export_id in exports:
        export = wait_until_ended(large, export_id)
        assert (export["status"], export["submission_count"]) == ("complete", MANY + 1), export
    check(large.download(export), export)


def test_a_worker_that_is_asked_to_stop_hands_its_jobs_on(large: Scenario, shaky: Installation) -> None:
    with another_worker(shaky):
        wait_for(lambda: count_workers(shaky) == 2)
        exports = [
            expect(large.api.post(large.export_path, params=narrowed(number)), 202)["export_id"]
            for number in range(20, 26)
        ]
        seen = len(shaky.log)
        os.kill(shaky.children("worker")[0], signal.SIGTERM)
        for export_id in exports:
            assert wait_until_ended(large, export_id)["status"] == "complete"
        logged = shaky.log[seen:] + (shaky.data_dir.parent / "other-worker.log").read_text()
        assert not [word for word in ("taken_back", "requeued", "stuck") if word in logged], logged


def test_two_workers_with_the_same_job_make_one_archive(large: Scenario, shaky: Installation) -> None:
    with another_worker(shaky):
        wait_for(lambda: count_workers(shaky) == 2)
        with connected(shaky) as database:
            database.execute(
                """
                CREATE FUNCTION twice() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    PERFORM procrastinate_defer_jobs_v1(array_agg(ROW('exports', 'fieldpack:export', 0, NULL,
                        NULL, jsonb_build_object('export_id', new.id), NULL)::procrastinate_job_to_defer_v1))
                    FROM generate_series(1, 3);
                    RETURN NULL; END $$
                """
            )
            database.execute(
                "CREATE TRIGGER twice AFTER INSERT ON exports FOR EACH ROW EXECUTE FUNCTION twice()"
            )
            try:
                answer = expect(large.api.post(large.export_path, params=narrowed(30)), 202)
                export = wait_until_ended(large, answer["export_id"])
            finally:
                database.execute("DROP FUNCTION twice CASCADE")
        assert export["status"] == "complete"
        first = large.download(export)
        check(first, export)
        idle = "SELECT 1 FROM procrastinate_jobs WHERE task_name = 'fieldpack:export'"
        with connected(shaky) as database:
            wait_for(lambda: database.execute(idle).fetchone() is None)
            prefix = shaky.data_dir / "storage" / "exports" / answer["export_id"]
            wait_for(lambda: len(list(prefix.iterdir())) == 1)
        again = wait_until_ended(large, answer["export_id"])
        assert large.download(again) == first


def test_postgresql_is_killed_during_jobs(large: Scenario, shaky: Installation) -> None:
    with held_jobs(shaky) as held:
        exports = [
            expect(large.api.post(large.export_path, params=narrowed(number)), 202)["export_id"]
            for number in range(40, 44)
        ]
        held.wait(4)
        postmaster(shaky).kill()
    shown = httpx.get(f"{shaky.url}/metrics", trust_env=False, timeout=60)
    assert shown.status_code == 200
    assert "fieldpack_request_seconds" in shown.text
    response = httpx.get(f"{shaky.url}/health/ready", trust_env=False, timeout=60)
    if response.status_code != 200:  # it may be up again by now
        assert response.status_code == 503
        assert "The database does not answer" in response.json()["error"]["detail"]
    for export_id in exports:
        assert wait_until_ended(large, export_id)["status"] == "complete"
    check(large.download(), large.export())


def postmaster(server: Installation) -> psutil.Process:
    with connected(server) as database:
        row = database.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        parent = psutil.Process(row[0]).parent()
    assert parent is not None
    return parent


@pytest.mark.parametrize("victim", ["web processes", "server"])
def test_the_client_resumes_when_the_server_dies(
    shaky: Installation, small: Scenario, tmp_path: Path, victim: str
) -> None:
    scenario = small
    photos(scenario, 3, 5_000_000)
    export = scenario.export()
    with Proxy(shaky.port) as proxy:
        proxy.hold(3_000_000, answers=True)

        def link() -> str:
            parts = urlsplit(scenario.export()["url"])
            return str(urlunsplit(parts._replace(netloc=f"127.0.0.1:{proxy.port}")))

        first = link()
        links = iter([first])
        target = tmp_path / "archive.zip"
        thread = threading.Thread(
            target=download_archive, args=(lambda: next(links, None) or link(), target), kwargs={"tries": 100}
        )
        thread.start()
        part = tmp_path / "archive.zip.part"
        wait_for(lambda: part.exists() and part.stat().st_size > 2_000_000)
        if victim == "server":
            shaky.kill()
            shaky.start()
        else:
            for web in shaky.children("web"):
                os.kill(web, signal.SIGKILL)
        proxy.cut()
        thread.join(120)
        assert proxy.connections > 1
    assert not thread.is_alive()
    check(target.read_bytes(), export)


def test_a_server_that_is_asked_to_stop_sends_to_the_end_and_lets_nobody_new_wait(
    shaky: Installation, small: Scenario
) -> None:
    """A proxy in front takes the next server at once, and whoever downloads from this one gets the whole."""
    photos(small, 2, 8_000_000)
    export = small.export()
    link = urlsplit(export["url"])
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        slow.connect(("127.0.0.1", shaky.port))
        slow.sendall(f"GET {link.path}?{link.query} HTTP/1.0\r\n\r\n".encode())
        received = [slow.recv(65536)]
        assert shaky.process is not None
        shaky.process.send_signal(signal.SIGTERM)
        wait_for(lambda: is_refused(shaky.port))
        while data := slow.recv(1 << 20):
            received.append(data)
    shaky.stop()
    shaky.start()
    check(b"".join(received).partition(b"\r\n\r\n")[2], export)


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except ConnectionRefusedError:
        return True
    return False


def shift_clock(server: Installation, by: str) -> None:
    with connected(server) as database:
        database.execute("CREATE SCHEMA IF NOT EXISTS shifted")
        database.execute("GRANT USAGE ON SCHEMA shifted TO PUBLIC")  # the server's role is not the owner's
        database.execute(
            "CREATE OR REPLACE FUNCTION shifted.now() RETURNS timestamptz STABLE LANGUAGE sql"
            f" AS $$ SELECT pg_catalog.now() + interval '{by}' $$"
        )


def test_links_expire_by_the_clock_of_postgresql() -> None:
    """This machine's clock and PostgreSQL's are an hour apart: the expiry is as PostgreSQL sees it."""
    with installed("--no-worker", FIELDPACK_LINK_LIFETIME_SECONDS="7200") as server:
        shift_clock(server, "-1 hour")
        with connected(server) as database:
            database.execute("ALTER DATABASE fieldpack SET search_path = shifted, pg_catalog, public")
        server.stop()
        server.start()
        with server.client() as api, another_worker(server):
            scenario = Scenario.create(api)
            scenario.take_part("one")
            export = scenario.export()
            expires_at = datetime.fromisoformat(export["expires_at"])
            away = (datetime.now(UTC) - expires_at).total_seconds()
            assert -3600 - 5 < away < -3600 + 300
            assert scenario.download(export)
            shift_clock(server, "1 hour 5 seconds")
            detail = refused(httpx.get(export["url"], trust_env=False), 403)
            assert "expired" in detail
            assert "again" in detail
            expect(api.delete(f"{scenario.export_path}/{export['export_id']}"), 204)
