"""What happened to a response: for everybody who may read it, with who did what for owners, and where it is."""

from __future__ import annotations

import json
from typing import Any

import httpx

from fieldpack.server.accounts.permissions.roles import Role
from tests.installation import Installation
from tests.integration.rows import insert_researcher
from tests.integration.test_responses import EXPLAINED
from tests.refusals import refused
from tests.scenario import PNG, Scenario, expect


def test_what_became_of_a_response_and_where_it_is(server: Installation, api: httpx.Client) -> None:
    scenario = Scenario.create(api)
    before = scenario.export()
    submission = scenario.take_part("anna", files=[("a.png", PNG)])
    export = scenario.export()
    expect(api.post(f"/submissions/{submission}/transition", json={"action": "APPROVE"}), 200)
    history = expect(api.get(f"/submissions/{submission}/history"), 200)
    states = [(each["status"], each["response"]) for each in history["changes"]]
    assert states[0] == ("ACTIVE", "in_progress")
    assert states[-1] == ("APPROVED", "active")
    assert [each["at"] for each in history["changes"]] == sorted(each["at"] for each in history["changes"])
    assert [each["export_id"] for each in history["exports"]] == [export["export_id"]]
    assert before["export_id"] != export["export_id"]
    actions = [each["action"] for each in history["audit"]]
    assert {"submission.start", "submission.submit", "submission.transition"} <= set(actions)
    said = server.run("submission", "history", submission).stdout
    assert "APPROVED" in said
    assert export["export_id"] in said
    assert json.loads(server.run("submission", "history", submission, "--json").stdout)["changes"]


def test_who_did_it_is_for_owners_and_exports_for_who_may_see_them(
    server: Installation, api: httpx.Client
) -> None:
    scenario = Scenario.create(api)
    submission = scenario.take_part("anna")
    workspace = scenario.collection["workspace_id"]
    seen: dict[str, set[str]] = {}
    for role in Role:
        _, token = insert_researcher(server, role=role, workspace_id=workspace)
        with server.client(token) as client:
            if role == Role.VIEWER:
                refused(client.get(f"/submissions/{submission}/history"), 403)
                continue
            found: dict[str, Any] = expect(client.get(f"/submissions/{submission}/history"), 200)
            seen[role] = {"audit", "exports"} & set(found)
    assert seen == {
        "owner": {"audit", "exports"},
        "editor": {"exports"},
        "reviewer": set(),
        "analyst": {"exports"},
    }


def test_an_option_is_shown_with_what_explains_it_as_it_was_asked(
    server: Installation, api: httpx.Client
) -> None:
    question = {**EXPLAINED, "helper_text": "Take your time."}
    scenario = Scenario.create(api, question)
    participant = scenario.start("anna")
    value = {"value": [{"value": "a", "explanation": "because of the rain"}]}
    expect(participant.answer(participant.item(0), value), 200)
    participant.submit()
    changed = {key: value for key, value in scenario.collection.items() if key != "workspace_id"}
    item = changed["collection_items"][0]["page_items"][0]
    item["description"] = "Asked otherwise"
    item["options"][0]["heading"] = "Another heading"
    expect(api.put(f"/data-collection/collections/{scenario.collection['id']}", json=changed), 200)
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as browser:
        headers = {"Origin": server.url}
        assert browser.post("/sign-in", data={"token": server.token}, headers=headers).status_code == 303
        page = browser.get(f"/workbench/submissions/{participant.submission_id}").text
    for text in ("And why?", "Take your time.", ">A<", "Why?", "because of the rain"):
        assert text in page, text
    assert "Asked otherwise" not in page
    assert "Another heading" not in page
