"""Completion codes: whose they are, what they do, how often."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.installation import Installation
from tests.integration.rows import connected, turn_back_deadline
from tests.refusals import refused
from tests.scenario import Participant, Scenario, expect

APPROVE = [{"action": "AUTOMATICALLY_APPROVE"}]
REVIEW = [{"action": "MANUALLY_REVIEW"}]
GIVE_BACK = [{"action": "REQUEST_RETURN", "return_reason": "Not eligible."}]


def code(
    text: str | None, actor: str | None = None, type: str = "COMPLETED", actions: Any = ()
) -> dict[str, Any]:
    made: dict[str, Any] = {"code": text, "code_type": type, "actions": list(actions)}
    return made if actor is None else {**made, "actor": actor}


def decide(scenario: Scenario, submission_id: str, action: str, **more: Any) -> httpx.Response:
    return scenario.api.post(f"/submissions/{submission_id}/transition", json={"action": action, **more})


def complete(scenario: Scenario, submission_id: str, text: str | None) -> httpx.Response:
    return decide(scenario, submission_id, "COMPLETE", completion_code=text)


def look(scenario: Scenario, submission_id: str) -> dict[str, Any]:
    found: dict[str, Any] = expect(scenario.api.get(f"/submissions/{submission_id}"), 200)
    return found


def hand_in(scenario: Scenario, name: str) -> tuple[Participant, dict[str, Any]]:
    participant = scenario.start(name)
    expect(participant.answer(participant.item(0), {"value": "x"}), 200)
    answer: dict[str, Any] = participant.submit()
    return participant, answer


CHOICES: dict[str, tuple[list[dict[str, Any]], str | None, str]] = {
    "a researcher's comes first": (
        [code("R", "researcher", actions=APPROVE), code("P", "participant", actions=REVIEW)],
        "P",
        "AWAITING REVIEW",
    ),
    "a researcher's is the only one of its type": (
        [
            code("R", "researcher", actions=APPROVE),
            code("P", "participant", "FAILED_ATTENTION_CHECK", REVIEW),
        ],
        "P",
        "AWAITING REVIEW",
    ),
    "actor left out": ([code("P", actions=APPROVE), code("R", "researcher")], "P", "APPROVED"),
    "actor null": ([{**code("P", actions=APPROVE), "actor": None}], "P", "APPROVED"),
    "COMPLETED after another": (
        [code("A", type="SCREENED_OUT", actions=APPROVE), code("B", actions=REVIEW)],
        "B",
        "AWAITING REVIEW",
    ),
    "no COMPLETED": (
        [code("A", type="OTHER", actions=REVIEW), code("B", type="SCREENED_OUT", actions=APPROVE)],
        "A",
        "AWAITING REVIEW",
    ),
    "researchers' only": ([code("R", "researcher", actions=APPROVE)], None, "AWAITING REVIEW"),
    "null": ([code(None)], None, "AWAITING REVIEW"),
    "null beside a researcher's": (
        [code("R", "researcher", actions=APPROVE), code(None)],
        None,
        "AWAITING REVIEW",
    ),
    "asked back": ([code("P", actions=GIVE_BACK)], "P", "AWAITING REVIEW"),
    "an action unknown here": ([code("P", actions=[{"action": "MAKE_TEA"}])], "P", "AWAITING REVIEW"),
}


@pytest.mark.parametrize("kind", CHOICES)
def test_participants_are_handled_by_a_code_of_theirs(api: httpx.Client, kind: str) -> None:
    codes, given, status = CHOICES[kind]
    scenario = Scenario.create(api, completion_codes=codes)
    actors = [each.get("actor") or "participant" for each in codes]
    assert [each["actor"] for each in scenario.study["completion_codes"]] == actors
    assert [each["code"] for each in scenario.study["completion_codes"]] == [each["code"] for each in codes]
    participant, answer = hand_in(scenario, "p")
    assert (answer["completion_code"], answer["status"]) == (given, status)
    assert participant.submit() == answer
    found = look(scenario, participant.submission_id)
    assert (found["study_code"], found["entered_code"]) == (given, given)
    assert (found["return_requested"] is not None) == (kind == "asked back")


def test_what_was_started_with_a_researchers_code_ends_with_the_participants(
    api: httpx.Client, server: Installation
) -> None:
    """Submissions of before codes had actors were started with the first code of all."""
    codes = [code("R", "researcher", actions=APPROVE), code("P", actions=REVIEW)]
    scenario = Scenario.create(api, completion_codes=codes)
    participant = scenario.start("p")
    with connected(server) as database:
        database.execute("UPDATE submissions SET study_code = 'R' WHERE id = %s", [participant.submission_id])
    assert look(scenario, participant.submission_id)["study_code"] == "P"
    expect(participant.answer(participant.item(0), {"value": "x"}), 200)
    answer = participant.submit()
    assert (answer["completion_code"], answer["status"]) == ("P", "AWAITING REVIEW")


def test_the_code_of_when_they_started(api: httpx.Client) -> None:
    scenario = Scenario.create(api, completion_codes=[code("OLD", actions=REVIEW)])
    participant = scenario.start("p")
    changed = {"completion_codes": [code("NEW", actions=REVIEW)]}
    expect(api.patch(f"/studies/{scenario.study['id']}", json=changed), 200)
    expect(participant.answer(participant.item(0), {"value": "x"}), 200)
    assert participant.submit()["completion_code"] == "OLD"
    assert hand_in(scenario, "q")[1]["completion_code"] == "NEW"


@pytest.mark.parametrize(
    ("codes", "field"),
    [
        ([code(None, actions=APPROVE)], "completion_codes"),
        ([code(None), code("B", type="OTHER")], "completion_codes"),
        ([code(None, "researcher"), code("P")], "completion_codes"),
        ([code("P", "robot")], "completion_codes.0.actor"),
        ([{"code_type": "COMPLETED"}], "completion_codes.0.code"),
        ([code("")], "completion_codes.0.code"),
        ([code(5)], "completion_codes.0.code"),  # type: ignore[arg-type]
    ],
)
def test_codes_that_are_refused(api: httpx.Client, codes: list[dict[str, Any]], field: str) -> None:
    scenario = Scenario.create(api)
    body = {**scenario.study, "completion_codes": codes}
    refused(api.post("/studies", json=body), 400, field)
    refused(api.patch(f"/studies/{scenario.study['id']}", json={"completion_codes": codes}), 400, field)


RESEARCHERS = {
    "AUTO": ("APPROVED", False, APPROVE),
    "LOOK": ("AWAITING REVIEW", False, REVIEW),
    "NONE": ("AWAITING REVIEW", False, []),
    "BACK": ("AWAITING REVIEW", True, GIVE_BACK),
}


@pytest.fixture
def scenario(api: httpx.Client) -> Scenario:
    codes = [code(text, "researcher", "OTHER", actions) for text, (_, _, actions) in RESEARCHERS.items()]
    return Scenario.create(api, completion_codes=[*codes, code("P", actions=REVIEW)])


@pytest.mark.parametrize("text", RESEARCHERS)
def test_a_researchers_code_on_what_awaits_review(scenario: Scenario, text: str) -> None:
    status, asked, _ = RESEARCHERS[text]
    submission = scenario.take_part("p")
    done = expect(complete(scenario, submission, text), 200)
    assert (done["status"], done["entered_code"]) == (status, text)
    before = look(scenario, submission)
    assert (before["return_requested"] is not None) == asked
    assert before["response"] == "active"
    assert expect(complete(scenario, submission, text), 200) == done
    assert look(scenario, submission) == before


@pytest.mark.parametrize("text", RESEARCHERS)
def test_a_researchers_code_on_what_is_under_way(scenario: Scenario, text: str) -> None:
    status, asked, _ = RESEARCHERS[text]
    participant = scenario.start("p")
    done = expect(complete(scenario, participant.submission_id, text), 200)
    assert (done["status"], done["entered_code"]) == (status, text)
    before = look(scenario, participant.submission_id)
    assert (before["response"], before["return_requested"] is not None) == ("in_progress", asked)
    assert expect(complete(scenario, participant.submission_id, text), 200) == done
    assert look(scenario, participant.submission_id) == before
    expect(participant.answer(participant.item(0), {"value": "x"}), 200)
    answer = participant.submit()
    assert (answer["status"], answer["completion_code"]) == (status, "P")
    after = look(scenario, participant.submission_id)
    assert (after["response"], after["entered_code"]) == ("active", text)


def test_codes_that_are_no_researchers(scenario: Scenario) -> None:
    waiting, running = scenario.take_part("a"), scenario.start("b").submission_id
    for submission in (waiting, running):
        before = look(scenario, submission)
        for text in ("P", "X", "auto", " AUTO", "", None):
            refused(complete(scenario, submission, text), 400, "completion_code")
        refused(decide(scenario, submission, "COMPLETE"), 400, "completion_code")
        assert look(scenario, submission) == before
    without = Scenario.create(scenario.api)
    own = without.study["completion_codes"][0]["code"]
    refused(complete(without, without.take_part("a"), own), 400, "completion_code")


def test_a_researchers_code_on_what_has_ended(scenario: Scenario, server: Installation) -> None:
    approved, rejected = scenario.take_part("a"), scenario.take_part("b")
    expect(decide(scenario, approved, "APPROVE"), 200)
    why = {"message": "Why", "rejection_category": "OTHER"}
    expect(decide(scenario, rejected, "REJECT", **why), 200)
    returned, late = scenario.start("c"), scenario.start("d")
    expect(returned.http.post(f"{returned.path}/return", headers=returned.headers), 200)
    turn_back_deadline(server, late.submission_id)
    refused(complete(scenario, late.submission_id, "LOOK"), 409)
    expect(late.answer(late.item(0), {"value": "x"}), 200)
    late.submit()
    for submission in (approved, rejected, returned.submission_id, late.submission_id):
        before = look(scenario, submission)
        refused(complete(scenario, submission, "AUTO"), 409)
        assert look(scenario, submission) == before
    by_code = scenario.take_part("e")
    expect(complete(scenario, by_code, "AUTO"), 200)
    refused(complete(scenario, by_code, "LOOK"), 409)


def test_an_approval_by_code_reaches_the_next_export(scenario: Scenario) -> None:
    submission = scenario.take_part("p")
    before = scenario.export()
    expect(complete(scenario, submission, "AUTO"), 200)
    assert scenario.export()["export_id"] != before["export_id"]
