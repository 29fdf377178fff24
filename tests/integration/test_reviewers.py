"""Who reviews what: shares that are assigned and filtered by; who was approved, with amounts."""

from __future__ import annotations

import csv
import html
import io
import json

import httpx
import pytest

from fieldpack.server.accounts.permissions.roles import Role
from tests.installation import Installation
from tests.integration.decisions import signed_in
from tests.integration.rows import connected, insert_researcher
from tests.refusals import refused
from tests.scenario import Scenario, expect

HOSTILE = "=HYPERLINK(1)"


@pytest.fixture(scope="module")
def workspace(server: Installation) -> str:
    with server.client() as api:
        found: str = expect(api.get("/workspaces"), 200)["results"][0]["id"]
        return found


def path_of(scenario: Scenario) -> str:
    return f"/data-collection/collections/{scenario.collection['id']}"


def test_shares_are_assigned_and_filtered_by(server: Installation, api: httpx.Client, workspace: str) -> None:
    scenario = Scenario.create(api)
    ids = {scenario.take_part(f"p{number}") for number in range(5)}
    path = path_of(scenario)
    reviewer, token = insert_researcher(server, role=Role.REVIEWER, workspace_id=workspace)
    analyst, _ = insert_researcher(server, role=Role.ANALYST, workspace_id=workspace)
    me = expect(api.get("/users/me"), 200)["id"]

    def assign(who: str, share: float, **wanted: str) -> int:
        body = {"reviewer": who, "share": share}
        answer = expect(api.post(f"{path}/submissions/assign", params=wanted, json=body), 200)
        count: int = answer["assigned"]
        return count

    def held_by(client: httpx.Client, assigned: str) -> set[str]:
        found = expect(client.get(f"{path}/submissions", params={"assigned": assigned}), 200)["results"]
        return {each["submission_id"] for each in found}

    assert assign(f"{reviewer}@example.org", 50) == 3  # of five, rounded up
    assert assign("me", 50) == 2  # the rest
    assert assign("me", 100) == 0  # nothing is taken from anybody
    with server.client(token) as colleague:
        theirs = held_by(colleague, "me")
    assert len(theirs) == 3
    assert held_by(api, reviewer) == theirs
    assert held_by(api, "me") == ids - theirs
    assert held_by(api, "nobody") == set()
    some = next(iter(theirs))
    answer = expect(api.get(f"/submissions/{some}/response"), 200)
    assert answer["assigned_to"] == {"id": reviewer, "name": f"{reviewer}@example.org"}
    listed = {row["id"]: row for row in expect(api.get(f"{path}/reviewers"), 200)["results"]}
    assert (listed[reviewer]["assigned"], listed[reviewer]["waiting"]) == (3, 3)
    assert listed[me]["assigned"] == 2
    assert analyst not in listed
    counter = "SELECT counter FROM collection_changes WHERE collection_id = %s"
    with connected(server) as database:
        before = database.execute(counter, [scenario.collection["id"]]).fetchone()
        refused(api.post(f"{path}/submissions/assign", json={"reviewer": analyst}), 400, "reviewer")
        given = {"assigned": reviewer}
        assert expect(api.post(f"{path}/submissions/unassign", params=given), 200) == {"unassigned": 3}
        assert database.execute(counter, [scenario.collection["id"]]).fetchone() == before
    assert held_by(api, "nobody") == theirs
    assert assign("me", 100, participant="p0") in (0, 1)
    expect(api.delete(f"/submissions/{some}"), 204)
    for wrong in ("somebody", "0"):
        refused(api.get(f"{path}/submissions", params={"assigned": wrong}), 400, "assigned")


def test_pages_assign_and_show_it(server: Installation, api: httpx.Client) -> None:
    scenario = Scenario.create(api)
    submission = scenario.take_part("p")
    base = f"/workbench/collections/{scenario.collection['id']}"
    name = expect(api.get("/users/me"), 200)["email"]
    with signed_in(server, server.token) as browser:
        form = {"go": "assign", "reviewer": "me", "share": "100"}
        wrong = browser.post(f"{base}/responses/assign", data={**form, "share": "0"})
        assert wrong.status_code == 400
        assert "from 1 to 100" in wrong.text
        answer = browser.post(f"{base}/responses/assign?sort=participant", data=form)
        assert answer.headers["location"] == f"{base}/responses?sort=participant"
        shown = html.unescape(browser.get(f"{base}/responses?assigned=me").text)
        assert shown.count('<th scope="row">') == 1
        assert "Assigned to" in shown
        assert "has 1" in shown
        assert "Reviewer" in browser.get(f"/workbench/submissions/{submission}").text
        assert '<th scope="row">' not in browser.get(f"{base}/responses?assigned=nobody").text
        browser.post(f"{base}/responses/assign", data={"go": "unassign"})
        assert '<th scope="row">' in browser.get(f"{base}/responses?assigned=nobody").text
    assert name


def test_who_was_approved_with_amounts(server: Installation, api: httpx.Client) -> None:
    scenario = Scenario.create(api, reward=250)
    ids = {name: scenario.take_part(name) for name in (HOSTILE, "partly", "waiting", "rejected", "test")}
    for name in (HOSTILE, "test"):
        expect(api.post(f"/submissions/{ids[name]}/transition", json={"action": "APPROVE"}), 200)
    part = {"action": "APPROVE", "completion_code_data": {"percentage_of_reward": 33}}
    expect(api.post(f"/submissions/{ids['partly']}/transition", json=part), 200)
    rejection = {"action": "REJECT", "message": "No.", "rejection_category": "OTHER"}
    expect(api.post(f"/submissions/{ids['rejected']}/transition", json=rejection), 200)
    expect(api.patch(f"/submissions/{ids['test']}", json={"test": True}), 200)
    path = f"{path_of(scenario)}/submissions/approved"
    found = expect(api.get(path), 200)["results"]
    # 33 % of 2.50 is 0.825
    assert {row["participant_id"]: (row["amount"], row["currency"]) for row in found} == {
        HOSTILE: ("2.50", "GBP"),
        "partly": ("0.83", "GBP"),
    }
    assert found[0]["submission_id"] == ids[HOSTILE]
    text = api.get(path, headers={"Accept": "text/csv"})
    assert text.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(text.text)))
    assert [row["participant_id"] for row in rows] == [f"'{HOSTILE}", "partly"]
    assert api.get(path, params={"format": "csv"}).text == text.text
    assert expect(api.get(path, params={"participant": "partly"}), 200)["meta"]["count"] == 1
    with signed_in(server, server.token) as browser:
        base = f"/workbench/collections/{scenario.collection['id']}"
        assert f'href="{base}/approved.csv"' in browser.get(f"{base}/responses").text
        saved = browser.get(f"{base}/approved.csv")
        assert saved.text == text.text
        assert saved.headers["content-disposition"].startswith("attachment")


def test_commands(server: Installation, api: httpx.Client) -> None:
    scenario = Scenario.create(api, reward=100)
    for number in range(2):
        scenario.take_part(f"p{number}")
    collection = scenario.collection["id"]
    said = server.run("submission", "assign", collection, "--to", "me", "--share", "50").stdout
    assert "Assigned 1 submission to me." in said
    listed = json.loads(server.run("submission", "reviewers", collection, "--json").stdout)
    assert sum(row["assigned"] for row in listed) == 1
    assert "1 submission to nobody" in server.run("submission", "unassign", collection).stdout
    server.run("submission", "decide-all", collection, "-a", "APPROVE", "-F", "participant=p0", "--yes")
    expect(
        api.post(f"{path_of(scenario)}/submissions/approve", json={"count": 1}, params={"participant": "p1"}),
        200,
    )
    table = server.run("submission", "approved", collection, "--csv").stdout
    assert "p1,1.00,GBP" in table
