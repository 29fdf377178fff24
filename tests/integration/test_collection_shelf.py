"""Collections put aside, copied and deleted: by routes, pages and commands."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from fieldpack.server.accounts.service import Caller
from fieldpack.server.config import Settings
from fieldpack.server.db.embedded.server import open_embedded
from fieldpack.server.installation.opening import open_context
from fieldpack.server.responses.removal.service import erase_some
from tests.installation import Installation
from tests.integration.rows import connected
from tests.refusals import refused
from tests.scenario import FREE_TEXT, PNG, UPLOAD, Scenario, collection_body, expect

COLLECTIONS = "/data-collection/collections"
LEFT = """
    SELECT table_name, column_name FROM information_schema.columns
    WHERE table_schema = current_schema() AND column_name IN ('collection_id', 'study_id')
"""
# what outlives a collection: the log of what happened to it, who did it, and webhooks' events of it
OUTLIVE = {"audit_entries", "changes", "hook_events"}


@pytest.fixture(scope="module")
def browser(server: Installation) -> Iterator[httpx.Client]:
    headers = {"Accept": "text/html", "Origin": server.url}
    with httpx.Client(base_url=server.url, trust_env=False, timeout=120, headers=headers) as client:
        assert client.post("/sign-in", data={"token": server.token}).status_code == 303
        yield client


def path_of(scenario: Scenario) -> str:
    return f"{COLLECTIONS}/{scenario.collection['id']}"


def listed(scenario: Scenario, **given: str) -> bool:
    params = {
        "workspace_id": scenario.collection["workspace_id"],
        "search": scenario.collection["id"],
        **given,
    }
    found = expect(scenario.api.get(COLLECTIONS, params=params), 200)["results"]
    return len(found) == 1


def leftovers(server: Installation, scenario: Scenario) -> set[str]:
    """Tables in which a row of the collection, or of its study, is."""
    with connected(server) as database:
        tables = database.execute(LEFT).fetchall()
        ids = {"collection_id": scenario.collection["id"], "study_id": scenario.study["id"]}
        return {
            table
            for table, column in tables
            if database.execute(f"SELECT FROM {table} WHERE {column} = %s", [ids[column]]).fetchone()
            is not None
        }


def test_what_is_archived_is_out_of_lists_and_goes_on(api: httpx.Client) -> None:
    scenario = Scenario.create(api)
    path = path_of(scenario)
    assert "archived_at" not in expect(api.get(path), 200)
    first = expect(api.post(f"{path}/archive"), 200)["archived_at"]
    assert expect(api.post(f"{path}/archive"), 200)["archived_at"] == first  # it is there already
    assert (listed(scenario), listed(scenario, archived="yes"), listed(scenario, archived="all")) == (
        False,
        True,
        True,
    )
    scenario.take_part("ann")  # participants notice nothing
    assert expect(api.get(path), 200)["archived_at"] == first
    assert "archived_at" not in expect(api.post(f"{path}/unarchive"), 200)
    assert (listed(scenario), listed(scenario, archived="yes")) == (True, False)


def test_a_copy_asks_the_same_under_ids_of_its_own(api: httpx.Client) -> None:
    workspace = expect(api.get("/workspaces"), 200)["results"][0]["id"]
    picture = api.post(f"/workspaces/{workspace}/pictures", content=PNG).json()["url"]
    image = {"type": "image", "url": picture, "alt_text": "A dot", "caption": "Dot"}
    text = {"type": "rich_text", "content": f'<p>Look <img src="{picture}" alt="x"></p>'}
    scenario = Scenario.create(
        api, {**FREE_TEXT, "validation": {"type": "number", "min": 1}}, UPLOAD, image, text
    )
    scenario.take_part("ann", text="2")
    made = expect(api.post(f"{path_of(scenario)}/duplicate"), 201)
    assert made["name"] == "Test collection (copy)"
    named = expect(api.post(f"{path_of(scenario)}/duplicate", json={"name": "Other"}), 201)
    assert named["name"] == "Other"
    for wrong in (5, ""):
        refused(api.post(f"{path_of(scenario)}/duplicate", json={"name": wrong}), 400, "name")

    def asked(collection: dict[str, Any]) -> Any:
        made_by = ("id", "parent_id", "created_at", "created_by")
        return [
            [
                {name: value for name, value in item.items() if name not in made_by}
                for item in page["page_items"]
            ]
            for page in collection["collection_items"]
        ]

    for copy in (made, named):
        assert asked(copy) == asked(scenario.collection)
        assert copy["task_details"] == scenario.collection["task_details"]
        ids = set(re.findall(r'"id": "([^"]+)"', json.dumps(copy)))
        assert not ids & set(re.findall(r'"id": "([^"]+)"', json.dumps(scenario.collection)))
        assert expect(api.get(f"{COLLECTIONS}/{copy['id']}/overview"), 200)["started"] == 0


def test_a_long_name_is_copied_within_its_limit(api: httpx.Client) -> None:
    workspace = expect(api.get("/workspaces"), 200)["results"][0]["id"]
    body = {**collection_body(workspace), "name": "x" * 2000}
    made = expect(api.post(COLLECTIONS, json=body), 201)
    copy = expect(api.post(f"{COLLECTIONS}/{made['id']}/duplicate"), 201)["name"]
    assert copy == "x" * 1993 + " (copy)"


def test_deleting_wants_the_name_and_nobodys_data(api: httpx.Client, server: Installation) -> None:
    scenario = Scenario.create(api)
    path, name = path_of(scenario), {"name": " Test collection "}
    done, under_way = scenario.take_part("ann", files=[("a.png", PNG)]), scenario.start("bo")
    link = scenario.export()["url"]
    refused(api.delete(path), 400, "name")
    refused(api.delete(path, params={"name": "Test"}), 400, "name")
    assert "2 submissions" in refused(api.delete(path, params=name), 409)
    for submission in (done, under_way.submission_id):
        expect(api.delete(f"/submissions/{submission}"), 204)
    other = scenario.export()["url"]
    expect(api.delete(path, params=name), 204)
    for gone in (api.get(path), api.delete(path, params=name), api.get(f"/studies/{scenario.study['id']}")):
        refused(gone, 404)
    with httpx.Client(trust_env=False) as plain:
        assert {plain.get(url).status_code for url in (link, other)} == {410}
    assert under_way.answer(under_way.item(0), {"value": "late"}).status_code in (401, 404, 410)
    assert leftovers(server, scenario) <= OUTLIVE


def test_the_page_deletes_once_the_name_is_typed(
    api: httpx.Client, browser: httpx.Client, server: Installation
) -> None:
    scenario = Scenario.create(api)
    for number in range(3):
        scenario.take_part(f"p{number}")
    path = f"/workbench/collections/{scenario.collection['id']}"
    assert f'href="{path}/manage"' in browser.get(path).text
    assert "3 responses" in browser.get(f"{path}/manage").text
    wrong = browser.post(f"{path}/delete", data={"name": "Test"})
    assert wrong.status_code == 400
    assert "This is another name." in wrong.text
    assert expect(api.get(f"{path_of(scenario)}/overview"), 200)["erased"] == 0
    done = browser.post(f"{path}/delete", data={"name": "Test collection"})
    assert done.status_code == 200
    assert "3 submissions were erased" in done.text
    assert leftovers(server, scenario) <= OUTLIVE
    assert browser.get(path).status_code == 404


def test_the_page_archives_and_copies(api: httpx.Client, browser: httpx.Client) -> None:
    scenario = Scenario.create(api)
    path = f"/workbench/collections/{scenario.collection['id']}/manage"
    assert browser.post(path, data={"go": "archive"}).headers["location"] == path
    assert not listed(scenario)
    home = "/researcher?archived=yes&search="
    assert path in browser.get(home + scenario.collection["id"]).text
    assert "Put back into lists" in browser.get(path).text
    assert browser.post(path, data={"go": "unarchive"}).status_code == 303
    assert listed(scenario)
    copied = browser.post(path, data={"go": "duplicate", "name": "Copied here"})
    assert copied.status_code == 303
    made = expect(api.get(f"{COLLECTIONS}/{copied.headers['location'].rpartition('/')[2]}"), 200)
    assert made["name"] == "Copied here"
    assert browser.post(path, data={"go": "burn"}).status_code == 400


def test_erasing_goes_on_where_it_stopped(api: httpx.Client, server: Installation) -> None:
    """Without any time each turn erases one, and says how many are left."""
    scenario = Scenario.create(api)
    for number in range(3):
        scenario.take_part(f"p{number}")
    me = expect(api.get("/users/me"), 200)
    caller = Caller(UUID(me["id"]), me["email"], "", "", None, None)
    collection = UUID(scenario.collection["id"])

    async def turns() -> list[tuple[int, int]]:
        with open_embedded(server.data_dir) as embedded:
            async with open_context(Settings(data_dir=server.data_dir), embedded.url) as context:
                return [
                    await erase_some(context, caller, collection, "Test collection", 0.0) for _ in range(4)
                ]

    assert asyncio.run(turns()) == [(1, 2), (1, 1), (1, 0), (0, 0)]


def test_the_commands(api: httpx.Client, server: Installation) -> None:
    scenario = Scenario.create(api)
    collection = scenario.collection["id"]
    scenario.take_part("ann")

    def run(*arguments: str) -> Any:
        return json.loads(server.run("collection", *arguments, "--json").stdout)

    assert run("archive", collection)["archived_at"]
    assert collection in {each["id"] for each in run("list", "--archived")}
    assert collection not in {each["id"] for each in run("list")}
    run("unarchive", collection)
    copy = run("duplicate", collection, "--name", "By command")
    assert copy["name"] == "By command"
    for wrong in ((), ("--name", "Test")):
        assert server.run("collection", "delete", collection, *wrong, check=False).returncode == 2
    expect(api.get(path_of(scenario)), 200)
    gone = run("delete", collection, "--name", "Test collection")
    assert gone == {"collection_id": collection, "erased_submissions": 1}
    refused(api.get(path_of(scenario)), 404)
