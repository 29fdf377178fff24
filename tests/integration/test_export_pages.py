"""Pages of exports: what is about to be exported, what there is, how to get it, and what they refuse."""

from __future__ import annotations

import html
import io
import re
import shlex
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from fieldpack.server.accounts.permissions.roles import Role
from tests.installation import Installation
from tests.integration.rows import insert_researcher
from tests.integration.test_workbench import HOSTILE, text_of
from tests.integration.waiting import held_jobs
from tests.scenario import Scenario, expect


@pytest.fixture(scope="module")
def browser(server: Installation) -> Iterator[httpx.Client]:
    with sign_in(server, server.token) as client:
        yield client


@contextmanager
def sign_in(server: Installation, token: str) -> Iterator[httpx.Client]:
    """A browser of whoever has this token."""
    headers = {"Accept": "text/html", "Origin": server.url}
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60, headers=headers) as client:
        assert client.post("/sign-in", data={"token": token}).status_code == 303
        yield client


def list_path(scenario: Scenario) -> str:
    return f"/workbench/collections/{scenario.collection['id']}/exports"


def page_path(scenario: Scenario, export_id: str) -> str:
    return f"/researcher/collections/{scenario.collection['id']}/exports/{export_id}"


def test_the_filter_of_the_table_is_what_is_exported(browser: httpx.Client, api: httpx.Client) -> None:
    scenario = Scenario.create(api)
    for name, text in (("a", "sunny & warm"), ("b", "rain"), ("c", "sunny & cold")):
        scenario.take_part(name, text)
    table = f"/workbench/collections/{scenario.collection['id']}/responses?search=sunny"
    link = re.search(rf'href="({re.escape(list_path(scenario))}\?[^"]*)"', browser.get(table).text)
    assert link
    page = browser.get(html.unescape(link[1]))
    assert "sunny" in text_of(page)
    post = re.search(r'action="(/researcher/collections/[^"]*/export\?[^"]*)"', page.text)
    assert post
    made = browser.post(html.unescape(post[1]))
    assert made.status_code == 303
    export_id = made.headers["location"].rpartition("/")[2]
    export = expect(api.get(f"{scenario.export_path}/{export_id}", headers={"Prefer": "wait=60"}), 200)
    assert export["submission_count"] == 2
    row = re.search(rf"{export_id}.*?</tr>", text_of(browser.get(list_path(scenario))), re.DOTALL)
    assert row
    assert "sunny" in row[0]
    assert "2 submissions, 0 files" in row[0]
    again = re.search(rf'href="({re.escape(list_path(scenario))}\?[^"]*)"', row[0])
    assert again
    assert "search=sunny" in again[1]
    listed = expect(api.get(scenario.export_path), 200)
    assert listed[0]["links_expire_at"] == export["expires_at"]


def test_with_the_history_of_corrections(browser: httpx.Client, api: httpx.Client) -> None:
    scenario = Scenario.create(api)
    submission = scenario.take_part("a", "Find")
    item = scenario.collection["collection_items"][0]["page_items"][0]["id"]
    correction = {"instruction_id": item, "answer": {"value": "Fine"}, "reason": "A slip."}
    expect(api.post(f"/submissions/{submission}/corrections", json=correction), 201)
    page = browser.get(list_path(scenario)).text
    box = re.search(r'<input type="checkbox" name="(\w+)" value="(\w+)">', page)
    post = re.search(r'action="(/researcher/collections/[^"]*/export)"', page)
    assert box
    assert post
    made = {}
    for fields in ({box[1]: box[2]}, {}):
        export_id = browser.post(post[1], data=fields).headers["location"].rpartition("/")[2]
        export = expect(api.get(f"{scenario.export_path}/{export_id}", headers={"Prefer": "wait=60"}), 200)
        made[export_id] = zipfile.ZipFile(io.BytesIO(scenario.download(export))).namelist()
    assert ["history.jsonl" in members for members in made.values()] == [True, False]
    with_history = next(iter(made))
    row = re.search(rf"{with_history}.*?</tr>", text_of(browser.get(list_path(scenario))), re.DOTALL)
    assert row
    assert "With what was corrected" in row[0]
    again = re.search(rf'href="({re.escape(list_path(scenario))}\?[^"]*)"', row[0])
    assert again
    assert " checked" in browser.get(html.unescape(again[1])).text


def test_what_the_page_copies_brings_the_archive(
    server: Installation, browser: httpx.Client, api: httpx.Client, tmp_path: Path
) -> None:
    scenario = Scenario.create(api)
    scenario.take_part("a")
    export = scenario.export()
    page = text_of(browser.get(page_path(scenario, export["export_id"])))
    lines = re.findall(r'id="command-\d" type="text" readonly value="([^"]*)"', page)
    curl, fieldpack = (shlex.split(line) for line in lines)
    assert curl[0] == "curl"
    archive = httpx.get(curl[-1], trust_env=False).content  # curl itself may not be here
    assert zipfile.ZipFile(io.BytesIO(archive)).testzip() is None
    assert curl[curl.index("-o") + 1].endswith(".zip")
    assert fieldpack[0] == "fieldpack"
    done = server.run(*fieldpack[1:], "-o", str(tmp_path / "archive.zip"))
    assert done.returncode == 0
    assert (tmp_path / "archive.zip").read_bytes() == archive
    assert subprocess.list2cmdline(curl)  # one line


def test_deleting_is_refused_in_words_while_it_is_made(
    server: Installation, browser: httpx.Client, api: httpx.Client
) -> None:
    scenario = Scenario.create(api)
    scenario.take_part("a")
    with held_jobs(server) as held:
        begun = expect(api.post(scenario.export_path), 202)
        held.wait()
        path = page_path(scenario, begun["export_id"])
        late = browser.post(path, data={"go": "delete"})
        assert late.status_code == 409
        assert "still being made" in late.text
    expect(api.get(f"{scenario.export_path}/{begun['export_id']}", headers={"Prefer": "wait=60"}), 200)
    export = scenario.export()
    done = browser.post(path, data={"go": "delete"})
    assert done.headers["location"] == list_path(scenario)
    assert httpx.get(export["url"], trust_env=False).status_code == 410
    assert browser.post(path, data={"go": "delete"}).status_code == 404


def test_stored_script_stays_text_on_the_pages_of_exports(browser: httpx.Client, api: httpx.Client) -> None:
    option = {"label": HOSTILE, "value": HOSTILE[:40]}
    question = {"type": "multiple_choice", "description": HOSTILE, "options": [option]}
    scenario = Scenario.create(api, question, name=HOSTILE)
    item = scenario.collection["collection_items"][0]["page_items"][0]["id"]
    given = {"where": [f"{item}:is:{HOSTILE[:40]}"], "search": HOSTILE, "participant": HOSTILE[:30]}
    made = api.post(scenario.export_path, json={"filter": given}, headers={"Prefer": "wait=60"}).json()
    assert made["status"] == "complete", made
    query = httpx.QueryParams([("where", given["where"][0]), ("search", HOSTILE)])
    for path in (
        list_path(scenario),
        f"{list_path(scenario)}?{query}",
        page_path(scenario, made["export_id"]),
    ):
        page = browser.get(path)
        assert page.status_code == 200
        assert "<script>alert" not in page.text, path
        assert "<img src=x" not in page.text, path
    assert HOSTILE in text_of(browser.get(list_path(scenario)))


def test_strangers_and_other_sites_change_nothing(
    server: Installation, browser: httpx.Client, api: httpx.Client
) -> None:
    scenario = Scenario.create(api)
    scenario.take_part("a")
    export = scenario.export()
    path = page_path(scenario, export["export_id"])
    elsewhere = {"Origin": "https://elsewhere.example"}
    assert browser.post(path, data={"go": "delete"}, headers=elsewhere).status_code == 403
    workspace = expect(api.post("/workspaces", json={"title": "Other"}), 201)["id"]
    _, token = insert_researcher(server, role=Role.OWNER, workspace_id=workspace)
    with sign_in(server, token) as stranger:
        assert stranger.post(path, data={"go": "delete"}).status_code == 404
        assert stranger.get(path).status_code == 404
        assert stranger.get(list_path(scenario)).status_code == 404
    assert httpx.head(export["url"], trust_env=False).status_code == 200


def test_pages_of_the_list_follow_each_other(browser: httpx.Client, api: httpx.Client) -> None:
    scenario = Scenario.create(api)
    page = text_of(browser.get(f"{list_path(scenario)}?page=2"))
    assert 'rel="prev"' in page
    assert "There is no export yet" in page
    for text in ("0", "-1", "x", "9" * 30):
        assert browser.get(list_path(scenario), params={"page": text}).status_code == 200, text
