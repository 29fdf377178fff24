"""Decisions of reviewers: held for a while, shown to others, undone, dropped, and made by the worker."""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from fieldpack.archive.records import parse_time
from fieldpack.server.accounts.permissions.roles import Role
from fieldpack.server.db.embedded.server import open_embedded
from fieldpack.server.db.pool import Database
from fieldpack.server.submissions.review.service import requeue_due
from tests.installation import Installation
from tests.integration.decisions import held_for_long, make_held, signed_in
from tests.integration.rows import connected, insert_researcher, insert_submissions
from tests.refusals import refused
from tests.scenario import FREE_TEXT, UPLOAD, Scenario, expect

REJECTION = {"action": "REJECT", "message": "Another <b>product</b>.", "rejection_category": "FAILED_CHECK"}


@pytest.fixture(scope="module", autouse=True)
def _unhurried(server: Installation) -> Iterator[None]:
    with held_for_long(server):
        yield


@pytest.fixture(scope="module")
def workspace(server: Installation) -> str:
    with server.client() as api:
        found: str = expect(api.get("/workspaces"), 200)["results"][0]["id"]
        return found


@pytest.fixture(scope="module")
def bert(server: Installation, workspace: str) -> tuple[str, str]:
    """Another reviewer of the workspace: their id and token."""
    id, token = insert_researcher(server, role=Role.REVIEWER, workspace_id=workspace)
    with connected(server) as database:
        database.execute("UPDATE researchers SET first_name = 'Bert', last_name = 'B' WHERE id = %s", [id])
    return id, token


@pytest.fixture(scope="module")
def scenario(server: Installation) -> Iterator[Scenario]:
    with server.client() as client:
        yield Scenario.create(client)


@pytest.fixture
def other(server: Installation, bert: tuple[str, str]) -> Iterator[httpx.Client]:
    with server.client(bert[1]) as client:
        yield client


@pytest.fixture(scope="module")
def browser(server: Installation) -> Iterator[httpx.Client]:
    with signed_in(server, server.token) as client:
        yield client


def hold(api: httpx.Client, submission: str, given: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = api.post(f"/submissions/{submission}/decisions", json=given or {"action": "APPROVE"})
    made: dict[str, Any] = expect(answer, 201)
    return made


def status_of(api: httpx.Client, submission: str) -> str:
    found: str = expect(api.get(f"/submissions/{submission}"), 200)["status"]
    return found


def decision_of(api: httpx.Client, id: str) -> dict[str, Any]:
    found: dict[str, Any] = expect(api.get(f"/decisions/{id}"), 200)
    return found


def transitions_of(server: Installation, submission: str) -> list[tuple[str, str, str]]:
    """What the audit log has of a submission's review: what was done, and by whom."""
    with connected(server) as database:
        return database.execute(
            """
            SELECT e.action, e.details->>'step', r.email FROM audit_entries e
            JOIN audit_subjects a ON a.id = e.subject_id JOIN audit_subjects b ON b.id = e.actor_id
            JOIN researchers r ON r.id = b.researcher_id
            WHERE a.submission_id = %s AND (e.action LIKE 'decision.%%' OR e.action LIKE 'submission.%%t%%')
              AND e.action NOT IN ('submission.start', 'submission.submit')
            ORDER BY e.id
            """,
            [submission],
        ).fetchall()


def test_it_is_held_shown_and_then_made_once(
    server: Installation, api: httpx.Client, other: httpx.Client, browser: httpx.Client, bert: tuple[str, str]
) -> None:
    scenario = Scenario.create(api, FREE_TEXT, UPLOAD)
    submission = scenario.take_part("anna", files=[("a.png", b"\x89PNG\r\n\x1a\n" + b"0" * 40)])
    held = hold(other, submission, REJECTION)
    assert (held["action"], held["status"], held["count"]) == ("REJECT", "held", 1)
    assert held["submission_id"] == submission
    assert held["by"] == {"id": bert[0], "name": "Bert B"}
    # a day of that is the test's
    assert (parse_time(held["due_at"]) - parse_time(held["held_at"])).total_seconds() == 86400 + 10
    assert status_of(api, submission) == "AWAITING REVIEW"
    path = f"/data-collection/collections/{scenario.collection['id']}"
    assert [each["id"] for each in expect(api.get(f"{path}/decisions"), 200)["results"]] == [held["id"]]
    listed = expect(api.get(f"{path}/submissions"), 200)["results"][0]["pending"]
    assert listed == {name: held[name] for name in ("action", "by", "due_at")} | {"decision_id": held["id"]}
    assert expect(api.get(f"/submissions/{submission}/response"), 200)["pending"] == listed
    assert expect(api.get(f"{path}/submissions", params={"pending": "no"}), 200)["results"] == []
    assert expect(api.get(f"{path}/submissions", params={"pending": "yes"}), 200)["meta"]["count"] == 1
    base = f"/workbench/collections/{scenario.collection['id']}"
    for page in (f"{base}/responses", f"{base}/gallery", f"/workbench/submissions/{submission}"):
        shown = browser.get(page).text
        assert "Being rejected by Bert B" in shown, page
        assert 'class="held' not in shown, page  # undoing it is theirs
    assert "Being rejected by Bert B" in browser.get(f"{base}/gallery/files").text
    assert browser.get(f"/workbench/submissions/{submission}/answers").json()["pending"]
    make_held(server)
    assert status_of(api, submission) == "REJECTED"
    ended = decision_of(api, held["id"])
    assert (ended["status"], ended["made"]) == ("made", 1)
    assert expect(api.get(f"{path}/decisions"), 200)["results"] == []
    email = f"{bert[0]}@example.org"
    assert transitions_of(server, submission) == [
        ("decision.hold", "REJECT", email),
        ("submission.transition", "REJECT", email),
    ]
    shown = html.unescape(browser.get(f"/workbench/submissions/{submission}").text)
    assert REJECTION["message"] in shown
    refused(other.delete(f"/decisions/{held['id']}"), 409)


def test_it_is_undone_by_whose_it_is(
    server: Installation, api: httpx.Client, other: httpx.Client, scenario: Scenario
) -> None:
    submission = scenario.take_part("undone")
    held = hold(api, submission)
    assert "can undo it" in refused(other.delete(f"/decisions/{held['id']}"), 403)
    expect(api.delete(f"/decisions/{held['id']}"), 204)
    refused(api.delete(f"/decisions/{held['id']}"), 409)
    make_held(server)
    assert decision_of(api, held["id"])["status"] == "undone"
    assert status_of(api, submission) == "AWAITING REVIEW"
    assert [entry[0] for entry in transitions_of(server, submission)] == ["decision.hold", "decision.undo"]


def test_asking_for_a_return_is_held_too(server: Installation, api: httpx.Client, scenario: Scenario) -> None:
    submission = scenario.take_part("returned")
    hold(api, submission, {"action": "REQUEST_RETURN", "message": "The film is dark."})
    assert expect(api.get(f"/submissions/{submission}"), 200)["return_requested"] is None
    make_held(server)
    assert expect(api.get(f"/submissions/{submission}"), 200)["return_requested"] is not None
    with connected(server) as database:
        row = database.execute(
            "SELECT return_reasons FROM submissions WHERE id = %s", [submission]
        ).fetchone()
    assert row == (["The film is dark."],)


@pytest.mark.parametrize(
    ("path", "given", "status"),
    [
        ("transition", {"action": "APPROVE"}, "APPROVED"),
        ("transition", {"action": "RETURN"}, "RETURNED"),
        ("transition", {"action": "SCREEN_OUT"}, "SCREENED OUT"),
        ("request-return", {"request_return_reasons": ["Dark."]}, "AWAITING REVIEW"),
    ],
)
def test_it_is_dropped_when_the_state_changes(
    server: Installation,
    api: httpx.Client,
    other: httpx.Client,
    scenario: Scenario,
    path: str,
    given: dict[str, Any],
    status: str,
) -> None:
    """Also when the state is the same again by then."""
    submission = scenario.take_part(f"dropped-{path}-{status}")
    held = hold(other, submission, REJECTION)
    expect(api.post(f"/submissions/{submission}/{path}", json=given), 200)
    if status == "RETURNED":
        expect(api.post(f"/submissions/{submission}/transition", json={"action": "UNRETURN"}), 200)
        status = "AWAITING REVIEW"
    assert expect(api.get(f"/submissions/{submission}/response"), 200)["pending"] is None
    make_held(server)
    assert status_of(api, submission) == status
    ended = decision_of(api, held["id"])
    assert (ended["status"], ended["made"]) == ("dropped", 0)


def test_nothing_said_of_an_erased_person_is_left(
    server: Installation, api: httpx.Client, scenario: Scenario
) -> None:
    submission = scenario.take_part("erased")
    held = hold(api, submission, REJECTION)
    expect(api.delete(f"/submissions/{submission}"), 204)
    with connected(server) as database:
        row = database.execute("SELECT review, outcome FROM decisions WHERE id = %s", [held["id"]]).fetchone()
        left = database.execute(
            "SELECT FROM decided_submissions WHERE submission_id = %s", [submission]
        ).fetchone()
    assert row == (None, "dropped")
    assert left is None


def test_who_comes_second_is_told_and_overwrites_nothing(
    server: Installation, api: httpx.Client, other: httpx.Client, scenario: Scenario, browser: httpx.Client
) -> None:
    submission = scenario.take_part("second")
    held = hold(other, submission)
    said = refused(api.post(f"/submissions/{submission}/decisions", json=REJECTION), 409)
    assert "Bert B" in said
    page = browser.post(f"/workbench/submissions/{submission}", data={"go": "approve"})
    assert page.status_code == 409
    assert "Bert B" in page.text
    assert expect(api.get(f"/decisions/{held['id']}"), 200)["status"] == "held"
    make_held(server)
    assert status_of(api, submission) == "APPROVED"
    refused(api.post(f"/submissions/{submission}/decisions", json=REJECTION), 409)  # it is decided


def test_of_many_at_once_one_decides(
    server: Installation, api: httpx.Client, other: httpx.Client, scenario: Scenario
) -> None:
    submissions = [scenario.take_part(f"race-{number}") for number in range(4)]
    mine, theirs = {"action": "APPROVE"}, REJECTION

    def post(work: tuple[httpx.Client, str, dict[str, Any]]) -> httpx.Response:
        client, submission, given = work
        return client.post(f"/submissions/{submission}/decisions", json=given)

    work = [
        (client, submission, given)
        for submission in submissions
        for client, given in ((api, mine), (other, theirs))
    ]
    with ThreadPoolExecutor(len(work)) as threads:
        answers = list(threads.map(post, work))
    for number, submission in enumerate(submissions):
        assert sorted(answer.status_code for answer in answers[2 * number : 2 * number + 2]) == [201, 409]
        pending = expect(api.get(f"/submissions/{submission}/response"), 200)["pending"]
        won = next(a.json() for a in answers[2 * number : 2 * number + 2] if a.status_code == 201)
        assert pending["decision_id"] == won["id"]
    make_held(server)
    for number, submission in enumerate(submissions):
        won = next(a.json() for a in answers[2 * number : 2 * number + 2] if a.status_code == 201)
        assert status_of(api, submission) == {"APPROVE": "APPROVED", "REJECT": "REJECTED"}[won["action"]]


def test_ones_own_later_decision_takes_the_place_of_the_earlier(
    server: Installation, api: httpx.Client, scenario: Scenario
) -> None:
    submission = scenario.take_part("changed my mind")
    first = hold(api, submission)
    second = hold(api, submission, REJECTION)
    assert decision_of(api, first["id"])["status"] == "undone"
    make_held(server)
    assert status_of(api, submission) == "REJECTED"
    assert decision_of(api, second["id"])["made"] == 1


def test_who_may_not_review_any_more_decides_nothing(
    server: Installation, api: httpx.Client, scenario: Scenario, workspace: str
) -> None:
    id, token = insert_researcher(server, role=Role.REVIEWER, workspace_id=workspace)
    submission = scenario.take_part("dismissed")
    with server.client(token) as dismissed:
        held = hold(dismissed, submission)
    expect(api.patch(f"/workspaces/{workspace}/members/{id}", json={"role": "analyst"}), 200)
    make_held(server)
    assert status_of(api, submission) == "AWAITING REVIEW"
    assert decision_of(api, held["id"])["status"] == "dropped"


def test_a_worker_knows_when_the_next_one_is_to_be_made(
    server: Installation, api: httpx.Client, scenario: Scenario
) -> None:
    """It looks every two seconds, and at that moment as well."""

    async def look(url: str) -> float | None:
        database = Database(url)
        await database.open()
        try:
            async with database.transaction() as connection:
                return await requeue_due(connection)
        finally:
            await database.close()

    make_held(server)
    with open_embedded(server.data_dir) as embedded:
        assert asyncio.run(look(embedded.url)) is None
        hold(api, scenario.take_part("the next"))
        seconds = asyncio.run(look(embedded.url))
        assert seconds is not None
        assert 86_000 < seconds < 87_000  # a day more than they are held by others
    make_held(server)


# many at once


def test_all_that_a_filter_shows_without_what_others_are_deciding(
    server: Installation, api: httpx.Client, other: httpx.Client
) -> None:
    scenario = Scenario.create(api)
    ids = [scenario.take_part(f"p{number}", "good" if number < 4 else "bad") for number in range(6)]
    path = f"/data-collection/collections/{scenario.collection['id']}"
    question = scenario.collection["collection_items"][0]["page_items"][0]["id"]
    good = {"where": f"{question}:contains:good"}
    hold(other, ids[0], REJECTION)
    assert expect(api.get(f"{path}/submissions/reviewable", params=good), 200) == {"count": 3}
    assert expect(api.get(f"{path}/submissions/reviewable", params={"state": "APPROVED"}), 200) == {
        "count": 0
    }
    body = {"action": "APPROVE", "count": 4}
    assert "3 wait" in refused(api.post(f"{path}/submissions/decisions", params=good, json=body), 409)
    held = expect(api.post(f"{path}/submissions/decisions", params=good, json={**body, "count": 3}), 201)
    assert (held["count"], held["submission_id"]) == (3, None)
    # the API's own has no delay, and leaves out what is held as well
    assert expect(api.post(f"{path}/submissions/approve", params=good, json={"count": 0}), 200) == {
        "approved": 0
    }
    assert {status_of(api, each) for each in ids} == {"AWAITING REVIEW"}
    expect(api.post(f"/submissions/{ids[1]}/transition", json=REJECTION), 200)
    make_held(server)
    assert [status_of(api, each) for each in ids] == [
        "REJECTED",
        "REJECTED",
        "APPROVED",
        "APPROVED",
        "AWAITING REVIEW",
        "AWAITING REVIEW",
    ]
    assert decision_of(api, held["id"])["made"] == 2
    for each in ids[2:4]:
        assert [entry[:2] for entry in transitions_of(server, each)] == [("submission.transition", "APPROVE")]


def test_a_page_offers_as_many_as_the_api_counts_however_it_is_filtered(
    api: httpx.Client, other: httpx.Client, browser: httpx.Client
) -> None:
    scenario = Scenario.create(api)
    ids = [scenario.take_part(f"p{number}", "good" if number % 2 else "bad and good") for number in range(8)]
    hold(other, ids[0], REJECTION)
    hold(other, ids[1], REJECTION)
    expect(api.post(f"/submissions/{ids[2]}/transition", json={"action": "APPROVE"}), 200)
    expect(api.post(f"/submissions/{ids[3]}/transition", json=REJECTION), 200)
    scenario.start("has begun")
    path = f"/data-collection/collections/{scenario.collection['id']}/submissions"
    question = scenario.collection["collection_items"][0]["page_items"][0]["id"]
    filters: dict[str, tuple[dict[str, str], int]] = {
        "none": ({}, 4),
        "by an answer": ({"where": f"{question}:contains:bad"}, 2),
        "answered": ({"where": f"{question}:answered"}, 4),
        "not answered": ({"where": f"{question}:missing"}, 0),
        "by words": ({"search": "bad"}, 2),
        "by state": ({"state": "APPROVED"}, 0),
        "by state and an answer": ({"state": "AWAITING REVIEW", "where": f"{question}:answered"}, 4),
        "held": ({"pending": "yes"}, 0),
        "held, by an answer": ({"pending": "yes", "where": f"{question}:answered"}, 0),
        "not held, by words": ({"pending": "no", "search": "good"}, 4),
        "one": ({"participant": "p5"}, 1),
    }
    for name, (wanted, count) in filters.items():
        page = browser.get(f"/workbench/collections/{scenario.collection['id']}/responses", params=wanted)
        offered = re.search(r'name="count" value="(\d+)"', page.text)
        assert int(offered[1] if offered else 0) == count, name
        assert expect(api.get(f"{path}/reviewable", params=wanted), 200) == {"count": count}, name


def test_thousands_are_decided_on_at_once_and_undone_at_once(server: Installation, api: httpx.Client) -> None:
    scenario = Scenario.create(api, places=5000)
    insert_submissions(server, scenario.study["id"], 3000)
    path = f"/data-collection/collections/{scenario.collection['id']}"
    body = {"action": "APPROVE", "count": 3000}
    held = expect(api.post(f"{path}/submissions/decisions", json=body), 201)
    expect(api.delete(f"/decisions/{held['id']}"), 204)
    counts = f"/studies/{scenario.study['id']}/submissions/counts"
    assert expect(api.get(counts), 200)["AWAITING REVIEW"] == 3000
    expect(api.post(f"{path}/submissions/decisions", json=body), 201)
    make_held(server)
    assert expect(api.get(counts), 200)["APPROVED"] == 3000


# pages


def forms_of(page: httpx.Response) -> list[tuple[str, dict[str, str]]]:
    """The forms that undo something: where they go, and what they send."""
    assert page.status_code == 200, page.text
    found = re.findall(r'<form class="held[^"]*"[^>]* action="([^"]*)"[^>]*>(.*?)</form>', page.text, re.S)
    return [
        (html.unescape(action), dict(re.findall(r'name="(\w+)" value="([^"]*)"', inside)))
        for action, inside in found
    ]


def test_the_next_page_undoes_without_scripts(
    server: Installation, api: httpx.Client, browser: httpx.Client
) -> None:
    scenario = Scenario.create(api)
    ids = {name: scenario.take_part(name) for name in ("a", "b")}
    view = "?state=AWAITING+REVIEW&sort=participant"
    answer = browser.post(f"/workbench/submissions/{ids['a']}{view}", data={"go": "approve"})
    assert answer.headers["location"] == f"/workbench/submissions/{ids['b']}{view}"
    shown = browser.get(answer.headers["location"])
    assert "a is about to be approved." in shown.text
    [(action, fields)] = forms_of(shown)
    back = browser.post(action, data=fields)
    assert back.headers["location"] == f"/workbench/submissions/{ids['a']}{view}"
    assert forms_of(browser.get(back.headers["location"])) == []
    again = browser.post(action, data=fields)
    assert again.status_code == 409
    assert "undone already" in again.text
    # many, from the table
    base = f"/workbench/collections/{scenario.collection['id']}"
    refusal = browser.post(
        f"{base}/responses/decide", data={"go": "reject", "count": "2", "message": "No & no"}
    )
    assert refusal.status_code == 400
    assert "A rejection needs a reason" in refusal.text
    assert "No &amp; no" in refusal.text
    changed = browser.post(f"{base}/responses/decide", data={"go": "approve", "count": "1"})
    assert changed.status_code == 409
    assert "2 wait for a review by now" in changed.text
    answer = browser.post(f"{base}/responses/decide?sort=participant", data={"go": "approve", "count": "2"})
    assert answer.headers["location"] == f"{base}/responses?sort=participant"
    shown = browser.get(answer.headers["location"])
    assert "2 responses are about to be approved." in shown.text
    [(action, fields)] = forms_of(shown)
    back = browser.post(action, data=fields)
    assert back.headers["location"] == f"{base}/responses?sort=participant"
    # the last one, without saying which
    browser.post(f"/workbench/submissions/{ids['b']}", data={"go": "approve"})
    assert browser.post(f"{base}/undo", data={"place": "gallery"}).headers["location"] == f"{base}/gallery"
    nothing = browser.post(f"{base}/undo", data={"place": ""})
    assert nothing.status_code == 409
    make_held(server)
    assert {status_of(api, each) for each in ids.values()} == {"AWAITING REVIEW"}


def test_pages_undo_for_nobody_else(
    server: Installation, api: httpx.Client, browser: httpx.Client, bert: tuple[str, str]
) -> None:
    scenario = Scenario.create(api)
    submission = scenario.take_part("a")
    held = hold(api, submission)
    base = f"/workbench/collections/{scenario.collection['id']}"
    given = {"decision": held["id"]}
    elsewhere = {"Origin": "https://elsewhere.example"}
    for path, form in (
        (f"{base}/undo", given),
        (f"{base}/responses/decide", {"go": "approve", "count": "1"}),
    ):
        assert browser.post(path, data=form, headers=elsewhere).status_code == 403, path
        _, stranger = insert_researcher(server)
        with signed_in(server, stranger) as foreign:
            assert foreign.post(path, data=form).status_code == 404, path
    with signed_in(server, bert[1]) as colleague:
        assert colleague.post(f"{base}/undo", data=given).status_code == 403
    another = Scenario.create(api).collection["id"]
    assert browser.post(f"/workbench/collections/{another}/undo", data=given).status_code == 404
    assert decision_of(api, held["id"])["status"] == "held"


# commands


@pytest.fixture
def command(server: Installation) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        return server.run(*arguments).stdout

    return run


def test_commands(server: Installation, api: httpx.Client, command: Callable[..., str]) -> None:
    scenario = Scenario.create(api)
    ids = [scenario.take_part(f"p{number}") for number in range(3)]
    collection = scenario.collection["id"]
    made = json.loads(command("submission", "decide", ids[0], "-a", "approve", "--json"))
    assert ids[0] in command("submission", "decisions", collection)
    assert made["id"] in command("submission", "undo", made["id"])
    assert "No decision is held" in command("submission", "decisions", collection)
    page = f"https://example.org/workbench/collections/{collection}/responses?participant=p1&sort=started"
    many = command(
        "submission", "decide-all", collection, "-a", "APPROVE", "--filter", page, "--yes", "--json"
    )
    assert json.loads(many)["count"] == 1
    rest = (
        "submission",
        "decide-all",
        collection,
        "-a",
        "REJECT",
        "-m",
        "No.",
        "-R",
        "OTHER",
        "--yes",
        "--json",
    )
    assert json.loads(command(*rest))["count"] == 2
    assert "Nothing that the filter lets through" in command(*rest)
    make_held(server)
    assert [status_of(api, each) for each in ids] == ["REJECTED", "APPROVED", "REJECTED"]
