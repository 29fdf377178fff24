"""The newer dialect of exports: each request makes one, ten are kept; and our client with either."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from fieldpack.client import Client
from fieldpack.client.sync import run as sync_run
from fieldpack.client.sync import sync_collection
from fieldpack.errors import ApiError
from tests.installation import Installation
from tests.integration.rows import connected
from tests.refusals import refused
from tests.scenario import Scenario, collection_body, expect


@pytest.fixture
def scenario(api: httpx.Client, server: Installation) -> Scenario:
    """A collection with a response, in a workspace of its own whose dialect is the newer one."""
    workspace = expect(api.post("/workspaces", json={"title": "Newer"}), 201)["id"]
    done = server.run("workspace", "features", workspace, "--export-dialect", "2026-11", "--json")
    assert json.loads(done.stdout) == {"id": workspace, "export_dialect": "2026-11"}
    collection = expect(api.post("/data-collection/collections", json=collection_body(workspace)), 201)
    body = {"name": "Study", "total_available_places": 9, "data_collection_id": collection["id"],
            "data_collection_method": "AI_TASK_BUILDER_COLLECTION"}  # fmt: skip
    study = expect(api.post("/studies", json=body), 201)
    expect(api.post(f"/studies/{study['id']}/transition", json={"action": "PUBLISH"}), 200)
    made = Scenario(api, collection, study)
    made.take_part("a")
    return made


def finish(scenario: Scenario, export_id: str) -> None:
    answer = scenario.api.get(f"{scenario.export_path}/{export_id}", headers={"Prefer": "wait=60"})
    assert expect(answer, 200)["status"] == "complete"


def test_each_request_makes_one_until_ten_are_kept(scenario: Scenario) -> None:
    api, made = scenario.api, []
    for number in range(10):
        waited = {"Prefer": "wait=60"} if number else {}
        answer = api.post(scenario.export_path, headers=waited)
        body = expect(answer, 202)
        assert answer.headers["location"].endswith(body["export_id"])
        assert answer.headers["retry-after"] == "3", body["status"]
        finish(scenario, body["export_id"])
        made.append(body["export_id"])
    assert len(set(made)) == 10
    assert "10 exports" in str(refused(api.post(scenario.export_path), 409))
    assert "10 exports" in str(refused(api.post(f"{scenario.export_path}?from=2026-01-01T00:00:00Z"), 409))
    listed = expect(api.get(scenario.export_path), 200)
    assert [row["export_id"] for row in listed] == made[::-1]
    expect(api.delete(f"{scenario.export_path}/{made[0]}"), 204)
    expect(api.post(scenario.export_path), 202)


def test_only_one_of_a_filter_is_made_at_a_time(scenario: Scenario, server: Installation) -> None:
    with connected(server) as database, database.transaction(force_rollback=True):
        # what no job may take while this transaction lasts is generating for as long as we like
        first = expect(scenario.api.post(scenario.export_path), 202)["export_id"]
        row = database.execute("SELECT status FROM exports WHERE id = %s FOR UPDATE", [first]).fetchone()
        if row == ("generating",):
            assert expect(scenario.api.post(scenario.export_path), 202)["export_id"] == first
            other = f"{scenario.export_path}?study_id={scenario.study['id']}"
            assert expect(scenario.api.post(other), 202)["export_id"] != first
    finish(scenario, first)


def test_back_to_the_first_dialect(scenario: Scenario, server: Installation) -> None:
    first = expect(scenario.api.post(scenario.export_path), 202)["export_id"]
    finish(scenario, first)
    workspace = scenario.collection["workspace_id"]
    server.run("workspace", "features", workspace, "--export-dialect", "seed")
    assert expect(scenario.api.post(scenario.export_path), 200)["export_id"] == first
    failed = server.run("workspace", "features", workspace, "--export-dialect", "other", check=False)
    assert (failed.returncode, "seed or 2026-11" in failed.stderr) == (2, True)
    assert server.run("workspace", "features", workspace, check=False).returncode == 2


def test_our_client_says_which_command_frees_a_slot(
    scenario: Scenario, server: Installation, tmp_path: Path
) -> None:
    collection = scenario.collection["id"]
    with Client(server.token, server.url) as client:
        first = client.export_collection(collection, tmp_path / "first.zip")
        assert first.stat().st_size > 0
        for _ in range(9):
            finish(scenario, str(client.request_export(collection).export_id))
        with pytest.raises(ApiError, match="export delete") as refusal:
            client.export_collection(collection, tmp_path / "more.zip")
        assert refusal.value.status == 409
        assert "10 exports" in str(refusal.value)
        exports = client.list_exports(collection)
        assert len(exports) == 10
        path = client.download_export(collection, str(exports[-1].export_id), tmp_path / "again.zip")
        assert path.read_bytes() == first.read_bytes()


def test_the_commands(scenario: Scenario, server: Installation, tmp_path: Path) -> None:
    collection = scenario.collection["id"]
    settings: dict[str, Any] = {"PROLIFIC_TOKEN": server.token, "PROLIFIC_URL": server.url}

    def run(*arguments: str) -> str:
        return server.run("collection", *arguments, **settings).stdout

    assert "no export" in run("export", "list", collection)
    exported = json.loads(run("export", collection, "-o", str(tmp_path / "a.zip"), "--json"))
    [row] = json.loads(run("export", "list", collection, "--json"))
    assert row["export_id"] == exported["export_id"]
    assert run("exports", "list", collection, "--csv", "--fields", "export_id,status") == (
        f"export_id,status\n{row['export_id']},complete\n"
    )
    brought = json.loads(
        run("export", "download", collection, row["export_id"], "-o", str(tmp_path / "b.zip"), "--json")
    )
    assert Path(brought["path"]).read_bytes() == (tmp_path / "a.zip").read_bytes()
    assert "Deleted" in run("export", "delete", collection, row["export_id"])
    assert json.loads(run("export", "list", collection, "--json")) == []


def test_syncing_leaves_no_export_behind(scenario: Scenario, server: Installation, tmp_path: Path) -> None:
    collection = scenario.collection["id"]
    with Client(server.token, server.url) as client:
        kept = client.request_export(collection).export_id
        finish(scenario, str(kept))
        for _ in range(12):
            sync_collection(client, collection, tmp_path / "data")
            assert [export.export_id for export in client.list_exports(collection)] == [kept]


class Cut(BaseException):
    """Stands for a run that is cut short."""


def test_an_interrupted_sync_goes_on_with_its_export(
    scenario: Scenario, server: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection, folder = scenario.collection["id"], tmp_path / "data"

    def cut(*_: Any) -> None:
        raise Cut

    with Client(server.token, server.url) as client:
        sync_collection(client, collection, folder)
        scenario.take_part("b")
        with monkeypatch.context() as patched:
            patched.setattr(sync_run.Run, "_fetch", cut)
            with pytest.raises(Cut):
                sync_collection(client, collection, folder)
        [begun] = client.list_exports(collection)
        done = sync_collection(client, collection, folder)
        assert (done.export_id, client.list_exports(collection)) == (begun.export_id, [])

        # one that can't be deleted is no failure, and a later run does that
        def refuse(*_: Any) -> None:
            raise ApiError("Not now.", status=503)

        with monkeypatch.context() as patched:
            patched.setattr(client, "delete_export", refuse)
            left = sync_collection(client, collection, folder).export_id
        assert [export.export_id for export in client.list_exports(collection)] == [left]
        scenario.take_part("c")
        done = sync_collection(client, collection, folder)
        assert done.export_id != left  # it has served: what is new would be missing
        assert client.list_exports(collection) == []


def test_what_runs_left_makes_room_when_it_is_needed(
    scenario: Scenario, server: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection, folder = scenario.collection["id"], tmp_path / "data"
    with Client(server.token, server.url) as client:
        # exports that take long never show the dialect
        post = client._post_export
        with monkeypatch.context() as patched:
            patched.setattr(client, "_post_export", lambda *a, **k: replace(post(*a, **k), each_is_new=None))
            for _ in range(10):
                sync_collection(client, collection, folder)
            assert len(client.list_exports(collection)) == 10
            sync_collection(client, collection, folder)
        assert client.list_exports(collection) == []


def test_nothing_is_deleted_in_the_first_dialect(
    scenario: Scenario, server: Installation, tmp_path: Path
) -> None:
    collection = scenario.collection["id"]
    server.run("workspace", "features", scenario.collection["workspace_id"], "--export-dialect", "seed")
    with Client(server.token, server.url) as client:
        for name in ("a", "b", "a"):
            sync_collection(client, collection, tmp_path / name)
        assert len(client.list_exports(collection)) == 1
    assert [path.name for path in (tmp_path / "b" / ".fieldpack").iterdir()] == ["sync.json"]


def test_converting_leaves_an_export_only_with_a_link(
    scenario: Scenario, server: Installation, tmp_path: Path
) -> None:
    collection = scenario.collection["id"]
    settings: dict[str, Any] = {"PROLIFIC_TOKEN": server.token, "PROLIFIC_URL": server.url}
    convert = ("collection", "convert", collection, "--to", "csv", "--force", "-o", str(tmp_path / "a.csv"))
    server.run(*convert, **settings)
    with Client(server.token, server.url) as client:
        assert client.list_exports(collection) == []
        told = json.loads(server.run(*convert, "--json", **settings).stdout)
        assert [export.export_id for export in client.list_exports(collection)] == [told["export_id"]]
