"""Erasing a participant reaches everything: links, exports, jobs at work, downloads under way, the disk."""

from __future__ import annotations

import io
import json
import random
import socket
import time
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from psycopg import sql

from tests.files_there import iter_contents
from tests.installation import Installation
from tests.integration.rows import activity, connected, insert_submissions
from tests.integration.waiting import held_jobs
from tests.refusals import refused
from tests.scenario import PNG, Scenario, expect

GONE_SECONDS = 300.0  # 10 are promised, on a machine with nothing else to do


@pytest.fixture
def scenario(api: httpx.Client) -> Scenario:
    return Scenario.create(api)


def picture(marker: bytes) -> bytes:
    """A PNG that can be found on disk again."""
    return PNG + marker


def find_on_disk(server: Installation, *markers: bytes) -> list[str]:
    """Files of storage and of work under way that hold any of these bytes, deflated ones too."""
    found = []
    for name in ("storage", "tmp"):
        for path, data in iter_contents(server.data_dir / name):
            if "exports" in path.parts and path.name.endswith((".jsonl", ".json", ".md")):
                data += inflate(data)
            if any(marker in data for marker in markers):
                found.append(str(path))
    return found


def inflate(data: bytes) -> bytes:
    import zlib

    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data)
    except zlib.error:
        return b""


def wait_until_gone(server: Installation, *markers: bytes) -> None:
    deadline = time.monotonic() + GONE_SECONDS
    while found := find_on_disk(server, *markers):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def state_of(scenario: Scenario, export: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = expect(scenario.api.get(f"{scenario.export_path}/{export['export_id']}"), 200)
    return found


def people_in(archive: bytes) -> list[str]:
    lines = zipfile.ZipFile(io.BytesIO(archive)).read("responses.jsonl").splitlines()
    return [json.loads(line)["participant_id"] for line in lines]


def test_erasing_one_submission(scenario: Scenario, server: Installation) -> None:
    marker, secret = f"marker-{uuid4()}".encode(), f"secret {uuid4()}"
    scenario.take_part("stays", "Stays", [("stays.png", PNG)])
    erased = scenario.take_part("leaves", secret, [("leaves.png", picture(marker))])
    export = scenario.export()
    before = scenario.download(export)
    assert people_in(before) == ["stays", "leaves"]
    assert find_on_disk(server, marker)
    assert find_on_disk(server, secret.encode())

    answer = scenario.api.delete(f"/submissions/{erased}")
    assert (answer.status_code, answer.content) == (204, b"")
    refused(httpx.get(export["url"]), 410)
    assert httpx.head(export["url"]).status_code == 410
    refused(httpx.get(export["url"], headers={"Range": "bytes=0-10"}), 410)
    state = state_of(scenario, export)
    assert state["status"] == "failed"
    assert state["failure_reason"]
    assert "url" not in state
    wait_until_gone(server, marker, secret.encode())

    refused(scenario.api.get(f"/submissions/{erased}"), 404)
    refused(scenario.api.delete(f"/submissions/{erased}"), 404)
    listed = expect(scenario.api.get(f"/studies/{scenario.study['id']}/submissions"), 200)
    assert [row["participant_id"] for row in listed["results"]] == ["stays"]
    path = f"/data-collection/collections/{scenario.collection['id']}/responses"
    responses = expect(scenario.api.get(path), 200)
    assert {row["participant_id"] for row in responses["results"]} == {"stays"}
    assert responses["meta"]["count"] == len(responses["results"]) == 2

    after = scenario.export()
    assert after["export_id"] != export["export_id"]
    archive = scenario.download(after)
    assert people_in(archive) == ["stays"]
    names = zipfile.ZipFile(io.BytesIO(archive)).namelist()
    assert not any(erased in name for name in names)
    assert (after["submission_count"], after["file_count"]) == (1, 1)


def test_nothing_of_the_person_is_left_in_the_database(scenario: Scenario, server: Installation) -> None:
    person, session, secret, name = (f"{kind}-{uuid4()}" for kind in ("person", "session", "secret", "name"))
    participant = scenario.start(person, session)
    expect(participant.answer(participant.item(0), {"value": secret}), 200)
    participant.upload(participant.item(1), f"{name}.png", PNG)
    participant.submit()
    decision = {"action": "REJECT", "message": f"message {secret}", "rejection_category": "OTHER"}
    expect(scenario.api.post(f"/submissions/{participant.submission_id}/transition", json=decision), 200)
    scenario.export()
    expect(scenario.api.delete(f"/submissions/{participant.submission_id}"), 204)
    refused(scenario.api.get(participant.path, headers=participant.headers), 401)
    with connected(server) as database:
        tables = database.execute(
            "SELECT table_name FROM information_schema.tables"
            " WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        ).fetchall()
        for (table,) in tables:
            query = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table))
            for (row,) in database.execute(query).fetchall():
                for trace in (person, session, secret, name):
                    assert trace not in row, (table, row)
                if table.startswith("audit_"):
                    assert participant.submission_id not in row, (table, row)


def test_exports_that_do_not_hold_it_live_on(scenario: Scenario) -> None:
    api = scenario.api
    fields = ("name", "total_available_places", "data_collection_method", "data_collection_id")
    made = expect(api.post("/studies", json={name: scenario.study[name] for name in fields}), 201)
    expect(api.post(f"/studies/{made['id']}/transition", json={"action": "PUBLISH"}), 200)
    scenario.take_part("first")
    earlier = scenario.export()  # its snapshot was before
    other = Scenario(api, scenario.collection, made)
    other.take_part("elsewhere")
    erased = scenario.take_part("second")
    completed_at = expect(api.get(f"/submissions/{erased}"), 200)["completed_at"]
    apart = {
        "another study": scenario.export(study_id=made["id"]),
        "before": scenario.export(to=completed_at),
        "after": scenario.export(**{"from": "2999-01-01T00:00:00Z"}),
        "earlier": earlier,
    }
    touched = {
        "everything": scenario.export(),
        "its study": scenario.export(study_id=scenario.study["id"]),
        "its time": scenario.export(**{"from": completed_at}),
    }
    archives = {name: scenario.download(export) for name, export in apart.items()}
    expect(api.delete(f"/submissions/{erased}"), 204)
    for name, export in apart.items():
        assert state_of(scenario, export)["status"] == "complete", name
        assert scenario.download(export) == archives[name], name
    for name, export in touched.items():
        assert state_of(scenario, export)["status"] == "failed", name
        refused(httpx.get(export["url"]), 410)


def test_an_export_made_after_it_was_returned_lives_on(scenario: Scenario) -> None:
    api = scenario.api
    scenario.take_part("stays")
    participant = scenario.start("leaves")
    expect(participant.answer(participant.item(0), {"value": "x"}), 200)
    participant.submit()
    held = scenario.export()
    path = f"/submissions/{participant.submission_id}"
    expect(api.post(f"{path}/request-return", json={"request_return_reasons": ["x"]}), 200)
    expect(api.post(f"{participant.path}/return", headers=participant.headers), 200)
    without = scenario.export()
    expect(api.delete(path), 204)
    assert state_of(scenario, held)["status"] == "failed"
    assert state_of(scenario, without)["status"] == "complete"
    assert people_in(scenario.download(without)) == ["stays"]


def test_erasing_before_submit_frees_the_place(api: httpx.Client) -> None:
    scenario = Scenario.create(api, places=1)
    participant = scenario.start("only")
    study = f"/studies/{scenario.study['id']}"
    assert expect(api.get(study), 200)["status"] == "AWAITING REVIEW"
    expect(api.delete(f"/submissions/{participant.submission_id}"), 204)
    found = expect(api.get(study), 200)
    assert (found["status"], found["places_taken"]) == ("ACTIVE", 0)
    scenario.start("another")


def test_an_upload_under_way_is_erased_too(scenario: Scenario, server: Installation) -> None:
    marker = f"marker-{uuid4()}".encode()
    participant = scenario.start("uploader")
    participant.upload(participant.item(1), "done.png", picture(marker))
    data = picture(marker) + bytes(1000)
    url = participant.upload(participant.item(1), "cut.png", data[: len(data)])
    assert url
    expect(scenario.api.delete(f"/submissions/{participant.submission_id}"), 204)
    wait_until_gone(server, marker)
    assert scenario.api.head(url, headers={**participant.headers, "Tus-Resumable": "1.0.0"}).status_code in (
        401,
        404,
        410,
    )


def test_a_download_under_way_is_aborted(api: httpx.Client, server: Installation) -> None:
    scenario = Scenario.create(
        api,
        {"type": "free_text", "description": "x"},
        {"type": "file_upload", "description": "y", "max_file_size_mb": 100},
    )
    noise = random.Random(3).randbytes(1 << 20) * 40
    erased = scenario.take_part("large", files=[("large.png", PNG + noise)])
    export = scenario.export()
    parts = urlsplit(export["url"])
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        connection.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        received = len(connection.recv(65536))
        expect(api.delete(f"/submissions/{erased}"), 204)
        try:
            while data := connection.recv(1 << 20):
                received += len(data)
        except ConnectionResetError:
            pass
    assert received < export["size_bytes"]
    expect(api.get("/users/me"), 200)


MANY = 10_000


def test_erasing_while_a_job_runs(scenario: Scenario, server: Installation) -> None:
    """The same export completes, from a new snapshot, without the erased person."""
    marker, secret = f"marker-{uuid4()}".encode(), f"secret {uuid4()}"
    erased = scenario.take_part("leaves", secret, [("leaves.png", picture(marker))])
    scenario.take_part("stays")
    insert_submissions(server, scenario.study["id"], MANY)
    with held_jobs(server) as held:
        body = expect(scenario.api.post(scenario.export_path), 202)
        path = f"{scenario.export_path}/{body['export_id']}"
        held.wait()  # its snapshot is taken, and its lines are to be read
        expect(scenario.api.delete(f"/submissions/{erased}"), 204)
        state = expect(scenario.api.get(path), 200)
        assert (state["status"], state["export_id"]) == ("generating", body["export_id"])
    deadline = time.monotonic() + GONE_SECONDS
    while state["status"] == "generating":
        assert time.monotonic() < deadline, (activity(server), server.log[-3000:])
        state = expect(scenario.api.get(path, headers={"Prefer": "wait=5"}), 200)
    assert state["status"] == "complete"
    assert state["submission_count"] == MANY + 1
    archive = scenario.download(state)
    assert secret.encode() not in zipfile.ZipFile(io.BytesIO(archive)).read("responses.jsonl")
    wait_until_gone(server, marker, secret.encode())
    with connected(server) as database:
        attempts = database.execute(
            "SELECT attempts FROM exports WHERE id = %s", [body["export_id"]]
        ).fetchone()
    assert attempts == (1,)  # starting over is no other attempt: any number of erasures may come
    assert "export.superseded" in server.log
    folders = list((Path(server.data_dir) / "storage" / "exports" / body["export_id"]).iterdir())
    assert len(folders) == 1  # the superseded build left nothing


def test_a_whole_collection_by_command(scenario: Scenario, server: Installation) -> None:
    marker = f"marker-{uuid4()}".encode()
    ids = [
        scenario.take_part("a", files=[("a.png", picture(marker))]),
        scenario.take_part("b", files=[("b.png", picture(marker))]),
    ]
    export = scenario.export()
    refusing = server.run("collection", "erase", scenario.collection["id"], check=False)
    assert refusing.returncode != 0  # nobody was there to say yes
    expect(scenario.api.get(f"/submissions/{ids[0]}"), 200)
    done = server.run("collection", "erase", scenario.collection["id"], "--yes")
    assert done.returncode == 0
    for identifier in ids:
        refused(scenario.api.get(f"/submissions/{identifier}"), 404)
    refused(httpx.get(export["url"]), 410)
    wait_until_gone(server, marker)
    assert scenario.export()["submission_count"] == 0
