"""Collections made and changed in the browser, and what the API says beforehand that a change does to answers."""

from __future__ import annotations

import copy
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fieldpack.documents.collection_files import file_of, write_collection
from fieldpack.documents.reading import read_document
from tests.installation import Installation
from tests.integration.test_responses import CHOICE, EXPLAINED, PHOTO, TEXT, WEIGHT, Answered, optional
from tests.integration.test_workbench import HOSTILE
from tests.refusals import refused
from tests.scenario import PNG, Scenario, collection_body, expect

COLLECTIONS = "/data-collection/collections"
EXAMPLE = Path(__file__).parents[2] / "examples" / "collection.yaml"
SEEN = re.compile(r'name="seen" value="([0-9a-f]+)"')


@pytest.fixture(scope="module")
def browser(server: Installation) -> Iterator[httpx.Client]:
    headers = {"Accept": "text/html", "Origin": server.url}
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60, headers=headers) as client:
        assert client.post("/sign-in", data={"token": server.token}).status_code == 303
        yield client


@pytest.fixture
def workspace(api: httpx.Client) -> str:
    found: str = expect(api.get("/workspaces"), 200)["results"][0]["id"]
    return found


def source_of(page: httpx.Response) -> str:
    found = re.search(r'<textarea id="source"[^>]*>\n(.*?)</textarea>', page.text, re.DOTALL)
    assert found, page.text
    return html.unescape(found[1])


def version_of(page: httpx.Response) -> str:
    found = re.search(r'name="version" value="(\d+)"', page.text)
    assert found
    return found[1]


def words_of(page: httpx.Response) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub("<[^>]*>", "", page.text)))


def edit_path(collection: dict[str, Any]) -> str:
    return f"/workbench/collections/{collection['id']}/edit"


def test_what_is_written_is_what_the_api_has(
    api: httpx.Client, browser: httpx.Client, workspace: str
) -> None:
    """From the text of the example, through the page, to a collection, to its text, and back into a copy of it."""
    path = f"/workbench/workspaces/{workspace}/collections/new"
    page = browser.get(path)
    assert "How was your day?" in source_of(page)
    text = EXAMPLE.read_text(encoding="utf-8")
    picture = api.post(f"/workspaces/{workspace}/pictures", content=PNG).json()["url"]
    text = re.sub(r"url: \./\S+", f"url: {picture}", text)
    made = browser.post(path, data={"go": "save", "source": text})
    assert made.status_code == 303, words_of(made)
    collection = expect(api.get(f"{COLLECTIONS}/{made.headers['location'].rpartition('/')[2]}"), 200)
    wanted = read_document(text, is_json=False).body
    assert collection["name"] == wanted["name"]
    assert len(collection["collection_items"]) == len(wanted["collection_items"])
    # out and in again: nothing changes but the version
    opened = browser.get(edit_path(collection))
    assert read_document(source_of(opened), is_json=False).body == file_of(collection)
    given = {"go": "save", "source": source_of(opened), "version": version_of(opened)}
    assert browser.post(edit_path(collection), data=given).status_code == 303
    again = expect(api.get(f"{COLLECTIONS}/{collection['id']}"), 200)
    assert file_of(again) == file_of(collection)
    downloaded = browser.get(edit_path(collection).replace("/edit", "/collection.yaml"))
    assert downloaded.text == source_of(browser.get(edit_path(collection)))
    assert downloaded.headers["content-disposition"].startswith("attachment")
    # and as a new one, under ids of its own
    copied = browser.post(path, data={"go": "save", "source": downloaded.text})
    assert copied.status_code == 303, words_of(copied)
    as_json = browser.post(path, data={"go": "save", "source": json.dumps(file_of(collection))})
    assert as_json.status_code == 303


def test_every_fault_is_said_by_its_line(browser: httpx.Client, workspace: str) -> None:
    path = f"/workbench/workspaces/{workspace}/collections/new"
    body = collection_body("", TEXT, CHOICE, EXPLAINED, WEIGHT, PHOTO)
    breaks: list[tuple[str, list[Any], Any]] = [
        ("name", ["name"], ""),
        ("task_name", ["task_details", "task_name"], ""),
        ("page_items", ["collection_items", 0, "page_items"], []),
        ("type", ["collection_items", 0, "page_items", 0, "type"], "question"),
        ("min", ["collection_items", 0, "page_items", 0, "validation"], {"type": "string", "min": -1}),
        ("answer_limit", ["collection_items", 0, "page_items", 1, "answer_limit"], 9),
        ("options", ["collection_items", 0, "page_items", 1, "options", 1, "value"], "one"),
        ("heading", ["collection_items", 0, "page_items", 2, "options", 0, "heading"], ""),
        ("default_unit", ["collection_items", 0, "page_items", 3, "default_unit"], "lb"),
        ("max_file_size_mb", ["collection_items", 0, "page_items", 4, "max_file_size_mb"], 0),
        ("accepted_file_types", ["collection_items", 0, "page_items", 4, "accepted_file_types"], ["jpg"]),
    ]
    for name, where, value in breaks:
        broken = copy.deepcopy(body)
        inner: Any = broken
        for step in where[:-1]:
            inner = inner[step]
        inner[where[-1]] = value
        source = write_collection(broken)
        page = browser.post(path, data={"go": "save", "source": source})
        assert page.status_code == 400, where
        assert source_of(page) == source  # nothing is lost
        lines = [int(line) for line in re.findall(r'data-line="(\d+)"', page.text)]
        assert len(lines) == 1, (where, lines)
        line = source.splitlines()[lines[0] - 1]
        named = [step for step in where if isinstance(step, str)][-1]
        assert name in line or named in line or "page_items" in line, (where, line)
    for source, number, words in (
        ("name: 'x", 1, "never closed"),
        ("name: x\n\tdescription: y", 2, "tab"),
        ("- a", 1, "does not hold one object"),
        ("name: x\nname: y", 2, "given twice"),
        ("", 1, "does not hold one object"),
        ("{", 1, "JSON"),
        ("a: &a [*a]", 1, "alias"),
    ):
        page = browser.post(path, data={"go": "check", "source": source})
        assert page.status_code == 400
        assert f"Line {number}" in words_of(page)
        assert words in words_of(page), words_of(page)
    hidden = write_collection(body).replace("Test collection", '"a\\x00"')
    page = browser.post(path, data={"go": "save", "source": hidden})
    assert (page.status_code, "U+0000" in page.text) == (400, True)


def test_checking_shows_it_as_participants_would_see_it_and_saves_nothing(
    api: httpx.Client, browser: httpx.Client, workspace: str
) -> None:
    params = {"workspace_id": workspace, "search": "Only looked at"}
    source = write_collection(
        {**collection_body("", {**TEXT, "description": HOSTILE}, CHOICE), "name": params["search"]}
    )
    page = browser.post(
        f"/workbench/workspaces/{workspace}/collections/new", data={"go": "check", "source": source}
    )
    assert page.status_code == 200
    assert HOSTILE not in page.text
    assert HOSTILE in html.unescape(page.text)
    assert "Page 1 of 1" in page.text
    assert 'value="0" data-value' in page.text  # the options can be seen
    assert expect(api.get(COLLECTIONS, params=params), 200)["results"] == []
    assert "script-src 'self'" in page.headers["content-security-policy"]


def test_what_a_change_does_to_answers(
    api: httpx.Client, browser: httpx.Client, server: Installation, tmp_path: Path
) -> None:
    answered = Answered(api)
    collection = answered.scenario.collection
    path = f"{COLLECTIONS}/{collection['id']}"
    body = file_of(expect(api.get(path), 200))
    assert expect(api.post(f"{path}/check", json=body), 200) == {"effects": [], "under_way": 1}
    text, choice, explained, weight, photo = body["collection_items"][0]["page_items"]
    changed = copy.deepcopy(body)
    changed["name"] = "Changed"
    changed["collection_items"][0]["page_items"] = [
        {**text, "description": "How is it?"},
        {**choice, "options": [{"label": "First", "value": "one"}, choice["options"][1]]},
        {**explained, "options": [explained["options"][0]], "answer_limit": 1},
        {**weight, "unit_options": [{"label": "Pounds", "value": "lb"}]},
        {"type": "free_text", "description": "A new one"},
    ]
    found = expect(api.post(f"{path}/check", json=changed), 200)
    assert found["under_way"] == 1
    said = [
        (each["kind"], each["question"], each["answers"], each.get("label"), each.get("becomes"))
        for each in found["effects"]
    ]
    assert said == [
        ("question_reworded", "How was it?", 3, None, "How is it?"),
        ("option_reworded", "Which?", 1, "One", "First"),
        ("option_removed", "Which?", 1, "Yes", None),
        ("option_removed", "And why?", 1, "B", None),
        ("option_removed", "How heavy?", 3, "Kilograms", None),
        ("question_removed", "A photo", 1, None, None),
    ]
    assert expect(api.get(path), 200)["name"] == "Test collection"  # nothing is changed
    file = tmp_path / "changed.json"
    file.write_text(json.dumps(changed))
    dry = server.run("collection", "update", collection["id"], "-t", str(file), "--dry-run")
    assert "“A photo” is asked no more" in dry.stdout
    assert "1 answer" in dry.stdout
    as_json = server.run("collection", "update", collection["id"], "-t", str(file), "--dry-run", "--json")
    assert json.loads(as_json.stdout) == found
    # the page asks before it saves, once
    source = write_collection(changed)
    given = {"go": "save", "source": source, "version": "1"}
    asked = browser.post(edit_path(collection), data=given)
    assert asked.status_code == 200
    assert "“Kilograms” of “How heavy?” can be chosen no more; 3 answers chose it." in words_of(asked)
    assert expect(api.get(path), 200)["name"] == "Test collection"
    seen = SEEN.search(asked.text)
    assert seen
    other = browser.post(edit_path(collection), data={**given, "source": source + "\n", "seen": seen[1]})
    assert other.status_code == 200  # of another text than the one that was seen
    saved = browser.post(edit_path(collection), data={**given, "seen": seen[1]})
    assert saved.status_code == 303
    assert expect(api.get(path), 200)["name"] == "Changed"
    assert photo["description"] not in source


def test_of_two_who_change_it_the_second_is_told_and_loses_nothing(
    api: httpx.Client, browser: httpx.Client
) -> None:
    collection = Scenario.create(api).collection
    first, second = (browser.get(edit_path(collection)) for _ in range(2))
    mine = source_of(first).replace("Test collection", "Mine")
    theirs = source_of(second).replace("Test collection", "Theirs")
    assert (
        browser.post(
            edit_path(collection), data={"go": "save", "source": theirs, "version": version_of(second)}
        ).status_code
        == 303
    )
    page = browser.post(
        edit_path(collection), data={"go": "save", "source": mine, "version": version_of(first)}
    )
    assert page.status_code == 409
    assert "Somebody else has changed this collection meanwhile" in page.text
    assert source_of(page) == mine
    assert theirs in html.unescape(page.text)
    assert expect(api.get(f"{COLLECTIONS}/{collection['id']}"), 200)["name"] == "Theirs"
    # knowing that, their writer may put it in its place
    given = {"go": "save", "source": mine, "version": version_of(page)}
    assert browser.post(edit_path(collection), data=given).status_code == 303
    assert expect(api.get(f"{COLLECTIONS}/{collection['id']}"), 200)["name"] == "Mine"


def test_the_api_overwrites_no_version_that_was_not_seen(api: httpx.Client) -> None:
    collection = Scenario.create(api).collection
    path = f"{COLLECTIONS}/{collection['id']}"
    got = api.get(path)
    assert got.headers["etag"] == '"1"'
    body = file_of(got.json())
    put = api.put(path, json=body, headers={"If-Match": got.headers["etag"]})
    assert (put.status_code, put.headers["etag"]) == (200, '"2"')
    refused(api.put(path, json=body, headers={"If-Match": got.headers["etag"]}), 412)
    for fine in ({"If-Match": "*"}, {"If-Match": '"2"'}):
        fresh = api.get(path).headers["etag"]
        expect(
            api.put(path, json=body, headers={**fine, **({"If-Match": fresh} if "2" in str(fine) else {})}),
            200,
        )
    expect(api.put(path, json=body), 200)  # as ever without one
    refused(api.put(path, json=body, headers={"If-Match": "x"}), 400, "If-Match")


def test_pictures_and_files_come_with_the_form(
    browser: httpx.Client, workspace: str, server: Installation
) -> None:
    path = f"/workbench/workspaces/{workspace}/collections/new"
    text = write_collection(collection_body("", TEXT))
    page = browser.post(path, data={"go": "picture", "source": text}, files={"file": ("a.png", PNG)})
    assert page.status_code == 200
    assert source_of(page) == text
    url = re.search(r'value="(/api/v1/pictures/[0-9a-f-]+)"', page.text)
    assert url
    assert httpx.get(server.url + url[1], trust_env=False).status_code == 200
    image = {"type": "image", "url": url[1], "alt_text": "A dot"}
    source = write_collection(collection_body("", TEXT, image))
    assert browser.post(path, data={"go": "save", "source": source}).status_code == 303
    missing = source.replace(url[1], url[1][:-12] + "000000000000")
    wrong = browser.post(path, data={"go": "save", "source": missing})
    assert wrong.status_code == 400
    assert "There is no picture" in wrong.text
    assert len(re.findall(r"data-line", wrong.text)) == 1
    refusal = browser.post(path, data={"go": "picture", "source": text}, files={"file": ("a.svg", b"<svg/>")})
    assert (refusal.status_code, source_of(refusal)) == (400, text)
    assert browser.post(path, data={"go": "picture", "source": text}).status_code == 400
    loaded = browser.post(path, data={"go": "load", "source": ""}, files={"file": ("a.yaml", text.encode())})
    assert (loaded.status_code, source_of(loaded)) == (200, text)
    assert "Page 1 of 1" in loaded.text
    assert (
        browser.post(path, data={"go": "load", "source": ""}, files={"file": ("a", b"\xff")}).status_code
        == 400
    )
    assert browser.post(path, data={"go": "burn", "source": ""}).status_code == 400


def test_the_command_prints_what_the_page_does(
    api: httpx.Client, server: Installation, browser: httpx.Client
) -> None:
    collection = Scenario.create(api, *(optional(each) for each in (TEXT, CHOICE, WEIGHT))).collection
    printed = server.run("collection", "get", collection["id"], "--yaml").stdout
    assert printed == source_of(browser.get(edit_path(collection)))
