"""Submissions as researchers see them: lists, counts, review, asking back."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.installation import Installation
from tests.integration.rows import connected, turn_back_deadline
from tests.refusals import refused
from tests.scenario import PNG, Participant, Scenario, expect

FIELDS = {
    "id", "participant_id", "study_id", "started_at", "completed_at", "is_complete", "time_taken", "reward",
    "status", "study_code", "return_requested",
}  # fmt: skip
COUNTS = {
    "ACTIVE", "APPROVED", "AWAITING REVIEW", "REJECTED", "RESERVED", "RETURNED", "TIMED-OUT",
    "PARTIALLY APPROVED", "SCREENED OUT", "TOTAL",
}  # fmt: skip
TRANSITION = {"id", "completed_at", "entered_code", "participant", "started_at", "status", "study_id"}


@pytest.fixture
def scenario(api: httpx.Client) -> Scenario:
    return Scenario.create(api, reward=120)


def decide(scenario: Scenario, submission_id: str, action: str, **more: Any) -> httpx.Response:
    return scenario.api.post(f"/submissions/{submission_id}/transition", json={"action": action, **more})


REASON = {"message": "Why", "rejection_category": "OTHER"}


def counts(scenario: Scenario) -> dict[str, int]:
    found: dict[str, int] = expect(
        scenario.api.get(f"/studies/{scenario.study['id']}/submissions/counts"), 200
    )
    assert set(found) == COUNTS
    assert found["TOTAL"] == sum(value for key, value in found.items() if key != "TOTAL")
    return {key: value for key, value in found.items() if value}


def give_back(participant: Participant) -> httpx.Response:
    return participant.http.post(f"{participant.path}/return", headers=participant.headers)


def test_list_and_get(scenario: Scenario) -> None:
    submitted = scenario.take_part("first")
    running = scenario.start("second").submission_id
    listed = expect(scenario.api.get(f"/studies/{scenario.study['id']}/submissions"), 200)
    assert listed["meta"] == {"count": 2}
    first, second = listed["results"]
    assert set(first) >= FIELDS
    assert (first["id"], first["participant_id"], first["study_id"]) == (
        submitted,
        "first",
        scenario.study["id"],
    )
    assert (first["status"], first["is_complete"], first["reward"]) == ("AWAITING REVIEW", True, 120)
    assert first["study_code"] == scenario.study["completion_codes"][0]["code"]
    assert first["return_requested"] is None
    taken = datetime.fromisoformat(first["completed_at"]) - datetime.fromisoformat(first["started_at"])
    assert abs(first["time_taken"] - taken.total_seconds()) <= 1
    assert (second["id"], second["status"]) == (running, "ACTIVE")
    assert (second["completed_at"], second["is_complete"]) == (None, False)
    for row in listed["results"]:
        assert expect(scenario.api.get(f"/submissions/{row['id']}"), 200) == row
    page = expect(scenario.api.get(f"/studies/{scenario.study['id']}/submissions?limit=1&offset=1"), 200)
    assert page == {"results": [second], "meta": {"count": 2}}


def test_the_list_by_status_and_order(scenario: Scenario, server: Installation) -> None:
    made = {name: scenario.take_part(name) for name in ("b", "c", "a")}
    expect(decide(scenario, made["c"], "APPROVE"), 200)
    expect(decide(scenario, made["a"], "REJECT", **REASON), 200)
    scenario.start("running")
    late = scenario.start("late")
    turn_back_deadline(server, late.submission_id)
    path = f"/studies/{scenario.study['id']}/submissions"

    def names(query: str) -> list[str]:
        rows = expect(scenario.api.get(f"{path}?{query}"), 200)["results"]
        assert all(row["ip"] is None for row in rows)
        return [row["participant_id"] for row in rows]

    started = ["b", "c", "a", "running", "late"]
    assert names("") == started
    for query, found in {
        "status=APPROVED": ["c"],
        "status=approved": ["c"],
        "status=awaiting_review": ["b"],
        "status=AWAITING REVIEW": ["b"],
        "status=TIMED-OUT": ["late"],
        "status=timed_out": ["late"],
        "status=active": ["running"],
        "status=(approved|rejected)": ["c", "a"],
        "status=SCREENED OUT": [],
        "status=": started,
        "ordering=started_at": started,
        "ordering=-started_at": started[::-1],
        "ordering=participant_id": ["a", "b", "c", "late", "running"],
        "ordering=-participant_id": ["running", "late", "c", "b", "a"],
        "ordering=completed_at": started,
        "ordering=-completed_at": ["a", "c", "b", "running", "late"],
        "ordering=status,-participant_id": ["running", "c", "b", "a", "late"],
        "ordering=ip": started,
        "ordering=-ip": started,
        "ordering=reward": started,
        "ordering=-reward": started,
        "ordering=study_code": started,
        "ordering=-study_code": started,
        "ordering=": started,
        "ordering=-participant_id&status=(approved|rejected)": ["c", "a"],
        "page=2&page_size=2": started[2:4],
        "page_size=4": started[:4],
        "page=9": [],
    }.items():
        assert names(query) == found, query
    by_time = names("ordering=-time_taken")
    assert set(by_time) == set(started)
    assert by_time[-2:] == ["running", "late"]
    found = expect(scenario.api.get(f"{path}?status=(approved|rejected)&limit=1"), 200)
    assert (len(found["results"]), found["meta"]) == (1, {"count": 2})
    for query, field in {
        "status=done": "status",
        "status=(active|done)": "status",
        "ordering=name": "ordering",
        "ordering=--status": "ordering",
        "ordering=status;drop": "ordering",
        "ordering=s.status": "ordering",
        "ordering=STATUS": "ordering",
    }.items():
        refused(scenario.api.get(f"{path}?{query}"), 400, field)


def test_counts(scenario: Scenario, server: Installation) -> None:
    assert counts(scenario) == {}
    approved, rejected = scenario.take_part("a"), scenario.take_part("b")
    scenario.take_part("c")
    scenario.start("d")
    expect(give_back(scenario.start("e")), 200)
    turn_back_deadline(server, scenario.start("f").submission_id)
    expect(decide(scenario, approved, "APPROVE"), 200)
    expect(decide(scenario, rejected, "REJECT", message="m" * 100, rejection_category="LOW_EFFORT"), 200)
    assert counts(scenario) == {
        "ACTIVE": 1,
        "APPROVED": 1,
        "AWAITING REVIEW": 1,
        "REJECTED": 1,
        "RETURNED": 1,
        "TIMED-OUT": 1,
        "TOTAL": 6,
    }


def test_decisions(scenario: Scenario) -> None:
    submission = scenario.take_part("a")
    approved = expect(decide(scenario, submission, "APPROVE"), 200)
    assert set(approved) == TRANSITION
    assert (approved["id"], approved["participant"], approved["study_id"]) == (
        submission,
        "a",
        scenario.study["id"],
    )
    assert approved["status"] == "APPROVED"
    assert expect(decide(scenario, submission, "APPROVE"), 200)["status"] == "APPROVED"
    refused(decide(scenario, submission, "REJECT", **REASON), 409)
    second = scenario.take_part("b")
    assert expect(decide(scenario, second, "REJECT", message="Why", rejection_category="OTHER"), 200)[
        "status"
    ] == ("REJECTED")
    assert expect(decide(scenario, second, "APPROVE"), 200)["status"] == "APPROVED"
    refused(decide(scenario, submission, "approve"), 400, "action")
    refused(decide(scenario, submission, "FLY"), 400, "action")
    refused(decide(scenario, str(uuid4()), "APPROVE"), 404)


def test_decisions_on_what_is_not_handed_in(scenario: Scenario) -> None:
    running = scenario.start("a")
    refused(decide(scenario, running.submission_id, "APPROVE"), 409)
    refused(decide(scenario, running.submission_id, "REJECT", **REASON), 409)
    returned = scenario.start("b")
    expect(give_back(returned), 200)
    for action in ("APPROVE", "REJECT"):
        refused(decide(scenario, returned.submission_id, action, **REASON), 409)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"message": None}, "message"),
        ({"message": ""}, "message"),
        ({"message": " \t\n"}, "message"),
        ({"message": 5}, "message"),
        ({"message": "x" * 20_001}, "message"),
        ({"rejection_category": None}, "rejection_category"),
        ({"rejection_category": ""}, "rejection_category"),
        ({"rejection_category": "other"}, "rejection_category"),
        ({"rejection_category": "BORING"}, "rejection_category"),
        ({"rejection_category": ["OTHER"]}, "rejection_category"),
    ],
)
def test_a_rejection_says_why(scenario: Scenario, changed: dict[str, Any], field: str) -> None:
    submission = scenario.take_part("a")
    refused(decide(scenario, submission, "REJECT", **{**REASON, **changed}), 400, field)
    assert counts(scenario) == {"AWAITING REVIEW": 1, "TOTAL": 1}


def test_a_rejection_without_anything_names_both(scenario: Scenario) -> None:
    refused(decide(scenario, scenario.take_part("a"), "REJECT"), 400, "message", "rejection_category")


def test_rejecting_again_changes_nothing(scenario: Scenario, server: Installation) -> None:
    submission = scenario.take_part("a")
    first = expect(decide(scenario, submission, "REJECT", **REASON), 200)
    other = {"message": "Another", "rejection_category": "NO_DATA"}
    assert expect(decide(scenario, submission, "REJECT", **other), 200) == first
    with connected(server) as database:
        [[kept]] = database.execute("SELECT review FROM submissions WHERE id = %s", [submission]).fetchall()
    assert kept == REASON


@pytest.mark.parametrize(
    "category",
    ["TOO_QUICKLY", "TOO_SLOWLY", "FAILED_INSTRUCTIONS", "INCOMP_LONGITUDINAL", "FAILED_CHECK", "LOW_EFFORT",
     "MALINGERING", "NO_CODE", "BAD_CODE", "NO_DATA", "UNSUPP_DEVICE", "OTHER"],
)  # fmt: skip
def test_rejection_categories(scenario: Scenario, category: str) -> None:
    answer = decide(scenario, scenario.take_part("a"), "REJECT", message="Why", rejection_category=category)
    assert expect(answer, 200)["status"] == "REJECTED"


def bulk(scenario: Scenario, **body: Any) -> httpx.Response:
    return scenario.api.post("/submissions/bulk-approve", json=body)


def test_bulk_approve_by_ids(scenario: Scenario) -> None:
    ids = [scenario.take_part(name) for name in "abc"]
    assert bulk(scenario, submission_ids=ids[:2]).status_code == 200
    assert counts(scenario) == {"APPROVED": 2, "AWAITING REVIEW": 1, "TOTAL": 3}
    assert bulk(scenario, submission_ids=ids).status_code == 200
    assert counts(scenario) == {"APPROVED": 3, "TOTAL": 3}


def test_bulk_approve_by_participants(scenario: Scenario) -> None:
    for name in "abc":
        scenario.take_part(name)
    empty: dict[str, list[str]] = {"submission_ids": []}  # as clients send what they don't mean
    answer = bulk(scenario, study_id=scenario.study["id"], participant_ids=["a", "c"], **empty)
    assert answer.status_code == 200
    assert counts(scenario) == {"APPROVED": 2, "AWAITING REVIEW": 1, "TOTAL": 3}


def test_bulk_approve_is_all_or_nothing(scenario: Scenario) -> None:
    done, running = scenario.take_part("a"), scenario.start("b").submission_id
    other = Scenario.create(scenario.api).take_part("elsewhere")
    before = counts(scenario)
    [message] = refused(bulk(scenario, submission_ids=[done, running]), 400, "submission_ids")[
        "submission_ids"
    ]
    assert running in message
    assert done not in message
    refused(bulk(scenario, submission_ids=[done, str(uuid4())]), 400, "submission_ids")
    refused(bulk(scenario, submission_ids=[done, "x"]), 400, "submission_ids")
    refused(bulk(scenario, submission_ids=[done, "\u0000"]), 400)
    by_participants = bulk(scenario, study_id=scenario.study["id"], participant_ids=["a", "b"])
    [message] = refused(by_participants, 400, "participant_ids")["participant_ids"]
    assert "b" in message
    refused(
        bulk(scenario, study_id=scenario.study["id"], participant_ids=["a", "nobody"]), 400, "participant_ids"
    )
    refused(bulk(scenario, study_id=str(uuid4()), participant_ids=["a"]), 400)
    refused(bulk(scenario, study_id="x", participant_ids=["a"]), 400, "study_id")
    refused(bulk(scenario), 400)
    refused(bulk(scenario, study_id=scenario.study["id"]), 400)
    refused(bulk(scenario, submission_ids=[done], study_id=scenario.study["id"], participant_ids=["a"]), 400)
    assert counts(scenario) == before
    assert bulk(scenario, submission_ids=[done, other]).status_code == 200  # of several studies at once


def test_bulk_approval_of_what_can_not_be_approved_names_it(scenario: Scenario, server: Installation) -> None:
    done, approved, rejected = (scenario.take_part(name) for name in ("done", "approved", "rejected"))
    expect(decide(scenario, approved, "APPROVE"), 200)
    expect(decide(scenario, rejected, "REJECT", **REASON), 200)
    returned, late, submitted_late = (scenario.start(name) for name in ("returned", "late", "submitted_late"))
    expect(give_back(returned), 200)
    for participant in (late, submitted_late):
        turn_back_deadline(server, participant.submission_id)
    expect(submitted_late.answer(submitted_late.item(0), {"value": "x"}), 200)
    submitted_late.submit()
    bad = [rejected, returned.submission_id, late.submission_id]
    before = counts(scenario)
    for some in (bad, bad[:1], bad[1:2], bad[2:]):
        answer = bulk(scenario, submission_ids=[done, approved, *some])
        messages = refused(answer, 400, "submission_ids")["submission_ids"]
        assert [any(each in message for message in messages) for each in [done, approved, *some]] == [
            False, False, *[True] * len(some)
        ]  # fmt: skip
        assert counts(scenario) == before
    good = [done, approved, submitted_late.submission_id]
    answer = expect(bulk(scenario, submission_ids=good), 200)
    assert set(answer["submission_ids"]) == set(good)
    for submission in good:
        assert expect(scenario.api.get(f"/submissions/{submission}"), 200)["status"] == "APPROVED"


def test_bulk_approval_by_participants_means_those_that_wait(api: httpx.Client, server: Installation) -> None:
    several = {"max_submissions_per_participant": 5}
    scenario = Scenario.create(api, submissions_config=several)

    def once(name: str, session: str) -> Participant:
        participant = scenario.start(name, session)
        expect(participant.answer(participant.item(0), {"value": "x"}), 200)
        return participant

    mixed = {
        session: once("mixed", session) for session in ("wait", "rejected", "returned", "late", "running")
    }
    turn_back_deadline(server, mixed["late"].submission_id)
    for session in ("wait", "rejected", "late"):
        mixed[session].submit()
    expect(decide(scenario, mixed["rejected"].submission_id, "REJECT", **REASON), 200)
    expect(give_back(mixed["returned"]), 200)
    approved, rejected = once("approved", "1"), once("rejected", "1")
    for participant, action in ((approved, "APPROVE"), (rejected, "REJECT")):
        participant.submit()
        expect(decide(scenario, participant.submission_id, action, **REASON), 200)
    once("running", "1")
    study = scenario.study["id"]
    before = counts(scenario)
    for name in ("rejected", "running", "nobody"):
        answer = bulk(scenario, study_id=study, participant_ids=["mixed", name])
        [message] = refused(answer, 400, "participant_ids")["participant_ids"]
        assert name in message
        assert counts(scenario) == before
    answer = expect(bulk(scenario, study_id=study, participant_ids=["mixed", "approved"]), 200)
    assert set(answer["submission_ids"]) == {
        mixed["wait"].submission_id, mixed["late"].submission_id, approved.submission_id
    }  # fmt: skip
    assert counts(scenario) == {"APPROVED": 3, "REJECTED": 2, "RETURNED": 1, "ACTIVE": 2, "TOTAL": 8}
    expect(bulk(scenario, study_id=study, participant_ids=["mixed", "approved"]), 200)


def test_asking_back(scenario: Scenario) -> None:
    participant = scenario.start("a")
    expect(participant.answer(participant.item(0), {"value": "x"}), 200)
    participant.submit()
    refused(give_back(participant), 409)
    path = f"/submissions/{participant.submission_id}"
    asked = expect(api_request_return(scenario, participant.submission_id, ["Withdrew consent."]), 200)
    assert set(asked) == {"id", "status", "participant", "return_requested"}
    assert (asked["id"], asked["participant"]) == (participant.submission_id, "a")
    assert asked["return_requested"].endswith("Z")
    assert expect(scenario.api.get(path), 200)["return_requested"] == asked["return_requested"]
    expect(give_back(participant), 200)
    assert expect(scenario.api.get(path), 200)["status"] == "RETURNED"
    assert expect(scenario.api.get(f"/studies/{scenario.study['id']}"), 200)["places_taken"] == 0
    responses = f"/data-collection/collections/{scenario.collection['id']}/responses"
    assert expect(scenario.api.get(responses), 200)["meta"]["count"] == 0
    refused(api_request_return(scenario, participant.submission_id, ["x"]), 409)
    for body in ({}, {"request_return_reasons": None}, {"request_return_reasons": "x"}):
        refused(scenario.api.post(f"{path}/request-return", json=body), 400, "request_return_reasons")
    refused(api_request_return(scenario, str(uuid4()), ["x"]), 404)


def api_request_return(scenario: Scenario, submission_id: str, reasons: list[str]) -> httpx.Response:
    body = {"request_return_reasons": reasons}
    return scenario.api.post(f"/submissions/{submission_id}/request-return", json=body)


def test_automatic_approval(api: httpx.Client) -> None:
    codes = [{"code": "AUTO", "code_type": "COMPLETED", "actions": [{"action": "AUTOMATICALLY_APPROVE"}]}]
    scenario = Scenario.create(api, completion_codes=codes, completion_url="https://example.org/?cc=AUTO")
    participant = scenario.start("a")
    expect(participant.answer(participant.item(0), {"value": "x"}), 200)
    answer = participant.submit()
    assert (answer["status"], answer["completion_code"]) == ("APPROVED", "AUTO")
    assert answer["completion_url"] == "https://example.org/?cc=AUTO"


RESEARCHERS = [
    {"code": "A", "code_type": "COMPLETED", "actions": []},
    {"code": "LOOK", "code_type": "OTHER", "actor": "researcher", "actions": []},
    {"code": "PAY", "code_type": "OTHER", "actor": "researcher", "actions": [{"action": "AUTOMATICALLY_APPROVE"}]},
]  # fmt: skip


@pytest.mark.parametrize(
    ("done", "status"),
    [
        ({"action": "COMPLETE", "completion_code": "LOOK"}, "AWAITING REVIEW"),
        ({"action": "COMPLETE", "completion_code": "PAY"}, "APPROVED"),
        ({"action": "SCREEN_OUT"}, "SCREENED OUT"),
    ],
)
def test_what_a_researcher_makes_of_it_is_no_submit(
    api: httpx.Client, done: dict[str, Any], status: str
) -> None:
    """Until its participant hands it in, they can go on, or give up."""
    scenario = Scenario.create(api, completion_codes=RESEARCHERS)
    goes_on, gives_up = scenario.start("goes-on"), scenario.start("gives-up")
    for each in (goes_on, gives_up):
        assert expect(decide(scenario, each.submission_id, **done), 200)["status"] == status
    expect(goes_on.answer(goes_on.item(0), {"value": "typed after that"}), 200)
    several = {goes_on.item(0): {"value": "and again"}}
    answered = goes_on.http.put(f"{goes_on.path}/answers", json=several, headers=goes_on.headers)
    expect(answered, 200)
    goes_on.upload(goes_on.item(1), "a.png", PNG)
    assert goes_on.submit()["status"] == status
    refused(goes_on.answer(goes_on.item(0), {"value": "too late"}), 409)
    assert refused(give_back(goes_on), 409).startswith("This submission was submitted")

    assert expect(give_back(gives_up), 200) == {"status": "RETURNED"}
    assert expect(give_back(gives_up), 200) == {"status": "RETURNED"}
    shown = expect(gives_up.http.get(gives_up.path, headers=gives_up.headers), 200)
    assert (shown["status"], shown["response"]) == ("RETURNED", "no_submission")
    refused(gives_up.answer(gives_up.item(0), {"value": "too late"}), 409)
    held = 0 if status == "SCREENED OUT" else 1
    assert expect(api.get(f"/studies/{scenario.study['id']}"), 200)["places_taken"] == held
