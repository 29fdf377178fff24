"""What is cleared away, what never is; and what a server says of itself in figures and log lines."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.installation import Installation, installed
from tests.integration.rows import connected
from tests.integration.waiting import wait_for
from tests.scenario import PNG, Scenario, expect

OLD = time.time() - 3 * 86400


@pytest.fixture(scope="module")
def swept() -> Iterator[Installation]:
    """A server of two web processes whose sweeps are watched."""
    with installed("--workers", "2", FIELDPACK_LOG_FORMAT="json") as installation:
        yield installation


@pytest.fixture
def scenario(swept: Installation) -> Iterator[Scenario]:
    with swept.client() as api:
        yield Scenario.create(api)


def sweep(server: Installation, *options: str, **settings: str) -> dict[str, Any]:
    shown = server.run("sweep", "--json", *options, check=True, **settings)
    found: dict[str, Any] = json.loads(shown.stdout)
    return found


def put_old(path: Path, data: bytes = b"left") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (OLD, OLD))
    return path


def make_old_entries(database: psycopg.Connection[Any], scenario: Scenario) -> None:
    """What is forgotten after a time: two changes, an event that was sent, one that was not, and a used link."""
    workspace, collection = scenario.collection["workspace_id"], scenario.collection["id"]
    for _ in range(2):
        database.execute(
            "INSERT INTO changes (at, type, object_id, workspace_id, collection_id)"
            " VALUES (now() - interval '3650 days', 'study.changed', %s, %s, %s)",
            [uuid4(), workspace, collection],
        )
    hook = uuid4()
    database.execute(
        "INSERT INTO hook_subscriptions (id, workspace_id, event_type, target_url, is_enabled, confirmation_sha256,"
        " created_by) SELECT %s, %s, 'study.status.change', 'https://receiver.invalid/', false, '', id FROM researchers"
        " LIMIT 1",
        [hook, workspace],
    )
    for status in ("SUCCEEDED", "PENDING"):
        database.execute(
            "INSERT INTO hook_events (subscription_id, event_type, resource_id, payload, status, updated_at)"
            " VALUES (%s, 'study.status.change', %s, '{}', %s, now() - interval '3650 days')",
            [hook, uuid4(), status],
        )
    database.execute(
        "INSERT INTO used_tickets (id, expires_at) VALUES (%s, now() - interval '1 day')", [str(uuid4())]
    )


def test_a_sweep_removes_what_nothing_needs_and_nothing_else(scenario: Scenario, swept: Installation) -> None:
    scenario.take_part("one", "Fine", [("photo.png", PNG)])
    kept, outdated = scenario.export(), scenario.export(**{"from": "2020-01-01T00:00:00Z"})
    participant = scenario.start("two")
    abandoned = participant.upload(participant.item(1), "started.png", PNG)[-36:]
    storage = swept.data_dir / "storage"
    for path in storage.rglob("*"):  # age alone is no reason
        if path.is_file():
            os.utime(path, (OLD, OLD))
    with connected(swept) as database:
        database.execute(
            "UPDATE exports SET created_at = now() - interval '100 days', links_expire_at = now() WHERE id = %s",
            [outdated["export_id"]],
        )
        database.execute(
            "UPDATE uploads SET blob_id = NULL, completed_at = NULL, offset_bytes = 0,"
            " updated_at = now() - interval '8 days' WHERE id = %s",
            [abandoned],
        )
        make_old_entries(database, scenario)
    name, young = str(uuid4()), str(uuid4())
    orphans = [
        put_old(storage / "blobs" / name[:2] / name),
        put_old(storage / "uploads" / str(uuid4()) / f"{0:016d}-{uuid4().hex}"),
        put_old(storage / "exports" / str(uuid4()) / str(uuid4()) / "index"),
    ]
    foreign = put_old(storage / "blobs" / "note.txt")
    fresh = storage / "blobs" / young[:2] / young
    fresh.parent.mkdir(parents=True, exist_ok=True)
    fresh.write_bytes(b"its row is about to be committed")
    left = put_old(swept.data_dir / "tmp" / "part-1234")
    working = swept.data_dir / "tmp" / "exports" / "now" / "index"
    put_old(working)
    os.utime(working.parent)

    foreseen = sweep(swept, "--dry-run")
    assert foreseen.pop("dry_run") is True
    assert all(path.exists() for path in [*orphans, foreign, fresh, left, working])
    assert foreseen["exports_outdated"] == [outdated["export_id"]]
    assert foreseen["uploads_abandoned"] == [abandoned]
    assert foreseen["objects_orphaned"] == len(orphans)
    assert foreseen["orphaned_bytes"] == 4 * len(orphans)
    assert foreseen["temporary_files"] == 1
    forgotten = [foreseen[f"{name}_forgotten"] for name in ("changes", "hook_events", "used_links")]
    assert forgotten[:2] == [2, 1]
    assert forgotten[2] <= 1  # a worker forgets used links every hour, maybe this very minute
    done = sweep(swept)
    assert done.pop("dry_run") is False
    # the blob of the abandoned upload goes with its row
    assert done | {"objects_thrown_away": 0} == foreseen | {"objects_thrown_away": 0}
    assert not any(path.exists() for path in [*orphans, left])
    assert all(path.exists() for path in [foreign, fresh, working])
    with connected(swept) as database:
        for table, left_there in (("used_tickets", 0), ("hook_events", 1)):
            assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (left_there,)
    again = sweep(swept)
    assert not [value for key, value in again.items() if value and key != "objects_thrown_away"]

    assert scenario.download(kept)
    expect(scenario.api.get(f"{scenario.export_path}/{outdated['export_id']}"), 404)
    assert httpx.get(outdated["url"], trust_env=False).status_code == 410
    lines = swept.run("sweep", "--dry-run").stdout.splitlines()
    assert lines[0] == "Would remove:"
    assert len(lines) == 14


def test_a_lower_number_kept_applies_to_what_is_there(scenario: Scenario, swept: Installation) -> None:
    scenario.take_part("one")
    made = [scenario.export(**{"from": f"202{number}-01-01T00:00:00Z"}) for number in range(4)]
    with connected(swept) as database:
        database.execute("UPDATE exports SET links_expire_at = now() WHERE id = %s", [made[2]["export_id"]])
    ids = [export["export_id"] for export in made]
    done = sweep(swept, FIELDPACK_EXPORTS_KEPT="2")  # those whose links work stay
    assert set(done["exports_surplus"]) & set(ids) == {ids[2]}
    done = sweep(swept, FIELDPACK_EXPORTS_KEPT="1", FIELDPACK_EXPORTS_KEPT_WITH_LINKS="2")
    assert set(done["exports_surplus"]) & set(ids) == {ids[0]}
    left = expect(scenario.api.get(scenario.export_path), 200)
    assert [row["export_id"] for row in left] == [ids[3], ids[1]]


def test_figures_are_those_of_all_processes(scenario: Scenario, swept: Installation) -> None:
    scenario.take_part("one", "Fine", [("photo.png", PNG)])
    export = scenario.export()
    before = figures(swept)
    for _ in range(4):
        scenario.download(export)
    refused = httpx.get(export["url"][:-1] + "x", trust_env=False)
    assert refused.status_code == 403
    served = "fieldpack_archive_bytes_served_total"
    # counted when the last byte has gone, which is after it has come
    wait_for(lambda: figures(swept)[served] - before[served] >= 4 * export["size_bytes"])
    wait_for(lambda: figures(swept)["fieldpack_downloads_in_flight"] == 0)
    for _ in range(6):  # whichever process answers
        after = figures(swept)
        assert after[served] - before[served] == 4 * export["size_bytes"]
        altered = 'fieldpack_link_errors_total{reason="altered"}'
        assert after[altered] - before.get(altered, 0) == 1
        assert after["fieldpack_uploads_in_flight"] == after["fieldpack_downloads_in_flight"] == 0
        for queue in ("exports", "parts", "maintenance", "hooks"):
            assert f'fieldpack_jobs{{queue="{queue}",status="todo"}}' in after
            assert f'fieldpack_oldest_job_seconds{{queue="{queue}"}}' in after


def figures(server: Installation) -> dict[str, float]:
    text = httpx.get(f"{server.url}/metrics", trust_env=False).text
    return {name: float(value) for name, value in re.findall(r"^(fieldpack\S+) (\S+)$", text, re.MULTILINE)}


def test_log_lines_carry_the_ids(scenario: Scenario, swept: Installation) -> None:
    scenario.take_part("one")
    response = scenario.api.post(scenario.export_path)
    export_id = expect(response, 202)["export_id"]
    scenario.export()

    def find_entries() -> list[dict[str, Any]]:
        entries = [json.loads(line) for line in swept.log.splitlines() if line.startswith("{")]
        return [entry for entry in entries if entry.get("export_id") == export_id]

    wait_for(lambda: len(find_entries()) >= 2)
    requested, built = find_entries()[:2]
    assert requested["event"] == "export.requested"
    assert requested["request_id"] == response.headers["x-request-id"]
    assert requested["process"] == "web"
    assert (built["event"], built["process"]) == ("export.built", "worker")
    assert isinstance(built["job_id"], int)
    assert scenario.api.headers["authorization"].split()[1] not in swept.log.split("\n\n", 2)[-1]
