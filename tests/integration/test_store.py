"""`store` delivery: the archive as an object of a real bucket, made of parts by several workers."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import psycopg
import pytest

from fieldpack.server.db.embedded.server import open_embedded
from tests.bucket import Bucket
from tests.installation import FIELDPACK, STOP_SECONDS, Installation, environment, installed
from tests.integration.waiting import wait_for
from tests.proxy import Proxy
from tests.scenario import PNG, UPLOAD, Scenario, expect

PREFIX = "store"
PHOTO = {**UPLOAD, "max_file_size_mb": 20}
TEXT = {"type": "free_text", "description": "How was it?"}
PART_MB = 5
MOST_SENT = (
    30_000_000  # of 36 MB: more than what is on its way at once, so that some parts are there, and not all
)


def photo(name: str, size_bytes: int) -> bytes:
    """A PNG, and then bytes that are the same each time and don't compress."""
    out = io.BytesIO(PNG)
    out.seek(0, io.SEEK_END)
    number = 0
    while out.tell() < size_bytes:
        number += 1
        out.write(hashlib.shake_128(f"{name}{number}".encode()).digest(1 << 20))
    return out.getvalue()[:size_bytes]


def settings_of(bucket: Bucket, endpoint: str) -> dict[str, str]:
    return {
        **bucket.environment,
        "AWS_ENDPOINT_URL": endpoint,
        "FIELDPACK_STORAGE_URL": bucket.url(PREFIX),
        "FIELDPACK_DELIVERY": "store",
        "FIELDPACK_ARCHIVE_PART_MB": str(PART_MB),
        "FIELDPACK_STORAGE_LINK_ENDPOINT": bucket.endpoint,
        "FIELDPACK_LOG_FORMAT": "json",
    }


@pytest.fixture(scope="module")
def proxy(bucket: Bucket) -> Iterator[Proxy]:
    with Proxy(bucket.ports[0]) as made:
        yield made


@pytest.fixture(scope="module")
def store(bucket: Bucket, proxy: Proxy) -> Iterator[Installation]:
    """A server that delivers from the bucket, which it reaches through a proxy."""
    with installed(**settings_of(bucket, proxy.endpoint)) as installation:
        yield installation


@pytest.fixture
def stored(store: Installation, proxy: Proxy) -> Iterator[Scenario]:
    """A collection with 36 MB of files, most of them cut between parts."""
    with store.client() as client:
        made = Scenario.create(client, TEXT, PHOTO)
        made.take_part("first", "One", [("large.png", photo("large", 13_000_000)), ("small.png", PNG)])
        made.take_part("second", "Two", [("next.png", photo("next", 11_000_000))])
        files = [(f"{number}.png", photo(str(number), 200_000)) for number in range(5)]
        made.take_part("third", "Three", [*files, ("last.png", photo("last", 11_000_000))])
        yield made
        proxy.heal()


@contextmanager
def database(store: Installation) -> Iterator[psycopg.Connection[Any]]:
    with open_embedded(store.data_dir) as held, psycopg.connect(held.url, autocommit=True) as connection:
        yield connection


def count(store: Installation, query: str, *values: Any) -> int:
    with database(store) as connection:
        row = connection.execute(query.encode(), values).fetchone()
        assert row is not None
        found: int = row[0]
        return found


def s3(bucket: Bucket) -> Any:
    from botocore.session import Session

    return Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=bucket.endpoint,
        aws_access_key_id=bucket.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=bucket.environment["AWS_SECRET_ACCESS_KEY"],
    )


def keys(bucket: Bucket, prefix: str) -> list[str]:
    """What the bucket lists below a prefix, uploads under way included."""
    client = s3(bucket)
    where = {"Bucket": bucket.name, "Prefix": f"{PREFIX}/{prefix}"}
    objects = [entry["Key"] for entry in client.list_objects_v2(**where).get("Contents", [])]
    return objects + [entry["Key"] for entry in client.list_multipart_uploads(**where).get("Uploads", [])]


def fetch(url: str, **headers: str) -> httpx.Response:
    return httpx.get(url, headers=headers, trust_env=False, timeout=60)


def start_export(scenario: Scenario) -> str:
    export_id: str = expect(scenario.api.post(scenario.export_path), 202)["export_id"]
    return export_id


def wait_until_ended(scenario: Scenario, export_id: str, seconds: float = 120) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while True:
        answer: dict[str, Any] = scenario.api.get(
            f"{scenario.export_path}/{export_id}", headers={"Prefer": "wait=5"}
        ).json()
        if answer.get("status") != "generating":
            return answer
        assert time.monotonic() < deadline, answer


def wait_for_parts(store: Installation, export_id: str, at_least: int = 1) -> None:
    """Until parts are noted and some are there."""
    query = "SELECT count(*) FROM export_parts WHERE export_id = %s AND etag IS NOT NULL"
    wait_for(lambda: count(store, query, export_id) >= at_least)


def test_the_object_is_byte_for_byte_the_stream(stored: Scenario, store: Installation) -> None:
    export = stored.export()
    url = urlsplit(export["url"])
    assert f"/exports/{export['export_id']}/" in url.path
    assert int(parse_qs(url.query)["X-Amz-Expires"][0]) == 86400
    response = fetch(export["url"])
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/zip"
    assert "-export-" in response.headers["content-disposition"]
    assert len(response.content) == export["size_bytes"]
    parts = count(store, "SELECT count(*) FROM export_parts WHERE export_id = %s", export["export_id"])
    assert parts == -(-export["size_bytes"] // (PART_MB << 20)) >= 7
    archive = zipfile.ZipFile(io.BytesIO(response.content))
    assert archive.testzip() is None
    assert len(archive.namelist()) == 3 + export["file_count"]
    assert fetch(export["url"], Range="bytes=100-199").content == response.content[100:200]
    with database(store) as connection:  # the same build, sent by this server
        connection.execute("UPDATE exports SET delivery = 'stream' WHERE id = %s", [export["export_id"]])
    again = expect(stored.api.get(f"{stored.export_path}/{export['export_id']}"), 200)
    assert urlsplit(again["url"]).port == store.port
    assert fetch(again["url"]).content == response.content


def test_links_are_fresh_and_reused(stored: Scenario) -> None:
    export = stored.export()
    again = expect(stored.api.post(stored.export_path), 200)
    assert again["export_id"] == export["export_id"]
    assert again["expires_at"] >= export["expires_at"]
    assert fetch(again["url"] + "0").status_code == 403


def test_deleting_and_erasing_remove_the_object_first(stored: Scenario, bucket: Bucket) -> None:
    export = stored.export()
    expect(stored.api.delete(f"{stored.export_path}/{export['export_id']}"), 204)
    assert fetch(export["url"]).status_code == 404
    assert keys(bucket, f"exports/{export['export_id']}/") == []
    export = stored.export()
    submissions = expect(stored.api.get(f"/studies/{stored.study['id']}/submissions"), 200)["results"]
    expect(stored.api.delete(f"/submissions/{submissions[0]['id']}"), 204)
    assert fetch(export["url"]).status_code == 404
    assert keys(bucket, f"exports/{export['export_id']}/") == []
    again = expect(stored.api.get(f"{stored.export_path}/{export['export_id']}"), 200)
    assert again["status"] == "failed"
    assert stored.export()["submission_count"] == 2


def test_an_erasure_undoes_parts_under_way(
    stored: Scenario, store: Installation, bucket: Bucket, proxy: Proxy
) -> None:
    proxy.hold(MOST_SENT, answers=False)
    export_id = start_export(stored)
    proxy.wait_until_held()
    wait_for_parts(store, export_id)
    with database(store) as connection:
        row = connection.execute("SELECT build FROM exports WHERE id = %s", [export_id]).fetchone()
        assert row is not None
    assert any(key.endswith(".zip") for key in keys(bucket, f"exports/{export_id}/{row[0]}/"))
    submissions = expect(stored.api.get(f"/studies/{stored.study['id']}/submissions"), 200)["results"]
    expect(stored.api.delete(f"/submissions/{submissions[0]['id']}"), 204)
    proxy.heal()
    export = wait_until_ended(stored, export_id)
    assert (export["status"], export["submission_count"]) == ("complete", 2)
    wait_for(lambda: keys(bucket, f"exports/{export_id}/{row[0]}/") == [])
    assert zipfile.ZipFile(io.BytesIO(fetch(export["url"]).content)).testzip() is None


def test_a_worker_that_dies_costs_its_parts_only(
    stored: Scenario, store: Installation, proxy: Proxy, bucket: Bucket
) -> None:
    """Two workers; one is killed in the middle of a part. What was there stays, another makes the rest."""
    proxy.hold(MOST_SENT, answers=False)
    export_id = start_export(stored)
    proxy.wait_until_held()
    wait_for_parts(store, export_id)
    query = "SELECT number, etag FROM export_parts WHERE export_id = %s AND etag IS NOT NULL"
    with database(store) as connection:
        before = dict(connection.execute(query, [export_id]).fetchall())
    seen = len(store.log)
    other = subprocess.Popen(
        [*FIELDPACK, "worker", "--data-dir", str(store.data_dir), "--queue", "parts", "--concurrency", "4"],
        env=environment(**store.settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        workers = "SELECT count(DISTINCT pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s"
        wait_for(lambda: count(store, workers, 0x666C706B) == 2)
        os.kill(store.children("worker")[0], signal.SIGKILL)
        proxy.heal()
        export = wait_until_ended(stored, export_id)
        assert export["status"] == "complete"
        with database(store) as connection:
            after = dict(connection.execute(query, [export_id]).fetchall())
        assert before.items() <= after.items()
        assert "export.superseded" not in store.log[seen:]
        assert zipfile.ZipFile(io.BytesIO(fetch(export["url"]).content)).testzip() is None
    finally:
        other.send_signal(signal.SIGTERM)
        other.wait(STOP_SECONDS)


def test_a_part_given_to_two_workers_is_the_same_twice(stored: Scenario, store: Installation) -> None:
    with database(store) as connection:
        connection.execute(
            """
            CREATE FUNCTION twice() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                PERFORM procrastinate_defer_jobs_v1(ARRAY[ROW('parts', 'fieldpack:part', 0, NULL, NULL,
                    jsonb_build_object('export_id', new.export_id, 'build', new.build, 'number', new.number),
                    NULL)::procrastinate_job_to_defer_v1]);
                RETURN NULL; END $$
            """
        )
        connection.execute(
            "CREATE TRIGGER twice AFTER INSERT ON export_parts FOR EACH ROW EXECUTE FUNCTION twice()"
        )
        try:
            export = stored.export()
            assert zipfile.ZipFile(io.BytesIO(fetch(export["url"]).content)).testzip() is None
        finally:
            connection.execute("DROP FUNCTION twice CASCADE")


@pytest.mark.parametrize("file_name", ["large.png", "0.png"])
def test_a_damaged_file_fails_the_export(
    stored: Scenario, store: Installation, bucket: Bucket, file_name: str
) -> None:
    """Also one that is cut between parts, so that no part alone can tell."""
    with database(store) as connection:
        row = connection.execute(
            """
            SELECT b.id, b.size_bytes FROM uploads u JOIN blobs b ON b.id = u.blob_id
            JOIN submissions s ON s.id = u.submission_id WHERE u.file_name = %s AND s.collection_id = %s
            """,
            [file_name, stored.collection["id"]],
        ).fetchone()
    assert row is not None
    blob, size = str(row[0]), row[1]
    filer = f"http://127.0.0.1:{bucket.ports[6]}/buckets/{bucket.name}/{PREFIX}/blobs/{blob[:2]}/{blob}"
    httpx.put(filer, content=b"x" * size, trust_env=False).raise_for_status()
    export = wait_until_ended(stored, start_export(stored))
    assert export["status"] == "failed"
    assert f"_{file_name} are not those on record" in export["failure_reason"]
    wait_for(lambda: keys(bucket, f"exports/{export['export_id']}/") == [])


def test_a_sweep_aborts_what_nobody_will_finish(
    stored: Scenario, store: Installation, bucket: Bucket
) -> None:
    export_id = str(uuid4())
    s3(bucket).create_multipart_upload(
        Bucket=bucket.name, Key=f"{PREFIX}/exports/{export_id}/{uuid4()}/archive.zip"
    )
    assert keys(bucket, f"exports/{export_id}/")
    young = json.loads(store.run("sweep", "--json").stdout)
    assert young["objects_unfinished"] == 0
    time.sleep(1)
    old = json.loads(store.run("sweep", "--json", FIELDPACK_ORPHAN_HOURS="0.0001").stdout)
    assert old["objects_unfinished"] == 1
    assert keys(bucket, f"exports/{export_id}/") == []
    assert len(fetch(stored.export()["url"]).content) > 36_000_000


def test_store_delivery_is_refused_without_a_bucket(tmp_path: Path) -> None:
    done = subprocess.run(
        [*FIELDPACK, "serve", "--data-dir", str(tmp_path / "data")],
        env=environment(FIELDPACK_DELIVERY="store"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "needs a bucket" in done.stderr
