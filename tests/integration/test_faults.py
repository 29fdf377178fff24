"""What breaks in real life, broken on purpose: each ends in a right archive, or in a clear failure.

Workers and servers are killed, PostgreSQL is, disks fill up, storage refuses and cuts short, files rot,
clocks are wrong. Everything is real: processes, signals, a network that a proxy spoils.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import psutil
import pytest

from fieldpack.client.download import download_archive
from fieldpack.errors import FieldpackError
from tests.bucket import Bucket
from tests.installation import FIELDPACK, Installation, environment, installed
from tests.integration.rows import connected, insert_submissions
from tests.proxy import Proxy
from tests.scenario import PNG, UPLOAD, Scenario, expect

PHOTO = {**UPLOAD, "max_file_size_mb": 20}
TEXT = {"type": "free_text", "description": "How was it?"}
MANY = 40_000
JOB_SECONDS = 0.3  # about what the job of `MANY` takes on an idle machine
SEED = 4


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


def photos(scenario: Scenario, count: int, size_bytes: int) -> None:
    for number in range(count):
        content = PNG + hashlib.shake_128(str(number).encode()).digest(size_bytes - len(PNG))
        scenario.take_part(f"with-{number}", "Fine", [(f"{number}.png", content)])


def wait_for(seconds: float, condition: Any) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_until_ended(scenario: Scenario, export_id: str, seconds: float = 60) -> dict[str, Any]:
    """The export once it is no longer generating, whatever the server answers in between."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            response = scenario.api.get(f"{scenario.export_path}/{export_id}", headers={"Prefer": "wait=5"})
            answer: dict[str, Any] = response.json()
            assert response.status_code in (200, 503), answer
            if response.status_code == 200 and answer["status"] != "generating":
                return answer
        except httpx.HTTPError:
            time.sleep(0.1)
        assert time.monotonic() < deadline


def check(content: bytes, export: dict[str, Any]) -> None:
    """The archive is whole, and holds as many lines and files as the export says."""
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.testzip() is None
    assert len(archive.namelist()) == 3 + export["file_count"]
    assert archive.read("responses.jsonl").count(b"\n") == export["submission_count"]


def narrowed(number: int) -> dict[str, str]:
    """One of many filters that let everything through, each for an export of its own."""
    return {"from": f"2020-01-01T00:00:{number:02}Z"}


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
        process.wait(40)


def count_workers(server: Installation) -> int:
    with connected(server) as database:
        row = database.execute(
            "SELECT count(*) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.classid = %s", [0x666C706B]
        ).fetchone()
    assert row is not None
    found: int = row[0]
    return found


def test_workers_killed_at_random_points(large: Scenario, shaky: Installation) -> None:
    """Twelve exports, four at a time; each kill hits four jobs wherever they are."""
    points = random.Random(SEED)
    exports = [
        expect(large.api.post(large.export_path, params=narrowed(number)), 202)["export_id"]
        for number in range(12)
    ]
    for _ in range(3):
        wait_for(30, lambda: count_workers(shaky) == 1)
        time.sleep(points.random() * 4 * JOB_SECONDS)
        worker = shaky.children("worker")[0]
        os.kill(worker, signal.SIGKILL)
        wait_for(30, lambda gone=worker: shaky.children("worker") not in ([], [gone]))
    for export_id in exports:
        export = wait_until_ended(large, export_id, 90)
        assert (export["status"], export["submission_count"]) == ("complete", MANY + 1), export
    check(large.download(export), export)


def test_a_worker_that_is_asked_to_stop_hands_its_jobs_on(large: Scenario, shaky: Installation) -> None:
    with another_worker(shaky):
        wait_for(30, lambda: count_workers(shaky) == 2)
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
        wait_for(30, lambda: count_workers(shaky) == 2)
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
            wait_for(30, lambda: database.execute(idle).fetchone() is None)
            prefix = shaky.data_dir / "storage" / "exports" / answer["export_id"]
            wait_for(15, lambda: len(list(prefix.iterdir())) == 1)
        again = wait_until_ended(large, answer["export_id"])
        assert large.download(again) == first


def test_postgresql_is_killed_during_jobs(large: Scenario, shaky: Installation) -> None:
    exports = [
        expect(large.api.post(large.export_path, params=narrowed(number)), 202)["export_id"]
        for number in range(40, 44)
    ]
    time.sleep(JOB_SECONDS / 2)
    postmaster(shaky).kill()
    response = httpx.get(f"{shaky.url}/health/ready", trust_env=False, timeout=20)
    if response.status_code != 200:  # it may be up again by now
        assert response.status_code == 503
        assert "The database does not answer" in response.json()["error"]["detail"]
    for export_id in exports:
        assert wait_until_ended(large, export_id, 90)["status"] == "complete"
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
        proxy.bytes_per_second = 6e6

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
        wait_for(20, lambda: part.exists() and part.stat().st_size > 2_000_000)
        if victim == "server":
            shaky.kill()
            shaky.start()
        else:
            for web in shaky.children("web"):
                os.kill(web, signal.SIGKILL)
        proxy.bytes_per_second = None
        thread.join(60)
        assert proxy.connections > 1
    assert not thread.is_alive()
    check(target.read_bytes(), export)


@pytest.mark.parametrize("damage", ["truncated", "gone", "rotten"])
def test_a_damaged_file_aborts_the_download(shaky: Installation, small: Scenario, damage: str) -> None:
    """Cut off, never padded; the export is failed, the log says why, and so does the link from then on."""
    scenario = small
    photos(scenario, 2, 3_000_000)
    export = scenario.export()
    with connected(shaky) as database:
        row = database.execute(
            "SELECT b.id FROM uploads u JOIN blobs b ON b.id = u.blob_id JOIN submissions s"
            " ON s.id = u.submission_id WHERE s.collection_id = %s AND u.file_name = '1.png'",
            [scenario.collection["id"]],
        ).fetchone()
    assert row is not None
    path = shaky.data_dir / "storage" / "blobs" / str(row[0])[:2] / str(row[0])
    if damage == "gone":
        path.unlink()
    elif damage == "truncated":
        os.truncate(path, 2_900_000)
    else:
        path.write_bytes(b"x" * path.stat().st_size)
    received = bytearray()
    with (
        httpx.Client(trust_env=False, timeout=30) as client,
        client.stream("GET", export["url"]) as response,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        received.extend(chunk for piece in response.iter_bytes() for chunk in piece)
    assert len(received) < export["size_bytes"]
    found = wait_until_ended(scenario, export["export_id"])
    assert found["status"] == "failed"
    assert "damaged or missing" in found["failure_reason"]
    assert '"download.aborted"' in shaky.log
    assert httpx.get(export["url"], trust_env=False).status_code == 410


def test_links_expire_by_the_clock_of_postgresql() -> None:
    """This machine's clock and PostgreSQL's are an hour apart: the expiry is as PostgreSQL sees it."""
    with installed("--no-worker", FIELDPACK_LINK_LIFETIME_SECONDS="3") as server:
        with connected(server) as database:
            database.execute("CREATE SCHEMA shifted")
            database.execute(
                "CREATE FUNCTION shifted.now() RETURNS timestamptz STABLE LANGUAGE sql"
                " AS $$ SELECT pg_catalog.now() - interval '1 hour' $$"
            )
            database.execute("ALTER DATABASE fieldpack SET search_path = shifted, pg_catalog, public")
        server.stop()
        server.start()
        with server.client() as api, another_worker(server):
            scenario = Scenario.create(api)
            scenario.take_part("one")
            export = scenario.export()
            expires_at = datetime.fromisoformat(export["expires_at"])
            away = (datetime.now(UTC) - expires_at).total_seconds()
            assert 3500 < away < 3700
            assert scenario.download(export)
            time.sleep(3.5)
            response = httpx.get(export["url"], trust_env=False)
            assert response.status_code == 403
            assert "expired" in response.json()["error"]["detail"]


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 12 MB."""
    folder = Path(tempfile.mkdtemp(prefix="fieldpack-small-"))
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root and mount, to make a small file system")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)], check=False)
    if done.returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as out:
        while True:
            out.write(b"x" * 65536)


def test_a_full_disk_is_a_clear_failure(small_disk: Path) -> None:
    settings = {"FIELDPACK_STORAGE_URL": small_disk.as_uri(), "FIELDPACK_EXPORT_RETRIES": "1"}
    with installed(**settings) as server, server.client() as api:
        scenario = Scenario.create(api, TEXT, PHOTO)
        photos(scenario, 1, 3_000_000)
        insert_submissions(server, scenario.study["id"], 2000)
        filler = small_disk / "filler"
        with pytest.raises(OSError, match="No space left"):
            fill(filler)
        answer = expect(api.post(scenario.export_path), 202)
        export = wait_until_ended(scenario, answer["export_id"])
        assert export["status"] == "failed"
        assert "full" in export["failure_reason"]
        participant = scenario.start("late")
        with pytest.raises(AssertionError, match="150700"):
            participant.upload(participant.item(1), "late.png", PNG + b"x" * 3_000_000)
        filler.unlink()
        check(scenario.download(), scenario.export())


@pytest.fixture(scope="module")
def far(bucket: Bucket) -> Iterator[tuple[Installation, Proxy]]:
    """A server that streams from a bucket behind a network that can be spoiled."""
    with Proxy(bucket.ports[0]) as proxy:
        settings = {
            **bucket.environment,
            "AWS_ENDPOINT_URL": proxy.endpoint,
            "FIELDPACK_STORAGE_URL": bucket.url("faults"),
        }
        with installed(**settings) as installation:
            yield installation, proxy


@pytest.fixture
def remote(far: tuple[Installation, Proxy]) -> Iterator[tuple[Scenario, Installation, Proxy]]:
    server, proxy = far
    with server.client() as api:
        scenario = Scenario.create(api, TEXT, PHOTO)
        photos(scenario, 3, 2_500_000)
        yield scenario, server, proxy
        proxy.heal()


def test_storage_that_refuses_is_waited_for(remote: tuple[Scenario, Installation, Proxy]) -> None:
    scenario, server, proxy = remote
    proxy.refuse()
    answer = expect(scenario.api.post(scenario.export_path), 202)
    ready = httpx.get(f"{server.url}/health/ready", trust_env=False, timeout=20)
    assert ready.status_code == 503
    assert "The storage does not answer" in ready.json()["error"]["detail"]
    assert httpx.get(f"{server.url}/health/live", trust_env=False).status_code == 200
    time.sleep(1)
    assert expect(scenario.api.get(f"{scenario.export_path}/{answer['export_id']}"), 200)["status"] == (
        "generating"
    )
    proxy.heal()
    export = wait_until_ended(scenario, answer["export_id"])
    assert export["status"] == "complete"
    check(scenario.download(export), export)
    assert httpx.get(f"{server.url}/health/ready", trust_env=False).status_code == 200


def test_slow_storage_is_slow_only(remote: tuple[Scenario, Installation, Proxy]) -> None:
    scenario, server, proxy = remote
    export = scenario.export()
    proxy.bytes_per_second = 3e6
    proxy.delay_seconds = 0.02
    seen = []
    thread = threading.Thread(target=lambda: seen.append(scenario.download(export)))
    thread.start()
    while thread.is_alive():
        started = time.monotonic()
        assert httpx.get(f"{server.url}/health/live", trust_env=False, timeout=5).status_code == 200
        assert time.monotonic() - started < 5
        time.sleep(0.2)
    thread.join()
    check(seen[0], export)


def test_short_reads_are_made_up_for_or_break_off(
    remote: tuple[Scenario, Installation, Proxy], tmp_path: Path
) -> None:
    """The storage's connections end in mid-answer: nothing false comes out, and the client gets there."""
    scenario, _, proxy = remote
    export = scenario.export()
    proxy.cut_after = 700_000
    try:
        got = httpx.get(export["url"], trust_env=False, timeout=60).content
    except httpx.HTTPError:
        got = b""
    if got:
        check(got, export)
    target = tmp_path / "archive.zip"
    failure: list[FieldpackError] = []

    def download() -> None:
        try:
            download_archive(lambda: str(scenario.export()["url"]), target, tries=100)
        except FieldpackError as error:
            failure.append(error)

    thread = threading.Thread(target=download)
    thread.start()
    time.sleep(2)
    proxy.heal()
    thread.join(60)
    assert not failure
    check(target.read_bytes(), export)
    assert wait_until_ended(scenario, export["export_id"])["status"] == "complete"
