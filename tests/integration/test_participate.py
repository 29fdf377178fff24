"""The participant's side: start, resume, submit, return, run out of time."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.installation import Installation, installed
from tests.integration.rows import connected, turn_back_deadline
from tests.integration.waiting import wait_for
from tests.refusals import refused
from tests.scenario import FREE_TEXT, PNG, SESSION, Scenario, expect


@pytest.fixture
def scenario(api: httpx.Client) -> Scenario:
    return Scenario.create(api)


@pytest.fixture
def several(api: httpx.Client) -> Scenario:
    """A study that lets everyone take part three times, twice at once."""
    config = {"max_submissions_per_participant": 3, "max_concurrent_submissions": 2}
    return Scenario.create(api, submissions_config=config)


def begin(scenario: Scenario, token: str | None = None, **body: Any) -> httpx.Response:
    """Start without a researcher's token."""
    url = f"{scenario.api.base_url}participate/studies/{scenario.study['id']}/submissions"
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.post(url, json=body, headers=headers)


def look(scenario: Scenario, started: dict[str, Any], token: str | None = None) -> httpx.Response:
    return scenario.api.get(
        f"/participate/submissions/{started['submission_id']}",
        headers={"Authorization": f"Bearer {token or started['token']}"},
    )


def step(scenario: Scenario, action: str) -> None:
    expect(scenario.api.post(f"/studies/{scenario.study['id']}/transition", json={"action": action}), 200)


def places(scenario: Scenario) -> int:
    taken: int = expect(scenario.api.get(f"/studies/{scenario.study['id']}"), 200)["places_taken"]
    return taken


def status(scenario: Scenario, submission_id: str) -> str:
    found: str = expect(scenario.api.get(f"/submissions/{submission_id}"), 200)["status"]
    return found


def test_start(scenario: Scenario) -> None:
    started = expect(begin(scenario, participant_id="p", session_id="s"), 201)
    assert set(started) >= {"submission_id", "token", "status", "collection", "answers", "files"}
    UUID(started["submission_id"])
    assert (started["status"], started["answers"], started["files"]) == ("ACTIVE", {}, [])
    assert started["collection"]["id"] == scenario.collection["id"]
    assert started["collection"]["collection_items"] == scenario.collection["collection_items"]
    assert started["collection"]["task_details"] == scenario.collection["task_details"]
    assert expect(look(scenario, started), 200) == started
    assert status(scenario, started["submission_id"]) == "ACTIVE"


def test_resuming_with_the_same_session(scenario: Scenario) -> None:
    first = expect(begin(scenario, participant_id="p", session_id="s"), 201)
    item = scenario.collection["collection_items"][0]["page_items"][0]["id"]
    expect(
        scenario.api.put(
            f"/participate/submissions/{first['submission_id']}/answers/{item}",
            json={"value": "Half"},
            headers={"Authorization": f"Bearer {first['token']}"},
        ),
        200,
    )
    again = expect(begin(scenario, participant_id="p", session_id="s"), 200)
    assert again["submission_id"] == first["submission_id"]
    assert again["token"] != first["token"]
    assert again["answers"] == {item: {"value": "Half"}}
    expect(look(scenario, first), 200)  # the old token stays valid
    expect(look(scenario, again), 200)
    assert places(scenario) == 1


def test_another_session_or_none_is_409(scenario: Scenario) -> None:
    expect(begin(scenario, participant_id="p", session_id="s"), 201)
    refused(begin(scenario, participant_id="p", session_id="t"), 409)
    refused(begin(scenario, participant_id="p"), 409)
    refused(begin(scenario, participant_id="p", session_id=""), 409)
    refused(begin(scenario, participant_id="p", session_id=None), 409)
    expect(begin(scenario, participant_id="q", session_id="s"), 201)  # sessions are each participant's own
    assert places(scenario) == 2


def test_without_a_session_an_earlier_token_resumes(scenario: Scenario) -> None:
    first = expect(begin(scenario, participant_id="p"), 201)
    refused(begin(scenario, participant_id="p"), 409)
    refused(begin(scenario, "wrong", participant_id="p"), 409)
    stranger = expect(begin(scenario, participant_id="q"), 201)
    refused(begin(scenario, stranger["token"], participant_id="p"), 409)
    again = expect(begin(scenario, first["token"], participant_id="p"), 200)
    assert again["submission_id"] == first["submission_id"]
    assert again["token"] != first["token"]
    expect(look(scenario, first), 200)
    expect(begin(scenario, again["token"], participant_id="p"), 200)


def test_without_a_session_the_cookie_of_the_page_resumes(scenario: Scenario, server: Installation) -> None:
    path = f"/api/v1/participate/studies/{scenario.study['id']}/submissions"
    with httpx.Client(base_url=server.url, trust_env=False) as browser:
        form = {"participant_id": "p", "session_id": ""}
        page = browser.post(f"/participate/{scenario.study['id']}", data=form, headers={"Origin": server.url})
        submission_id = page.headers["Location"].rpartition("/")[2]
        again = browser.post(path, json={"participant_id": "p"}, headers={"Origin": server.url})
        assert expect(again, 200)["submission_id"] == submission_id
        refused(
            browser.post(path, json={"participant_id": "p"}, headers={"Origin": "https://evil.test"}), 409
        )
        shown = expect(browser.get(f"/api/v1/participate/submissions/{submission_id}"), 200)
        assert shown["token"] is None  # it stays out of the reach of scripts


def test_resuming_after_the_end_shows_the_end(scenario: Scenario) -> None:
    submission = scenario.take_part("p")
    again = expect(begin(scenario, participant_id="p", session_id=SESSION), 200)
    assert (again["submission_id"], again["status"]) == (submission, "AWAITING REVIEW")
    refused(begin(scenario, participant_id="p", session_id="another"), 409)


def test_several_submissions_each(several: Scenario) -> None:
    first = expect(begin(several, participant_id="p", session_id="1"), 201)
    second = expect(begin(several, participant_id="p", session_id="2"), 201)
    assert first["submission_id"] != second["submission_id"]
    assert "Finish" in refused(begin(several, participant_id="p", session_id="3"), 409)
    expect(begin(several, participant_id="p", session_id="1"), 200)
    participant = several.start("p", "1")
    expect(participant.answer(participant.item(0), {"value": "x"}), 200)
    participant.submit()
    expect(begin(several, participant_id="p"), 201)
    participant = several.start("p", "2")
    expect(participant.answer(participant.item(0), {"value": "x"}), 200)
    participant.submit()
    refused(begin(several, participant_id="p", session_id="4"), 409)
    assert places(several) == 3


def test_closed_doors_say_which(api: httpx.Client) -> None:
    scenario = Scenario.create(api, places=1)
    refused(begin(Scenario(api, scenario.collection, {"id": str(uuid4())}), participant_id="p"), 404)
    fields = ("name", "total_available_places", "data_collection_method", "data_collection_id")
    draft = expect(api.post("/studies", json={name: scenario.study[name] for name in fields}), 201)
    unpublished = refused(begin(Scenario(api, scenario.collection, draft), participant_id="p"), 409)
    expect(begin(scenario, participant_id="p", session_id="s"), 201)
    full = refused(begin(scenario, participant_id="q", session_id="s"), 409)
    expect(begin(scenario, participant_id="p", session_id="s"), 200)  # resuming works when full
    expect(api.patch(f"/studies/{scenario.study['id']}", json={"total_available_places": 2}), 200)
    step(scenario, "PAUSE")
    paused = refused(begin(scenario, participant_id="q", session_id="s"), 409)
    expect(begin(scenario, participant_id="p", session_id="s"), 200)  # and when paused
    step(scenario, "START")
    step(scenario, "STOP")
    closed = refused(begin(scenario, participant_id="q", session_id="s"), 409)
    for word, sentence in (("full", full), ("paused", paused), ("closed", closed), ("open", unpublished)):
        assert word in sentence
    codes = {
        begin(Scenario(api, scenario.collection, study), participant_id="z").json()["error"]["error_code"]
        for study in (draft, scenario.study)
    }
    assert len(codes) == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "participant_id"),
        ({"participant_id": None}, "participant_id"),
        ({"participant_id": ""}, "participant_id"),
        ({"participant_id": "  "}, "participant_id"),
        ({"participant_id": " \u200b\ufeff\u3164\t"}, "participant_id"),
        ({"participant_id": "p\u0000"}, "participant_id"),
        ({"participant_id": "p" + "\u200b" * 1000}, "participant_id"),
        ({"participant_id": 5}, "participant_id"),
        ({"participant_id": "x" * 201}, "participant_id"),
        ({"participant_id": "\u0000"}, "participant_id"),
        ({"participant_id": "p", "session_id": 5}, "session_id"),
        ({"participant_id": "p", "session_id": ["s"]}, "session_id"),
        ({"participant_id": "p", "session_id": "a\u0000"}, "session_id"),
    ],
)
def test_malformed_starts(scenario: Scenario, body: dict[str, Any], field: str) -> None:
    refused(begin(scenario, **body), 400, field)


@pytest.mark.parametrize("name", ["Ünïcödé", "🍕" * 50, "<script>", "a/b\\c", "a\u2028b", "' OR 1=1 --"])
def test_participants_may_be_called_anything(scenario: Scenario, name: str) -> None:
    scenario.take_part(name, text=name + " says\r\n\u2028\u0085\x1f")
    text = zipfile.ZipFile(io.BytesIO(scenario.download())).read("responses.jsonl").decode()
    assert text.count("\n") == 1
    [line] = [json.loads(line) for line in text.split("\n")[:-1]]
    assert line["participant_id"] == name
    [response] = line["responses"].values()
    assert response["value"] == name + " says\r\n\u2028\u0085\x1f"


def test_an_id_is_what_can_be_seen_of_it(scenario: Scenario) -> None:
    """At every entrance: the API, the page's link, its form, and what researchers send; and in the archive."""
    first = begin(scenario, participant_id="Jose\u0301 X", session_id=SESSION).json()
    assert first["participant_id"] == "Jos\u00e9 X"
    again = begin(scenario, participant_id="\u200b Jos\u00e9\u00ad X\ufeff\r\n", session_id=SESSION)
    assert (again.status_code, again.json()["submission_id"]) == (200, first["submission_id"])
    assert begin(scenario, participant_id="jos\u00e9 x", session_id=SESSION).status_code == 201
    page = f"{str(scenario.api.base_url).removesuffix('/api/v1/')}/participate/{scenario.study['id']}"
    own = {"Origin": page.partition("/participate")[0]}
    with httpx.Client(trust_env=False) as browser:
        shown = browser.get(page, params={"PROLIFIC_PID": "Jose\u0301 X\u2060", "SESSION_ID": SESSION})
        assert 'value="Jos\u00e9 X"' in shown.text
        form = {"participant_id": "\u202aJos\u00e9 X\u202c", "session_id": SESSION}
        resumed = browser.post(page, data=form, headers=own)
        assert resumed.headers["location"] == f"/participate/submissions/{first['submission_id']}"
        link = {"PROLIFIC_PID": "Jos\u00e9\u200b X", "SESSION_ID": SESSION}
        assert browser.get(page, params=link).headers["location"].startswith(resumed.headers["location"])
        for invisible in ("\u200b\u3164", "\u200b" * 1001):
            asked = browser.post(page, data={"participant_id": invisible}, headers=own)
            assert asked.status_code == 400
            assert 'name="participant_id"' in asked.text
    participant = scenario.start("Jos\u00e9 X")
    expect(participant.answer(participant.item(0), {"value": "x"}), 200)
    participant.submit()
    approval = {"study_id": scenario.study["id"], "participant_ids": ["\ufeffJose\u0301 X"]}
    assert expect(scenario.api.post("/submissions/bulk-approve", json=approval), 200)["submission_ids"] == [
        first["submission_id"]
    ]
    text = zipfile.ZipFile(io.BytesIO(scenario.download())).read("responses.jsonl").decode()
    assert json.loads(text)["participant_id"] == "Jos\u00e9 X"


def test_submit_and_submit_again(scenario: Scenario) -> None:
    participant = scenario.start("p")
    detail = refused(scenario.api.post(f"{participant.path}/submit", headers=participant.headers), 400)
    assert set(detail) == {participant.item(0)}
    expect(participant.answer(participant.item(0), {"value": "Fine"}), 200)
    answer = participant.submit()
    assert set(answer) == {"status", "completion_code", "completion_url"}
    code = scenario.study["completion_codes"][0]["code"]
    assert answer == {"status": "AWAITING REVIEW", "completion_code": code, "completion_url": ""}
    assert participant.submit() == answer
    assert participant.submit() == answer
    refused(participant.answer(participant.item(0), {"value": "Changed"}), 409)
    refused(participant.answer(participant.item(0), None), 409)
    assert expect(look(scenario, participant.state), 200)["answers"] == {
        participant.item(0): {"value": "Fine"}
    }


def test_files_are_closed_after_submit(scenario: Scenario) -> None:
    participant = scenario.start("p")
    expect(participant.answer(participant.item(0), {"value": "Fine"}), 200)
    url = participant.upload(participant.item(1), "a.png", PNG)
    participant.submit()
    headers = {**participant.headers, "Tus-Resumable": "1.0.0"}
    refused(scenario.api.delete(url, headers=headers), 409)
    metadata = {"Upload-Length": "5", "Upload-Metadata": "instruction_id eA=="}
    refused(scenario.api.post(f"{participant.path}/uploads", headers={**headers, **metadata}), 409)
    [file] = expect(look(scenario, participant.state), 200)["files"]
    assert file["file_name"] == "a.png"


def test_return(scenario: Scenario) -> None:
    participant = scenario.start("p")
    expect(participant.answer(participant.item(0), {"value": "Fine"}), 200)
    path = f"{participant.path}/return"
    assert expect(scenario.api.post(path, headers=participant.headers), 200)["status"] == "RETURNED"
    assert expect(scenario.api.post(path, headers=participant.headers), 200)["status"] == "RETURNED"
    assert places(scenario) == 0
    assert status(scenario, participant.submission_id) == "RETURNED"
    refused(participant.answer(participant.item(0), {"value": "x"}), 409)
    refused(scenario.api.post(f"{participant.path}/submit", headers=participant.headers), 409)
    refused(begin(scenario, participant_id="p", session_id="another"), 409)
    assert scenario.export()["submission_count"] == 0


def test_running_out_of_time(api: httpx.Client, server: Installation) -> None:
    scenario = Scenario.create(api, places=1, maximum_allowed_time=10)
    late = scenario.start("late")
    expect(late.answer(late.item(0), {"value": "Late"}), 200)
    turn_back_deadline(server, late.submission_id)
    seen = expect(look(scenario, late.state), 200)
    assert (seen["status"], seen["response"]) == ("TIMED-OUT", "no_submission")
    assert status(scenario, late.submission_id) == "TIMED-OUT"
    other = scenario.start("other")  # the place was freed
    assert places(scenario) == 1
    assert status(scenario, late.submission_id) == "TIMED-OUT"
    assert scenario.export()["submission_count"] == 0  # no_submission until now
    again = expect(begin(scenario, participant_id="late", session_id=SESSION), 200)
    assert again["status"] == "TIMED-OUT"
    expect(late.answer(late.item(0), {"value": "Later"}), 200)
    answer = late.submit()
    assert answer["status"] == "TIMED-OUT"
    assert answer["completion_code"]
    assert late.submit() == answer
    assert status(scenario, late.submission_id) == "TIMED-OUT"
    assert places(scenario) == 1  # the other one's
    archive = zipfile.ZipFile(io.BytesIO(scenario.download()))
    [line] = [json.loads(line) for line in archive.read("responses.jsonl").splitlines()]
    assert (line["status"], line["participant_id"]) == ("TIMED-OUT", "late")
    expect(other.answer(other.item(0), {"value": "In time"}), 200)
    assert other.submit()["status"] == "AWAITING REVIEW"
    decision = api.post(f"/submissions/{late.submission_id}/transition", json={"action": "APPROVE"})
    assert expect(decision, 200)["status"] == "APPROVED"


def test_submitting_just_past_the_time(scenario: Scenario, server: Installation) -> None:
    """Nobody looked in between: it is late all the same."""
    participant = scenario.start("p")
    expect(participant.answer(participant.item(0), {"value": "x"}), 200)
    turn_back_deadline(server, participant.submission_id)
    assert participant.submit()["status"] == "TIMED-OUT"
    assert places(scenario) == 0


def test_the_worker_frees_places_by_itself(scenario: Scenario, server: Installation) -> None:
    participant = scenario.start("p")
    turn_back_deadline(server, participant.submission_id)
    server.run("--version")  # takes no part in it
    with connected(server) as database:
        query = "SELECT status FROM submissions WHERE id = %s"
        wait_for(lambda: database.execute(query, [participant.submission_id]).fetchone() == ("TIMED-OUT",))


def test_the_maximum_time_is_in_minutes(api: httpx.Client) -> None:
    from datetime import datetime

    scenario = Scenario.create(api, maximum_allowed_time=90)
    started = scenario.start("p").state
    span = datetime.fromisoformat(started["deadline_at"]) - datetime.fromisoformat(started["started_at"])
    assert span.total_seconds() == 90 * 60


def test_a_submission_keeps_the_version_it_was_started_with(scenario: Scenario) -> None:
    early = scenario.start("early")
    path = f"/data-collection/collections/{scenario.collection['id']}"
    strict = {**FREE_TEXT, "validation": {"type": "string", "min": 1000}}
    body = {**scenario.collection, "collection_items": [{"page_items": [strict, FREE_TEXT]}]}
    updated = expect(api_put(scenario, path, body), 200)
    assert expect(look(scenario, early.state), 200)["collection"] == early.state["collection"]
    expect(early.answer(early.item(0), {"value": "Short"}), 200)
    new_items = [item["id"] for item in updated["collection_items"][0]["page_items"]]
    refused(early.answer(new_items[0], {"value": "x"}), 404)
    early.submit()
    late = scenario.start("late")
    assert [late.item(number) for number in (0, 1)] == new_items
    refused(late.answer(early.item(0), {"value": "x"}), 404)
    expect(late.answer(new_items[0], {"value": "Short"}), 200)
    detail = refused(scenario.api.post(f"{late.path}/submit", headers=late.headers), 400)
    assert set(detail) == set(new_items)
    archive = zipfile.ZipFile(io.BytesIO(scenario.download()))
    [line] = [json.loads(line) for line in archive.read("responses.jsonl").splitlines()]
    described = {row["id"] for row in json.loads(archive.read("collection.json"))["instructions"]}
    assert set(line["responses"]) <= described


def api_put(scenario: Scenario, path: str, body: Any) -> httpx.Response:
    return scenario.api.put(path, json=body)


def test_requests_per_submission_are_limited(scenario: Scenario) -> None:
    """100 a second pass; who asks faster for long is told to wait."""
    participant = scenario.start("p")
    statuses = set()
    for _ in range(100):
        statuses.add(scenario.api.get(participant.path, headers=participant.headers).status_code)
    assert statuses == {200}


def test_a_low_limit_holds_and_strangers_do_not_use_it_up() -> None:
    with installed(FIELDPACK_RATE_PER_SUBMISSION="1") as strict, strict.client() as api:
        participant = Scenario.create(api).start("p")
        for _ in range(10):
            refused(api.get(participant.path, headers={"Authorization": "Bearer stranger"}), 401)
        answers = [api.get(participant.path, headers=participant.headers) for _ in range(20)]
        assert answers[0].status_code == 200
        late = next(answer for answer in answers if answer.status_code != 200)
        refused(late, 429)
        assert int(late.headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    "text", ["{{%PROLIFIC_PID%}}", "{{PROLIFIC_PID}}", "%PROLIFIC_PID%", " %PROLIFIC_PID%\n"]
)
def test_a_placeholder_is_no_participant(scenario: Scenario, text: str) -> None:
    start = f"/participate/studies/{scenario.study['id']}/submissions"
    refused(scenario.api.post(start, json={"participant_id": text}), 400, "participant_id")
    named = {"participant_ids": ["somebody", text]}
    refused(scenario.api.post(f"/studies/{scenario.study['id']}/links", json=named), 400, "participant_ids.1")
    group = {"workspace_id": scenario.study["workspace"], "name": "G"}
    refused(scenario.api.post("/participant-groups", json={**group, **named}), 400, "participant_ids.1")
    made = expect(scenario.api.post("/participant-groups", json=group), 201)
    refused(
        scenario.api.post(f"/participant-groups/{made['id']}/participants", json=named),
        400,
        "participant_ids.1",
    )
    path = f"/participate/{scenario.study['id']}"
    root = str(scenario.api.base_url).removesuffix("/api/v1/")
    with httpx.Client(
        base_url=root, trust_env=False, headers={"Accept": "text/html", "Origin": root}
    ) as browser:
        shown = browser.get(path, params={"PROLIFIC_PID": text, "SESSION_ID": "a-session-of-some-length"})
        assert shown.status_code == 200
        assert 'id="participant"' in shown.text  # the page asks
        posted = browser.post(path, data={"participant_id": text, "session_id": ""})
        assert posted.status_code == 400
        assert 'id="participant"' in posted.text
    assert expect(scenario.api.get(f"/studies/{scenario.study['id']}"), 200)["places_taken"] == 0


@pytest.mark.parametrize("text", ["{{%SESSION_ID%}}", "%SESSION_ID%"])
def test_a_placeholder_is_no_session(scenario: Scenario, text: str) -> None:
    start = f"/participate/studies/{scenario.study['id']}/submissions"
    body = {"participant_id": "somebody", "session_id": text}
    expect(scenario.api.post(start, json=body), 201)
    refused(scenario.api.post(start, json=body), 409)  # as without a session: nobody else's link resumes it
    path = f"/participate/{scenario.study['id']}"
    root = str(scenario.api.base_url).removesuffix("/api/v1/")
    query = {"PROLIFIC_PID": "another", "SESSION_ID": text}
    shown = httpx.get(root + path, params=query, headers={"Accept": "text/html"}, trust_env=False)
    assert 'name="session_id" value=""' in shown.text


@pytest.mark.parametrize("text", ["{{%STUDY_ID%}}", "PROLIFIC_PID", "{PROLIFIC_PID}", "100%", "{{x}}"])
def test_what_only_looks_like_a_placeholder_is_a_participant(scenario: Scenario, text: str) -> None:
    assert scenario.start(text, text).submission_id
