"""`GET /submissions?study=`: every filter alone, any two together, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from uuid import uuid4

import httpx
import pytest

from tests.installation import Installation
from tests.integration.rows import connected, turn_back_deadline
from tests.refusals import refused
from tests.scenario import Scenario, expect
from tests.shapes import SUBMISSION, find_faults

# name: its status, and the days of its start and completion in March 2026
MADE: dict[str, tuple[str, int, int | None]] = {
    "active": ("ACTIVE", 1, None),
    "review": ("AWAITING REVIEW", 2, 3),
    "approved": ("APPROVED", 3, 4),
    "partly": ("PARTIALLY APPROVED", 4, 5),
    "rejected": ("REJECTED", 5, 6),
    "screened": ("SCREENED OUT", 6, 7),
    "returned": ("RETURNED", 7, None),
    "timed out": ("TIMED-OUT", 8, None),
    "late": ("TIMED-OUT", 9, 31),
}
COMPLETED = {name for name, (_, _, day) in MADE.items() if day}
FLAGS = {
    "completed": COMPLETED,
    "returned": {"returned"},
    "awaiting_review": {"review"},
    "approved": {"approved"},
    "active": {"active"},
    "timeout": {"timed out", "late"},
    "rejected": {"rejected"},
    "screened_out": {"screened"},
    "completeoractive": COMPLETED | {"active"},
}
QUERIES: dict[str, set[str]] = {
    **{f"{name}=1": found for name, found in FLAGS.items()},
    **{f"{name}=false": set(MADE) - found for name, found in FLAGS.items()},
    "status=approved": {"approved"},
    "status=Awaiting_Review": {"review"},
    "status=timed-out": {"timed out", "late"},
    "status=(active|returned)": {"active", "returned"},
    "status=active&status=screened%20out": {"active", "screened"},
    "submitted_from=06/03/2026": {"rejected", "screened", "late"},
    "submitted_before=06/03/2026": {"review", "approved", "partly"},
}
PLACE = """
    UPDATE submissions SET status = %s, started_at = make_timestamptz(2026, 3, %s, 0, 0, 0, 'UTC'),
           completed_at = make_timestamptz(2026, 3, %s::int, 0, 0, 0, 'UTC'), deadline_at = NULL
    WHERE study_id = %s AND participant_id = %s
"""


@pytest.fixture(scope="module")
def scenario(server: Installation) -> Iterator[Scenario]:
    """A study with one submission of each kind, named as its participant."""
    with server.client() as client:
        made = Scenario.create(client, reward=120)
        for name, (_, _, day) in MADE.items():
            if day is None:
                made.start(name)
            else:
                made.take_part(name)
        with connected(server) as database:
            for name, (status, start, day) in MADE.items():
                database.execute(PLACE, [status, start, day, made.study["id"], name])
        yield made


def ask(scenario: Scenario, query: str = "") -> httpx.Response:
    return scenario.api.get(f"/submissions?study={scenario.study['id']}&{query}")


def names(scenario: Scenario, query: str = "") -> list[str]:
    answer = ask(scenario, query)
    assert "x-ignored-parameters" not in answer.headers
    return [row["participant_id"] for row in expect(answer, 200)["results"]]


def test_the_answers_are_those_of_the_study(scenario: Scenario) -> None:
    listed = expect(ask(scenario), 200)
    assert listed == expect(scenario.api.get(f"/studies/{scenario.study['id']}/submissions"), 200)
    assert listed["meta"] == {"count": len(MADE)}
    assert find_faults(listed["results"], [SUBMISSION]) == []
    assert names(scenario) == list(MADE)


@pytest.mark.parametrize("query", QUERIES)
def test_each_filter(scenario: Scenario, query: str) -> None:
    assert set(names(scenario, query)) == QUERIES[query]
    assert expect(ask(scenario, query), 200)["meta"]["count"] == len(QUERIES[query])


def test_any_two_filters_both_hold(scenario: Scenario) -> None:
    for one, other in combinations(QUERIES, 2):
        if one.partition("=")[0] != other.partition("=")[0]:
            assert set(names(scenario, f"{one}&{other}")) == QUERIES[one] & QUERIES[other], (one, other)


@pytest.mark.parametrize("word", ["1", "true", "True", "t", "yes", "Y", "ON"])
def test_ways_to_say_yes(scenario: Scenario, word: str) -> None:
    assert names(scenario, f"returned={word}") == ["returned"]


@pytest.mark.parametrize("word", ["0", "false", "F", "No", "n", "off"])
def test_ways_to_say_no(scenario: Scenario, word: str) -> None:
    assert names(scenario, f"completeoractive={word}") == ["returned", "timed out"]


def test_orderings(scenario: Scenario) -> None:
    assert names(scenario, "ordering=-started_at") == list(MADE)[::-1]
    for ordering in ("submission_reward", "-submission_reward", "study_name", "study_name,started_at"):
        assert names(scenario, f"ordering={ordering}") == list(MADE)  # all of one study have the same
    assert names(scenario, "ordering=study_name,-started_at") == list(MADE)[::-1]


def test_pages(scenario: Scenario) -> None:
    assert names(scenario, "page=2&page_size=4") == list(MADE)[4:8]
    assert names(scenario, "limit=2&offset=1") == list(MADE)[1:3]
    assert names(scenario, "page=2") == []


def test_a_page_is_20_long(api: httpx.Client) -> None:
    scenario = Scenario.create(api)
    started = [f"p{number:02}" for number in range(22)]
    for name in started:
        scenario.start(name)
    assert names(scenario) == names(scenario, "page=1") == started[:20]
    assert names(scenario, "page=2") == started[20:]
    assert names(scenario, "page_size=200") == started
    assert expect(ask(scenario), 200)["meta"]["count"] == 22


def test_time_is_up_when_it_is(api: httpx.Client, server: Installation) -> None:
    scenario = Scenario.create(api)
    participant = scenario.start("slow")
    turn_back_deadline(server, participant.submission_id)
    assert names(scenario, "timeout=1") == ["slow"]
    assert names(scenario, "active=1") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=DONE", "status"),
        ("ordering=completed_at", "ordering"),
        ("returned=maybe", "returned"),
        ("completed=2", "completed"),
        ("submitted_from=2026-03-06", "submitted_from"),
        ("submitted_from=31/02/2026", "submitted_from"),
        ("submitted_before=6/3/2026", "submitted_before"),
        ("submitted_before=06/03/0000", "submitted_before"),
        ("page=1&limit=1", "page"),
    ],
)
def test_what_is_malformed_is_refused(scenario: Scenario, query: str, field: str) -> None:
    refused(ask(scenario, query), 400, field)


def test_the_study_is_needed(api: httpx.Client) -> None:
    refused(api.get("/submissions"), 400, "study")
    refused(api.get("/submissions?study="), 400, "study")
    refused(api.get("/submissions?study=x"), 400, "study")
    refused(api.get(f"/submissions?study={uuid4()}"), 404)


def test_what_it_ignores_is_named(scenario: Scenario) -> None:
    assert ask(scenario, "colour=blue").headers["x-ignored-parameters"] == "colour"
