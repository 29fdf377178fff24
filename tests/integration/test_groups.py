"""Participant groups: kept, in the targeting of studies, in the actions of completion codes, and after an erasure."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.installation import Installation
from tests.integration.rows import connected
from tests.integration.test_targeting import admits, filter_by
from tests.refusals import refused
from tests.scenario import Scenario, expect
from tests.shapes import GROUP, find_faults, is_time

ALLOW, BLOCK = "participant_group_allowlist", "participant_group_blocklist"
ADD, REMOVE = "ADD_TO_PARTICIPANT_GROUP", "REMOVE_FROM_PARTICIPANT_GROUP"


@pytest.fixture
def workspace(api: httpx.Client) -> str:
    found: str = expect(api.get("/workspaces"), 200)["results"][0]["id"]
    return found


def create(api: httpx.Client, workspace: str, *participants: str, **more: Any) -> dict[str, Any]:
    body = {"workspace_id": workspace, "name": "Group", "participant_ids": list(participants), **more}
    made: dict[str, Any] = expect(api.post("/participant-groups", json=body), 201)
    return made


def members(api: httpx.Client, group: dict[str, Any]) -> list[str]:
    listed = expect(api.get(f"/participant-groups/{group['id']}/participants"), 200)
    return [row["participant_id"] for row in listed["results"]]


def test_made_listed_changed_deleted(api: httpx.Client) -> None:
    workspace = expect(api.post("/workspaces", json={"title": "Groups"}), 201)["id"]
    first = create(api, workspace, "a", "b", description="About")
    second = expect(api.post("/participant-groups/", json={"workspace_id": workspace, "name": "S"}), 201)
    assert find_faults([first, second], [GROUP]) == []
    assert (first["participant_count"], first["description"]) == (2, "About")
    assert (second["participant_count"], second["description"]) == (0, None)
    listed = expect(api.get(f"/participant-groups?workspace_id={workspace}"), 200)
    assert listed == {"results": [first, second], "meta": {"count": 2}}
    assert first["id"] in [row["id"] for row in expect(api.get("/participant-groups"), 200)["results"]]
    path = f"/participant-groups/{first['id']}"
    assert expect(api.get(path), 200) == first
    assert expect(api.patch(path, json={"name": "Other"}), 200) == {**first, "name": "Other"}
    since = expect(api.get(f"{path}/participants"), 200)["results"][1]
    patched = expect(api.patch(path, json={"participant_ids": ["c", "b"]}), 200)
    assert (patched["name"], patched["participant_count"]) == ("Other", 2)
    kept = {row["participant_id"]: row for row in expect(api.get(f"{path}/participants"), 200)["results"]}
    assert kept["b"] == since  # who stays has been in it since then
    assert set(kept) == {"b", "c"}
    refused(api.patch(path, json={"participant_ids": "b"}), 400, "participant_ids")
    expect(api.patch(path, json={"participant_ids": ["a", "b"]}), 200)
    expect(api.delete(path), 204)
    for answer in (api.get(path), api.delete(path), api.get(f"{path}/participants")):
        refused(answer, 404)
    assert expect(api.get(f"/participant-groups?workspace_id={workspace}"), 200)["meta"]["count"] == 1


def test_who_is_in_one(api: httpx.Client, workspace: str) -> None:
    group = create(api, workspace)
    path = f"/participant-groups/{group['id']}/participants"
    added = expect(api.post(path, json={"participant_ids": ["b", " a\n", "b"]}), 200)
    assert {row["participant_id"] for row in added["results"]} == {"a", "b"}
    assert all(set(row) == {"participant_id", "datetime_created"} for row in added["results"])
    assert all(is_time(row["datetime_created"]) for row in added["results"])
    again = expect(api.post(path, json={"participant_ids": ["c", "a"]}), 200)
    assert again["results"][:2] == added["results"]
    assert [row["participant_id"] for row in again["results"]] == ["a", "b", "c"]
    assert expect(api.get(path), 200) == again
    assert expect(api.get(f"{path}?limit=1&offset=1"), 200)["results"] == added["results"][1:]
    left = expect(api.request("DELETE", path, json={"participant_ids": ["a", "x"]}), 200)
    assert [row["participant_id"] for row in left["results"]] == members(api, group) == ["b", "c"]
    assert expect(api.get(f"/participant-groups/{group['id']}"), 200)["participant_count"] == 2
    refused(api.post(path, json={"participant_ids": [""]}), 400, "participant_ids.0")


def test_another_workspaces(api: httpx.Client, server: Installation, workspace: str) -> None:
    group = create(api, workspace, "a")
    home = json.loads(server.run("workspace", "create", "--title", "Home", "--json").stdout)["id"]
    arguments = ["token", "create", "--researcher", "groups@example.org", "--name", "x", "--json"]
    token = json.loads(server.run(*arguments, "--workspace", home).stdout)["token"]
    with server.client(token) as other:
        assert expect(other.get("/participant-groups"), 200)["results"] == []
        refused(other.get(f"/participant-groups?workspace_id={workspace}"), 403)
        refused(other.get(f"/participant-groups/{group['id']}"), 404)
        path = f"/participant-groups/{group['id']}/participants"
        refused(other.post(path, json={"participant_ids": ["z"]}), 404)
        refused(other.request("DELETE", path, json={"participant_ids": ["a"]}), 404)
    assert members(api, group) == ["a"]


def test_filters_of_the_list(api: httpx.Client, workspace: str) -> None:
    """Those that the hosted service has: kept to, or refused by name."""
    made = create(api, workspace)["id"]

    def listed(**wanted: str) -> list[str]:
        rows = expect(api.get("/participant-groups", params={"limit": 1000, **wanted}), 200)["results"]
        return [row["id"] for row in rows]

    assert made in listed(active="true", workspace_id=workspace)
    assert listed(active="false") == []
    refused(api.get("/participant-groups", params={"active": "maybe"}), 400, "active")
    refused(api.get("/participant-groups", params={"project_id": made}), 400, "project_id")


def test_lists_of_groups(api: httpx.Client, workspace: str) -> None:
    one, two = create(api, workspace, "a", "b"), create(api, workspace, "b", "c")
    names = {"a", "b", "c", "d"}

    def admitted(*filters: dict[str, Any]) -> set[str]:
        scenario = Scenario.create(api, filters=list(filters))
        assert scenario.study["unenforced"] == []
        return {name for name in names if admits(scenario, name)}

    assert admitted(filter_by(ALLOW, one["id"])) == {"a", "b"}
    assert admitted(filter_by(ALLOW, one["id"].upper(), two["id"])) == {"a", "b", "c"}
    assert admitted(filter_by(ALLOW, one["id"]), filter_by(ALLOW, two["id"])) == {"b"}
    assert admitted(filter_by(BLOCK, one["id"])) == {"c", "d"}
    assert admitted(filter_by(BLOCK, one["id"], two["id"])) == {"d"}
    assert admitted(filter_by(ALLOW, one["id"]), filter_by(BLOCK, two["id"])) == {"a"}
    assert admitted(filter_by(ALLOW), filter_by(BLOCK)) == names
    scenario = Scenario.create(api, filters=[filter_by(ALLOW, one["id"])])
    assert not admits(scenario, "d")
    expect(api.post(f"/participant-groups/{one['id']}/participants", json={"participant_ids": ["d"]}), 200)
    assert admits(scenario, "d")


@pytest.mark.parametrize("kind", ["groups", "studies"])
def test_who_deletes_the_last_of_an_allow_list_opens_nothing(
    api: httpx.Client, workspace: str, kind: str
) -> None:
    if kind == "groups":
        paths = [f"/participant-groups/{create(api, workspace, 'a')['id']}" for _ in range(2)]
    else:
        body = {"name": "Draft", "data_collection_id": Scenario.create(api).collection["id"]}
        body |= {"total_available_places": 1, "data_collection_method": "AI_TASK_BUILDER_COLLECTION"}
        paths = [f"/studies/{expect(api.post('/studies', json=body), 201)['id']}" for _ in range(2)]
    name = ALLOW if kind == "groups" else "previous_studies_allowlist"
    ids = [path.rpartition("/")[2] for path in paths]
    scenario = Scenario.create(api, filters=[filter_by(name, *ids)])
    for path in paths:
        assert not admits(scenario, "stranger")
        expect(api.delete(path), 204)
    assert not admits(scenario, "stranger")
    study = expect(api.get(f"/studies/{scenario.study['id']}"), 200)
    assert study["unenforced"] == [f"filters.{name}.{each}" for each in ids]


def test_groups_unknown_here_are_named(api: httpx.Client, workspace: str) -> None:
    elsewhere = expect(api.post("/workspaces", json={"title": "Elsewhere"}), 201)["id"]
    known, foreign = create(api, workspace, "a"), create(api, elsewhere, "b")
    gone, unknown = create(api, workspace, "c"), "64f1c2b3a4d5e6f708192a3b"
    expect(api.delete(f"/participant-groups/{gone['id']}"), 204)
    ids = [foreign["id"], gone["id"], unknown, known["id"]]
    actions = [{"action": ADD, "participant_group": each} for each in ids] + [
        {"action": REMOVE},
        {"action": "OTHER"},
    ]
    scenario = Scenario.create(
        api, filters=[filter_by(ALLOW, *ids)], completion_codes=[{"code": "X", "actions": actions}]
    )
    assert scenario.study["unenforced"] == [
        *(f"filters.{ALLOW}.{each}" for each in ids[:3]),
        f"completion_codes.actions.{ADD}",
        f"completion_codes.actions.{REMOVE}",
        "completion_codes.actions.OTHER",
    ]
    assert not admits(scenario, "b")
    scenario.take_part("a")  # whose code names groups that are not of this workspace, too
    assert members(api, foreign) == ["b"]


def test_codes_add_and_remove(api: httpx.Client, workspace: str) -> None:
    done, waiting = create(api, workspace), create(api, workspace, "a", "b")
    codes = [
        {"code": "P", "actions": [{"action": ADD, "participant_group": done["id"]},
                                  {"action": REMOVE, "participant_group": waiting["id"]}]},
        {"code": "R", "actor": "researcher", "actions": [{"action": REMOVE, "participant_group": done["id"].upper()},
                                                         {"action": "AUTOMATICALLY_APPROVE"}]},
    ]  # fmt: skip
    scenario = Scenario.create(api, completion_codes=codes)
    assert scenario.study["unenforced"] == []
    submission = scenario.take_part("a")
    running = scenario.start("b")
    assert (members(api, done), members(api, waiting)) == (["a"], ["b"])
    trial = expect(api.post(f"/studies/{scenario.study['id']}/test-study"), 200)["study_id"]
    Scenario(api, scenario.collection, {"id": trial}).take_part("b")
    assert (members(api, done), members(api, waiting)) == (["a"], ["b"])
    path = f"/submissions/{submission}/transition"
    body = {"action": "COMPLETE", "completion_code": "R"}
    assert expect(api.post(path, json=body), 200)["status"] == "APPROVED"
    assert members(api, done) == []
    expect(api.post(f"/participant-groups/{done['id']}/participants", json={"participant_ids": ["a"]}), 200)
    expect(api.post(path, json=body), 200)  # the same again carries out nothing
    assert members(api, done) == ["a"]
    assert running.submission_id


def test_an_erasure_takes_them_out(api: httpx.Client, server: Installation, workspace: str) -> None:
    name = f"erased-{uuid4()}"
    group = create(api, workspace, name, "stays")
    first, second = Scenario.create(api).take_part(name), Scenario.create(api).take_part(name)
    expect(api.delete(f"/submissions/{first}"), 204)
    assert set(members(api, group)) == {name, "stays"}
    expect(api.delete(f"/submissions/{second}"), 204)
    assert members(api, group) == ["stays"]
    with connected(server) as database:
        assert database.execute(
            "SELECT count(*) FROM participant_group_members WHERE participant_id = %s", [name]
        ).fetchone() == (0,)
