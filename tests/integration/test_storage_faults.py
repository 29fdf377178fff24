"""What storage does wrong in real life: it fills up, refuses, is slow, cuts short, loses and rots.

Each ends in a right archive, or in a clear failure. Everything is real: files, a small file system, a bucket
behind a network that a proxy spoils.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import obstore
import pytest
from obstore.store import from_url

from fieldpack.client.download.archive import download_archive
from fieldpack.errors import FieldpackError
from fieldpack.server.storage import blob_key
from tests.bucket import Bucket
from tests.installation import Installation, installed
from tests.integration.rows import connected, insert_submissions
from tests.integration.waiting import PHOTO, TEXT, check, photos, wait_for, wait_until_ended
from tests.proxy import Proxy
from tests.scenario import PNG, Scenario, expect

SKEWED = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nConnection: close\r\n\r\n"
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>RequestTimeTooSkewed</Code><Message>The difference'
    b" between the request time and the server's time is too large.</Message></Error>"
)


@pytest.fixture(scope="module")
def local() -> Iterator[Installation]:
    """A server whose files are about to be damaged."""
    with installed(FIELDPACK_LOG_FORMAT="json") as installation:
        yield installation


@pytest.fixture
def small(local: Installation) -> Iterator[Scenario]:
    """A collection to fill with files."""
    with local.client() as client:
        yield Scenario.create(client, TEXT, PHOTO)


def key_of_file(server: Installation, scenario: Scenario, file_name: str) -> str:
    """Where a participant's file is stored."""
    with connected(server) as database:
        row = database.execute(
            "SELECT b.id FROM uploads u JOIN blobs b ON b.id = u.blob_id JOIN submissions s"
            " ON s.id = u.submission_id WHERE s.collection_id = %s AND u.file_name = %s",
            [scenario.collection["id"], file_name],
        ).fetchone()
    assert row is not None
    return blob_key(row[0])


def ruin(path: Path, damage: str) -> None:
    if damage == "gone":
        path.unlink()
    elif damage == "truncated":
        os.truncate(path, path.stat().st_size - 10)
    else:
        path.write_bytes(b"x" * path.stat().st_size)


def assert_cut_off(scenario: Scenario, export: dict[str, Any]) -> None:
    """The download ends early, never padded; the export is failed, and its link says so from then on."""
    with pytest.raises(httpx.RemoteProtocolError):  # which says how many of the promised bytes came
        httpx.get(export["url"], trust_env=False, timeout=120)
    found = wait_until_ended(scenario, export["export_id"])
    assert found["status"] == "failed"
    assert "damaged or missing" in found["failure_reason"]
    assert httpx.get(export["url"], trust_env=False).status_code == 410


@pytest.mark.parametrize("size_bytes", [3_000_000, 3_000])
@pytest.mark.parametrize("damage", ["truncated", "gone", "rotten"])
def test_a_damaged_file_aborts_the_download(
    local: Installation, small: Scenario, damage: str, size_bytes: int
) -> None:
    photos(small, 2, size_bytes)
    export = small.export()
    ruin(local.data_dir / "storage" / key_of_file(local, small, "1.png"), damage)
    seen = len(local.log)
    assert_cut_off(small, export)
    assert '"download.aborted"' in local.log[seen:]


@pytest.mark.parametrize("damage", ["truncated", "gone", "rotten"])
def test_damaged_answers_abort_the_download(local: Installation, small: Scenario, damage: str) -> None:
    small.take_part("one")
    export = small.export()
    [build] = (local.data_dir / "storage" / "exports" / export["export_id"]).iterdir()
    ruin(build / "responses.jsonl", damage)
    assert_cut_off(small, export)


@pytest.mark.parametrize("damage", ["truncated", "gone", "rotten"])
def test_a_damaged_index_fails_the_export(local: Installation, small: Scenario, damage: str) -> None:
    small.take_part("one")
    export = small.export()
    [build] = (local.data_dir / "storage" / "exports" / export["export_id"]).iterdir()
    ruin(build / "index", damage)
    assert httpx.get(export["url"], trust_env=False).status_code == 410
    assert wait_until_ended(small, export["export_id"])["status"] == "failed"
    check(small.download(), small.export())


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
    ready = httpx.get(f"{server.url}/health/ready", trust_env=False, timeout=60)
    assert ready.status_code == 503
    assert "The storage does not answer" in ready.json()["error"]["detail"]
    assert httpx.get(f"{server.url}/health/live", trust_env=False).status_code == 200
    deadline = time.monotonic() + 60
    while True:
        found = expect(scenario.api.get(f"{scenario.export_path}/{answer['export_id']}"), 200)
        assert found["status"] == "generating"
        if "waiting_reason" in found:
            break
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    assert found["waiting_reason"].startswith("The storage does not answer: ")
    again = expect(scenario.api.post(scenario.export_path), 202)
    assert (again["export_id"], "waiting_reason" in again) == (answer["export_id"], True)
    proxy.heal()
    export = wait_until_ended(scenario, answer["export_id"])
    assert export["status"] == "complete"
    assert "waiting_reason" not in export
    check(scenario.download(export), export)
    assert httpx.get(f"{server.url}/health/ready", trust_env=False).status_code == 200


@pytest.mark.parametrize("size_bytes", [2_000_000, 3_000])
@pytest.mark.parametrize("damage", ["truncated", "gone"])
def test_a_damaged_object_aborts_the_download(
    far: tuple[Installation, Proxy], damage: str, size_bytes: int
) -> None:
    server, proxy = far
    with server.client() as api:
        scenario = Scenario.create(api, TEXT, PHOTO)
        photos(scenario, 2, size_bytes)
        export = scenario.export()
        key = key_of_file(server, scenario, "1.png")
        objects = from_url(
            server.settings["FIELDPACK_STORAGE_URL"],
            config={
                "endpoint": proxy.endpoint,
                "region": "us-east-1",
                "access_key_id": server.settings["AWS_ACCESS_KEY_ID"],
                "secret_access_key": server.settings["AWS_SECRET_ACCESS_KEY"],
            },
            client_options={"allow_http": True},
        )
        if damage == "gone":
            obstore.delete(objects, key)
        else:
            obstore.put(objects, key, PNG)
        assert_cut_off(scenario, export)


def test_a_bucket_that_refuses_a_wrong_clock_is_a_clear_failure(bucket: Bucket) -> None:
    with Proxy(bucket.ports[0]) as proxy:
        settings = {
            **bucket.environment,
            "AWS_ENDPOINT_URL": proxy.endpoint,
            "FIELDPACK_STORAGE_URL": bucket.url("skewed"),
            "FIELDPACK_EXPORT_RETRIES": "1",
        }
        with installed(**settings) as server, server.client() as api:
            scenario = Scenario.create(api, TEXT, PHOTO)
            participant = scenario.start("one")
            proxy.reply_with(SKEWED)
            ready = httpx.get(f"{server.url}/health/ready", trust_env=False, timeout=60)
            assert ready.status_code == 503
            assert "clock is wrong" in ready.json()["error"]["detail"]
            with pytest.raises(AssertionError, match="150300"):
                participant.upload(participant.item(1), "late.png", PNG)
            export = wait_until_ended(scenario, expect(api.post(scenario.export_path), 202)["export_id"])
            assert export["status"] == "failed"
            assert "clock is wrong" in export["failure_reason"]
            proxy.heal()
            check(scenario.download(), scenario.export())


def test_slow_storage_is_slow_only(remote: tuple[Scenario, Installation, Proxy]) -> None:
    scenario, server, proxy = remote
    export = scenario.export()
    proxy.delay_seconds = 0.02
    proxy.hold(1_000_000, answers=True)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(scenario.download(export)))
    thread.start()
    proxy.wait_until_held()
    for _ in range(20):  # while it gives nothing at all
        assert httpx.get(f"{server.url}/health/live", trust_env=False, timeout=60).status_code == 200
        assert httpx.get(f"{server.url}/api/v1/users/me", headers=scenario.api.headers).status_code == 200
    assert thread.is_alive()
    proxy.release()
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
    before = proxy.connections
    thread.start()
    wait_for(lambda: proxy.connections > before + 3)
    proxy.heal()
    thread.join(120)
    assert not failure
    check(target.read_bytes(), export)
    assert wait_until_ended(scenario, export["export_id"])["status"] == "complete"
