"""The life of a draft: deleted, cloned, tried, published at a time; and what money it costs."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.gates import wait_for
from tests.installation import Installation, installed
from tests.integration.rows import connected, turn_back_deadline
from tests.refusals import refused
from tests.scenario import Scenario, expect
from tests.shapes import BALANCE, COST, STUDY, find_faults


def draft(api: httpx.Client, **fields: Any) -> dict[str, Any]:
    """An unpublished study, of a collection that has a published one as well."""
    collection = Scenario.create(api).collection["id"]
    body = {"name": "Draft", "total_available_places": 2, "data_collection_id": collection,
            "data_collection_method": "AI_TASK_BUILDER_COLLECTION", **fields}  # fmt: skip
    made: dict[str, Any] = expect(api.post("/studies", json=body), 201)
    return made


def step(api: httpx.Client, study: dict[str, Any], action: str, **more: Any) -> httpx.Response:
    return api.post(f"/studies/{study['id']}/transition", json={"action": action, **more})


def soon(**later: float) -> str:
    return (datetime.now(UTC) + timedelta(**later)).isoformat()


def start(api: httpx.Client, study: dict[str, Any], participant_id: str) -> httpx.Response:
    return api.post(
        f"/participate/studies/{study['id']}/submissions", json={"participant_id": participant_id}
    )


def test_drafts_alone_are_deleted(api: httpx.Client) -> None:
    study = draft(api)
    path = f"/studies/{study['id']}"
    expect(api.post(f"{path}/test-study"), 200)  # whose copy stays behind
    expect(api.delete(path), 204)
    refused(api.get(path), 404)
    refused(api.delete(path), 404)
    for actions in (["PUBLISH"], ["PUBLISH", "PAUSE"], ["PUBLISH", "STOP"]):
        other = draft(api)
        for action in actions:
            expect(step(api, other, action), 200)
        assert "draft" in refused(api.delete(f"/studies/{other['id']}"), 409)
        expect(api.get(f"/studies/{other['id']}"), 200)
    scheduled = draft(api)
    expect(step(api, scheduled, "SCHEDULE_PUBLISH", publish_at=soon(hours=1)), 200)
    assert "CANCEL_PUBLISH" in refused(api.delete(f"/studies/{scheduled['id']}"), 409)


def test_a_clone_blocks_who_took_part(api: httpx.Client) -> None:
    fields: dict[str, Any] = {"reward": 5, "description": "D", "future": [1], "maximum_allowed_time": 7,
              "filters": [{"filter_id": "custom_blocklist", "selected_values": ["z"]}]}  # fmt: skip
    scenario = Scenario.create(api, **fields)
    scenario.take_part("a")
    path = f"/studies/{scenario.study['id']}"
    clone = expect(api.post(f"{path}/clone"), 200)
    assert find_faults(clone, STUDY) == []
    block = {"filter_id": "previous_studies_blocklist", "selected_values": [scenario.study["id"]]}
    assert clone["filters"] == [*fields["filters"], block]
    original = expect(api.get(path), 200)
    own = {"id", "internal_name", "status", "date_created", "published_at", "places_taken", "filters",
           "external_study_url"}  # fmt: skip
    assert {key: value for key, value in clone.items() if key not in own} == {
        key: value for key, value in original.items() if key not in own
    }
    assert (clone["status"], clone["places_taken"], clone["published_at"]) == ("UNPUBLISHED", 0, None)
    assert clone["internal_name"] == "Study copy"
    expect(step(api, clone, "PUBLISH"), 200)
    refused(start(api, clone, "a"), 403)
    expect(start(api, clone, "b"), 201)
    second = expect(api.post(f"/studies/{clone['id']}/clone/", json={}), 200)
    both = [scenario.study["id"], clone["id"]]
    assert second["filters"][-1] == {**block, "selected_values": both}
    open_again = expect(api.post(f"{path}/clone", json={"block_previous_participants": False}), 200)
    assert open_again["filters"] == fields["filters"]
    refused(api.post(f"{path}/clone", json={"block_previous_participants": "no"}), 400)
    assert original == expect(api.get(path), 200)


def test_a_trial_is_counted_nowhere(api: httpx.Client, server: Installation) -> None:
    scenario = Scenario.create(
        api, places=1, filters=[{"filter_id": "custom_allowlist", "selected_values": ["a"]}]
    )
    scenario.take_part("a")
    before = scenario.export()
    path, collection = f"/studies/{scenario.study['id']}", scenario.collection["id"]
    first, second = (expect(api.post(f"{path}/test-study"), 200) for _ in range(2))
    assert set(first) == {"study_id", "study_url"}
    assert first["study_id"] == second["study_id"] != scenario.study["id"]
    people = [parse_qs(urlsplit(answer["study_url"]).query) for answer in (first, second)]
    assert people[0]["PROLIFIC_PID"] != people[1]["PROLIFIC_PID"]
    page = httpx.get(first["study_url"], trust_env=False, follow_redirects=True)
    assert page.status_code == 200
    trial = Scenario(api, scenario.collection, expect(api.get(f"/studies/{first['study_id']}"), 200))
    assert (trial.study["test"], trial.study["status"]) == (True, "ACTIVE")
    done = [trial.take_part(person["PROLIFIC_PID"][0]) for person in people]
    late = trial.start("late")
    turn_back_deadline(server, late.submission_id)

    listed = expect(api.get(f"/studies/{first['study_id']}/submissions"), 200)
    assert [row["test"] for row in listed["results"]] == [True] * 3
    assert expect(api.get(f"/studies/{first['study_id']}/submissions/counts"), 200)["TOTAL"] == 0
    assert expect(api.get(f"/studies/{first['study_id']}"), 200)["places_taken"] == 0
    assert expect(api.get(path), 200)["places_taken"] == 1
    assert expect(api.get(f"{path}/submissions/counts"), 200)["TOTAL"] == 1
    responses = expect(api.get(f"/data-collection/collections/{collection}/responses"), 200)
    assert responses["meta"]["count"] == len(responses["results"]) == 1
    studies = expect(api.get(f"/studies?data_collection_id={collection}"), 200)
    assert [row["id"] for row in studies["results"]] == [scenario.study["id"]]
    trials = expect(api.get(f"/studies?data_collection_id={collection}&test=1"), 200)
    assert [row["id"] for row in trials["results"]] == [first["study_id"]]
    after = scenario.export()
    assert after["submission_count"] == before["submission_count"] == 1

    expect(api.delete(f"/submissions/{done[0]}"), 204)
    refused(api.get(f"/submissions/{done[0]}"), 404)
    assert expect(api.get(f"{scenario.export_path}/{after['export_id']}"), 200)["status"] == "complete"
    expect(api.post(f"/submissions/{done[1]}/transition", json={"action": "RETURN"}), 200)
    expect(api.post(f"/submissions/{done[1]}/transition", json={"action": "UNRETURN"}), 200)
    assert scenario.export()["submission_count"] == 1
    block = [{"filter_id": "previous_studies_blocklist", "selected_values": [first["study_id"]]}]
    follow_up = Scenario.create(api, filters=block)
    follow_up.start(people[1]["PROLIFIC_PID"][0])


def test_a_trial_is_as_the_study_is_now(api: httpx.Client) -> None:
    study = draft(api)
    path = f"/studies/{study['id']}"
    first = expect(api.post(f"{path}/test-study"), 200)["study_id"]
    expect(api.patch(path, json={"name": "Changed", "estimated_completion_time": 9}), 200)
    assert expect(api.post(f"{path}/test-study"), 200)["study_id"] == first
    trial = expect(api.get(f"/studies/{first}"), 200)
    assert (trial["name"], trial["estimated_completion_time"], trial["status"]) == ("Changed", 9, "ACTIVE")
    assert expect(api.post(f"/studies/{first}/test-study"), 200)["study_id"] == first
    assert expect(api.get(path), 200)["status"] == "UNPUBLISHED"


@pytest.mark.parametrize("action", ["PAUSE", "STOP"])
@pytest.mark.parametrize("of_itself", [False, True])
def test_a_trial_that_was_closed_is_opened_again(api: httpx.Client, action: str, of_itself: bool) -> None:
    """There is one only, so its link would be dead for ever."""
    path = f"/studies/{draft(api)['id']}"
    trial = expect(api.post(f"{path}/test-study"), 200)["study_id"]
    expect(api.post(f"/studies/{trial}/transition", json={"action": action}), 200)
    asked = f"/studies/{trial}" if of_itself else path
    assert expect(api.post(f"{asked}/test-study"), 200)["study_id"] == trial
    assert expect(api.get(f"/studies/{trial}"), 200)["status"] == "ACTIVE"
    begun = api.post(f"/participate/studies/{trial}/submissions", json={"participant_id": "p"})
    assert begun.status_code == 201


def home(server: Installation) -> str:
    """The researcher's page, as a browser has it."""
    with httpx.Client(base_url=server.url, trust_env=False, follow_redirects=True) as browser:
        given = {"token": server.token, "next": "/researcher"}
        answer = browser.post("/sign-in", data=given, headers={"Accept": "text/html", "Origin": server.url})
    assert answer.status_code == 200
    return answer.text


def test_published_at_a_time(api: httpx.Client, server: Installation) -> None:
    study = draft(api)
    refused(step(api, study, "CANCEL_PUBLISH"), 409)
    refused(step(api, study, "SCHEDULE_PUBLISH"), 400, "publish_at")
    for wrong in ("tomorrow", "2026-01-31", 5, "2026-01-31T09:30:00"):
        refused(step(api, study, "SCHEDULE_PUBLISH", publish_at=wrong), 400, "publish_at")
    refused(step(api, study, "SCHEDULE_PUBLISH", publish_at=soon(minutes=-1)), 400, "publish_at")
    scheduled = expect(step(api, study, "SCHEDULE_PUBLISH", publish_at="2100-01-01T01:00:00+01:00"), 200)
    assert (scheduled["status"], scheduled["publish_at"]) == ("SCHEDULED", "2100-01-01T00:00:00Z")
    assert find_faults(scheduled, STUDY) == []
    for action in ("PAUSE", "START", "STOP"):
        refused(step(api, study, action), 409)
    assert "Scheduled" in home(server)
    assert "not open yet" in refused(start(api, study, "a"), 409)
    collection = study["data_collection_id"]
    listed = expect(api.get(f"/studies?data_collection_id={collection}&state=scheduled"), 200)
    assert [row["id"] for row in listed["results"]] == [study["id"]]
    assert expect(api.get(f"/studies?data_collection_id={collection}&scheduled=1"), 200) == listed
    again = expect(step(api, study, "SCHEDULE_PUBLISH", publish_at="2101-01-01T00:00:00Z"), 200)
    assert again["publish_at"] == "2101-01-01T00:00:00Z"
    cancelled = expect(step(api, study, "CANCEL_PUBLISH"), 200)
    assert (cancelled["status"], cancelled["publish_at"]) == ("UNPUBLISHED", None)
    expect(step(api, study, "SCHEDULE_PUBLISH", publish_at=soon(days=1)), 200)
    published = expect(step(api, study, "PUBLISH"), 200)
    assert (published["status"], published["publish_at"]) == ("ACTIVE", None)
    refused(step(api, study, "SCHEDULE_PUBLISH", publish_at=soon(days=1)), 409)

    due = draft(api)
    expect(step(api, due, "SCHEDULE_PUBLISH", publish_at=soon(seconds=1)), 200)
    wait_for(lambda: expect(api.get(f"/studies/{due['id']}"), 200)["status"] == "ACTIVE")
    assert expect(api.get(f"/studies/{due['id']}"), 200)["published_at"] is not None


def test_a_time_that_came_while_the_server_was_down() -> None:
    with installed() as server:
        with server.client() as api:
            study = draft(api)
            expect(step(api, study, "SCHEDULE_PUBLISH", publish_at=soon(hours=1)), 200)
        with connected(server) as database:
            database.execute(
                "UPDATE studies SET publish_at = now() - interval '1 minute' WHERE publish_at > now()"
            )
            server.kill()
        server.options.append("--no-worker")  # so that who comes is what publishes it
        server.start()
        with server.client() as api:
            expect(start(api, study, "a"), 201)
            assert expect(api.get(f"/studies/{study['id']}"), 200)["status"] == "ACTIVE"


def test_money(api: httpx.Client) -> None:
    study = draft(api, reward=100)
    cost = expect(api.get(f"/studies/{study['id']}/cost/"), 200)
    assert find_faults(cost, COST) == []
    assert cost["rewards"]["fees"] == {"amount": 0, "currency": "GBP"}
    workspace = expect(api.get("/workspaces"), 200)["results"][0]["id"]
    balance = expect(api.get(f"/workspaces/{workspace}/balance/"), 200)
    assert find_faults(balance, BALANCE) == []
    me = expect(api.get("/users/me"), 200)
    assert balance["currency_code"] == me["currency_code"]
    assert (balance["total_balance"], balance["available_balance"]) == (0, 0)


def act(api: httpx.Client, submission_id: str, action: str, **more: Any) -> httpx.Response:
    return api.post(f"/submissions/{submission_id}/transition", json={"action": action, **more})


def places(scenario: Scenario) -> int:
    found: int = expect(scenario.api.get(f"/studies/{scenario.study['id']}"), 200)["places_taken"]
    return found


def test_rejections_undone(api: httpx.Client) -> None:
    scenario = Scenario.create(api)
    submission = scenario.take_part("a")
    assert expect(act(api, submission, "UNREJECT"), 200)["status"] == "AWAITING REVIEW"
    reason = {"message": "No.", "rejection_category": "OTHER"}
    expect(act(api, submission, "REJECT", **reason), 200)
    assert scenario.export()["submission_count"] == 1
    assert expect(act(api, submission, "UNREJECT"), 200)["status"] == "AWAITING REVIEW"
    assert b'"status":"AWAITING REVIEW"' in lines(scenario)
    expect(act(api, submission, "APPROVE"), 200)
    assert "APPROVED can't UNREJECT" in refused(act(api, submission, "UNREJECT"), 409)


def lines(scenario: Scenario) -> bytes:
    """responses.jsonl as it is now."""
    with zipfile.ZipFile(io.BytesIO(scenario.download())) as archive:
        return archive.read("responses.jsonl")


def test_returned_and_back(api: httpx.Client) -> None:
    scenario = Scenario.create(api, places=1)
    submission = scenario.take_part("a", "Kept")
    held = scenario.export()
    assert expect(act(api, submission, "RETURN"), 200)["status"] == "RETURNED"
    assert expect(act(api, submission, "RETURN"), 200)["status"] == "RETURNED"
    assert (places(scenario), scenario.export()["submission_count"]) == (0, 0)
    other = scenario.start("b")
    refused(act(api, submission, "UNRETURN"), 409)
    assert expect(act(api, other.submission_id, "RETURN"), 200)["status"] == "RETURNED"
    refused(other.answer(other.item(0), {"value": "x"}), 409)
    assert expect(act(api, submission, "UNRETURN"), 200)["status"] == "AWAITING REVIEW"
    assert places(scenario) == 1
    assert b"Kept" in lines(scenario)
    refused(act(api, other.submission_id, "UNRETURN"), 409)
    # exports of before the return hold it as well
    expect(api.delete(f"/submissions/{submission}"), 204)
    assert expect(api.get(f"{scenario.export_path}/{held['export_id']}"), 200)["status"] == "failed"
    approved = Scenario.create(api).take_part("c")
    expect(act(api, approved, "APPROVE"), 200)
    refused(act(api, approved, "RETURN"), 409)


def test_who_comes_back_goes_on(api: httpx.Client, server: Installation) -> None:
    scenario = Scenario.create(api, maximum_allowed_time=5)
    participant = scenario.start("a")
    expect(participant.answer(participant.item(0), {"value": "half"}), 200)
    turn_back_deadline(server, participant.submission_id)
    expect(act(api, participant.submission_id, "RETURN"), 200)
    assert expect(act(api, participant.submission_id, "UNRETURN"), 200)["status"] == "ACTIVE"
    found = expect(api.get(participant.path, headers=participant.headers), 200)
    assert found["deadline_at"] > datetime.now(UTC).isoformat()
    assert list(found["answers"].values()) == [{"value": "half"}]
    participant.submit()
    assert places(scenario) == 1


def test_screened_out(api: httpx.Client) -> None:
    scenario = Scenario.create(api)
    running, done = scenario.start("running"), scenario.take_part("done")
    for submission in (running.submission_id, done):
        assert expect(act(api, submission, "SCREEN_OUT"), 200)["status"] == "SCREENED OUT"
        assert expect(act(api, submission, "SCREEN_OUT"), 200)["status"] == "SCREENED OUT"
    assert places(scenario) == 0
    assert b'"status":"SCREENED OUT"' in lines(scenario)
    counts = expect(api.get(f"/studies/{scenario.study['id']}/submissions/counts"), 200)
    assert (counts["SCREENED OUT"], counts["TOTAL"]) == (2, 2)
    for action in ("START", "UNREJECT", "UNRETURN"):
        refused(act(api, done, action), 409)


def test_started(api: httpx.Client, server: Installation) -> None:
    participant = Scenario.create(api).start("a")
    assert expect(act(api, participant.submission_id, "START"), 200)["status"] == "ACTIVE"
    with connected(server) as database:
        database.execute(
            "UPDATE submissions SET status = 'RESERVED' WHERE id = %s", [participant.submission_id]
        )
    assert expect(act(api, participant.submission_id, "START"), 200)["status"] == "ACTIVE"


@pytest.mark.parametrize(
    ("data", "fits"),
    [
        ({"percentage_of_reward": 40, "message_to_participant": "In part."}, True),
        ({"percentage_of_reward": 12.5}, True),
        ({}, True),
        ({"percentage_of_reward": 0}, False),
        ({"percentage_of_reward": 101}, False),
        ({"percentage_of_reward": "40"}, False),
        ({"message_to_participant": 5}, False),
        ("x", False),
    ],
)
def test_what_goes_with_a_code(api: httpx.Client, server: Installation, data: Any, fits: bool) -> None:
    codes = [
        {"code": "P"},
        {"code": "R", "actor": "researcher", "actions": [{"action": "AUTOMATICALLY_APPROVE"}]},
    ]
    submission = Scenario.create(api, completion_codes=codes).take_part("a")
    answer = act(api, submission, "COMPLETE", completion_code="R", completion_code_data=data)
    if not fits:
        assert any(name.startswith("completion_code_data") for name in refused(answer, 400))
        return
    assert expect(answer, 200)["status"] == "APPROVED"
    with connected(server) as database:
        [[review]] = database.execute("SELECT review FROM submissions WHERE id = %s", [submission]).fetchall()
    assert (review or {}).get("completion_code_data", {}) == data


def mark(api: httpx.Client, submission_id: str, is_test: bool) -> httpx.Response:
    return api.patch(f"/submissions/{submission_id}", json={"test": is_test})


def test_marked_as_a_test_and_back(api: httpx.Client) -> None:
    """What an export held before goes with an erasure, whatever it was marked as since."""
    scenario = Scenario.create(api, places=1)
    submission = scenario.take_part("a", "Tried")
    held = scenario.export()
    assert held["submission_count"] == 1
    for _ in range(2):
        assert expect(mark(api, submission, True), 200)["test"] is True
    counts = expect(api.get(f"/studies/{scenario.study['id']}/submissions/counts"), 200)
    assert (counts["TOTAL"], places(scenario)) == (0, 0)
    assert scenario.export()["submission_count"] == 0
    other = scenario.start("b")
    refused(mark(api, submission, False), 409)
    expect(act(api, other.submission_id, "RETURN"), 200)
    assert expect(mark(api, submission, False), 200)["test"] is False
    assert places(scenario) == 1
    assert b"Tried" in lines(scenario)
    expect(mark(api, submission, True), 200)
    expect(api.delete(f"/submissions/{submission}"), 204)
    found = {each["export_id"]: each["status"] for each in expect(api.get(scenario.export_path), 200)}
    assert found[held["export_id"]] == "failed"


def test_who_is_under_way_is_marked(api: httpx.Client) -> None:
    scenario = Scenario.create(api, places=2)
    participant = scenario.start("a")
    expect(mark(api, participant.submission_id, True), 200)
    assert places(scenario) == 0
    expect(participant.answer(participant.item(0), {"value": "x"}), 200)
    participant.submit()
    assert scenario.export()["submission_count"] == 0
    expect(mark(api, participant.submission_id, False), 200)
    assert (places(scenario), scenario.export()["submission_count"]) == (1, 1)
    trial = expect(api.post(f"/studies/{scenario.study['id']}/test-study"), 200)["study_id"]
    tried = Scenario(api, scenario.collection, {"id": trial}).take_part("t")
    assert "copy for trying" in refused(mark(api, tried, False), 409)


def test_erasing_a_collection_erases_what_was_tried(api: httpx.Client, server: Installation) -> None:
    scenario = Scenario.create(api)
    trial = expect(api.post(f"/studies/{scenario.study['id']}/test-study"), 200)["study_id"]
    tried = Scenario(api, scenario.collection, {"id": trial}).take_part("tries")
    real = scenario.take_part("real")
    arguments = ("collection", "erase", scenario.collection["id"], "--yes")
    server.run(*arguments, PROLIFIC_TOKEN=server.token, PROLIFIC_URL=server.url)
    for submission in (tried, real):
        refused(api.get(f"/submissions/{submission}"), 404)
