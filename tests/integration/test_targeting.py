"""Targeting: what a participant's id decides is kept to; all else is kept, given back and named."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from fieldpack.server.accounts.permissions.roles import Role
from tests.installation import Installation
from tests.integration.rows import insert_researcher, turn_back_deadline
from tests.integration.test_pages import page, words
from tests.refusals import refused
from tests.scenario import SESSION, Scenario, expect

AGE = {"filter_id": "age", "selected_range": {"lower": 18}}


def filter_by(name: str, *values: str) -> dict[str, Any]:
    return {"filter_id": name, "selected_values": list(values)}


def try_to_start(scenario: Scenario, participant_id: str, session: str | None = "s") -> httpx.Response:
    body = {"participant_id": participant_id, "session_id": session}
    return scenario.api.post(f"/participate/studies/{scenario.study['id']}/submissions", json=body)


def admits(scenario: Scenario, participant_id: str) -> bool:
    answer = try_to_start(scenario, participant_id)
    if answer.status_code in (200, 201):
        return True
    assert "not open to this participant" in refused(answer, 403)
    assert answer.json()["error"]["error_code"] == 140303
    return False


LISTS: dict[str, tuple[list[dict[str, Any]], set[str]]] = {
    "none": ([], {"a", "b", "c"}),
    "allowed": ([filter_by("custom_allowlist", "a", "b")], {"a", "b"}),
    "blocked": ([filter_by("custom_blocklist", "a", "b")], {"c"}),
    "both": ([filter_by("custom_allowlist", "a", "b"), filter_by("custom_blocklist", "b")], {"a"}),
    "two allow lists": ([filter_by("custom_allowlist", "a", "b"), filter_by("custom_allowlist", "b", "c")], {"b"}),
    "two block lists": ([filter_by("custom_blocklist", "a"), filter_by("custom_blocklist", "c")], {"b"}),
    "empty lists": ([filter_by("custom_allowlist"), filter_by("custom_blocklist")], {"a", "b", "c"}),
    "no lists": ([{"filter_id": "custom_allowlist"}], {"a", "b", "c"}),
    "null": ([{"filter_id": "custom_allowlist", "selected_values": None}], {"a", "b", "c"}),
    "space around": ([filter_by("custom_allowlist", " a\n")], {"a"}),
    "another case": ([filter_by("custom_allowlist", "A")], set()),
    "others besides": ([AGE, filter_by("custom_blocklist", "a")], {"b", "c"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", LISTS)
def test_lists_of_participants(api: httpx.Client, kind: str) -> None:
    filters, admitted = LISTS[kind]
    scenario = Scenario.create(api, filters=filters)
    assert scenario.study["filters"] == filters
    assert {name for name in "abc" if admits(scenario, name)} == admitted
    assert admits(scenario, " a ") is False or "a" in admitted


def filters_of(api: httpx.Client, scenario: Scenario) -> list[Any]:
    return [
        each.get("selected_values")
        for each in expect(api.get(f"/studies/{scenario.study['id']}"), 200)["filters"]
    ]


def test_an_erasure_takes_a_participant_out_of_lists(api: httpx.Client) -> None:
    """However it was written, in every study of the workspace, and nobody else."""
    name = f"p-{uuid4()}-\u00e9"
    listed = [f" {name}", name.replace("\u00e9", "e\u0301"), f"{name}-2", name.upper()]
    both = Scenario.create(
        api, filters=[filter_by("custom_allowlist", *listed), filter_by("custom_blocklist", "x")]
    )
    blocking = Scenario.create(api, filters=[AGE, filter_by("custom_blocklist", name, "x")])
    only = Scenario.create(api, filters=[filter_by("custom_allowlist", name)])
    first, second = both.take_part(name), only.take_part(name)
    before = filters_of(api, blocking)
    expect(api.delete(f"/submissions/{first}"), 204)
    assert (filters_of(api, both)[0], filters_of(api, blocking)) == (
        listed,
        before,
    )  # they took part in another
    expect(api.delete(f"/submissions/{second}"), 204)
    assert filters_of(api, both) == [listed[2:], ["x"]]
    assert filters_of(api, blocking) == [before[0], ["x"]]
    assert name not in str(filters_of(api, only))
    assert not admits(only, name)
    assert not admits(only, "somebody")
    assert admits(blocking, name)


def test_erasures_of_studies_that_name_the_same_people_do_not_hold_each_other_up(api: httpx.Client) -> None:
    names = [f"p-{uuid4()}" for _ in range(6)]
    listed = filter_by("custom_allowlist", *names, "s o")
    scenarios = [Scenario.create(api, filters=[listed]) for _ in range(2)]
    taken = [scenario.take_part(name) for name in names for scenario in scenarios]
    with ThreadPoolExecutor(4) as threads:
        answered = list(threads.map(lambda each: api.delete(f"/submissions/{each}").status_code, taken))
    assert answered == [204] * len(taken)
    for scenario in scenarios:
        assert filters_of(api, scenario) == [["s o"]]


def test_lists_of_earlier_studies(api: httpx.Client, server: Installation) -> None:
    several = {"max_submissions_per_participant": 9}
    earlier, other = Scenario.create(api, submissions_config=several), Scenario.create(api)
    earlier.take_part("submitted")
    earlier.start("running")
    for name in ("returned", "returned once"):
        gone = earlier.start(name)
        expect(gone.http.post(f"{gone.path}/return", headers=gone.headers), 200)
    again = earlier.start("returned once", "again")
    late, overdue, submitted_late = (earlier.start(name) for name in ("late", "overdue", "submitted late"))
    for participant in (late, submitted_late):
        turn_back_deadline(server, participant.submission_id)
    expect(submitted_late.answer(submitted_late.item(0), {"value": "x"}), 200)
    submitted_late.submit()
    expect(api.get(f"/studies/{earlier.study['id']}/submissions"), 200)  # which times out who is late
    turn_back_deadline(server, overdue.submission_id)
    rejected = earlier.take_part("rejected")
    reason = {"action": "REJECT", "message": "x", "rejection_category": "OTHER"}
    expect(api.post(f"/submissions/{rejected}/transition", json=reason), 200)
    erased = earlier.take_part("erased")
    expect(api.delete(f"/submissions/{erased}"), 204)
    other.take_part("other")
    assert again.submission_id
    names = {"submitted", "running", "returned", "returned once", "late", "overdue", "submitted late", "rejected",
             "erased", "other", "nobody"}  # fmt: skip
    took_part = {"submitted", "running", "returned once", "submitted late", "rejected"}
    first, second = earlier.study["id"], other.study["id"]

    def admitted(*filters: dict[str, Any]) -> set[str]:
        scenario = Scenario.create(api, filters=list(filters))
        assert scenario.study["unenforced"] == []
        return {name for name in names if admits(scenario, name)}

    allow, block = "previous_studies_allowlist", "previous_studies_blocklist"
    assert admitted(filter_by(allow, first)) == took_part
    assert admitted(filter_by(allow, first.upper(), second)) == took_part | {"other"}
    assert admitted(filter_by(allow, first), filter_by(allow, second)) == set()
    assert admitted(filter_by(block, first)) == names - took_part
    assert admitted(filter_by(block, first, second)) == names - took_part - {"other"}
    assert admitted(filter_by(allow, first), filter_by("custom_blocklist", "running")) == took_part - {
        "running"
    }
    assert admitted(filter_by(allow), filter_by(block)) == names


def test_studies_unknown_here_are_named(api: httpx.Client, server: Installation) -> None:
    token = json.loads(
        server.run("token", "create", "--name", "t", "--researcher", "else@example.org", "--json").stdout
    )["token"]
    with server.client(token) as stranger:
        expect(stranger.post("/workspaces", json={"title": "Elsewhere"}), 201)
    known = Scenario.create(api)
    known.take_part("a")
    unknown, foreign = str(uuid4()), "64f1c2b3a4d5e6f708192a3b"
    allow, block = "previous_studies_allowlist", "previous_studies_blocklist"
    scenario = Scenario.create(api, filters=[filter_by(allow, unknown, foreign)])
    assert scenario.study["unenforced"] == [f"filters.{allow}.{unknown}", f"filters.{allow}.{foreign}"]
    assert not admits(scenario, "anyone")
    mixed = Scenario.create(
        api, filters=[filter_by(allow, known.study["id"], foreign), filter_by(block, unknown)]
    )
    assert mixed.study["unenforced"] == [f"filters.{allow}.{foreign}", f"filters.{block}.{unknown}"]
    assert admits(mixed, "a")
    assert not admits(mixed, "b")


def test_who_may_not_see_who_took_part_can_have_no_study_ask(api: httpx.Client, server: Installation) -> None:
    """An editor of one collection learns nothing of other studies by starting their own with somebody's id."""
    known, own = Scenario.create(api), Scenario.create(api, filters=[])
    known.take_part("a")
    workspace, collection = known.study["workspace"], own.collection["id"]
    group = expect(api.post("/participant-groups", json={"workspace_id": workspace, "name": "G"}), 201)["id"]
    _, editor = insert_researcher(server, collection_roles={collection: Role.EDITOR})
    # of the workspace, and on the other collection no more than counts
    _, narrowed = insert_researcher(
        server,
        role=Role.EDITOR,
        workspace_id=workspace,
        collection_roles={known.collection["id"]: Role.VIEWER},
    )
    base = {key: own.study[key] for key in ("name", "total_available_places", "data_collection_method",
                                            "data_collection_id")}  # fmt: skip
    path = f"/studies/{own.study['id']}"
    asks = [filter_by(f"previous_studies_{kind}", known.study["id"]) for kind in ("allowlist", "blocklist")]
    grouped = [filter_by(f"participant_group_{kind}", group) for kind in ("allowlist", "blocklist")]
    action = {"action": "ADD_TO_PARTICIPANT_GROUP", "participant_group": group}
    codes = [{"code": "C", "code_type": "COMPLETED", "actions": [action]}]
    for token, fields in (
        *((editor, {"filters": [each]}) for each in (*asks, *grouped)),
        (editor, {"completion_codes": codes}),
        *((narrowed, {"filters": [each]}) for each in asks),
    ):
        with server.client(token) as client:
            refused(client.post("/studies", json={**base, **fields}), 403)
            refused(client.patch(path, json=fields), 403)
    assert expect(api.get(path), 200)["filters"] == []
    with server.client(narrowed) as client:  # groups are the workspace's, of which they are an editor
        expect(client.patch(path, json={"filters": grouped[:1], "completion_codes": codes}), 200)
    # what an owner put in stays, whoever changes the study and copies it
    expect(api.patch(path, json={"filters": [asks[1]]}), 200)
    with server.client(editor) as client:
        study = expect(client.patch(path, json={"name": "Mine", "filters": [asks[1], AGE]}), 200)
        assert study["filters"] == [asks[1], AGE]
        expect(client.post(f"{path}/clone"), 200)
        refused(client.patch(path, json={"filters": [asks[0], grouped[1]]}), 403)


def test_who_has_started_may_resume(api: httpx.Client) -> None:
    scenario = Scenario.create(api)
    begun = scenario.start("a")
    blocked = {"filters": [filter_by("custom_blocklist", "a")]}
    study = expect(api.patch(f"/studies/{scenario.study['id']}", json=blocked), 200)
    assert study["filters"] == blocked["filters"]
    assert expect(try_to_start(scenario, "a", SESSION), 200)["submission_id"] == begun.submission_id
    refused(try_to_start(scenario, "a", "another"), 409)
    expect(begun.answer(begun.item(0), {"value": "x"}), 200)
    begun.submit()
    expect(api.patch(f"/studies/{scenario.study['id']}", json={"filters": []}), 200)
    assert admits(scenario, "b")


def test_who_is_not_admitted_takes_no_place(api: httpx.Client) -> None:
    scenario = Scenario.create(api, places=1, filters=[filter_by("custom_allowlist", "a")])
    assert not admits(scenario, "b")
    assert expect(api.get(f"/studies/{scenario.study['id']}"), 200)["places_taken"] == 0
    assert admits(scenario, "a")
    assert not admits(scenario, "b")  # who is not meant is told so, not that the study is full


def test_the_page_says_so(api: httpx.Client) -> None:
    scenario = Scenario.create(api, filters=[filter_by("custom_allowlist", "a")])
    path = f"/participate/{scenario.study['id']}"
    shown = page(api, f"{path}?PROLIFIC_PID=b&SESSION_ID=s")
    assert shown.status_code == 403
    assert "This study is for others" in words(shown)
    assert page(api, f"{path}?PROLIFIC_PID=a&SESSION_ID=s").status_code == 200
    assert page(api, path).status_code == 200
    root = str(api.base_url).removesuffix("/api/v1/")
    headers = {"Accept": "text/html", "Origin": root}
    posted = httpx.post(root + path, data={"participant_id": "b"}, headers=headers, trust_env=False)
    assert posted.status_code == 403
    assert "This study is for others" in words(posted)


UNENFORCED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing": ({}, []),
    "filters": ({"filters": [AGE, filter_by("sex", "1"), filter_by("age")]},
                ["filters.age", "filters.sex"]),
    "a filter without a name": ({"filters": [{"x": 1}, "text", 5]}, ["filters"]),
    "groups": ({"filters": [{"and": [AGE, {"or": [filter_by("sex"), filter_by("custom_allowlist", "a")]}]}]},
               ["filters.age", "filters.sex", "filters.custom_allowlist"]),
    "older requirements": ({"eligibility_requirements": [{"_cls": "web.eligibility.AgeRange"}, {"id": "x"}]},
                           ["eligibility_requirements.AgeRange", "eligibility_requirements.x"]),
    "devices": ({"device_compatibility": ["mobile"]}, ["device_compatibility"]),
    "every device": ({"device_compatibility": ["desktop", "mobile", "tablet"]}, []),
    "peripherals": ({"peripheral_requirements": ["camera"]}, ["peripheral_requirements"]),
    "fields": ({"filter_set_id": "x", "naivety_distribution_rate": 0.5, "is_custom_screening": True},
               ["filter_set_id", "is_custom_screening", "naivety_distribution_rate"]),
    "empty fields": ({"filter_set_id": "", "naivety_distribution_rate": None, "is_custom_screening": False}, []),
    "actions": ({"completion_codes": [{"code": "A", "actions": [
        {"action": "ADD_TO_PARTICIPANT_GROUP", "participant_group": "g"}, {"action": "MANUALLY_REVIEW"}]}]},
                ["completion_codes.actions.ADD_TO_PARTICIPANT_GROUP"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNENFORCED)
def test_what_is_only_kept_is_named(api: httpx.Client, kind: str) -> None:
    fields, names = UNENFORCED[kind]
    scenario = Scenario.create(api, **fields)
    for study in (scenario.study, expect(api.get(f"/studies/{scenario.study['id']}"), 200)):
        assert study["unenforced"] == names
        for name, value in fields.items():
            if name != "completion_codes" and value not in ("", None):
                assert study[name] == value
    assert admits(scenario, "anyone")
    sent_back = expect(api.patch(f"/studies/{scenario.study['id']}", json={"unenforced": ["x"]}), 200)
    assert sent_back["unenforced"] == names


@pytest.mark.parametrize("values", ["a", {"a": 1}, [5], [None], [""], [" "], [["a"]], True])
@pytest.mark.parametrize("name", ["custom_allowlist", "custom_blocklist", "previous_studies_allowlist"])
def test_lists_that_are_none(api: httpx.Client, name: str, values: Any) -> None:
    scenario = Scenario.create(api)
    filters = [filter_by("age"), {"filter_id": name, "selected_values": values}]
    refused(api.patch(f"/studies/{scenario.study['id']}", json={"filters": filters}), 400, "filters.1")


def test_the_command_line_and_the_researchers_page_warn(
    api: httpx.Client, server: Installation, tmp_path: Any
) -> None:
    collection = Scenario.create(api).collection["id"]
    fields = {"filters": [AGE]}
    (tmp_path / "study.json").write_text(json.dumps(fields))
    done = server.run("collection", "publish", collection, "-p", "5", "-t", str(tmp_path / "study.json"), "--json",
                      PROLIFIC_URL=server.url, PROLIFIC_TOKEN=server.token)  # fmt: skip
    [warning] = done.stderr.strip().splitlines()
    assert "filters.age" in warning
    assert json.loads(done.stdout)["unenforced"] == ["filters.age"]
    quiet = server.run("collection", "publish", collection, "-p", "5", PROLIFIC_URL=server.url,
                       PROLIFIC_TOKEN=server.token)  # fmt: skip
    assert quiet.stderr == ""
    root = server.url
    with httpx.Client(base_url=root, trust_env=False, follow_redirects=True) as browser:
        headers = {"Accept": "text/html", "Origin": root}
        signed_in = browser.post(
            "/sign-in", data={"token": server.token, "next": "/researcher"}, headers=headers
        )
        shown = words(signed_in)
    assert "Kept, but not enforced here: filters.age." in shown
    assert shown.count("Kept, but not enforced here") == shown.count("Kept, but not enforced here: ")
