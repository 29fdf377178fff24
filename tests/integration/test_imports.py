"""Archives are moved in: exactly, once, as a whole or not at all."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import random
import re
import shutil
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
import pytest

from tests.forked import Done, run_program
from tests.gates import wait_for
from tests.installation import Installation
from tests.integration.rows import connected
from tests.lengths import length
from tests.scenario import PNG, Scenario, expect
from tests.unit.archives import make_members, make_zip, write_folder, write_zip
from tests.unit.test_moving_in import DOUBLED

KILLS = length(3, 10)
KILLED_SUBMISSIONS = length(1200, 12_000)
COLLECTIONS = "/data-collection/collections"
_UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

TEXT = {"type": "free_text", "description": "How was it?", "required": False}
CHOICE = {
    "type": "multiple_choice",
    "description": "Which?",
    "required": False,
    "answer_limit": 2,
    "options": [
        {"label": "One", "value": 1},
        {"label": "Text one", "value": "1"},
        {"label": "Yes", "value": True},
    ],
}
REASON = {
    "type": "multiple_choice_with_free_text",
    "description": "Why?",
    "required": False,
    "options": [{"label": "A", "value": "a", "heading": "Say more"}],
}
UNIT = {
    "type": "free_text_with_unit",
    "description": "How heavy?",
    "required": False,
    "unit_options": [{"label": "kg", "value": "kg"}, {"label": "lb", "value": "lb"}],
    "default_unit": "kg",
}
UPLOAD = {"type": "file_upload", "description": "A photo", "required": False, "accepted_file_types": [".png"]}


def members_of(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def move_elsewhere(members: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same archive as another server would have made it: every id is another, the same one wherever it stands."""
    ids: dict[bytes, bytes] = {}

    def other(found: re.Match[bytes]) -> bytes:
        # the order of ids stays, for lines of one time are ordered by them
        return ids.setdefault(found[0], found[0][:8] + str(uuid4()).encode()[8:])

    heads = ("responses.jsonl", "collection.json", "README.md")
    moved = {name: _UUID.sub(other, members[name]) for name in heads}
    for name, content in members.items():
        if name not in heads:
            moved[_UUID.sub(other, name.encode()).decode()] = content
    return moved


def make_simple(submissions: int, *, every: int = 3, **changes: Any) -> dict[str, bytes]:
    """An archive of another server: a text each, and a file for each third; with ids that nothing here has."""
    text, upload = str(uuid4()), str(uuid4())
    study = str(uuid4())
    made = [
        {
            "submission_id": str(uuid4()),
            "study_id": study,
            "answers": {text: {"value": f"Answer {number}"}},
            "uploads": {upload: [(f"photo {number}.png", "image/png", PNG + str(number).encode())]}
            if number % every == 0
            else {},
        }
        for number in range(submissions)
    ]
    instructions = [
        {
            "id": text,
            "type": "free_text",
            "description": "How was it?",
            "page": 0,
            "order": 0,
            "required": True,
        },
        {
            "id": upload,
            "type": "file_upload",
            "description": "A photo",
            "page": 0,
            "order": 1,
            "required": False,
        },
    ]
    members = make_members(instructions, made, name=changes.get("name", "From elsewhere"))
    collection = orjson.loads(members["collection.json"])
    collection["id"] = str(uuid4())
    members["collection.json"] = orjson.dumps(collection)
    return members


def export_of(api: httpx.Client, collection_id: str) -> dict[str, bytes]:
    """The members of the archive that this server makes of a collection."""
    scenario = Scenario(api, {"id": collection_id}, {})
    return members_of(scenario.download())


def content_of(members: Mapping[str, bytes]) -> dict[str, bytes]:
    """What must be equal: the answers and the files."""
    return {name: data for name, data in members.items() if name not in ("collection.json", "README.md")}


def make_workspace(api: httpx.Client) -> str:
    return str(expect(api.post("/workspaces", json={"title": "Imports"}), 201)["id"])


@pytest.fixture
def workspace(api: httpx.Client) -> str:
    """A workspace of the test's own."""
    return make_workspace(api)


@pytest.fixture
def run(server: Installation, workspace: str, tmp_path: Path) -> Callable[..., Done]:
    def call(source: Path, *options: str, code: int = 0, **more: Any) -> Done:
        done = run_program(
            ["import", source, "--workspace", workspace, "--map", tmp_path / "ids.csv", *options],
            {"FIELDPACK_DATA_DIR": str(server.data_dir)},
            **more,
        )
        assert done.code == code, (done.code, done.stdout, done.stderr)
        return done

    return call


@pytest.fixture
def move_in(run: Callable[..., Done]) -> Callable[..., dict[str, Any]]:
    def call(source: Path, *options: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run(source, "--json", *options).stdout)
        return found

    return call


def list_collections(api: httpx.Client, workspace: str) -> list[str]:
    listed = expect(api.get(COLLECTIONS, params={"workspace_id": workspace}), 200)
    return [each["id"] for each in listed["results"]]


def test_what_was_deleted_does_not_come_back(
    api: httpx.Client, tmp_path: Path, run: Callable[..., Done], move_in: Callable[..., dict[str, Any]]
) -> None:
    members = make_simple(2)
    archive = write_zip(tmp_path / "archive.zip", members)
    done = move_in(archive)
    path = f"{COLLECTIONS}/{done['collection_id']}"
    for line in members["responses.jsonl"].splitlines():
        expect(api.delete(f"/submissions/{orjson.loads(line)['submission_id']}"), 204)
    expect(api.delete(path, params={"name": expect(api.get(path), 200)["name"]}), 204)
    assert "was deleted since" in run(archive, code=1).stderr


def answer_everything(scenario: Scenario) -> None:
    """Three submissions, with every kind of answer, and a review."""
    one = scenario.start("one")
    for number, value in enumerate(
        [
            {"value": "Line\u2028sep \u00e9 \U0001f600 =1+1"},
            {"value": [1, True]},
            {"value": [{"value": "a", "explanation": "because\nof it"}]},
            {"value": "72.50", "unit": "lb"},
        ]
    ):
        expect(one.answer(one.item(number), value), 200)
    for name in ("photo.png", "PHOTO.png", "../CON.png", "b\u00e9.png"):
        one.upload(one.item(4), name, PNG + name.encode())
    one.submit()
    two = scenario.start("two")
    expect(two.answer(two.item(0), {"value": "Only this"}), 200)
    two.submit()
    scenario.start("never handed in")
    approve = scenario.api.post(f"/submissions/{two.submission_id}/transition", json={"action": "APPROVE"})
    expect(approve, 200)


def edit_collection(scenario: Scenario) -> None:
    """A question is retired, an option reworded, another gone."""
    path = f"{COLLECTIONS}/{scenario.collection['id']}"
    body = expect(scenario.api.get(path), 200)
    items = body["collection_items"][0]["page_items"]
    items[1]["options"] = [{"label": "The first", "value": 1}, {"label": "Yes", "value": True}]
    del items[2]
    expect(scenario.api.put(path, json=body), 200)


def test_a_round_trip_is_exact(
    api: httpx.Client,
    server: Installation,
    workspace: str,
    tmp_path: Path,
    move_in: Callable[..., dict[str, Any]],
) -> None:
    scenario = Scenario.create(api, TEXT, CHOICE, REASON, UNIT, UPLOAD)
    answer_everything(scenario)
    edit_collection(scenario)
    three = scenario.start("three")
    expect(three.answer(three.item(1), {"value": [1]}), 200)
    three.submit()
    source = move_elsewhere(members_of(scenario.download()))
    archive = write_zip(tmp_path / "archive.zip", source)
    would = move_in(archive, "--dry-run")
    assert (would["dry_run"], would["submissions"], would["files"], would["renamed"]) == (True, 3, 4, {})
    assert list_collections(api, workspace) == []

    done = move_in(archive)
    asked = orjson.loads(source["collection.json"])
    assert done["collection_id"] == asked["id"] == would["collection_id"]
    assert (done["submissions"], done["files"], done["renamed"], done["notes"]) == (3, 4, {}, [])
    back = export_of(api, done["collection_id"])
    assert content_of(back) == content_of(source)
    study = expect(api.get(f"/studies/{done['study_ids'][0]}"), 200)
    assert (study["status"], study["maximum_allowed_time"]) == ("COMPLETED", 24 * 60)
    described = orjson.loads(back["collection.json"])
    for name in ("name", "created_at", "task_details", "instructions", "description"):
        assert described[name] == asked[name], name

    again = move_in(archive)
    assert (again["was_there"], again["collection_id"]) == (True, done["collection_id"])
    assert list_collections(api, workspace) == [done["collection_id"]]
    with connected(server) as database:
        place = database.execute(
            "SELECT workspace_id::text FROM collection_activity WHERE collection_id = %s",
            [done["collection_id"]],
        ).fetchone()
    assert place == (workspace,)
    lines = [orjson.loads(line) for line in source["responses.jsonl"].splitlines()]
    shown = expect(api.get(f"/submissions/{lines[0]['submission_id']}"), 200)
    assert (shown["imported"], shown["status"]) == (True, "AWAITING REVIEW")
    [study] = done["study_ids"]
    study_shown = expect(api.get(f"/studies/{study}"), 200)
    assert (study_shown["status"], study_shown["places_taken"]) == ("COMPLETED", 3)
    listed = expect(api.get(f"{COLLECTIONS}/{done['collection_id']}/submissions"), 200)["results"]
    assert [each["imported"] for each in listed] == [True] * 3
    answers = expect(api.get(f"{COLLECTIONS}/{done['collection_id']}/responses"), 200)
    assert answers["meta"]["count"] == 7


def test_the_same_from_a_folder_and_from_a_server_that_stores(
    api: httpx.Client, tmp_path: Path, move_in: Callable[..., dict[str, Any]]
) -> None:
    """What was exported again, or unpacked, is the same archive: nothing new comes of it."""
    members = make_simple(5)
    first = move_in(write_folder(tmp_path / "folder", members))
    collection = orjson.loads(members["collection.json"])
    collection["export"] = {**collection["export"], "id": str(uuid4()), "created_at": "2026-05-01T00:00:00Z"}
    exported_again = {**members, "collection.json": orjson.dumps(collection, option=orjson.OPT_INDENT_2)}
    assert move_in(write_zip(tmp_path / "again.zip", exported_again))["was_there"]
    assert content_of(export_of(api, first["collection_id"])) == content_of(members)


def test_ids_that_are_taken_are_made_anew_and_listed(
    api: httpx.Client, tmp_path: Path, move_in: Callable[..., dict[str, Any]]
) -> None:
    scenario = Scenario.create(api, TEXT, UPLOAD)
    first = scenario.take_part("one", "Fine", [("photo.png", PNG)])
    scenario.take_part("two", "Well")
    source = members_of(scenario.download())
    done = move_in(write_zip(tmp_path / "archive.zip", source))
    assert done["renamed"] == {"collection": 1, "instruction": 2, "study": 1, "submission": 2}
    back = export_of(api, done["collection_id"])
    with (tmp_path / "ids.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    ids = {row["old_id"]: row["new_id"] for row in rows}
    assert ids[first] in back["responses.jsonl"].decode()
    assert len(rows) == 6
    told = content_of(source)
    for old, new in ids.items():
        told = {
            name.replace(old, new): data.replace(old.encode(), new.encode())
            if name == "responses.jsonl"
            else data
            for name, data in told.items()
        }
    by_id = {orjson.loads(line)["submission_id"]: line for line in told.pop("responses.jsonl").splitlines()}
    found = {
        line_id: line
        for line in back["responses.jsonl"].splitlines()
        for line_id in [orjson.loads(line)["submission_id"]]
    }
    assert found == by_id
    assert {name: data for name, data in content_of(back).items() if name != "responses.jsonl"} == told
    as_json = tmp_path / "ids.json"
    move_in(tmp_path / "archive.zip", "--map", str(as_json))
    assert {row["old_id"]: row["new_id"] for row in json.loads(as_json.read_text())} == ids
    expect(api.delete(f"/submissions/{ids[first]}"), 204)
    move_in(tmp_path / "archive.zip", "--map", str(as_json))
    assert first not in as_json.read_text()


@pytest.mark.parametrize("make", ["missing/ids.csv", "folder.csv", "file/ids.json"])
def test_a_map_that_can_not_be_written_is_said_before_anything_is_imported(
    make: str, api: httpx.Client, workspace: str, tmp_path: Path, run: Callable[..., Done]
) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").touch()
    archive = write_zip(tmp_path / "archive.zip", make_simple(2))
    before = sorted(tmp_path.rglob("*"))
    refused = run(archive, "--map", str(tmp_path / make), code=2)
    assert "Nothing was imported." in refused.stderr
    assert sorted(tmp_path.rglob("*")) == before
    assert list_collections(api, workspace) == []


def test_a_map_that_can_not_be_written_any_more_is_written_by_the_same_command(
    server: Installation, workspace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the last step is missing, and the message says so."""
    from fieldpack.errors import FieldpackError
    from fieldpack.export import open_export
    from fieldpack.server.config import load_settings
    from fieldpack.server.run import importing

    path = tmp_path / "ids.csv"
    members = make_simple(2)
    set_in_second(submission_id="another form")(members)
    source = write_zip(tmp_path / "archive.zip", members)

    def call() -> Any:
        with open_export(source) as archive:
            settings = load_settings(data_dir=server.data_dir)
            return importing.import_archive(
                settings, archive, UUID(workspace), None, lambda *_: None, map_file=path
            )

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(importing, "_write_map", fail)
        with pytest.raises(FieldpackError, match=r"is imported.*no space left.*same command"):
            call()
    done, written = call()
    assert (done.was_there, written) == (True, path)
    assert "another form" in path.read_text()


def test_the_hosted_services_dialect(
    api: httpx.Client, tmp_path: Path, move_in: Callable[..., dict[str, Any]]
) -> None:
    text, choice, unit, photo, new = (str(uuid4()) for _ in range(5))
    collection = {
        "id": str(uuid4()),
        "name": "Hosted",
        "task_details": {"task_name": "T", "task_introduction": "<p>Hi<script>x()</script></p>"},
        "collection_items": [
            {
                "page_items": [
                    {"id": text, "type": "free_text", "description": "Say"},
                    {"id": choice, "type": "multiple_choice", "description": "Which?"},
                    {"id": str(uuid4()), "type": "rich_text", "content": "<b>Look</b>"},
                ]
            },
            {
                "page_items": [
                    {"id": unit, "type": "free_text_with_unit", "description": "Heavy?",
                     "unit_options": [{"label": "kg", "value": "kg"}]},
                    {"id": photo, "type": "file_upload", "description": "Photo"},
                    {"id": new, "type": "star_rating", "description": "Stars"},
                ]
            },
        ],
    }  # fmt: skip
    submission, other = "65f0c0ffee65f0c0ffee0001", "65f0c0ffee65f0c0ffee0002"
    lines = [
        {
            "submission_id": submission,
            "participant_id": "5f0000000000000000000001",
            "study_id": "650000000000000000000001",
            "status": "AWAITING REVIEW",
            "started_at": "2026-03-01T09:30:00",
            "completed_at": "2026-03-01T09:35:00Z",
            "cohort": {"name": "north"},
            "responses": {
                text: "Plain",
                choice: ["b", 2],
                unit: {"value": 72.5, "unit": "kg"},
                photo: {"value": ["holiday.png"]},
                new: 4,
            },
        },
        {
            "submission_id": other,
            "study_id": "650000000000000000000001",
            "responses": {text: None, choice: "a"},
        },
    ]
    members = {
        "responses.jsonl": b"".join(orjson.dumps(line) + b"\r\n" for line in lines),
        "collection.json": orjson.dumps(collection),
        f"files/{submission}_holiday.png": PNG,
    }
    done = move_in(write_zip(tmp_path / "hosted.zip", members))
    assert done["renamed"] == {"study": 1, "submission": 2}
    assert any("star_rating" in note for note in done["notes"]), done["notes"]
    with (tmp_path / "ids.csv").open(newline="") as file:
        ids = {row["old_id"]: row["new_id"] for row in csv.DictReader(file)}
    back = export_of(api, done["collection_id"])
    found = {line["submission_id"]: line for line in map(orjson.loads, back["responses.jsonl"].splitlines())}
    first = found[ids[submission]]
    assert first["study_id"] == ids["650000000000000000000001"]
    assert (first["started_at"], first["cohort"]) == ("2026-03-01T09:30:00.000000Z", {"name": "north"})
    path = f"files/{ids[submission]}_holiday.png"
    assert first["responses"] == {
        text: {"type": "free_text", "value": "Plain"},
        choice: {"type": "multiple_choice", "value": ["b", 2]},
        unit: {"type": "free_text_with_unit", "value": "72.5", "unit": "kg"},
        photo: {
            "type": "file_upload",
            "value": [
                {
                    "path": path,
                    "file_name": "holiday.png",
                    "content_type": "image/png",
                    "size_bytes": len(PNG),
                    "sha256": hashlib.sha256(PNG).hexdigest(),
                }
            ],
        },
        new: {"type": "free_text", "value": "4"},
    }
    assert back[path] == PNG
    second = found[ids[other]]
    assert second["participant_id"] == f"unknown-{other}"
    assert second["responses"] == {choice: {"type": "multiple_choice", "value": ["a"]}}
    asked = expect(api.get(f"{COLLECTIONS}/{done['collection_id']}"), 200)
    assert "script" not in asked["task_details"]["task_introduction"]
    items = [item for page in asked["collection_items"] for item in page["page_items"]]
    assert [option["value"] for option in items[1]["options"]] == ["b", 2, "a"]
    assert [item["type"] for item in items][2] == "rich_text"


def test_killed_at_any_point_it_goes_on_and_is_exact(
    api: httpx.Client, server: Installation, workspace: str, tmp_path: Path, run: Callable[..., Done]
) -> None:
    counted = run(write_zip(tmp_path / "twin.zip", make_simple(KILLED_SUBMISSIONS)), dying_at=0)
    steps = int(counted.stderr.split()[-1])
    members = make_simple(KILLED_SUBMISSIONS, name="Killed")
    archive = write_zip(tmp_path / "archive.zip", members)
    collection_id = orjson.loads(members["collection.json"])["id"]
    before = list_collections(api, workspace)
    chance = random.Random(steps)
    done = None
    for _ in range(KILLS):
        point = chance.randint(1, steps)
        died = run_program(
            ["import", archive, "--workspace", workspace],
            {"FIELDPACK_DATA_DIR": str(server.data_dir)},
            dying_at=point,
        )
        assert died.code in (-9, 0), died.stderr
        if died.code == 0:  # what was there already saved it so many steps
            done = died
            break
        if api.get(f"{COLLECTIONS}/{collection_id}").status_code == 200:
            continue  # killed after its last step
        assert list_collections(api, workspace) == before
        first = orjson.loads(members["responses.jsonl"].split(b"\n")[0])
        expect(api.get(f"/submissions/{first['submission_id']}"), 404)
        # there by now and nobody's, or not begun
        assert api.post(f"{COLLECTIONS}/{collection_id}/export").status_code in (403, 404)
    if done is None:
        run(archive)
    assert content_of(export_of(api, collection_id)) == content_of(members)
    assert sorted(list_collections(api, workspace)) == sorted([*before, collection_id])
    assert not list((server.data_dir / "tmp").glob("import-*"))
    with connected(server) as database:
        told = database.execute(
            "SELECT count(*) FROM changes WHERE collection_id = %s AND type LIKE 'submission%%'",
            [collection_id],
        ).fetchone()
        noted = database.execute(
            "SELECT details->>'count' FROM audit_entries WHERE action = 'collection.import' AND collection_id = %s",
            [collection_id],
        ).fetchall()
        staging = database.execute(
            "SELECT count(*) FROM workspaces WHERE title = 'Import under way'"
        ).fetchone()
    assert (told, noted, staging) == ((0,), [(str(KILLED_SUBMISSIONS),)], (0,))


def change_line(members: dict[str, bytes], number: int, change: Callable[[dict[str, Any]], Any]) -> None:
    lines = members["responses.jsonl"].splitlines()
    line = orjson.loads(lines[number])
    changed = change(line)
    lines[number] = changed if isinstance(changed, bytes) else orjson.dumps(line)
    members["responses.jsonl"] = b"\n".join(lines) + b"\n"


def set_in_second(**values: Any) -> Callable[[dict[str, bytes]], None]:
    return lambda members: change_line(members, 1, lambda line: line.update(values))


def change_file(members: dict[str, bytes], **values: Any) -> None:
    def change(line: dict[str, Any]) -> None:
        [response] = [each for each in line["responses"].values() if each["type"] == "file_upload"]
        response["value"][0].update(values)

    change_line(members, 0, change)


def first_file(members: Mapping[str, bytes]) -> str:
    return next(name for name in members if name.startswith("files/"))


def copy_id(members: dict[str, bytes]) -> None:
    first = orjson.loads(members["responses.jsonl"].splitlines()[0])["submission_id"]
    change_line(members, 1, lambda line: line.update(submission_id=first))


def change_instruction(members: dict[str, bytes], **values: Any) -> None:
    collection = orjson.loads(members["collection.json"])
    collection["instructions"][0].update(values)
    members["collection.json"] = orjson.dumps(collection)


def change_collection(members: dict[str, bytes], **values: Any) -> None:
    members["collection.json"] = orjson.dumps({**orjson.loads(members["collection.json"]), **values})


HOSTILE: dict[str, tuple[Callable[[dict[str, bytes]], Any], list[str]]] = {
    "no JSON": (lambda m: change_line(m, 1, lambda line: b'{"submission_id": '), ["line 2", "JSON"]),
    "a list": (lambda m: change_line(m, 1, lambda line: b"[]"), ["line 2", "object"]),
    "not UTF-8": (lambda m: change_line(m, 1, lambda line: b'{"submission_id": "\xff"}'), ["line 2", "UTF-8"]),
    "no id": (set_in_second(submission_id=None), ["line 2", "submission_id"]),
    "an id twice": (copy_id, ["line 2", "twice"]),
    "an endless id": (set_in_second(submission_id="x" * 201), ["line 2", "200"]),
    "an endless participant": (
        set_in_second(participant_id="x" * 4000), ["line 2", "participant_id"]),
    "no status": (set_in_second(status="GONE"), ["line 2", "GONE"]),
    "no time": (set_in_second(started_at="yesterday"), ["line 2", "started_at"]),
    "a NUL": (set_in_second(cohort="a\0b"), ["line 2", "U+0000"]),
    "too deep": (
        lambda m: change_line(m, 1, lambda line: orjson.dumps(line)[:-1] + b',"x":' + b"[" * 600 + b"]" * 600 + b"}"),
        ["line 2", "deep"]),
    "an unknown question": (
        lambda m: change_line(m, 1, lambda line: line["responses"].update(ghost={"value": "x"})), ["line 2", "ghost"]),
    "an object for a text": (
        lambda m: change_line(m, 1, lambda line: line["responses"].update({next(iter(line["responses"])): {"a": 1}})),
        ["line 2"]),
    "a file that is missing": (lambda m: m.pop(first_file(m)), ["line 1", "doesn't hold"]),
    "a file outside": (lambda m: change_file(m, path="../../etc/passwd", file_name="passwd"), ["line 1", "passwd"]),
    "a file that is the answers": (
        lambda m: change_file(m, path="responses.jsonl", file_name="x"), ["line 1", "responses.jsonl"]),
    "a size that lies": (lambda m: change_file(m, size_bytes=1), ["line 1", "1 bytes"]),
    "a hash that is none": (lambda m: change_file(m, sha256="zz"), ["line 1", "SHA-256"]),
    "a hash that lies": (lambda m: change_file(m, sha256="0" * 64), ["line 1", "SHA-256", "photo 0.png"]),
    "fewer than counted": (
        lambda m: m.update({"responses.jsonl": m["responses.jsonl"].split(b"\n")[0] + b"\n"}), ["counts", "4"]),
    "no answers": (lambda m: m.pop("responses.jsonl"), ["responses.jsonl"]),
    "no questions": (lambda m: m.pop("collection.json"), ["collection.json"]),
    "questions cut short": (lambda m: m.update({"collection.json": b'{"id": 1'}), ["collection.json", "JSON"]),
    "two questions of one id": (
        lambda m: change_instruction(m, id=orjson.loads(m["collection.json"])["instructions"][1]["id"]), ["twice"]),
    "rules that are none": (
        lambda m: change_instruction(m, validation={"type": "number", "min": 5, "max": 1}), ["instructions[0]", "min"]),
    "a NUL in the name": (lambda m: change_collection(m, name="a\0b"), ["collection.json", "U+0000"]),
    "a NUL in a question": (lambda m: change_instruction(m, description="a\0b"), ["collection.json", "U+0000"]),
    "a NUL in an option": (
        lambda m: change_instruction(m, retired_options=[{"value": "a", "label": "a\0b"}]),
        ["collection.json", "U+0000"]),
}  # fmt: skip
AS_A_DRY_RUN = ("a NUL in the name", "a NUL in a question", "a NUL in an option")


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_wrong_is_named_and_nothing_is_seen(
    name: str, api: httpx.Client, workspace: str, tmp_path: Path, run: Callable[..., Done]
) -> None:
    change, words = HOSTILE[name]
    members = make_simple(4)
    change(members)
    archive = write_zip(tmp_path / "archive.zip", members)
    refused = run(archive, code=1)
    assert refused.stdout == b""
    if name in AS_A_DRY_RUN:
        assert run(archive, "--dry-run", code=1).stderr == refused.stderr
    [line] = [each for each in refused.stderr.splitlines() if each.startswith("fieldpack: ")]
    for word in words:
        assert word in line, (word, line)
    assert not DOUBLED.search(line), line
    assert list_collections(api, workspace) == []


def _zip(members: Mapping[str, bytes], path: Path, **options: Any) -> None:
    with zipfile.ZipFile(path, "w", **options) as out:
        for name, data in members.items():
            out.writestr(name, data)


def _damaged(members: dict[str, bytes], path: Path) -> None:
    data = bytearray(make_zip(members))
    data[data.index(members[first_file(members)])] ^= 1
    path.write_bytes(data)


def _doubled(members: dict[str, bytes], path: Path) -> None:
    name = first_file(members)
    twin = name.replace("files/", "FILES/")  # as long, so that it can be put in its place
    path.write_bytes(make_zip({**members, twin: b"other"}).replace(twin.encode(), name.encode()))


def _bomb(members: dict[str, bytes], path: Path) -> None:
    name = "files/zeros.png"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for other, data in {**members, name: bytes(1 << 20)}.items():
            out.writestr(other, data)
    bomb = bytearray(path.read_bytes())
    entry = bomb.rindex(name.encode()) - 46  # of the central directory: what it claims to unpack to
    bomb[entry + 24 : entry + 28] = (2_000_000_000).to_bytes(4, "little")
    path.write_bytes(bomb)


def _linked(members: dict[str, bytes], path: Path) -> None:
    with zipfile.ZipFile(path, "w") as out:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o120777 if name.startswith("files/") else 0o100644) << 16
            out.writestr(info, data)


def _cut(members: dict[str, bytes], path: Path) -> None:
    path.write_bytes(make_zip(members)[:-30])


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (_damaged, "CRC"),
        (_doubled, "twice"),
        (_bomb, "bomb"),
        (_linked, "symbolic link"),
        (_cut, "cut short"),
    ],
)
def test_a_zip_that_is_not_sound_is_refused(
    make: Callable[[dict[str, bytes], Path], None],
    word: str,
    api: httpx.Client,
    workspace: str,
    tmp_path: Path,
    run: Callable[..., Done],
) -> None:
    make(make_simple(2), tmp_path / "archive.zip")
    refused = run(tmp_path / "archive.zip", code=1)
    assert word in refused.stderr
    assert list_collections(api, workspace) == []


def test_what_the_database_refuses_of_what_was_asked_is_said_of_the_archive(
    server: Installation, workspace: str, tmp_path: Path, run: Callable[..., Done]
) -> None:
    """Whatever it is: a rule of the database's own stands for what nobody has thought of."""
    archive = write_zip(tmp_path / "archive.zip", make_simple(1))
    for table in ("collections", "collection_versions", "items", "studies"):
        refuse = f"refuse_{table}"
        with connected(server) as database:
            database.execute(
                f"CREATE FUNCTION {refuse}() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = 'numeric_value_out_of_range'; END $$"
            )
            database.execute(f"CREATE TRIGGER {refuse} BEFORE INSERT ON {table} EXECUTE FUNCTION {refuse}()")
        try:
            refused = run(archive, code=1)
        finally:
            with connected(server) as database:
                database.execute(f"DROP FUNCTION {refuse} CASCADE")
        assert "collection.json can't be stored: no room." in refused.stderr, table
    run(archive)


def test_what_broke_off_goes_on_with_a_better_copy_or_is_discarded(
    api: httpx.Client, server: Installation, workspace: str, tmp_path: Path, run: Callable[..., Done]
) -> None:
    settings = {"FIELDPACK_DATA_DIR": str(server.data_dir)}

    def list_unfinished() -> list[Any]:
        return [
            each
            for each in json.loads(run_program(["import", "--list", "--json"], settings).stdout)
            if each["workspace_id"] == workspace
        ]

    members = make_simple(1_100)
    collection_id = orjson.loads(members["collection.json"])["id"]
    last = [name for name in members if name.startswith("files/")][-1]
    good = make_zip(members)
    bad = bytearray(good)
    bad[bad.index(members[last])] ^= 1
    (tmp_path / "bad.zip").write_bytes(bad)
    assert last in run(tmp_path / "bad.zip", code=1).stderr
    [unfinished] = list_unfinished()
    assert (unfinished["name"], unfinished["submissions"]) == ("From elsewhere", 1_000)
    expect(api.get(f"{COLLECTIONS}/{collection_id}"), 404)
    table = run_program(["import", "--list", "--csv", "--fields", "ID,submissions,updated_at"], settings)
    assert f"{unfinished['id']},1000,{unfinished['updated_at']}" in table.stdout.decode().splitlines()
    assert b"1000" in run_program(["import", "--list"], settings).stdout
    assert "go with --list" in run(tmp_path / "bad.zip", "--csv", code=2).stderr
    (tmp_path / "good.zip").write_bytes(good)
    would = json.loads(run(tmp_path / "good.zip", "--dry-run", "--json").stdout)
    assert (would["submissions"], would["renamed"]) == (1_100, {})  # its own are no others'
    listed = json.loads(server.run("workspace", "list", "--json").stdout)
    assert unfinished["id"] not in [each["id"] for each in listed]

    gone = run_program(["import", "--discard", unfinished["id"]], settings)
    assert (gone.code, "1,000 submissions" in gone.stdout.decode()) == (0, True), gone.stderr
    assert list_unfinished() == []
    with connected(server) as database:
        left = database.execute(
            "SELECT (SELECT count(*) FROM submissions WHERE collection_id = %(id)s),"
            " (SELECT count(*) FROM items WHERE collection_id = %(id)s),"
            " (SELECT count(*) FROM workspaces WHERE id = %(import)s)",
            {"id": collection_id, "import": unfinished["id"]},
        ).fetchone()
    assert left == (0, 0, 0)
    assert run_program(["import", "--discard", unfinished["id"]], settings).code == 1

    run(tmp_path / "bad.zip", code=1)
    run(tmp_path / "good.zip")
    assert content_of(export_of(api, collection_id)) == content_of(members)


def test_who_was_erased_here_stays_erased(
    api: httpx.Client, tmp_path: Path, move_in: Callable[..., dict[str, Any]]
) -> None:
    members = make_simple(4)
    archive = write_zip(tmp_path / "archive.zip", members)
    first = move_in(archive)
    gone = orjson.loads(members["responses.jsonl"].splitlines()[0])["submission_id"]
    expect(api.delete(f"/submissions/{gone}"), 204)
    other = make_workspace(api)
    would = move_in(archive, "--dry-run", "--workspace", other)
    second = move_in(archive, "--workspace", other)
    counts = ("submissions", "files", "file_bytes", "erased", "renamed")
    assert {name: would[name] for name in counts} == {name: second[name] for name in counts}
    assert (second["submissions"], second["files"], second["erased"]) == (3, 1, 1)
    assert second["collection_id"] != first["collection_id"]
    assert len(export_of(api, second["collection_id"])["responses.jsonl"].splitlines()) == 3


def ids_of(members: Mapping[str, bytes]) -> list[str]:
    return [orjson.loads(line)["submission_id"] for line in members["responses.jsonl"].splitlines()]


def list_as_erased(server: Installation, submission_id: str) -> None:
    """As a restore leaves it, or a deleted collection: the list has somebody of whom the database knows nothing."""
    listed = server.data_dir / "storage" / "erasures"
    listed.mkdir(exist_ok=True)
    (listed / f"20260101T000000Z-{submission_id}").write_text(f"{submission_id} 2026-01-01T00:00:00Z\n")


def test_who_was_erased_stays_erased_without_their_collection(
    api: httpx.Client, tmp_path: Path, move_in: Callable[..., dict[str, Any]]
) -> None:
    members = make_simple(4)
    archive = write_zip(tmp_path / "archive.zip", members)
    path = f"{COLLECTIONS}/{move_in(archive)['collection_id']}"
    for submission_id in ids_of(members):
        expect(api.delete(f"/submissions/{submission_id}"), 204)
    expect(api.delete(path, params={"name": expect(api.get(path), 200)["name"]}), 204)
    other = make_workspace(api)
    for options in (["--dry-run"], []):
        done = move_in(archive, "--workspace", other, *options)
        assert (done["submissions"], done["files"], done["erased"]) == (0, 0, 4)


@pytest.mark.parametrize("way", ["goes on", "is discarded"])
def test_who_was_erased_of_an_import_that_broke_off_is_left_out(
    api: httpx.Client, server: Installation, tmp_path: Path, run: Callable[..., Done], way: str
) -> None:
    members = make_simple(1_001)
    last = [name for name in members if name.startswith("files/")][-1]
    good = make_zip(members)
    bad = bytearray(good)
    bad[bad.index(members[last])] ^= 1
    (tmp_path / "bad.zip").write_bytes(bad)
    (tmp_path / "good.zip").write_bytes(good)
    run(tmp_path / "bad.zip", code=1)
    gone = ids_of(members)[0]
    with connected(server) as database:
        [(unfinished,)] = database.execute(
            "SELECT import_id FROM submissions WHERE id = %s", [gone]
        ).fetchall()
    list_as_erased(server, gone)
    if way == "is discarded":
        settings = {"FIELDPACK_DATA_DIR": str(server.data_dir)}
        assert run_program(["import", "--discard", str(unfinished)], settings).code == 0
    would = json.loads(run(tmp_path / "good.zip", "--dry-run", "--json").stdout)
    done = json.loads(run(tmp_path / "good.zip", "--json").stdout)
    for found in (would, done):
        assert (found["submissions"], found["files"], found["erased"]) == (1_000, 333, 1)
        assert found["renamed"] == {}
    expect(api.get(f"/submissions/{gone}"), 404)
    again = json.loads(run(tmp_path / "good.zip", "--json").stdout)
    assert (again["was_there"], again["submissions"], again["erased"]) == (True, 1_000, 1)
    assert len(export_of(api, done["collection_id"])["responses.jsonl"].splitlines()) == 1_000


def test_who_is_erased_while_an_import_runs_stays_erased(
    api: httpx.Client, server: Installation, tmp_path: Path, move_in: Callable[..., dict[str, Any]]
) -> None:
    """One whose rows were written before, one whose rows are about to be, and one whose files wait for their rows."""
    members = make_simple(1_100)
    archive = write_zip(tmp_path / "archive.zip", members)
    move_in(archive)

    def list_stored(content: bytes) -> set[Path]:
        stored = (server.data_dir / "storage" / "blobs").glob("*/*")
        return {path for path in stored if path.is_file() and path.read_bytes() == content}

    before = list_stored(PNG + b"1050")
    other = make_workspace(api)
    held = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted"
    with connected(server) as database, ThreadPoolExecutor(1) as threads:
        database.execute(
            "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN IF NEW.lines > 500 THEN PERFORM pg_advisory_xact_lock(4711); END IF; RETURN NEW; END $$"
        )
        database.execute("CREATE TRIGGER gate BEFORE UPDATE ON imports FOR EACH ROW EXECUTE FUNCTION gate()")
        database.execute("SELECT pg_advisory_lock(4711)")
        try:
            running = threads.submit(move_in, archive, "--workspace", other)
            wait_for(lambda: running.done() or database.execute(held).fetchone())
            wait_for(lambda: running.done() or list_stored(PNG + b"1050") > before)
            new = list_stored(PNG + b"1050") - before
            for number in (0, 600, 1_050):
                expect(api.delete(f"/submissions/{ids_of(members)[number]}"), 204)
        finally:
            database.execute("SELECT pg_advisory_unlock(4711)")
            database.execute("DROP FUNCTION gate CASCADE")
        done = running.result()
        left = database.execute(
            "SELECT count(*) FILTER (WHERE response <> 'deleted'), count(*) FROM submissions WHERE collection_id = %s",
            [done["collection_id"]],
        ).fetchone()
    assert left == (1_097, 1_099)  # of those that were written there are tombstones
    assert (done["submissions"], done["files"], done["erased"]) == (1_097, 364, 3)
    assert new
    assert not any(path.exists() for path in new)


@pytest.mark.parametrize("way", ["another run", "discard", "sweep"])
def test_files_that_were_stored_without_rows_go(
    api: httpx.Client, server: Installation, tmp_path: Path, run: Callable[..., Done], way: str
) -> None:
    """They may be somebody's who is erased before another run."""
    members = make_simple(30)
    archive = write_zip(tmp_path / "archive.zip", members)
    settings = {"FIELDPACK_DATA_DIR": str(server.data_dir)}
    with connected(server) as database:
        database.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = 'numeric_value_out_of_range'; END $$"
        )
        database.execute("CREATE TRIGGER refuse BEFORE INSERT ON uploads EXECUTE FUNCTION refuse()")
        try:
            assert "no room" in run(archive, code=1).stderr
        finally:
            database.execute("DROP FUNCTION refuse CASCADE")
        left = database.execute(
            "SELECT import_id, blob_id::text FROM import_blobs"
            " WHERE import_id = (SELECT id FROM imports ORDER BY started_at DESC LIMIT 1)"
        ).fetchall()
        paths = [server.data_dir / "storage" / "blobs" / blob[:2] / blob for _, blob in left]
        assert (len(paths), all(path.is_file() for path in paths)) == (10, True)
        if way == "another run":
            run(archive)
        elif way == "discard":
            assert run_program(["import", "--discard", str(left[0][0])], settings).code == 0
        else:
            assert run_program(["sweep"], settings).code == 0
        wait_for(lambda: not any(path.exists() for path in paths))
        noted = "SELECT FROM import_blobs WHERE import_id = %s"
        assert database.execute(noted, [left[0][0]]).rowcount == 0
    if way == "another run":
        collection_id = orjson.loads(members["collection.json"])["id"]
        assert content_of(export_of(api, collection_id)) == content_of(members)


@pytest.mark.parametrize("name", [None, "", "  "])
def test_one_without_a_name_gets_one_that_all_tell(
    api: httpx.Client, tmp_path: Path, move_in: Callable[..., dict[str, Any]], name: str | None
) -> None:
    members = make_simple(1)
    collection = orjson.loads(members["collection.json"])
    members["collection.json"] = orjson.dumps({**collection, "name": name})
    archive = write_zip(tmp_path / "archive.zip", members)
    would, done, again = (move_in(archive, *options) for options in (["--dry-run"], [], []))
    stored = expect(api.get(f"{COLLECTIONS}/{done['collection_id']}"), 200)["name"]
    assert {each["name"] for each in (would, done, again)} == {stored} == {"Imported collection"}


def test_imports_that_nobody_comes_back_to_are_swept(
    server: Installation, workspace: str, tmp_path: Path, run: Callable[..., Done]
) -> None:
    members = make_simple(3)
    change_file(members, sha256="0" * 64)
    run(write_zip(tmp_path / "archive.zip", members), code=1)
    with connected(server) as database:
        [aged] = database.execute(
            "UPDATE imports SET updated_at = now() - interval '100 days' WHERE workspace_id = %s RETURNING id",
            [workspace],
        ).fetchall()
    for options in (["--dry-run"], []):
        done = run_program(["sweep", "--json", *options], {"FIELDPACK_DATA_DIR": str(server.data_dir)})
        assert str(aged[0]) in json.loads(done.stdout)["imports_unfinished"]
    with connected(server) as database:
        assert not database.execute("SELECT 1 FROM imports WHERE id = %s", [aged[0]]).fetchall()


def test_one_imports_at_a_time(server: Installation, tmp_path: Path, run: Callable[..., Done]) -> None:
    from fieldpack.server.imports.queries import lock_imports

    archive = write_zip(tmp_path / "archive.zip", make_simple(1))
    with connected(server) as database:
        assert lock_imports(database)
        assert "Another import is running" in run(archive, code=1).stderr
    run(archive)


def test_a_participants_submissions_are_counted_on_from_batch_to_batch(
    server: Installation, tmp_path: Path, move_in: Callable[..., dict[str, Any]]
) -> None:
    members = make_simple(2_300)
    lines = [orjson.loads(line) for line in members["responses.jsonl"].splitlines()]
    for number, line in enumerate(lines):
        line["participant_id"] = f"participant {number % 3}"
    members["responses.jsonl"] = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    done = move_in(write_zip(tmp_path / "archive.zip", members))
    with connected(server) as database:
        rows = database.execute(
            "SELECT id::text, ordinal FROM submissions WHERE collection_id = %s", [done["collection_id"]]
        ).fetchall()
    assert dict(rows) == {line["submission_id"]: number // 3 + 1 for number, line in enumerate(lines)}


@pytest.mark.parametrize("meanwhile", ["lines = lines + 1", "completed_at = now()"])
def test_of_two_runs_that_know_nothing_of_each_other_one_gives_up(
    server: Installation, workspace: str, tmp_path: Path, run: Callable[..., Done], meanwhile: str
) -> None:
    """The lock that lets one import at a time may be lost, with the connection that holds it."""
    archive = write_zip(tmp_path / "archive.zip", make_simple(700))
    begun = "SELECT id FROM imports WHERE workspace_id = %s"
    with ThreadPoolExecutor(1) as other, connected(server) as database, connected(server) as late:
        with late.transaction():
            late.execute("LOCK TABLE submissions IN SHARE ROW EXCLUSIVE MODE")
            running = other.submit(run, archive, code=1)
            wait_for(lambda: running.done() or database.execute(begun, [workspace]).fetchone() is not None)
            database.execute(f"UPDATE imports SET {meanwhile} WHERE workspace_id = %s", [workspace])
        assert "taken over by another run" in running.result().stderr
        counted = "SELECT count(*) FROM submissions s JOIN imports i ON i.id = s.import_id WHERE i.workspace_id = %s"
        assert database.execute(counted, [workspace]).fetchone() == (0,)
        database.execute(
            "UPDATE imports SET lines = 0, completed_at = NULL WHERE workspace_id = %s", [workspace]
        )
    run(archive)


def test_what_is_asked_for_wrongly(server: Installation, tmp_path: Path, run: Callable[..., Done]) -> None:
    archive = write_zip(tmp_path / "archive.zip", make_simple(1))
    assert "workspace list" in run(archive, "--workspace", str(uuid4()), code=2).stderr
    assert "workspace list" in run(archive, "--workspace", "x", code=2).stderr
    assert "nobody@example.org" in run(archive, "--researcher", "nobody@example.org", code=2).stderr
    assert ".csv" in run(archive, "--map", str(tmp_path / "ids.txt"), code=2).stderr
    assert "--list" in run(archive, "--list", code=2).stderr
    assert "does not exist" in run(tmp_path / "none.zip", code=1).stderr
    settings = {"FIELDPACK_DATA_DIR": str(server.data_dir)}
    assert run_program(["import"], settings).code == 2
    assert run_program(["import", "--discard", "x"], settings).code == 2
    assert b"Would import" in run(archive, "--dry-run").stdout
    shutil.rmtree(tmp_path / "nothing", ignore_errors=True)
    done = run_program(["import", str(archive), "--data-dir", str(tmp_path / "nothing")], {})
    assert (done.code, "no installation" in done.stderr) == (1, True)
