"""Projects: made in a workspace, of studies, filtered by."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.installation import Installation
from tests.integration.rows import connected
from tests.refusals import refused
from tests.scenario import Scenario, expect
from tests.shapes import PROJECT, STUDY, find_faults


@pytest.fixture
def workspace(api: httpx.Client) -> str:
    found: str = expect(api.post("/workspaces", json={"title": "Projects"}), 201)["id"]
    return found


def create(api: httpx.Client, workspace: str, title: str, **more: Any) -> dict[str, Any]:
    path = f"/workspaces/{workspace}/projects"
    made: dict[str, Any] = expect(api.post(path, json={"title": title, **more}), 201)
    return made


def test_made_listed_changed(api: httpx.Client, workspace: str) -> None:
    first = create(api, workspace, " First ", description="About", naivety_distribution_rate=0.5)
    assert find_faults(first, PROJECT) == []
    me = expect(api.get("/users/me"), 200)
    assert (first["title"], first["description"], first["owner"]) == ("First", "About", me["id"])
    assert first["workspace"] == workspace
    assert first["users"] == expect(api.get(f"/workspaces/{workspace}"), 200)["users"]
    second = create(api, workspace, "Second")
    listed = expect(api.get(f"/workspaces/{workspace}/projects/"), 200)
    assert listed == {"results": [first, second], "meta": {"count": 2}}
    path = f"/projects/{first['id']}"
    assert expect(api.get(path), 200) == first
    assert expect(api.patch(path, json={}), 200) == first
    changed = expect(api.patch(path, json={"title": "Other", "owner": "x", "type": "PUBLIC"}), 200)
    assert changed == {**first, "title": "Other"}
    assert expect(api.patch(path, json={"description": ""}), 200)["description"] == ""
    refused(api.post(f"/workspaces/{workspace}/projects", json={"title": "  "}), 400, "title")


def test_another_workspaces(server: Installation, api: httpx.Client, workspace: str) -> None:
    project = create(api, workspace, "Mine")
    home = json.loads(server.run("workspace", "create", "--title", "Home", "--json").stdout)["id"]
    arguments = ["token", "create", "--researcher", "projects@example.org", "--name", "x", "--json"]
    token = json.loads(server.run(*arguments, "--workspace", home).stdout)["token"]
    with server.client(token) as other:
        refused(other.get(f"/workspaces/{workspace}/projects"), 403)
        refused(other.post(f"/workspaces/{workspace}/projects", json={"title": "x"}), 403)
        refused(other.get(f"/projects/{project['id']}"), 404)
        refused(other.patch(f"/projects/{project['id']}", json={"title": "x"}), 404)
        refused(other.get(f"/projects/{project['id']}/studies"), 404)
        assert expect(other.get(f"/studies?project={project['id']}"), 200)["results"] == []


def test_a_study_has_a_project(api: httpx.Client) -> None:
    home = expect(api.get("/workspaces"), 200)["results"][0]["id"]
    project, other = create(api, home, "One"), create(api, home, "Two")
    scenario = Scenario.create(api, project=project["id"])
    study, plain = scenario.study, Scenario.create(api).study
    assert study["project"] == project["id"]
    assert plain["project"] is None
    assert find_faults([study, plain], [STUDY]) == []
    path = f"/studies/{study['id']}"
    assert expect(api.patch(path, json={"project": ""}), 200)["project"] == project["id"]
    assert expect(api.patch(path, json={"project": other["id"]}), 200)["project"] == other["id"]
    body = {"name": "x", "total_available_places": 1, "data_collection_method": "AI_TASK_BUILDER_COLLECTION",
            "data_collection_id": scenario.collection["id"]}  # fmt: skip
    elsewhere = create(api, expect(api.post("/workspaces", json={"title": "E"}), 201)["id"], "E")
    for unknown in (str(uuid4()), "64f1c2b3a4d5e6f708192a3b", elsewhere["id"]):
        refused(api.post("/studies", json={**body, "project": unknown}), 400, "project")
        refused(api.patch(path, json={"project": unknown}), 400, "project")
    assert expect(api.get(path), 200)["project"] == other["id"]


def test_a_text_that_an_earlier_version_kept_is_given_back(api: httpx.Client, server: Installation) -> None:
    scenario = Scenario.create(api)
    path = f"/studies/{scenario.study['id']}"
    with connected(server) as database:
        database.execute(
            """UPDATE studies SET fields = fields || '{"project": "64f1"}' WHERE id = %s""",
            [scenario.study["id"]],
        )
    study = expect(api.get(path), 200)
    assert study["project"] == "64f1"
    assert expect(api.patch(path, json=study), 200) == study


def test_filters_by_project(api: httpx.Client) -> None:
    home = expect(api.get("/workspaces"), 200)["results"][0]["id"]
    project = create(api, home, "Filter")
    of_project = f"/projects/{project['id']}/studies"
    assert expect(api.get(of_project), 200) == {"results": [], "meta": {"count": 0}}
    first = Scenario.create(api, project=project["id"], name="b", places=1)
    second = Scenario.create(api, project=project["id"], name="a", places=2)
    Scenario.create(api)

    def listed(query: str) -> list[str]:
        return [row["name"] for row in expect(api.get(f"{of_project}?{query}"), 200)["results"]]

    assert listed("") == ["a", "b"]
    assert listed("ordering=-name") == listed("ordering=date_created") == ["b", "a"]
    assert listed("ordering=-total_available_places") == ["a", "b"]
    assert listed("page=2&page_size=1") == ["b"]
    refused(api.get(f"{of_project}?ordering=colour"), 400, "ordering")
    found = expect(api.get(f"/studies?project={project['id']}"), 200)
    assert [row["id"] for row in found["results"]] == [second.study["id"], first.study["id"]]
    assert found["meta"]["count"] == 2
    path = f"/data-collection/collections?workspace_id={home}&project={project['id']}"
    collections = expect(api.get(path), 200)
    assert [row["id"] for row in collections["results"]] == [second.collection["id"], first.collection["id"]]
    assert collections["meta"]["count"] == 2
    refused(api.get("/studies?project=x"), 400, "project")
    refused(api.get(f"/data-collection/collections?workspace_id={home}&project=x"), 400, "project")
