"""The page of a study: its links, QR codes, completion codes and test runs, as the API and commands have them."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import httpx
import pytest

from fieldpack.server.accounts.permissions.roles import Role
from tests.installation import Installation
from tests.integration.rows import insert_researcher
from tests.integration.test_export_pages import sign_in
from tests.integration.test_workbench import HOSTILE, text_of
from tests.refusals import refused
from tests.scenario import Scenario, expect


@pytest.fixture(scope="module")
def browser(server: Installation) -> Iterator[httpx.Client]:
    with sign_in(server, server.token) as client:
        yield client


@pytest.fixture
def scenario(api: httpx.Client) -> Scenario:
    return Scenario.create(api)


def path_of(scenario: Scenario) -> str:
    return f"/workbench/studies/{scenario.study['id']}"


def links_of(scenario: Scenario) -> dict[str, dict[str, Any]]:
    answer = expect(scenario.api.get(f"/studies/{scenario.study['id']}/links"), 200)
    assert answer["meta"]["count"] == len(answer["results"])
    return {each["kind"]: each for each in answer["results"]}


def test_links_for_everybody_are_on_the_page_in_the_api_and_printed(
    server: Installation, browser: httpx.Client, scenario: Scenario, tmp_path: Path
) -> None:
    links = links_of(scenario)
    assert links["recruiting"]["url"] == scenario.study["external_study_url"]
    assert links["recruiting"]["svg"] is None
    page = text_of(browser.get(path_of(scenario)))
    study = scenario.study["id"]
    for kind, flags in (("recruiting", []), ("ask", ["--ask"]), ("own", ["--own-ids"])):
        assert f'value="{links[kind]["url"]}"' in page
        assert server.run("study", "link", study, *flags).stdout.strip() == links[kind]["url"]
    for kind in ("ask", "own"):
        shown = browser.get(f"{path_of(scenario)}/qr/{kind}.svg")
        assert shown.headers["content-type"] == "image/svg+xml"
        assert shown.headers["content-security-policy"] == "sandbox; default-src 'none'"
        assert shown.text == links[kind]["svg"]
        assert ElementTree.fromstring(shown.content).tag.endswith("svg")
    assert browser.get(f"{path_of(scenario)}/qr/recruiting.svg").status_code == 404
    assert browser.get(f"{path_of(scenario)}/qr/x.svg").status_code == 404
    file = tmp_path / "code.svg"
    server.run("study", "link", study, "--own-ids", "--qr", str(file))
    assert file.read_text() == links["own"]["svg"]
    assert server.run("study", "link", study, "--own-ids", "--qr", str(file), check=False).returncode == 1
    assert server.run("study", "link", study, "--qr", str(file), check=False).returncode == 2


def test_the_link_that_makes_ids(scenario: Scenario) -> None:
    url = links_of(scenario)["own"]["url"]
    seen = set()
    for _ in range(2):
        with httpx.Client(trust_env=False, headers={"Accept": "text/html"}) as visitor:
            led = visitor.get(url)
            assert led.status_code == 303
            query = {
                name: values[0] for name, values in parse_qs(urlsplit(led.headers["location"]).query).items()
            }
            page = visitor.get(str(led.url.join(led.headers["location"])))
            assert query["PROLIFIC_PID"] in text_of(page)
            origin = {"Origin": url.partition("/participate")[0]}
            given = {"participant_id": query["PROLIFIC_PID"], "session_id": query["SESSION_ID"]}
            begun = visitor.post(url.partition("?")[0], data=given, headers=origin)
            assert begun.status_code == 303
            again = visitor.get(url)  # the same browser goes on with what it has begun
            assert again.status_code == 303
            assert "/submissions/" in again.headers["location"]
            seen.add(query["PROLIFIC_PID"])
    assert len(seen) == 2
    listed = expect(scenario.api.get(f"/studies/{scenario.study['id']}/submissions"), 200)["results"]
    assert {each["participant_id"] for each in listed} == seen


def test_personal_links_as_csv(browser: httpx.Client, scenario: Scenario) -> None:
    path = f"{path_of(scenario)}/links"
    ids = ["ada", "=cmd()", "grace hopper"]
    made = browser.post(path, data={"participants": "\r\n".join([*ids, "", " "]), "days": "3", "once": "yes"})
    assert made.status_code == 200, made.text
    assert made.headers["content-disposition"].startswith("attachment")
    rows = list(csv.DictReader(io.StringIO(made.text)))
    assert [row["participant_id"] for row in rows] == ["ada", "'=cmd()", "grace hopper"]
    assert {row["once"] for row in rows} == {"true"}
    opened = httpx.get(rows[0]["url"], headers={"Accept": "text/html"}, trust_env=False)
    assert opened.status_code == 200
    assert "ada" in opened.text
    for wrong in ({"participants": " "}, {"participants": HOSTILE * 9}, {"participants": "a", "days": "0"}):
        answer = browser.post(path, data=wrong)
        assert answer.status_code == 400
        assert "<script>alert" not in answer.text
    assert "ada" in html.unescape(browser.post(path, data={"participants": "ada", "days": "x"}).text)


def codes_form(page: str, **changed: list[str]) -> dict[str, Any]:
    """What the form of completion codes sends, as it is on the page."""
    form = page[page.index('id="codes"') : page.index('id="personal"')]
    seen = re.search(r'name="seen" value="([^"]*)"', form)
    assert seen
    found: dict[str, Any] = {"go": "codes", "seen": seen[1]}
    for name in ("code", "type"):
        found[name] = re.findall(rf'name="{name}" type="text" value="([^"]*)"', form)
    for name in ("actor", "does"):
        found[name] = re.findall(rf'name="{name}">.*?<option value="([A-Za-z_]*)" selected', form, re.DOTALL)
    return found | changed


def test_completion_codes_and_their_actors(browser: httpx.Client, scenario: Scenario) -> None:
    path, study = path_of(scenario), f"/studies/{scenario.study['id']}"
    form = codes_form(browser.get(path).text)
    first = scenario.study["completion_codes"][0]["code"]
    assert form["code"] == [first, ""]
    form["code"] = ["DONE", "CHECKED"]
    form["actor"] = ["participant", "researcher"]
    form["does"] = ["AUTOMATICALLY_APPROVE", "MANUALLY_REVIEW"]
    form["type"] = ["COMPLETED", "OTHER"]
    assert browser.post(path, data=form).status_code == 303
    codes = expect(scenario.api.get(study), 200)["completion_codes"]
    assert [(code["code"], code["code_type"], code["actor"]) for code in codes] == [
        ("DONE", "COMPLETED", "participant"),
        ("CHECKED", "OTHER", "researcher"),
    ]
    assert codes[0]["actions"] == [{"action": "AUTOMATICALLY_APPROVE"}]
    # somebody else was quicker: said in words, and nothing is lost
    late = browser.post(path, data=form)
    assert late.status_code == 409
    assert "meanwhile" in late.text
    assert expect(scenario.api.get(study), 200)["completion_codes"] == codes
    none = codes_form(browser.get(path).text, code=["", "", ""])
    assert browser.post(path, data=none).status_code == 400
    fewer = codes_form(browser.get(path).text, code=["DONE", "", ""])
    assert browser.post(path, data=fewer).status_code == 303
    assert len(expect(scenario.api.get(study), 200)["completion_codes"]) == 1
    short = codes_form(browser.get(path).text, actor=["participant"])
    assert browser.post(path, data=short).status_code == 400


def test_what_a_form_cannot_say_of_a_code_is_kept(browser: httpx.Client, scenario: Scenario) -> None:
    reasons = [{"action": "REQUEST_RETURN", "return_reason": HOSTILE}]
    given = [{"code": HOSTILE, "code_type": "OTHER", "actor": "participant", "actions": reasons, "theirs": 1}]
    study = f"/studies/{scenario.study['id']}"
    expect(scenario.api.patch(study, json={"completion_codes": given}), 200)
    page = browser.get(path_of(scenario)).text
    assert "<script>alert" not in page
    form = codes_form(page)
    form["code"] = ["RETURN", ""]
    assert browser.post(path_of(scenario), data=form).status_code == 303
    [code] = expect(scenario.api.get(study), 200)["completion_codes"]
    assert (code["code"], code["actions"], code["theirs"]) == ("RETURN", reasons, 1)


def test_test_runs_are_counted_nowhere_and_erased_by_a_button(
    server: Installation, browser: httpx.Client, scenario: Scenario
) -> None:
    path = path_of(scenario)
    scenario.take_part("real")
    trial = re.search(
        r'id="trial-link"[^>]* value="([^"]*)"', text_of(browser.post(path, data={"go": "try"}))
    )
    assert trial
    query = {name: values[0] for name, values in parse_qs(urlsplit(trial[1]).query).items()}
    study = urlsplit(trial[1]).path.rpartition("/")[2]

    def try_it(name: str) -> None:
        body = {"participant_id": f"{query['PROLIFIC_PID']}{name}", "session_id": query["SESSION_ID"]}
        expect(scenario.api.post(f"/participate/studies/{study}/submissions", json=body), 201)

    for name in ("a", "b"):
        try_it(name)
    page = text_of(browser.get(path))
    assert "2 test runs are stored" in page
    assert scenario.export()["submission_count"] == 1
    answer = browser.post(path, data={"go": "forget"})
    assert "2 test runs were erased" in text_of(answer)
    assert "test runs are stored" not in text_of(browser.get(path))
    assert expect(scenario.api.get(f"/studies/{study}/submissions"), 200)["results"] == []
    try_it("c")
    shown = server.run("study", "test", scenario.study["id"], "--erase", "--json").stdout
    assert json.loads(shown) == {"erased": 1}
    gone = expect(scenario.api.delete(f"/studies/{scenario.study['id']}/test-study"), 200)
    assert gone == {"erased": 0, "left": 0}
    listed = expect(scenario.api.get(f"/studies/{scenario.study['id']}/submissions"), 200)["results"]
    assert [each["participant_id"] for each in listed] == ["real"]


def test_strangers_and_other_sites_change_no_study(
    server: Installation, browser: httpx.Client, scenario: Scenario
) -> None:
    path = path_of(scenario)
    writes: list[tuple[str, dict[str, str]]] = [
        (path, {"go": "forget"}),
        (path, {"go": "codes"}),
        (path, {"go": "PAUSE"}),
        (f"{path}/links", {"participants": "a"}),
    ]
    workspace = expect(scenario.api.post("/workspaces", json={"title": "Other"}), 201)["id"]
    _, token = insert_researcher(server, role=Role.OWNER, workspace_id=workspace)
    with sign_in(server, token) as stranger, server.client(token) as their_api:
        for where, form in writes:
            elsewhere = browser.post(where, data=form, headers={"Origin": "https://elsewhere.example"})
            assert elsewhere.status_code == 403
            assert stranger.post(where, data=form).status_code == 404
        assert stranger.get(f"{path}/qr/own.svg").status_code == 404
        refused(their_api.get(f"/studies/{scenario.study['id']}/links"), 404)
        refused(their_api.delete(f"/studies/{scenario.study['id']}/test-study"), 404)
    assert expect(scenario.api.get(f"/studies/{scenario.study['id']}"), 200)["status"] == "ACTIVE"
