"""Studies: what is needed, what is kept, states, places."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.refusals import refused
from tests.scenario import Scenario, expect

FIELDS = {
    "id", "name", "internal_name", "description", "date_created", "published_at", "status",
    "total_available_places", "places_taken", "reward", "estimated_completion_time", "maximum_allowed_time",
    "device_compatibility", "peripheral_requirements", "eligibility_requirements", "filters",
    "completion_codes", "completion_url", "external_study_url", "researcher", "submissions_config",
    "study_type", "unenforced", "prolific_id_option",
    "data_collection_method", "data_collection_id",
}  # fmt: skip


@pytest.fixture
def minimal(api: httpx.Client) -> dict[str, Any]:
    return {
        "name": "Minimal",
        "total_available_places": 3,
        "data_collection_method": "AI_TASK_BUILDER_COLLECTION",
        "data_collection_id": Scenario.create(api).collection["id"],
    }


def create(api: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = expect(api.post("/studies", json=body), 201)
    return made


def step(api: httpx.Client, study: dict[str, Any], action: str) -> httpx.Response:
    return api.post(f"/studies/{study['id']}/transition", json={"action": action})


def test_four_fields_are_enough(api: httpx.Client, minimal: dict[str, Any]) -> None:
    study = create(api, minimal)
    assert set(study) >= FIELDS
    assert minimal.items() <= study.items()
    assert study["internal_name"] == "Minimal"
    assert (study["status"], study["places_taken"], study["published_at"]) == ("UNPUBLISHED", 0, None)
    assert study["reward"] == 0
    assert study["maximum_allowed_time"] > 0
    for name in ("device_compatibility", "peripheral_requirements", "eligibility_requirements", "filters"):
        assert study[name] == []
    [code] = study["completion_codes"]
    assert set(code) == {"code", "code_type", "actor", "actions"}
    assert code["code"]
    me = expect(api.get("/users/me"), 200)
    assert study["researcher"] == {"id": me["id"], "name": me["name"], "email": me["email"]}
    assert set(study["submissions_config"]) == {
        "max_submissions_per_participant",
        "max_concurrent_submissions",
    }
    assert study["submissions_config"]["max_submissions_per_participant"] == 1
    assert study["external_study_url"].startswith(
        str(api.base_url).replace("/api/v1/", f"/participate/{study['id']}")
    )
    assert expect(api.get(f"/studies/{study['id']}"), 200) == study


def test_a_client_that_sends_every_other_field_empty(api: httpx.Client, minimal: dict[str, Any]) -> None:
    empty: dict[str, Any] = {
        "internal_name": "",
        "description": "",
        "external_study_url": "",
        "prolific_id_option": "",
        "completion_code": "",
        "completion_codes": None,
        "completion_url": "",
        "completion_option": "",
        "estimated_completion_time": 0,
        "maximum_allowed_time": 0,
        "reward": 0,
        "device_compatibility": None,
        "peripheral_requirements": [],
        "eligibility_requirements": None,
        "filters": None,
        "submissions_config": {"max_submissions_per_participant": 0, "max_concurrent_submissions": 0},
        "study_type": "",
        "project": "",
        "id": "",
        "status": "",
        "published_at": None,
        "date_created": "",
        "researcher": {"id": "", "name": "", "email": ""},
        "places_taken": 0,
        "naivety_distribution_rate": None,
        "content_warnings": None,
        "metadata": {},
        "credential_pool_id": "",
        "is_custom_screening": False,
    }
    given, plain = create(api, {**empty, **minimal}), create(api, minimal)
    for name in FIELDS - {"id", "date_created", "completion_codes", "external_study_url"}:
        assert given[name] == plain[name], name
    assert given["id"] != plain["id"]


def test_what_is_given_is_kept(api: httpx.Client, minimal: dict[str, Any]) -> None:
    given = {
        "internal_name": "Inner",
        "description": "About",
        "reward": 150,
        "estimated_completion_time": 7,
        "maximum_allowed_time": 33,
        "device_compatibility": ["desktop"],
        "peripheral_requirements": ["camera"],
        "eligibility_requirements": [{"_cls": "x", "attributes": [{"name": "y", "value": True}]}],
        "filters": [{"filter_id": "age", "selected_range": {"lower": 18, "upper": 30}}],
        "completion_codes": [
            {
                "code": "ABC123",
                "code_type": "COMPLETED",
                "actor": "participant",
                "actions": [{"action": "MANUALLY_REVIEW"}],
            },
            {"code": "NOPE", "code_type": "FAILED_ATTENTION_CHECK", "actor": "researcher", "actions": []},
        ],
        "completion_url": "https://example.org/done?cc=ABC123",
        "submissions_config": {"max_submissions_per_participant": 3, "max_concurrent_submissions": 2},
        "study_type": "QUOTA",
        "future_field": {"nested": [1, "two", {"three": 3.5}], "zero": 0, "none": None, "no": {}, "": ""},
        "another_field": [],
    }
    study = create(api, {**minimal, **given})
    assert {name: study[name] for name in given} == given
    assert {name: expect(api.get(f"/studies/{study['id']}"), 200)[name] for name in given} == given


def test_a_completion_code_is_enough(api: httpx.Client, minimal: dict[str, Any]) -> None:
    """What a client leaves out of it, or sends as null, is filled in before a participant needs it."""
    codes = [{"code": "ABC123"}, {"code": "NO", "code_type": "", "actions": None, "actor": "researcher"}]
    study = create(api, {**minimal, "completion_codes": codes})
    assert study["completion_codes"] == [
        {"code": "ABC123", "code_type": "COMPLETED", "actor": "participant", "actions": []},
        {"code": "NO", "code_type": "COMPLETED", "actions": [], "actor": "researcher"},
    ]
    expect(step(api, study, "PUBLISH"), 200)
    body = {"participant_id": "one"}
    expect(api.post(f"/participate/studies/{study['id']}/submissions", json=body), 201)


def test_a_whole_reward_is_answered_as_one(api: httpx.Client, minimal: dict[str, Any]) -> None:
    answer = api.post("/studies", json={**minimal, "reward": 150.0})
    expect(answer, 201)
    assert '"reward":150,' in answer.text


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"total_available_places": 0}, "total_available_places"),
        ({"total_available_places": -1}, "total_available_places"),
        ({"data_collection_method": "EXTERNAL"}, "data_collection_method"),
        ({"data_collection_method": ""}, "data_collection_method"),
        ({"data_collection_id": ""}, "data_collection_id"),
        ({"data_collection_id": "x"}, "data_collection_id"),
        ({"data_collection_id": str(uuid4())}, "data_collection_id"),
        ({"data_collection_id": 5}, "data_collection_id"),
        ({"reward": -1}, "reward"),
        ({"reward": True}, "reward"),
        ({"maximum_allowed_time": -5}, "maximum_allowed_time"),
        ({"maximum_allowed_time": "60"}, "maximum_allowed_time"),
        ({"estimated_completion_time": 1.5}, "estimated_completion_time"),
        ({"completion_url": "javascript:alert(1)"}, "completion_url"),
        ({"completion_url": 5}, "completion_url"),
        ({"completion_codes": [{"code_type": "COMPLETED"}]}, "completion_codes.0.code"),
        ({"completion_codes": ["x"]}, "completion_codes.0"),
        ({"device_compatibility": "desktop"}, "device_compatibility"),
        ({"submissions_config": "x"}, "submissions_config"),
    ],
)
def test_malformed_studies(
    api: httpx.Client, minimal: dict[str, Any], changed: dict[str, Any], field: str
) -> None:
    refused(api.post("/studies", json={**minimal, **changed}), 400, field)


def test_states(api: httpx.Client, minimal: dict[str, Any]) -> None:
    study = create(api, minimal)
    for action in ("PAUSE", "START", "STOP"):
        refused(step(api, study, action), 409)
    published = expect(step(api, study, "PUBLISH"), 200)
    assert published["status"] == "ACTIVE"
    assert published["published_at"] is not None
    for action in ("PUBLISH", "START"):
        refused(step(api, study, action), 409)
    assert expect(step(api, study, "PAUSE"), 200)["status"] == "PAUSED"
    for action in ("PUBLISH", "PAUSE"):
        refused(step(api, study, action), 409)
    started = expect(step(api, study, "START"), 200)
    assert (started["status"], started["published_at"]) == ("ACTIVE", published["published_at"])
    assert expect(step(api, study, "STOP"), 200)["status"] == "COMPLETED"
    for action in ("PUBLISH", "PAUSE", "START", "STOP"):
        refused(step(api, study, action), 409)
    refused(api.post(f"/studies/{study['id']}/transition", json={"action": "DELETE"}), 400, "action")
    refused(api.post(f"/studies/{study['id']}/transition", json={}), 400, "action")


def test_filters_of_the_list(api: httpx.Client, minimal: dict[str, Any]) -> None:
    studies = {name: create(api, {**minimal, "name": name}) for name in ("new", "open", "paused", "over")}
    for name in ("open", "paused", "over"):
        expect(step(api, studies[name], "PUBLISH"), 200)
    expect(step(api, studies["paused"], "PAUSE"), 200)
    expect(step(api, studies["over"], "STOP"), 200)

    def found(**parameters: Any) -> set[str]:
        listed = expect(api.get("/studies", params={"limit": 1000, **parameters}), 200)
        ids = {row["id"] for row in listed["results"]}
        return {name for name, study in studies.items() if study["id"] in ids}

    assert found() == set(studies)
    assert found(published=0) == {"new"}
    assert found(active=1) == {"open"}
    assert found(completed=1) == {"over"}
    assert found(data_collection_id=minimal["data_collection_id"]) == set(studies)
    assert found(data_collection_id=str(uuid4())) == set()
    refused(api.get("/studies?active=yes"), 400, "active")
    refused(api.get("/studies?published=2"), 400, "published")
    newest = expect(api.get("/studies?limit=1"), 200)
    assert [row["id"] for row in newest["results"]] == [studies["over"]["id"]]
    assert newest["meta"]["count"] >= 4


def test_patch_changes_what_is_given(api: httpx.Client, minimal: dict[str, Any]) -> None:
    study = create(api, {**minimal, "reward": 100, "future_field": "kept", "description": "Before"})
    path = f"/studies/{study['id']}"
    patched = expect(api.patch(path, json={"description": "After", "total_available_places": 9}), 200)
    assert patched == {**study, "description": "After", "total_available_places": 9}
    empty = {"name": "", "reward": 0, "description": None, "submissions_config": {}, "completion_codes": []}
    assert expect(api.patch(path, json=empty), 200) == patched
    assert expect(api.patch(path, json={}), 200) == patched
    readonly = {"id": str(uuid4()), "status": "COMPLETED", "places_taken": 5, "published_at": "x",
                "researcher": {"id": "x"}, "external_study_url": "https://example.org"}  # fmt: skip
    assert expect(api.patch(path, json=readonly), 200) == patched
    expect(api.patch(path, json={"submissions_config": {"max_submissions_per_participant": 4}}), 200)
    config = {"submissions_config": {"max_concurrent_submissions": 2}, "filters": [{"filter_id": "age"}]}
    expect(api.patch(path, json=config), 200)
    cleared = expect(api.patch(path, json={"filters": []}), 200)
    assert cleared["filters"] == []
    assert cleared["submissions_config"] == {
        "max_submissions_per_participant": 4,
        "max_concurrent_submissions": 2,
    }
    refused(api.patch(path, json={"total_available_places": -1}), 400, "total_available_places")
    refused(api.patch(path, json={"name": 5}), 400, "name")
    other = Scenario.create(api)
    moved = expect(api.patch(path, json={"data_collection_id": other.collection["id"]}), 200)
    assert moved["data_collection_id"] == other.collection["id"]
    expect(step(api, study, "PUBLISH"), 200)
    refused(api.patch(path, json={"data_collection_id": minimal["data_collection_id"]}), 409)
    assert expect(api.patch(path, json={"name": "Renamed"}), 200)["name"] == "Renamed"


def test_places(api: httpx.Client) -> None:
    scenario = Scenario.create(api, places=2)
    path = f"/studies/{scenario.study['id']}"

    def study() -> tuple[str, int]:
        found = expect(api.get(path), 200)
        return found["status"], found["places_taken"]

    assert study() == ("ACTIVE", 0)
    first = scenario.start("first")
    assert study() == ("ACTIVE", 1)
    scenario.start("second")
    assert study() == ("AWAITING REVIEW", 2)
    expect(api.post(f"{first.path}/return", headers=first.headers), 200)
    assert study() == ("ACTIVE", 1)
    third = scenario.start("third")
    assert study() == ("AWAITING REVIEW", 2)
    refused(api.patch(path, json={"total_available_places": 1}), 409)
    assert study() == ("AWAITING REVIEW", 2)
    assert expect(api.patch(path, json={"total_available_places": 3}), 200)["status"] == "ACTIVE"
    assert expect(api.patch(path, json={"total_available_places": 2}), 200)["status"] == "AWAITING REVIEW"
    refused(step(api, scenario.study, "PAUSE"), 409)
    expect(third.answer(third.item(0), {"value": "x"}), 200)
    third.submit()
    assert study() == ("AWAITING REVIEW", 2)
    assert expect(step(api, scenario.study, "STOP"), 200)["status"] == "COMPLETED"


def test_a_paused_study_that_is_full_is_not_open_again(api: httpx.Client) -> None:
    scenario = Scenario.create(api, places=2)
    scenario.start("one")
    expect(step(api, scenario.study, "PAUSE"), 200)
    patched = expect(api.patch(f"/studies/{scenario.study['id']}", json={"total_available_places": 1}), 200)
    assert patched["status"] == "PAUSED"
    assert expect(step(api, scenario.study, "START"), 200)["status"] == "AWAITING REVIEW"


def listed(api: httpx.Client, minimal: dict[str, Any], query: str) -> list[str]:
    """Names of the studies of this collection that a query finds."""
    answer = api.get(f"/studies?data_collection_id={minimal['data_collection_id']}&{query}")
    # without the one that the scenario made
    return [row["name"] for row in expect(answer, 200)["results"] if row["name"] != "Study"]


@pytest.fixture
def of_each(api: httpx.Client, minimal: dict[str, Any]) -> dict[str, Any]:
    """One study in each state, named by it."""
    for name, actions in {"UNPUBLISHED": (), "ACTIVE": ("PUBLISH",), "PAUSED": ("PUBLISH", "PAUSE"),
                          "COMPLETED": ("PUBLISH", "STOP"), "AWAITING REVIEW": ("PUBLISH",)}.items():  # fmt: skip
        study = create(
            api, {**minimal, "name": name, "total_available_places": 1, "internal_name": f"in {name}"}
        )
        for action in actions:
            expect(step(api, study, action), 200)
        if name == "AWAITING REVIEW":
            start = f"/participate/studies/{study['id']}/submissions"
            expect(api.post(start, json={"participant_id": "x"}), 201)
    return minimal


NARROWED: dict[str, set[str]] = {
    "state=ACTIVE": {"ACTIVE"},
    "state=active": {"ACTIVE"},
    "state=(active|paused)": {"ACTIVE", "PAUSED"},
    "state=%28active%7CPAUSED%29": {"ACTIVE", "PAUSED"},
    "state=active|paused": {"ACTIVE", "PAUSED"},
    "state=active&state=paused": {"ACTIVE", "PAUSED"},
    "state=awaiting review": {"AWAITING REVIEW"},
    "state=AWAITING_REVIEW": {"AWAITING REVIEW"},
    "state=Awaiting+Review": {"AWAITING REVIEW"},
    "state=(completed|unpublished|publishing)": {"COMPLETED", "UNPUBLISHED"},
    "state=PUBLISHING": set(),
    "state=SCHEDULED": set(),
    "state=UNKNOWN": set(),
    "state=": {"UNPUBLISHED", "ACTIVE", "PAUSED", "COMPLETED", "AWAITING REVIEW"},
    "published=1": {"ACTIVE", "PAUSED", "COMPLETED", "AWAITING REVIEW"},
    "published=0": {"UNPUBLISHED"},
    "active=0": {"UNPUBLISHED", "PAUSED", "COMPLETED", "AWAITING REVIEW"},
    "completed=0": {"UNPUBLISHED", "ACTIVE", "PAUSED", "AWAITING REVIEW"},
    "scheduled=1": set(),
    "scheduled=0": {"UNPUBLISHED", "ACTIVE", "PAUSED", "COMPLETED", "AWAITING REVIEW"},
    "published=1&active=0": {"PAUSED", "COMPLETED", "AWAITING REVIEW"},
    "state=(active|paused)&active=1": {"ACTIVE"},
    "active=1&completed=1": set(),
    "search=paused": {"PAUSED"},
    "search=in+AWAIT": {"AWAITING REVIEW"},
    "search=%25": set(),
    "search=_CTIVE": set(),
    "search=%5C": set(),
    "search=nothing": set(),
    "search=published&state=active": set(),
}


def test_what_the_list_of_studies_is_narrowed_to(api: httpx.Client, of_each: dict[str, Any]) -> None:
    for query, found in NARROWED.items():
        names = listed(api, of_each, query)
        assert set(names) == found, query
        assert len(names) == len(found), query
    first, second = (listed(api, of_each, f"published=1&page={page}&page_size=1") for page in (1, 2))
    assert first + second == listed(api, of_each, "published=1")[:2]


@pytest.mark.parametrize(
    "query", ["state=nonsense", "state=(active|nonsense)", "state=(active", "state=ACTIVE%00"]
)
def test_states_that_there_are_not(api: httpx.Client, query: str) -> None:
    refused(api.get(f"/studies?{query}"), 400, "state")


def test_a_search_with_nul(api: httpx.Client) -> None:
    refused(api.get("/studies?search=a%00b"), 400, "search")
