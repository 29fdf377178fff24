"""What public scripts for the hosted service ask, in their order: they come here by another base URL.

Written from what they call, without their code; the tests list the calls in their order: the service class of
a laboratory's framework (Dallinger's `prolific.py`), the recruiting module of another (AutoRA's recruitment manager), a
lab's script that approves and rejects, a lab's scripts that admit to the next session and remind who has not come
(cgoldman123/prolific_automated_data_processing), and a notebook (vivianamarquez/demo-prolific-meetup-2). What has no
meaning here is refused in a way that says so: bonuses, messages, the hosted service's own surveys.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
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


def parse_time(text: str) -> datetime:
    """As that script reads times: with a fraction of a second, which it adds where there is none."""
    return datetime.strptime(text if "." in text else text.replace("Z", ".000000Z"), "%Y-%m-%dT%H:%M:%S.%fZ")


def test_a_labs_reminder_scripts(api: httpx.Client) -> None:
    """Sessions on several days: who passed is approved and admitted to the next one, who does not come is reminded.

    `GET /studies/{id}/submissions/?limit=500&offset=0`, `POST /submissions/{id}/transition/` APPROVE,
    `GET /participant-groups/{id}/participants`, `PATCH /participant-groups/{id}/` with `participant_ids`; a day later
    `GET /participant-groups/{id}/participants/?limit=200&offset=0`, `GET /studies/{id}/submissions/?limit=200&offset=0`
    of the next study, `GET` and `POST /messages/`.
    """
    first, following = Scenario.create(api), Scenario.create(api)
    for name in ("ada", "bo"):
        first.take_part(name)
    first.start("cy")
    workspace = first.collection["workspace_id"]
    body = {"workspace_id": workspace, "name": "Session 2", "participant_ids": ["earlier"]}
    group = f"/participant-groups/{expect(api.post('/participant-groups/', json=body), 201)['id']}"
    listed = expect(api.get(f"/studies/{first.study['id']}/submissions/?limit=500&offset=0"), 200)["results"]
    passed = []
    for row in listed:
        if row["status"] == "AWAITING REVIEW":
            pattern = "%Y-%m-%dT%H:%M:%S.%f%z" if "." in row["completed_at"] else "%Y-%m-%dT%H:%M:%S%z"
            assert datetime.strptime(row["completed_at"], pattern) <= datetime.now(UTC)
            expect(api.post(f"/submissions/{row['id']}/transition/", json={"action": "APPROVE"}), 200)
            passed.append(row["participant_id"])
    assert passed == ["ada", "bo"]
    there = [row["participant_id"] for row in expect(api.get(f"{group}/participants"), 200)["results"]]
    expect(api.patch(f"{group}/", json={"participant_ids": list({*there, *passed})}), 200)

    members = expect(api.get(f"{group}/participants/?limit=200&offset=0"), 200)["results"]
    assert {row["participant_id"] for row in members} == {"earlier", "ada", "bo"}
    assert all(parse_time(row["datetime_created"]) for row in members)
    following.start("ada")
    come = expect(api.get(f"/studies/{following.study['id']}/submissions/?limit=200&offset=0"), 200)[
        "results"
    ]
    started = {row["participant_id"] for row in come if row["status"] in ("ACTIVE", "AWAITING REVIEW")}
    assert {row["participant_id"] for row in members} - started == {"earlier", "bo"}
    since = {
        "user_id": "bo",
        "created_after": members[0]["datetime_created"],
        "study_id": following.study["id"],
    }
    refused(api.get("/messages/", params=since), 404)
    message = {"recipient_id": "bo", "body": "Will you go on?", "study_id": following.study["id"]}
    refused(api.post("/messages/", json=message), 404)


def test_a_notebook(api: httpx.Client, collection: dict[str, Any]) -> None:
    """From a question to a plot, in cells: `GET /users/me/`, `POST /surveys/`, `POST /studies/`, `POST
    /studies/{id}/transition/`, `GET /studies/{id}/`, `GET /studies/{id}/export/`.

    What it asks of the hosted service's surveys a collection does here, and of that CSV an export.
    """
    api.headers["Content-Type"] = (
        "application/json"  # on every request of its session, those without a body too
    )
    me = expect(api.get("/users/me/"), 200)
    survey = {"researcher_id": me["id"], "title": "Unique?", "sections": [], "questions": []}
    refused(api.post("/surveys/", content=json.dumps(survey)), 404)
    projects = f"/workspaces/{collection['workspace_id']}/projects/"
    project = expect(api.post(projects, content=json.dumps({"title": "Meetup"})), 201)["id"]
    draft = {
        "name": "One question", "internal_name": "One question 20251001_120000", "description": "One question",
        "external_study_url": "https://prolific.com/surveys/1",
        "completion_codes": [{"code": "AI_DAILYLIFE_1", "code_type": "COMPLETED",
                              "actions": [{"action": "AUTOMATICALLY_APPROVE"}]}],
        "estimated_completion_time": 1, "max_time": 2, "reward": 100, "total_available_places": 20,
        "device_compatibility": ["desktop", "tablet", "mobile"], "peripheral_requirements": [],
        "privacy_notice": "For research only.", "project": project,
    }  # fmt: skip
    refused(
        api.post("/studies/", content=json.dumps(draft)), 400, "data_collection_id", "data_collection_method"
    )
    draft |= OURS | {"data_collection_id": collection["id"]}
    study = expect(api.post("/studies/", content=json.dumps(draft)), 201)["id"]
    published = api.post(f"/studies/{study}/transition/", content=json.dumps({"action": "PUBLISH"}))
    assert published.status_code == 200
    Scenario(api, collection, {"id": study}).take_part("a")
    found = expect(api.get(f"/studies/{study}/"), 200)
    assert (found["name"], found["status"], found["total_available_places"]) == ("One question", "ACTIVE", 20)
    assert (found["places_taken"], found["project"]) == (1, project)
    assert datetime.fromisoformat(found["published_at"].replace("Z", "+00:00")) <= datetime.now(UTC)
    [row] = expect(api.get(f"/studies/{study}/submissions/"), 200)["results"]
    assert row["status"] == "APPROVED"  # as its completion code says
    refused(api.get(f"/studies/{study}/export/"), 404)
