"""What public scripts for the hosted service ask, in their order: they come here by another base URL.

Written from what they call, without their code: the service class of a laboratory's framework (Dallinger), the
recruiting module of another (AutoRA), and a lab's script that approves and rejects. What has no meaning here
is refused in a way that says so.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.refusals import refused
from tests.scenario import Scenario, collection_body, expect

LINK = "https://experiment.example.org/?PROLIFIC_PID={{%PROLIFIC_PID%}}"
OURS = {"data_collection_method": "AI_TASK_BUILDER_COLLECTION"}
# as the two frameworks fill them in; neither knows of collections
DRAFTS: dict[str, dict[str, Any]] = {
    "dallinger": {
        "name": "Experiment", "internal_name": "Experiment (run 7)", "description": "<p>Press a button.</p>",
        "external_study_url": LINK, "prolific_id_option": "url_parameters", "completion_code": "A1B2C3",
        "completion_option": "url", "total_available_places": 2, "estimated_completion_time": 5,
        "maximum_allowed_time": 17, "reward": 60, "eligibility_requirements": [], "status": "UNPUBLISHED",
        "device_compatibility": ["desktop"], "peripheral_requirements": ["audio"],
    },
    "autora": {
        "name": "Experiment", "description": "Decide.", "external_study_url": LINK, "estimated_completion_time": 5,
        "reward": 100, "prolific_id_option": "url_parameters", "completion_code": "x7Yz2Q", "completion_option": "url",
        "total_available_places": 2,
        "eligibility_requirements": [{"attributes": [{"name": "min_age", "value": 18}],
                                      "_cls": "web.eligibility.models.AgeRangeEligibilityRequirement"}],
        "device_compatibility": ["desktop"], "peripheral_requirements": [],
        "completion_code_action": "AUTOMATICALLY_APPROVE",
    },
}  # fmt: skip


@pytest.fixture
def collection(api: httpx.Client) -> dict[str, Any]:
    workspace = expect(api.get("/workspaces/"), 200)["results"][0]["id"]
    made: dict[str, Any] = expect(
        api.post("/data-collection/collections", json=collection_body(workspace)), 201
    )
    return made


def test_a_frameworks_service_class(api: httpx.Client, collection: dict[str, Any]) -> None:
    assert expect(api.get("/users/me/"), 200)["id"]
    [workspace, *_] = expect(api.get("/workspaces/"), 200)["results"]
    projects = f"/workspaces/{workspace['id']}/projects/"
    assert isinstance(expect(api.get(projects), 200)["results"], list)
    project = expect(api.post(projects, json={"title": "From a script"}), 201)["id"]
    assert project in [row["id"] for row in expect(api.get(projects), 200)["results"]]
    draft = {**DRAFTS["dallinger"], "project": project}
    refused(api.post("/studies/", json=draft), 400, "data_collection_method", "data_collection_id")
    draft |= OURS | {"data_collection_id": collection["id"]}
    study = expect(api.post("/studies/", json=draft), 201)
    assert {name: study[name] for name in draft if name not in ("external_study_url", "status")} == {
        name: value for name, value in draft.items() if name not in ("external_study_url", "status")
    }
    assert study["completion_codes"][0]["code"] == "A1B2C3"
    path = f"/studies/{study['id']}/"
    assert expect(api.post(f"{path}transition/", json={"action": "PUBLISH"}), 200)["status"] == "ACTIVE"
    hits = expect(api.get("/studies/"), 200)["results"]
    assert {"id", "name", "internal_name", "status", "date_created"} <= set(hits[0])
    places = expect(api.get(path), 200)["total_available_places"] + 3
    assert (
        expect(api.patch(path, json={"total_available_places": places}), 200)["total_available_places"] == 5
    )
    session = Scenario(api, collection, study).take_part("a")
    found = expect(api.get(f"/submissions/{session}/"), 200)
    assert {"id", "study_id", "participant", "started_at", "status"} <= set(found)
    assert found["status"] == "AWAITING REVIEW"
    approved = expect(api.post(f"/submissions/{session}/transition/", json={"action": "APPROVE"}), 200)
    assert approved["status"] == "APPROVED"
    expect(api.get(f"/studies/{study['id']}/cost/"), 200)
    refused(api.delete(f"/studies/{study['id']}"), 409)
    another = expect(api.post("/studies/", json=draft), 201)["id"]
    expect(api.delete(f"/studies/{another}"), 204)
    refused(
        api.post("/submissions/bonus-payments/", json={"study_id": study["id"], "csv_bonuses": "a,1.00"}), 404
    )


def test_a_frameworks_recruiting_module(api: httpx.Client, collection: dict[str, Any]) -> None:
    assert "results" in expect(api.get("/studies/"), 200)
    draft = DRAFTS["autora"] | OURS | {"data_collection_id": collection["id"]}
    study = expect(api.post("/studies/", json=draft), 201)
    assert study["maximum_allowed_time"] > 0
    assert "eligibility_requirements.AgeRangeEligibilityRequirement" in study["unenforced"]
    path = f"/studies/{study['id']}/"
    for action, status in (("PUBLISH", "ACTIVE"), ("PAUSE", "PAUSED"), ("START", "ACTIVE")):
        assert expect(api.post(f"{path}transition/", json={"action": action}), 200)["status"] == status
    scenario = Scenario(api, collection, study)
    done, running = scenario.take_part("a"), scenario.start("b").submission_id
    listed = expect(api.get(f"/submissions/?study={study['id']}"), 200)["results"]
    assert [(row["id"], row["is_complete"], row["status"]) for row in listed] == [
        (done, True, "APPROVED"),  # as `completion_code_action` says
        (running, False, "ACTIVE"),
    ]
    of_study = expect(api.get(f"{path}submissions/"), 200)["results"]
    assert [row["id"] for row in of_study if row["study_code"] and not row["return_requested"]] == [
        done,
        running,
    ]
    reasons = {"request_return_reasons": ["No completion code.", "Did not finish study."]}
    assert expect(api.post(f"/submissions/{running}/request-return/", json=reasons), 200)["return_requested"]
    assert expect(api.patch(path, json={"internal_name": "Later"}), 200)["internal_name"] == "Later"
    found = expect(api.get(path), 200)
    assert {"total_available_places", "places_taken", "status"} <= set(found)


def test_a_labs_review_script(api: httpx.Client) -> None:
    scenario = Scenario.create(api, places=2)
    good, quick = scenario.take_part("good"), scenario.take_part("quick")
    assert expect(api.get("/users/me/"), 200)["name"]
    studies = expect(api.get("/studies/", params={"state": "AWAITING REVIEW"}), 200)["results"]
    assert scenario.study["id"] in [row["id"] for row in studies]
    answer = api.get(f"/studies/{scenario.study['id']}/submissions/", params={"state": "AWAITING REVIEW"})
    waiting = {row["participant_id"]: row["id"] for row in expect(answer, 200)["results"]}
    assert waiting == {"good": good, "quick": quick}
    assert answer.headers["x-ignored-parameters"] == "state"  # of this list it has no meaning there either
    approved = expect(api.post(f"/submissions/{good}/transition/", json={"action": "APPROVE"}), 200)
    assert (approved["status"], approved["participant"]) == ("APPROVED", "good")
    reason = {"action": "REJECT", "message": "Too fast to have read it.", "rejection_category": "TOO_QUICKLY"}
    rejected = expect(api.post(f"/submissions/{quick}/transition/", json=reason), 200)
    assert (rejected["status"], rejected["participant"]) == ("REJECTED", "quick")
    assert expect(api.post(f"/submissions/{quick}/transition/", json={"action": "UNREJECT"}), 200)
    refused(api.post("/bulk-bonus-payments/x/pay/"), 404)
