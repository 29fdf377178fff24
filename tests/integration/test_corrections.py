"""Answers that researchers correct: every version stays, archives hold the latest, and an erasure takes them all."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from psycopg import sql

import fieldpack
from fieldpack.server.accounts.permissions.roles import Role
from fieldpack.server.storage import blob_key
from tests.files_there import iter_contents
from tests.gates import wait_for
from tests.installation import Installation
from tests.integration.rows import connected, insert_researcher
from tests.pictures import make_drawing, save
from tests.refusals import refused
from tests.scenario import PNG, Scenario, expect

TEXT = {"type": "free_text", "description": "How was it?"}
PHOTOS = {
    "type": "file_upload",
    "description": "Photos",
    "required": False,
    "max_file_size_mb": 1,
    "max_file_count": 3,
}
CHOICE = {
    "type": "multiple_choice",
    "description": "Which?",
    "required": False,
    "options": [{"label": "One", "value": 1}, {"label": "Yes", "value": True}, {"label": "1", "value": "1"}],
}
WEIGHT = {
    "type": "free_text_with_unit",
    "description": "How heavy?",
    "required": False,
    "unit_options": [{"label": "Kilograms", "value": "kg"}, {"label": "Grams", "value": "g"}],
    "validation": {"type": "number", "max": 500},
}
RICH = {"type": "rich_text", "content": "<p>Read this</p>"}


class Given:
    """A collection of every kind of question, and what is done to one response of it."""

    def __init__(self, api: httpx.Client) -> None:
        self.api = api
        self.scenario = Scenario.create(api, TEXT, PHOTOS, CHOICE, WEIGHT, RICH)
        page = self.scenario.collection["collection_items"][0]["page_items"]
        self.text, self.photos, self.choice, self.weight, self.rich = (item["id"] for item in page)

    def take_part(self, name: str, text: str = "Fine", files: list[tuple[str, bytes]] | None = None) -> str:
        return self.scenario.take_part(name, text, files)

    def correct(
        self, submission: str, question: str, answer: Any, reason: str = "Typed by phone.", **more: Any
    ) -> httpx.Response:
        body = {"instruction_id": question, "answer": answer, "reason": reason, **more}
        return self.api.post(f"/submissions/{submission}/corrections", json=body)

    def replace(
        self,
        submission: str,
        file_key: str,
        name: str,
        data: bytes,
        reason: str = "Blurred.",
        **more: str,
    ) -> httpx.Response:
        return self.api.post(
            f"/submissions/{submission}/corrections/files/{file_key}",
            data={"reason": reason, **more},
            files={"file": (name, data)},
        )

    def history(self, submission: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = expect(self.api.get(f"/submissions/{submission}/corrections"), 200)[
            "results"
        ]
        return found

    def shown(self, submission: str) -> dict[str, Any]:
        found: dict[str, Any] = expect(self.api.get(f"/submissions/{submission}/response"), 200)
        return found

    def file_keys(self, submission: str) -> list[str]:
        return [each["file_key"] for each in self.shown(submission)["responses"][self.photos]["value"]]


@pytest.fixture(scope="module")
def given(server: Installation) -> Iterator[Given]:
    with server.client() as client:
        yield Given(client)


def opened(archive: bytes) -> zipfile.ZipFile:
    found = zipfile.ZipFile(io.BytesIO(archive))
    assert found.testzip() is None
    return found


def lines_of(archive: bytes, member: str = "responses.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in opened(archive).read(member).splitlines()]


def test_a_correction_is_a_version(given: Given) -> None:
    participant = given.scenario.start(f"p-{uuid4()}")
    expect(participant.answer(given.text, {"value": "Fine"}), 200)
    participant.submit()
    submission = participant.submission_id
    assert given.shown(submission)["edited_at"] is None
    me = expect(given.api.get("/users/me"), 200)

    made = expect(given.correct(submission, given.text, {"value": "Fine, mostly"}, version=1), 201)
    assert (made["version"], made["reason"]) == (2, "Typed by phone.")
    assert made["author"]["id"] == me["id"]
    assert made["before"] == {"type": "free_text", "value": "Fine"}
    assert made["after"] == {"type": "free_text", "value": "Fine, mostly"}
    weight = expect(given.correct(submission, given.weight, {"value": "72,5", "unit": "kg"}, version=1), 201)
    assert weight["before"] is None
    assert weight["after"] == {"type": "free_text_with_unit", "value": "72.5", "unit": "kg"}
    cleared = expect(given.correct(submission, given.weight, None, version=2), 201)
    assert (cleared["version"], cleared["after"]) == (3, None)
    again = expect(given.correct(submission, given.choice, {"value": [True]}), 201)
    assert again["after"]["value"] == [True]
    expect(given.correct(submission, given.choice, {"value": [1]}), 201)  # which is not equal to true

    history = given.history(submission)
    assert [each["version"] for each in history] == [2, 2, 3, 2, 3]
    assert history[0] == made
    assert [each["created_at"] for each in history] == sorted(each["created_at"] for each in history)
    shown = given.shown(submission)
    assert set(shown["responses"]) == {given.text, given.choice}
    assert shown["responses"][given.text] == made["after"]
    assert shown["edited_at"] == history[-1]["created_at"]
    # what older clients read, and what the participant sees, is the same
    path = f"/data-collection/collections/{given.scenario.collection['id']}/responses"
    records = expect(given.api.get(path, params={"limit": 1000}), 200)["results"]
    mine = {
        each["response"]["instruction_id"]: each["response"]["answer"]
        for each in records
        if each["submission_id"] == submission
    }
    assert mine == {given.text: [{"value": "Fine, mostly"}], given.choice: [{"value": 1}]}
    seen = expect(given.api.get(participant.path, headers=participant.headers), 200)
    assert seen["answers"][given.text]["value"] == "Fine, mostly"
    # filters and full-text search go by what it is now
    path = f"/data-collection/collections/{given.scenario.collection['id']}/submissions"
    found = expect(given.api.get(path, params={"search": "mostly"}), 200)["results"]
    assert [each["submission_id"] for each in found] == [submission]


def test_the_rules_are_those_of_the_participant(given: Given) -> None:
    submission = given.take_part(f"p-{uuid4()}")
    wrong: list[tuple[str, Any, str]] = [
        (given.text, None, "answer"),  # it is required
        (given.text, {"value": "  "}, "answer"),
        (given.text, {"value": 5}, "answer.value"),
        (given.text, {"text": "x"}, "answer"),
        (given.choice, {"value": ["two"]}, "answer.value.0"),
        (given.choice, {"value": [1, True]}, "answer.value"),
        (given.weight, {"value": "501", "unit": "kg"}, "answer"),
        (given.weight, {"value": "many", "unit": "kg"}, "answer"),
        (given.weight, {"value": "1,234", "unit": "kg"}, "answer"),
        (given.weight, {"value": "1", "unit": "t"}, "answer.unit"),
        (given.photos, {"value": []}, "answer"),
    ]
    for question, answer, name in wrong:
        refused(given.correct(submission, question, answer), 400, name)
    refused(given.correct(submission, given.text, {"value": "x" * 1_000_001}), 400, "answer.value")
    refused(given.correct(submission, given.text, {"value": "x"}, reason="\t "), 400, "reason")
    for question in (given.rich, str(uuid4())):
        refused(given.correct(submission, question, {"value": "x"}), 404)
    refused(given.correct(submission, given.text, {"value": "Fine"}), 409)  # it is that already
    assert given.history(submission) == []
    assert given.shown(submission)["edited_at"] is None


def test_only_what_was_handed_in_is_corrected(given: Given) -> None:
    under_way = given.scenario.start(f"p-{uuid4()}")
    refused(given.correct(under_way.submission_id, given.text, {"value": "x"}), 409)
    submission = given.take_part(f"p-{uuid4()}")
    expect(given.api.post(f"/submissions/{submission}/transition", json={"action": "RETURN"}), 200)
    refused(given.correct(submission, given.text, {"value": "x"}), 409)
    refused(given.correct(str(uuid4()), given.text, {"value": "x"}), 404)


def test_nobody_overwrites_what_they_have_not_seen(given: Given) -> None:
    submission = given.take_part(f"p-{uuid4()}")
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(
                lambda number: given.correct(submission, given.text, {"value": f"text {number}"}, version=1),
                range(4),
            )
        )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    refusal = next(answer for answer in answers if answer.status_code == 409)
    assert "meanwhile" in refused(refusal, 409)
    assert len(given.history(submission)) == 1


def test_complete_exports_keep_their_bytes(given: Given, server: Installation) -> None:
    scenario = given.scenario
    other = given.take_part(f"p-{uuid4()}", "Untouched")
    old = save(make_drawing(), "PNG") + f"old {uuid4()}".encode()
    submission = given.take_part(f"p-{uuid4()}", "Fine", [("a.png", old), ("A.png", PNG)])
    before = scenario.export()
    archive = scenario.download(before)
    assert scenario.export()["export_id"] == before["export_id"]
    # notes are in no export
    expect(given.api.post(f"/submissions/{submission}/notes", json={"text": "x"}), 201)
    assert scenario.export()["export_id"] == before["export_id"]

    expect(given.correct(submission, given.text, {"value": "Corrected"}), 201)
    first, second = given.file_keys(submission)
    new = save(make_drawing(), "PNG") + f"new {uuid4()}".encode()
    made = expect(given.replace(submission, first, "a.png", new, version="1"), 201)
    assert scenario.download(before) == archive

    after = scenario.export()
    assert after["export_id"] != before["export_id"]
    assert (after["submission_count"], after["file_count"]) == (
        before["submission_count"],
        before["file_count"],
    )
    latest = scenario.download(after)
    was = {line["submission_id"]: line for line in lines_of(archive)}
    now = {line["submission_id"]: line for line in lines_of(latest)}
    assert was[other] == now[other]
    assert "edited_at" not in was[submission]
    line = now[submission]
    assert list(line)[5:8] == ["completed_at", "edited_at", "responses"]
    assert line["edited_at"] == made["created_at"]
    assert line["responses"][given.text]["value"] == "Corrected"
    entries = line["responses"][given.photos]["value"]
    assert [entry["path"] for entry in entries] == [
        f"files/{submission}_a.png",
        f"files/{submission}_A-2.png",
    ]
    members = opened(latest)
    assert "history.jsonl" not in members.namelist()
    assert members.read(entries[0]["path"]) == new
    assert members.read(entries[1]["path"]) == PNG
    assert opened(archive).read(f"files/{submission}_a.png") == old
    # the earlier file stays, and can be looked at
    path = f"/data-collection/collections/{scenario.collection['id']}/files"
    assert made["before"]["value"][0]["file_key"] == first
    assert given.api.get(f"{path}/{first}").content == old
    assert given.file_keys(submission) == [each["file_key"] for each in made["after"]["value"]]
    assert given.api.get(f"{path}/{made['after']['value'][0]['file_key']}").content == new
    assert given.file_keys(submission)[1] == second
    # and the archive that was complete is whole for as long as it lives
    assert scenario.download(before) == archive
    expect(given.api.delete(f"{scenario.export_path}/{before['export_id']}"), 204)
    assert given.api.get(f"{path}/{first}").content == old


def test_history_on_request(given: Given, tmp_path: Path) -> None:
    scenario = given.scenario
    submission = given.take_part(f"p-{uuid4()}", "First\nline", [("a.png", PNG)])
    reason = 'Told\u2028by "phone"\n<script>alert(1)</script>'
    one = expect(given.correct(submission, given.text, {"value": "Second"}, reason), 201)
    (key,) = given.file_keys(submission)
    two = expect(given.replace(submission, key, "b.png", PNG + b"b"), 201)
    plain = scenario.export()
    export = scenario.export(history="true")
    assert export["export_id"] != plain["export_id"]
    assert (export["history"], "history" in plain) == (True, False)
    body = json.dumps({"history": True})
    assert expect(given.api.post(scenario.export_path, content=body), 200)["export_id"] == export["export_id"]
    assert scenario.export()["export_id"] == plain["export_id"]
    listed = {each["export_id"]: each for each in expect(given.api.get(scenario.export_path), 200)}
    assert listed[export["export_id"]]["history"] is True
    refused(given.api.post(scenario.export_path, params={"history": "perhaps"}), 400, "history")
    refused(given.api.post(scenario.export_path, content=b'{"history": "yes"}'), 400, "history")

    path = tmp_path / "archive.zip"
    path.write_bytes(scenario.download(export))
    members = opened(path.read_bytes())
    assert members.namelist()[:4] == ["responses.jsonl", "collection.json", "README.md", "history.jsonl"]
    assert b"history.jsonl" in members.read("README.md")
    lines = lines_of(path.read_bytes(), "history.jsonl")
    described = json.loads(members.read("collection.json"))["export"]
    assert described["correction_count"] == len(lines) >= 2
    mine = [line for line in lines if line["submission_id"] == submission]
    participant = given.shown(submission)["participant_id"]
    for line, made in zip(mine, (one, two), strict=True):
        assert line == {
            "submission_id": submission,
            "participant_id": participant,
            "instruction_id": made["instruction_id"],
            "version": 2,
            "edited_at": made["created_at"],
            "edited_by": made["author"],
            "reason": made["reason"],
            "before": without_keys(made["before"]),
            "after": without_keys(made["after"]),
        }
    # the reader knows the member, and what is in it
    with fieldpack.open_export(path) as opened_export:
        report = opened_export.verify()
        assert report.findings == []
        opened_export.extract(tmp_path / "out")
        assert "edited_at" in opened_export.to_pandas().columns
    assert (tmp_path / "out" / "history.jsonl").read_bytes() == members.read("history.jsonl")


def without_keys(response: dict[str, Any]) -> dict[str, Any]:
    if response["type"] != "file_upload":
        return response
    value = [
        {name: each for name, each in entry.items() if name != "file_key"} for entry in response["value"]
    ]
    return {**response, "value": value}


def test_files_are_replaced_by_the_rules_of_their_question(given: Given, server: Installation) -> None:
    submission = given.take_part(f"p-{uuid4()}", files=[("a.png", PNG)])
    other = given.take_part(f"p-{uuid4()}", files=[("a.png", PNG)])
    (key,) = given.file_keys(submission)
    with connected(server) as database:
        query = "SELECT count(*) FROM blobs"
        kept = database.execute(query).fetchone()
        refused(given.replace(submission, key, "a.txt", b"text"), 415)
        refused(given.replace(submission, key, "a.png", b"no picture at all"), 415)
        refused(given.replace(submission, key, "a.png", b""), 415)
        refused(given.replace(submission, key, "a.png", PNG + bytes(1 << 20)), 413)
        refused(given.replace(submission, key, "a.png", PNG + bytes(8 << 20)), 413)
        refused(given.replace(submission, key, "a.png", PNG, reason=" "), 400, "reason")
        refused(given.replace(submission, key, "a.png", PNG, version="x"), 400, "version")
        refused(given.replace(submission, key, "a.png", PNG, version="2"), 409)
        refused(given.replace(other, key, "a.png", PNG), 404)
        refused(given.replace(submission, str(uuid4()), "a.png", PNG), 404)
        assert database.execute(query).fetchone() == kept
    made = expect(given.replace(submission, key, "../b\u202e.png", PNG + b"b"), 201)
    (entry,) = made["after"]["value"]
    assert (entry["file_name"], entry["path"]) == ("../b\u202e.png", f"files/{submission}_b.png")
    assert "replaced" in refused(given.replace(submission, key, "c.png", PNG), 409)
    # a small picture is made of it, as of any file
    path = f"/data-collection/collections/{given.scenario.collection['id']}/files"
    assert given.api.get(f"{path}/{entry['file_key']}").content == PNG + b"b"


def test_an_erasure_takes_every_version(given: Given, server: Installation) -> None:
    scenario = given.scenario
    names = ("person", "first", "second", "reason", "old name", "new name")
    traces = {name: f"{name}-{uuid4()}" for name in names}
    old, new = (f"{kind}-{uuid4()}".encode() for kind in ("old", "new"))
    person = traces["person"]
    photo = save(make_drawing(), "PNG")
    submission = given.take_part(person, traces["first"], [(f"{traces['old name']}.png", photo + old)])
    # which held it when it was made, by an answer that is another now
    by_answer = {"filter": {"where": f"{given.text}:contains:first-"}}
    made = given.api.post(scenario.export_path, json=by_answer, headers={"Prefer": "wait=60"}).json()
    wait_for(lambda: status_of(given, made) == "complete")
    expect(given.correct(submission, given.text, {"value": traces["second"]}, traces["reason"]), 201)
    (key,) = given.file_keys(submission)
    expect(given.replace(submission, key, f"{traces['new name']}.png", photo + new, traces["reason"]), 201)
    blobs = blobs_of(server, submission)
    assert len(blobs) == 2
    wait_for(lambda: count_thumbnails(server, blobs) == 2)
    exports = [made, scenario.export(), scenario.export(history="true")]
    assert set(find_on_disk(server, old, new)) == {blob_key(blob) for blob in blobs}

    expect(given.api.delete(f"/submissions/{submission}"), 204)
    for export in exports:
        assert status_of(given, export) == "failed"
    wait_for(lambda: not find_on_disk(server, old, new, *(text.encode() for text in traces.values())))
    for blob in blobs:
        assert not list((server.data_dir / "storage").glob(f"thumbnails/*/{blob}-*"))
    refused(given.api.get(f"/submissions/{submission}/corrections"), 404)
    refused(given.correct(submission, given.text, {"value": "x"}), 404)
    refused(given.replace(submission, key, "x.png", PNG), 404)
    path = f"/data-collection/collections/{scenario.collection['id']}/files"
    refused(given.api.get(f"{path}/{key}"), 404)
    with connected(server) as database:
        tables = database.execute(
            "SELECT table_name FROM information_schema.tables"
            " WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        ).fetchall()
        assert ("corrections",) in tables
        for (table,) in tables:
            query = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table))
            for (row,) in database.execute(query).fetchall():
                for trace in traces.values():
                    assert trace not in row, (table, row)
        left = database.execute(
            "SELECT count(*) FROM corrections WHERE submission_id = %s", [submission]
        ).fetchone()
        assert left == (0,)
        place = database.execute(
            "SELECT upload_bytes FROM submissions WHERE id = %s", [submission]
        ).fetchone()
        assert place == (0,)


def test_erasing_while_a_file_comes(given: Given, server: Installation) -> None:
    """Whichever is first: nothing of the new file is left."""
    submission = given.take_part(f"p-{uuid4()}", files=[("a.png", PNG)])
    (key,) = given.file_keys(submission)
    markers = [f"racing-{uuid4()}".encode() for _ in range(4)]
    with ThreadPoolExecutor(5) as pool, server.client() as other:
        coming = [pool.submit(given.replace, submission, key, "new.png", PNG + marker) for marker in markers]
        erasing = pool.submit(other.delete, f"/submissions/{submission}")
        expect(erasing.result(), 204)
        for each in coming:
            assert each.result().status_code in (201, 404, 409), each.result().text
    wait_for(lambda: not find_on_disk(server, *markers))


def status_of(given: Given, export: dict[str, Any]) -> str:
    path = f"{given.scenario.export_path}/{export['export_id']}"
    found: str = expect(given.api.get(path), 200)["status"]
    return found


def blobs_of(server: Installation, submission: str) -> list[str]:
    with connected(server) as database:
        rows = database.execute(
            "SELECT blob_id::text FROM uploads WHERE submission_id = %s", [submission]
        ).fetchall()
    return [row[0] for row in rows]


def count_thumbnails(server: Installation, blobs: list[str]) -> int:
    with connected(server) as database:
        row = database.execute(
            "SELECT count(*) FROM thumbnails WHERE state = 'made' AND blob_id = ANY(%s::uuid[])", [blobs]
        ).fetchone()
    assert row is not None
    return int(row[0])


def find_on_disk(server: Installation, *markers: bytes) -> list[str]:
    """Files of storage and of work under way that hold any of these bytes."""
    return [
        str(path.relative_to(server.data_dir / name))
        for name in ("storage", "tmp")
        for path, data in iter_contents(server.data_dir / name)
        if any(marker in data for marker in markers)
    ]


def test_it_is_in_the_log_of_changes_and_no_webhook_tells(given: Given, server: Installation) -> None:
    submission = given.take_part(f"p-{uuid4()}")
    expect(given.correct(submission, given.text, {"value": "Other"}), 201)
    with connected(server) as database:
        rows = database.execute(
            "SELECT type, detail FROM changes WHERE object_id = %s ORDER BY id", [submission]
        ).fetchall()
        named = database.execute("SELECT name_hook_event('submission.corrected', '{}')").fetchone()
    assert [kind for kind, _ in rows] == ["submission.status", "submission.status", "submission.corrected"]
    assert set(rows[-1][1]) == {"status", "response", "test"}
    assert named == (None,)


def test_an_archive_with_history_moves_in(given: Given, server: Installation, tmp_path: Path) -> None:
    """Corrected lines are the same afterwards, and can be corrected again; what they were stays behind."""
    scenario = given.scenario
    submission = given.take_part(f"p-{uuid4()}", files=[("a.png", PNG)])
    expect(given.correct(submission, given.text, {"value": "Corrected"}), 201)
    archive = scenario.download(scenario.export(history="true", study_id=scenario.study["id"]))
    (tmp_path / "archive.zip").write_bytes(archive)
    workspace = expect(given.api.post("/workspaces", json={"title": "Moved"}), 201)["id"]
    done = json.loads(
        server.run(
            "import", str(tmp_path / "archive.zip"), "--workspace", workspace, "--json", "--map",
            str(tmp_path / "ids.csv"),
        ).stdout
    )  # fmt: skip
    assert any("history.jsonl" in note for note in done["notes"]), done["notes"]
    moved = Scenario(given.api, {"id": done["collection_id"]}, {})
    back = lines_of(moved.download())
    was = lines_of(archive)
    assert [line.get("edited_at") for line in back] == [line.get("edited_at") for line in was]
    assert [list(line) for line in back] == [list(line) for line in was]
    line = next(each for each in back if "edited_at" in each)
    found = expect(given.api.get(f"/submissions/{line['submission_id']}/response"), 200)
    assert found["edited_at"] == line["edited_at"]
    question = next(key for key, each in line["responses"].items() if each["type"] == "free_text")
    expect(given.correct(line["submission_id"], question, {"value": "Once more"}), 201)
    (again,) = [each for each in lines_of(moved.download()) if each["submission_id"] == line["submission_id"]]
    assert again["responses"][question]["value"] == "Once more"
    assert again["edited_at"] > line["edited_at"]


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


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


def test_the_page_corrects_and_shows_what_was(
    given: Given, browser: httpx.Client, server: Installation
) -> None:
    submission = given.take_part(f"p-{uuid4()}", "It was fin", [("a.png", PNG)])
    page = f"/workbench/submissions/{submission}"
    path = f"{page}/corrections"
    view = "?state=AWAITING+REVIEW"
    form = {"question": given.text, "version": "1", f"a.{given.text}": "It was fine", "reason": HOSTILE}
    assert f'action="{path}{view}"' in browser.get(page + view).text
    refusal = browser.post(path, data={**form, "reason": " "})
    assert (refusal.status_code, "Say why" in refusal.text) == (400, True)
    assert "It was fine" in refusal.text  # what was typed is still there
    empty = browser.post(path, data={**form, f"a.{given.text}": ""})
    assert (empty.status_code, "An answer is required." in empty.text) == (400, True)
    done = browser.post(path + view, data=form)
    assert done.headers["location"] == f"{page}{view}#answer-{given.text}"
    shown = browser.get(page).text
    assert "<script>alert" not in shown
    assert "&lt;script&gt;alert(1)" in shown
    assert re.search(r"It was <del>.*fin</del><ins>.*fine</ins>", shown)
    stale = browser.post(path, data={**form, f"a.{given.text}": "It was not"})
    assert stale.status_code == 409
    assert "meanwhile" in stale.text
    assert "It was not" in stale.text
    assert 'name="version" value="2"' in stale.text  # so that it can be sent again, once it was looked at
    for question, fields in (
        (given.choice, {f"a.{given.choice}": "1"}),
        (given.weight, {f"a.{given.weight}": "7", f"u.{given.weight}": "1"}),
    ):
        more = {"question": question, "version": "1", "reason": "x"}
        assert browser.post(path, data={**more, **fields}).status_code == 303
    responses = given.shown(submission)["responses"]
    assert responses[given.choice]["value"] == [True]
    assert (responses[given.weight]["value"], responses[given.weight]["unit"]) == ("7", "g")
    cleared = {"question": given.choice, "version": "2", "reason": "x", "go": "clear"}
    assert browser.post(path, data=cleared).status_code == 303
    assert given.choice not in given.shown(submission)["responses"]

    (key,) = given.file_keys(submission)
    wrong = browser.post(
        f"{path}/files/{key}", data={"reason": "Blurred", "version": "1"}, files={"file": ("a.txt", b"x")}
    )
    assert (wrong.status_code, 'value="Blurred"' in wrong.text) == (415, True)
    new = {"file": (f"{HOSTILE[:30]}.png", PNG + b"new")}
    sent = browser.post(f"{path}/files/{key}", data={"reason": "Blurred", "version": "1"}, files=new)
    assert sent.status_code == 303
    shown = browser.get(page).text
    assert "<script>alert" not in shown
    collection = given.scenario.collection["id"]
    assert f'href="/workbench/collections/{collection}/files/{key}"' in shown  # what it was
    assert browser.get(f"/workbench/collections/{collection}/files/{key}").content == PNG
    # from another site, nothing
    foreign = browser.post(path, data=form, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403


def test_who_may_not_correct_is_offered_nothing(given: Given, server: Installation) -> None:
    submission = given.take_part(f"p-{uuid4()}", files=[("a.png", PNG)])
    _, token = insert_researcher(
        server, role=Role.REVIEWER, workspace_id=given.scenario.collection["workspace_id"]
    )
    headers = {"Accept": "text/html", "Origin": server.url}
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60, headers=headers) as reviewer:
        assert reviewer.post("/sign-in", data={"token": token}).status_code == 303
        page = reviewer.get(f"/workbench/submissions/{submission}")
        assert page.status_code == 200
        assert "/corrections" not in page.text
    with server.client(token) as api:
        other = Given.__new__(Given)
        other.api = api
        refused(other.correct(submission, given.text, {"value": "x"}), 403)
        refused(other.replace(submission, given.file_keys(submission)[0], "a.png", PNG), 403)
        assert expect(api.get(f"/submissions/{submission}/corrections"), 200)["results"] == []


def test_from_the_command_line(given: Given, server: Installation, tmp_path: Path) -> None:
    submission = given.take_part(f"p-{uuid4()}", files=[("a.png", PNG)])

    def correct(*arguments: str) -> Any:
        done = server.run(
            "submission",
            "correct",
            submission,
            *arguments,
            "-r",
            "By phone.",
            "--json",
            PROLIFIC_URL=server.url,
        )
        return json.loads(done.stdout)

    assert correct("-q", given.text, "--value", "Better")["after"]["value"] == "Better"
    weighed = correct("-q", given.weight, "--value", "7", "--unit", "g", "--version", "1")
    assert weighed["after"] == {"type": "free_text_with_unit", "value": "7", "unit": "g"}
    assert correct("-q", given.choice, "--value", "true")["after"]["value"] == [True]
    assert correct("-q", given.choice, "--answer", '{"value": ["1"]}')["after"]["value"] == ["1"]
    assert correct("-q", given.choice, "--clear")["after"] is None
    (tmp_path / "new.png").write_bytes(PNG + b"new")
    (key,) = given.file_keys(submission)
    replaced = correct("--file", str(tmp_path / "new.png"), "--file-key", key)
    assert replaced["after"]["value"][0]["file_name"] == "new.png"
    listed = ("submission", "corrections", submission)
    assert server.run(*listed, PROLIFIC_URL=server.url).stdout.count("By phone.") == 6
    said = server.run(
        *listed, "--csv", "--fields", "before,after", PROLIFIC_URL=server.url
    ).stdout.splitlines()
    assert said[:2] == ["before,after", "Fine,Better"]
    refusal = server.run(
        "submission", "correct", submission, "-q", given.text, "--clear", "-r", "x", check=False,
        PROLIFIC_URL=server.url,
    )  # fmt: skip
    assert refusal.returncode == 1
    assert "required" in refusal.stderr
    both = server.run(
        "submission",
        "correct",
        submission,
        "-q",
        given.text,
        "--clear",
        "--value",
        "x",
        "-r",
        "x",
        check=False,
    )
    assert both.returncode == 2
    assert "one of" in both.stderr
