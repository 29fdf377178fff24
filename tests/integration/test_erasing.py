"""Erasing one person or many: what would go is what goes, nobody else is reached, and the proof names nobody."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.installation import Installation
from tests.integration.rows import insert_researcher
from tests.refusals import refused
from tests.scenario import PNG, Scenario, expect

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def scenario(api: httpx.Client) -> Scenario:
    return Scenario.create(api)


@pytest.fixture(scope="module")
def browser(server: Installation) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=server.url,
        trust_env=False,
        timeout=60,
        headers={"Accept": "text/html", "Origin": server.url},
    ) as client:
        assert client.post("/sign-in", data={"token": server.token}).status_code == 303
        yield client


def path_of(scenario: Scenario) -> str:
    return f"/data-collection/collections/{scenario.collection['id']}/erasures"


def page_of(scenario: Scenario) -> str:
    return f"/workbench/collections/{scenario.collection['id']}/erase"


def people_left(scenario: Scenario) -> set[str]:
    path = f"/data-collection/collections/{scenario.collection['id']}/submissions"
    return {row["participant_id"] for row in expect(scenario.api.get(path), 200)["results"]}


def test_what_would_go_with_one_is_what_goes(scenario: Scenario) -> None:
    api = scenario.api
    before = scenario.export(to="2020-01-01T00:00:00Z")  # of before anybody took part
    gone = scenario.take_part("gone", files=[("a.png", PNG), ("b.png", PNG)])
    expect(api.post(f"/submissions/{gone}/notes", json={"text": "seen"}), 201)
    export = scenario.export()
    wanted = expect(api.get(f"/submissions/{gone}/erasure"), 200)
    assert wanted["participant_id"] == "gone"
    assert [each["export_id"] for each in wanted["exports"]] == [export["export_id"]]
    counts = {"answers": 1, "files": 2, "size_bytes": 2 * len(PNG), "notes": 1}
    assert {name: wanted[name] for name in counts} == counts
    expect(api.delete(f"/submissions/{gone}"), 204)
    proof = expect(api.get(f"{path_of(scenario)}/{gone}"), 200)
    assert {name: proof[name] for name in counts} == counts
    assert proof["exports"] == [export["export_id"]]
    assert proof["stored_objects"] >= 2
    assert proof["left"]["rows"] == 0
    assert proof["listed"] is True
    assert "participant_id" not in proof
    assert "gone" not in json.dumps(proof)
    assert expect(api.get(path_of(scenario)), 200)["results"] == [
        {**proof, "left": expect(api.get(f"{path_of(scenario)}/{gone}"), 200)["left"]}
    ]
    state = expect(api.get(f"{scenario.export_path}/{before['export_id']}"), 200)
    assert state["status"] == "complete"


def test_exports_that_a_filter_keeps_out_are_not_named(scenario: Scenario) -> None:
    """What the preview says of exports is what the erasure does to them, whatever their filters are."""
    api = scenario.api
    gone, _ = scenario.take_part("gone", "about rain"), scenario.take_part("stays", "about sun")
    exports = {}
    for word in ("rain", "sun"):
        body = {"filter": {"search": word}}
        answer = api.post(scenario.export_path, json=body, headers={"Prefer": "wait=60"}).json()
        while answer["status"] == "generating":
            where = f"{scenario.export_path}/{answer['export_id']}"
            answer = expect(api.get(where, headers={"Prefer": "wait=30"}), 200)
        exports[word] = answer["export_id"]
    exports["all"] = scenario.export()["export_id"]
    reach = expect(api.get(f"/submissions/{gone}/erasure"), 200)
    named = {each["export_id"] for each in reach["exports"]}
    assert named == {exports["rain"], exports["all"]}
    expect(api.delete(f"/submissions/{gone}"), 204)
    for export in exports.values():
        status = expect(api.get(f"{scenario.export_path}/{export}"), 200)["status"]
        assert (status == "failed") == (export in named), export


def test_many_by_a_list_and_by_a_filter(scenario: Scenario) -> None:
    api = scenario.api
    for name in ("a", "b", "c", "d"):
        scenario.take_part(name, f"text of {name}")
    scenario.start("begun")
    path = path_of(scenario)
    people = {"participant_ids": [" a ", "\u200bb", "nobody", "begun", "a"]}  # as copied out of a sheet
    reach = expect(api.post(f"{path}/check", json=people), 200)
    assert (reach["submissions"], reach["unknown_participant_ids"]) == (3, ["nobody"])
    assert people_left(scenario) == {"a", "b", "c", "d", "begun"}  # nothing has happened yet
    refused(api.post(path, json={**people, "count": 2}), 409)
    assert people_left(scenario) == {"a", "b", "c", "d", "begun"}
    done = expect(api.post(path, json={**people, "count": 3}), 200)
    assert (len(done["erased"]), done["left"]) == (3, 0)
    assert people_left(scenario) == {"c", "d"}
    assert not {"a", "b", "begun", "nobody"} & set(re.findall(r'"([^"]*)"', json.dumps(done)))
    # by a filter, and of both what is in both
    both = {"participant_ids": ["c"], "count": 1, "batch": done["batch"]}
    assert expect(api.post(f"{path}?participant=d", json={**both, "count": 0}), 200)["erased"] == []
    expect(api.post(f"{path}?search=text", json=both), 200)
    assert people_left(scenario) == {"d"}
    together = expect(api.get(path, params={"batch": done["batch"]}), 200)
    assert together["meta"]["count"] == 4
    expect(api.post(f"{path}?participant=d", json={"count": 1}), 200)
    assert expect(api.get(path), 200)["meta"]["count"] == 5


def test_everybody_is_never_meant_by_leaving_out(scenario: Scenario) -> None:
    scenario.take_part("a")
    for body in ({}, {"participant_ids": None}, {"participant_ids": [" ", ""]}):
        refused(scenario.api.post(f"{path_of(scenario)}/check", json=body), 400, "participant_ids")
        refused(scenario.api.post(path_of(scenario), json={**body, "count": 1}), 400, "participant_ids")
    many = {"participant_ids": [str(number) for number in range(10_001)]}
    refused(scenario.api.post(f"{path_of(scenario)}/check", json=many), 400, "participant_ids")
    assert people_left(scenario) == {"a"}


def test_only_this_collection_is_reached(scenario: Scenario, server: Installation) -> None:
    """The same person elsewhere stays, and nobody of another workspace reaches them."""
    api = scenario.api
    other = Scenario.create(api)
    scenario.take_part("same")
    kept = other.take_part("same")
    people = {"participant_ids": ["same"]}
    _, stranger = insert_researcher(server)
    with server.client(stranger) as client:
        for path, body in (
            (f"{path_of(scenario)}/check", people),
            (path_of(scenario), {**people, "count": 1}),
        ):
            refused(client.post(path, json=body), 404)
        refused(client.get(path_of(scenario)), 404)
        refused(client.get(f"/submissions/{kept}/erasure"), 404)
    expect(api.post(path_of(scenario), json={**people, "count": 1}), 200)
    assert people_left(other) == {"same"}
    erased = expect(api.get(path_of(scenario)), 200)["results"][0]["submission_id"]
    refused(api.get(f"{path_of(other)}/{erased}"), 404)  # a proof is one of its own collection


def test_the_pages_ask_for_the_number(browser: httpx.Client, scenario: Scenario) -> None:
    for name in ("p1", "p2", "p3"):
        scenario.take_part(name, files=[("a.png", PNG)])
    page = page_of(scenario)
    assert "shown" not in browser.get(page).text  # without a filter there is nobody to erase yet
    looked = browser.post(page, data={"go": "look", "people": f"p1\r\n p2 \r\n{HOSTILE}"})
    assert looked.status_code == 200
    assert html.escape(HOSTILE) in looked.text
    assert HOSTILE not in looked.text
    form = {"go": "erase", "people": "p1\np2", "shown": "2"}
    assert browser.post(page, data={**form, "count": "3"}).status_code == 400
    assert browser.post(page, data={**form, "shown": "x", "count": "2"}).status_code == 400
    stale = browser.post(page, data={**form, "people": "p1", "count": "2"})
    assert stale.status_code == 409
    assert "nothing was erased" in stale.text
    assert "p1" in stale.text  # what was typed is there still
    assert people_left(scenario) == {"p1", "p2", "p3"}
    done = browser.post(page, data={**form, "count": " 2 "})
    assert done.status_code == 200
    assert people_left(scenario) == {"p3"}
    assert not re.search(r"\bp[123]\b", done.text)
    proofs = expect(scenario.api.get(path_of(scenario)), 200)["results"]
    listed = browser.get(page.replace("/erase", "/erasures")).text
    for proof in proofs:
        assert proof["submission_id"] in done.text
        assert proof["submission_id"] in listed
    shown = browser.get(f"{page}?participant=p3").text
    assert 'name="shown" value="1"' in shown
    assert browser.post(f"{page}?participant=p3", data={"go": "burn"}).status_code == 400


def test_thousands_of_ids_are_more_than_a_small_form(browser: httpx.Client, scenario: Scenario) -> None:
    scenario.take_part("p1")
    people = "\n".join(["p1", *(uuid4().hex for _ in range(9_000))])
    looked = browser.post(page_of(scenario), data={"go": "look", "people": people})
    assert looked.status_code == 200
    assert 'name="shown" value="1"' in looked.text


def test_as_commands(server: Installation, scenario: Scenario, tmp_path: Any) -> None:
    one = scenario.take_part("one", files=[("a.png", PNG)])
    for name in ("two", "three", "four"):
        scenario.take_part(name)
    collection = scenario.collection["id"]

    def run(*arguments: str, code: int = 0) -> str:
        done = server.run("submission", *arguments, check=False)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stdout + done.stderr

    assert "1 answer, 1 file" in run("erase", one, "--dry-run")
    assert "one" in people_left(scenario)
    proof = json.loads(run("erase", one, "--yes", "--json"))
    assert (proof["submission_id"], proof["files"]) == (one, 1)
    file = tmp_path / "people.txt"
    file.write_text("two\nnobody\n")
    dry = run("bulk-erase", "-c", collection, "-f", str(file), "--dry-run")
    assert "no submission of nobody" in dry
    assert "1 submission," in dry
    run("bulk-erase", "-c", collection, "-f", str(file), code=2)  # nobody is there to be asked
    erased = run("bulk-erase", "-c", collection, "-f", str(file), "--yes")
    assert "1 submission erased" in erased
    assert "two" not in erased.replace("nobody", "")
    run("bulk-erase", "-c", collection, "-F", "participant=three", "--yes")
    assert people_left(scenario) == {"four"}
    for wrong in ([], ["-F", "colour=red"], ["-F", "state"], ["-F", "state="]):
        run("bulk-erase", "-c", collection, *wrong, code=2)
    listed = json.loads(run("erasures", collection, "--json"))
    assert len(listed) == 3
    assert one in run("erasures", collection, "--csv")
