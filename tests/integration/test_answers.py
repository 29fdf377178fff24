"""Answers of each type: shapes when they are saved, rules when they are submitted, both in the archive."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from fieldpack.archive.naming import MAX_NAME_BYTES
from tests.installation import Installation
from tests.refusals import refused
from tests.scenario import PNG, Participant, Scenario, expect

VALUES: list[Any] = ["text", 1, True, 2.5, "none"]
OPTIONS = [{"label": str(value), "value": value} for value in VALUES]
OPTIONS[4]["exclusive"] = True
ITEMS: list[dict[str, Any]] = [
    {"type": "free_text", "description": "Text", "required": False},
    {"type": "multiple_choice", "description": "One", "options": OPTIONS, "required": False},
    {
        "type": "multiple_choice",
        "description": "Any",
        "options": OPTIONS,
        "answer_limit": -1,
        "required": False,
    },
    {
        "type": "multiple_choice_with_free_text",
        "description": "Why",
        "options": [{**option, "heading": "Why?"} for option in OPTIONS],
        "answer_limit": 2,
        "required": False,
    },
    {
        "type": "free_text_with_unit",
        "description": "Weight",
        "unit_options": [{"label": "kg", "value": "kg"}, {"label": "lb", "value": "lb"}],
        "required": False,
    },
    {"type": "file_upload", "description": "Files", "required": False, "max_file_size_mb": 1},
    {"type": "rich_text", "content": "<p>Read this.</p>"},
    {"type": "image", "url": "https://example.org/a.png", "alt_text": "A"},
]
TEXT, ONE, ANY, WHY, WEIGHT, FILES, RICH, IMAGE = range(8)


@pytest.fixture(scope="module")
def shared(server: Installation) -> Iterator[Scenario]:
    with server.client() as api:
        yield Scenario.create(api, *ITEMS)


@pytest.fixture
def participant(shared: Scenario) -> Participant:
    return shared.start(str(uuid4()))


def saved(participant: Participant, number: int) -> Any:
    state = expect(participant.http.get(participant.path, headers=participant.headers), 200)
    return state["answers"].get(participant.item(number))


GOOD: list[tuple[int, Any]] = [
    (TEXT, {"value": "It was fine"}),
    (TEXT, {"value": ""}),
    (TEXT, {"value": "x" * 100_000}),
    (TEXT, {"value": "Ünïcödé 🍕 \u202e \r\n\t"}),
    (ONE, {"value": ["text"]}),
    (ONE, {"value": [1]}),
    (ONE, {"value": [True]}),
    (ONE, {"value": [2.5]}),
    (ONE, {"value": []}),
    (ANY, {"value": ["text", 1, True, 2.5]}),
    (ANY, {"value": [2.5, "text"]}),
    (ANY, {"value": ["none"]}),
    (WHY, {"value": [{"value": "text", "explanation": "because"}]}),
    (WHY, {"value": [{"value": 1, "explanation": ""}, {"value": True, "explanation": "x"}]}),
    (WEIGHT, {"value": "72.5", "unit": "kg"}),
    (WEIGHT, {"value": "", "unit": "lb"}),
]


@pytest.mark.parametrize(("number", "answer"), GOOD)
def test_answers_are_kept_as_given(participant: Participant, number: int, answer: Any) -> None:
    expect(participant.answer(participant.item(number), answer), 200)
    found = saved(participant, number)
    assert found == answer
    if number in (ONE, ANY):
        assert [type(value) for value in found["value"]] == [type(value) for value in answer["value"]]
    expect(participant.answer(participant.item(number), answer), 200)
    assert saved(participant, number) == answer
    expect(participant.answer(participant.item(number), None), 200)
    assert saved(participant, number) is None
    expect(participant.answer(participant.item(number), None), 200)


def test_type_and_missing_explanations_are_put_right(participant: Participant) -> None:
    expect(participant.answer(participant.item(TEXT), {"type": "free_text", "value": "x"}), 200)
    assert saved(participant, TEXT) == {"value": "x"}
    expect(participant.answer(participant.item(WHY), {"value": [{"value": "text"}]}), 200)
    assert saved(participant, WHY) == {"value": [{"value": "text", "explanation": ""}]}


BAD: list[tuple[int, Any]] = [
    (TEXT, {}),
    (TEXT, []),
    (TEXT, "text"),
    (TEXT, 5),
    (TEXT, True),
    (TEXT, {"value": None}),
    (TEXT, {"value": 5}),
    (TEXT, {"value": ["text"]}),
    (TEXT, {"value": {"value": "x"}}),
    (TEXT, {"values": "x"}),
    (TEXT, {"value": "x" * 1_000_001}),
    (ONE, {"value": "text"}),
    (ONE, {"value": ["other"]}),
    (ONE, {"value": ["1"]}),
    (ONE, {"value": ["true"]}),
    (ONE, {"value": [0]}),
    (ONE, {"value": [False]}),
    (ONE, {"value": [None]}),
    (ONE, {"value": [["text"]]}),
    (ONE, {"value": [{"value": "text"}]}),
    (ONE, {"value": ["text", 1]}),
    (ANY, {"value": ["text", "text"]}),
    (ANY, {"value": [1, 1.0]}),
    (ANY, {"value": ["none", "text"]}),
    (ANY, {"value": {}}),
    (WHY, {"value": ["text"]}),
    (WHY, {"value": [{"explanation": "x"}]}),
    (WHY, {"value": [{"value": "other", "explanation": "x"}]}),
    (WHY, {"value": [{"value": "text", "explanation": 5}]}),
    (WHY, {"value": [{"value": "text", "explanation": None}]}),
    (WHY, {"value": [{"value": value, "explanation": ""} for value in ("text", 1, True)]}),
    (WHY, {"value": {"value": "text", "explanation": "x"}}),
    (WEIGHT, {"value": "72.5", "unit": "stone"}),
    (WEIGHT, {"value": "72.5"}),
    (WEIGHT, {"value": "72.5", "unit": None}),
    (WEIGHT, {"value": "72.5", "unit": ["kg"]}),
    (WEIGHT, {"value": 72.5, "unit": "kg"}),
    (FILES, {"value": [{"path": "files/x"}]}),
    (FILES, {"value": []}),
    (RICH, {"value": "x"}),
    (IMAGE, {"value": "x"}),
]


@pytest.mark.parametrize(("number", "answer"), BAD)
def test_wrong_shapes_are_400(participant: Participant, number: int, answer: Any) -> None:
    detail = refused(participant.answer(participant.item(number), answer), 400)
    assert isinstance(detail, dict)
    assert saved(participant, number) is None


def test_unknown_instructions(participant: Participant) -> None:
    for identifier in (str(uuid4()), "x", "%00"):
        refused(participant.answer(identifier, {"value": "x"}), 404)


def rules(*validations: dict[str, Any] | None) -> list[dict[str, Any]]:
    return [{"type": "free_text", "description": "D", "validation": rule} for rule in validations]


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ({"type": "string", "min": 3}, ["abc", "🍕🍕🍕"], ["ab", "🍕🍕"]),
        ({"type": "string", "max": 3}, ["abc", "a", "🍕🍕🍕"], ["abcd"]),
        (
            {"type": "number"},
            ["5", "-5.5", " 7 ", "1e3", "+1", ".5", "1,5", "\u0663"],
            ["x", "5 kg", "1,234", "--1", "NaN", "Infinity", "1 23"],
        ),
        ({"type": "number", "min": 0, "max": 10.5}, ["0", "10.5", "10,50"], ["-0,1", "10.51", "1e9"]),
        ({"type": "number", "min": 0.1}, ["0.1", "0.10000000000000000001"], ["0.09999999999999999999"]),
        ({"type": "number", "min": 1, "max": None}, ["1", "9" * 400], ["0"]),
    ],
)  # fmt: skip
def test_rules_are_held_at_submit(api: httpx.Client, rule: Any, good: list[str], bad: list[str]) -> None:
    scenario = Scenario.create(api, *rules(rule))
    participant = scenario.start("p")
    item = participant.item(0)
    for text in bad:
        expect(participant.answer(item, {"value": text}), 200)  # saving is free
        detail = refused(api.post(f"{participant.path}/submit", headers=participant.headers), 400)
        assert set(detail) == {item}
    for number, text in enumerate(good):
        participant = scenario.start(f"good {number}")
        expect(participant.answer(item, {"value": text}), 200)
        participant.submit()


def test_rules_of_units(api: httpx.Client) -> None:
    units = [
        {"label": "kg", "value": "kg", "validation": {"type": "number", "max": 300}},
        {"label": "lb", "value": "lb"},
    ]
    item = {
        "type": "free_text_with_unit",
        "description": "D",
        "unit_options": units,
        "validation": {"type": "number", "min": 1},
        "default_unit": "kg",
    }
    scenario = Scenario.create(api, item)
    participant = scenario.start("p")
    for value in ({"value": "301", "unit": "kg"}, {"value": "0", "unit": "lb"}, {"value": "x", "unit": "lb"}):
        expect(participant.answer(participant.item(0), value), 200)
        refused(api.post(f"{participant.path}/submit", headers=participant.headers), 400, participant.item(0))
    expect(participant.answer(participant.item(0), {"value": "301", "unit": "lb"}), 200)
    participant.submit()


def test_required_and_optional(api: httpx.Client) -> None:
    required = [{**item, "required": True} for item in ITEMS[:6]]
    scenario = Scenario.create(api, *required, {"type": "free_text", "description": "D", "required": False})
    participant = scenario.start("p")
    detail = refused(api.post(f"{participant.path}/submit", headers=participant.headers), 400)
    assert set(detail) == {participant.item(number) for number in range(6)}
    blank: list[Any] = [
        {"value": " \n"},
        {"value": []},
        {"value": []},
        {"value": []},
        {"value": " ", "unit": "kg"},
    ]
    for number, answer in enumerate(blank):
        expect(participant.answer(participant.item(number), answer), 200)
    detail = refused(api.post(f"{participant.path}/submit", headers=participant.headers), 400)
    assert set(detail) == {participant.item(number) for number in range(6)}


def test_counts_of_files_are_held_at_submit(api: httpx.Client) -> None:
    item = {"type": "file_upload", "description": "D", "min_file_count": 2, "max_file_count": 3}
    scenario = Scenario.create(api, item)
    participant = scenario.start("p")
    participant.upload(participant.item(0), "a.png", PNG)
    refused(api.post(f"{participant.path}/submit", headers=participant.headers), 400, participant.item(0))
    participant.upload(participant.item(0), "b.png", PNG)
    participant.submit()


def test_an_unfinished_upload_holds_submit_back(api: httpx.Client) -> None:
    scenario = Scenario.create(api, {**ITEMS[FILES]})
    participant = scenario.start("p")
    metadata = f"instruction_id {b64(participant.item(0))},filename {b64('a.png')}"
    headers = {**participant.headers, "Tus-Resumable": "1.0.0"}
    made = api.post(
        f"{participant.path}/uploads",
        headers={**headers, "Upload-Length": "100", "Upload-Metadata": metadata},
    )
    assert made.status_code == 201
    refused(api.post(f"{participant.path}/submit", headers=participant.headers), 400, participant.item(0))
    assert api.delete(str(made.url.join(made.headers["location"])), headers=headers).status_code == 204
    participant.submit()


def b64(text: str) -> str:
    import base64

    return base64.b64encode(text.encode()).decode()


def read(scenario: Scenario) -> tuple[zipfile.ZipFile, list[dict[str, Any]], dict[str, Any]]:
    archive = zipfile.ZipFile(io.BytesIO(scenario.download()))
    lines = [json.loads(line) for line in archive.read("responses.jsonl").splitlines()]
    return archive, lines, json.loads(archive.read("collection.json"))


def test_every_type_in_the_archive(api: httpx.Client) -> None:
    scenario = Scenario.create(api, *ITEMS)
    participant = scenario.start("p")
    answers: dict[int, Any] = {
        TEXT: {"value": "It was fine"},
        ONE: {"value": [True]},
        ANY: {"value": [2.5, "text"]},
        WHY: {"value": [{"value": "text", "explanation": "because"}]},
        WEIGHT: {"value": "72.5", "unit": "kg"},
    }
    for number, answer in answers.items():
        expect(participant.answer(participant.item(number), answer), 200)
    participant.upload(participant.item(FILES), "receipt.png", PNG)
    participant.submit()
    empty = scenario.start("empty")
    expect(empty.answer(empty.item(TEXT), {"value": "  "}), 200)
    empty.submit()

    archive, lines, described = read(scenario)
    import hashlib

    path = f"files/{participant.submission_id}_receipt.png"
    assert archive.namelist() == ["responses.jsonl", "collection.json", "README.md", path]
    assert archive.read(path) == PNG
    first, second = lines
    assert list(first) == [
        "submission_id",
        "participant_id",
        "study_id",
        "status",
        "started_at",
        "completed_at",
        "responses",
    ]
    assert first["study_id"] == scenario.study["id"]
    assert first["started_at"].endswith("Z")
    assert first["completed_at"] > first["started_at"]
    expected = {
        participant.item(number): {"type": ITEMS[number]["type"], **answer}
        for number, answer in answers.items()
    }
    expected[participant.item(FILES)] = {
        "type": "file_upload",
        "value": [
            {
                "path": path,
                "file_name": "receipt.png",
                "content_type": "image/png",
                "size_bytes": len(PNG),
                "sha256": hashlib.sha256(PNG).hexdigest(),
            }
        ],
    }
    assert first["responses"] == expected
    assert second["responses"] == {}

    assert set(described) >= {"id", "name", "description", "workspace_id", "schema_version", "created_at",
                              "task_details", "export", "instructions"}  # fmt: skip
    assert described["id"] == scenario.collection["id"]
    assert set(described["export"]) >= {"id", "created_at", "filter", "submission_count", "file_count"}
    assert (described["export"]["submission_count"], described["export"]["file_count"]) == (2, 1)
    assert described["export"]["filter"] is None
    for row in described["instructions"]:
        assert set(row) >= {"id", "type", "description", "page", "order", "retired"}
    assert [row["type"] for row in described["instructions"]] == [item["type"] for item in ITEMS[:6]]
    assert described["instructions"][FILES]["max_file_size_mb"] == 1
    assert described["instructions"][WEIGHT]["unit_options"][0]["value"] == "kg"
    readme = archive.read("README.md").decode()
    assert "pandas" in readme
    assert "It was fine" not in readme


HOSTILE = [
    "../../etc/passwd.png",
    "..\\..\\windows\\win.png",
    "CON.png",
    "con.PNG",
    "a\0b.png",
    "🍕" * 75 + ".png",
    "\u202egnp.exe.png",
    "photo.png",
    "PHOTO.PNG",
    "photo.png",
    "  .png",
    "a<b>c:d\"e|f?g*h.png",
    "tab\tnew\nline.png",
    "e\u0301.png",
    "\u00e9.png",
    "trailing. .png",
    "-rf.png",
]  # fmt: skip


def test_hostile_file_names_arrive_safe_and_unique(api: httpx.Client, tmp_path: Path) -> None:
    item = {"type": "file_upload", "description": "D", "max_file_count": 100, "accepted_file_types": [".png"]}
    scenario = Scenario.create(api, item)
    participant = scenario.start("p")
    for number, name in enumerate(HOSTILE):
        participant.upload(participant.item(0), name, PNG + bytes([number]))
    participant.submit()
    archive, [line], _ = read(scenario)
    entries = line["responses"][participant.item(0)]["value"]
    assert [entry["file_name"] for entry in entries] == [name.replace("\0", "\ufffd") for name in HOSTILE]
    paths = [entry["path"] for entry in entries]
    assert archive.namelist()[3:] == paths
    assert len({path.casefold() for path in paths}) == len(HOSTILE)
    prefix = f"files/{participant.submission_id}_"
    for number, path in enumerate(paths):
        assert path.startswith(prefix)
        name = path.removeprefix(prefix)
        assert len(name.encode()) <= MAX_NAME_BYTES
        assert not set(name) & set('/\\<>:"|?*\0\t\n\u202e')
        assert ".." not in name
        assert name == name.strip(" .")
        assert name.lower().endswith("png")
        assert archive.read(path) == PNG + bytes([number])
        assert archive.getinfo(path).flag_bits & 0x800 or path.isascii()
    assert paths[0] == f"{prefix}passwd.png"
    archive.extractall(tmp_path)
    assert len(list((tmp_path / "files").iterdir())) == len(HOSTILE)
    for path in paths:
        assert (tmp_path / path).is_file()  # `path` works as it stands after extraction


def test_a_name_with_nothing_left_is_called_file(api: httpx.Client) -> None:
    item = {"type": "file_upload", "description": "D", "accepted_file_types": [".png"]}
    scenario = Scenario.create(api, item)
    participant = scenario.start("p")
    participant.upload(participant.item(0), "???.png", PNG)
    participant.submit()
    _, [line], _ = read(scenario)
    [entry] = line["responses"][participant.item(0)]["value"]
    assert entry["file_name"] == "???.png"
    assert entry["path"].rpartition("_")[2] in ("png", "file.png")


# several at once


def save_all(participant: Participant, answers: Any) -> httpx.Response:
    return participant.http.put(
        f"{participant.path}/answers", content=json.dumps(answers), headers=participant.headers
    )


def kept(participant: Participant) -> tuple[dict[str, Any], dict[str, int]]:
    """The answers that are saved, and their revisions."""
    state = expect(participant.http.get(participant.path, headers=participant.headers), 200)
    return state["answers"], state["revisions"]


@pytest.fixture
def person(shared: Scenario) -> Participant:
    return shared.start(str(uuid4()))


def test_several_answers_are_saved_at_once(person: Participant) -> None:
    text, one, why, weight = map(person.item, (TEXT, ONE, WHY, WEIGHT))
    saved = expect(
        save_all(
            person,
            {
                text: {"value": "Fine"},
                one.upper(): {"value": [True], "revision": 0},
                why: {"value": [{"value": 1}]},
                weight: {"value": "7,5", "unit": "kg"},
            },
        ),
        200,
    )["answers"]
    assert saved.keys() == {text, one, why, weight}
    assert saved[why]["answer"] == {"value": [{"value": 1, "explanation": ""}]}
    assert [each["revision"] for each in saved.values()] == [1, 1, 1, 1]
    assert saved[text]["saved_at"] == saved[one]["saved_at"]
    answers, _ = kept(person)
    assert answers[one] == {"value": [True]}
    assert answers[weight] == {"value": "7,5", "unit": "kg"}

    again = expect(save_all(person, {text: None, one: {"value": [], "revision": 1}}), 200)["answers"]
    assert again[text] == {"instruction_id": text, "answer": None, "revision": 0}
    assert again[one]["revision"] == 2
    assert kept(person)[0].keys() == {one, why, weight}
    assert expect(save_all(person, {}), 200) == {"answers": {}}


WRONG: dict[str, Callable[[Participant], tuple[str, Any]]] = {
    "an unknown instruction": lambda person: (str(uuid4()), {"value": "x"}),
    "no id": lambda person: ("x", {"value": "x"}),
    "a number for text": lambda person: (person.item(WEIGHT), {"value": 5, "unit": "kg"}),
    "an unknown option": lambda person: (person.item(ONE), {"value": ["x"]}),
    "an unknown unit": lambda person: (person.item(WEIGHT), {"value": "5", "unit": "x"}),
    "too many options": lambda person: (person.item(ONE), {"value": ["text", 1]}),
    "no object": lambda person: (person.item(ONE), ["text"]),
    "files": lambda person: (person.item(FILES), {"value": []}),
    "content": lambda person: (person.item(RICH), {"value": "x"}),
    "a revision that is no number": lambda person: (person.item(ONE), {"value": [1], "revision": "1"}),
    "a revision that is true": lambda person: (person.item(ONE), {"value": [1], "revision": True}),
    "a negative revision": lambda person: (person.item(ONE), {"value": [1], "revision": -1}),
}


@pytest.mark.parametrize("kind", WRONG)
def test_one_wrong_answer_has_none_saved(person: Participant, kind: str) -> None:
    key, value = WRONG[kind](person)
    good = person.item(TEXT)
    for given in ({good: {"value": "x"}, key: value}, {key: value, good: {"value": "x"}}):
        detail = refused(save_all(person, given), 400)
        assert list(detail) == [key]
        assert all(isinstance(sentence, str) for sentence in detail[key])
    assert kept(person) == ({}, {})


def test_refusals_name_every_answer_that_is_wrong(person: Participant) -> None:
    given = {
        person.item(TEXT): {"value": 5},
        person.item(ONE): {"value": "x"},
        person.item(ANY): {"value": []},
    }
    assert refused(save_all(person, given), 400).keys() == {person.item(TEXT), person.item(ONE)}


def test_a_name_that_is_empty_is_refused(person: Participant) -> None:
    refused(save_all(person, {person.item(TEXT): {"value": "x"}, "": {"value": "x"}}), 400, "body")
    assert kept(person) == ({}, {})


def test_a_map_of_very_many_names_is_refused_as_a_whole(person: Participant) -> None:
    """Refusals name each that is wrong; what has no end to it is none to look at one by one."""
    for name in ("x{}", "00000000-0000-4000-8000-{:012}"):
        refused(save_all(person, {name.format(n): None for n in range(10_001)}), 400, "body")
        assert len(refused(save_all(person, {name.format(n): None for n in range(10_000)}), 400)) == 10_000


def test_an_instruction_named_twice_is_refused(person: Participant) -> None:
    text = person.item(TEXT)
    given = json.dumps({text: {"value": "a"}})[:-1] + f', "{text.upper()}": {{"value": "b"}}}}'
    answer = person.http.put(f"{person.path}/answers", content=given, headers=person.headers)
    assert text.upper() in refused(answer, 400)
    assert kept(person) == ({}, {})


@pytest.mark.parametrize("given", [[], "x", 5, None, True])
def test_what_is_no_map_is_refused(person: Participant, given: Any) -> None:
    refused(save_all(person, given), 400, "body")


def test_a_stale_revision_has_none_saved(person: Participant) -> None:
    text, one, any_ = map(person.item, (TEXT, ONE, ANY))
    expect(person.answer(text, {"value": "first"}), 200)
    expect(person.answer(text, {"value": "second"}), 200)
    given = {
        text: {"value": "third", "revision": 1},
        one: {"value": [1], "revision": 0},
        any_: {"value": [1], "revision": 3},
    }
    detail = refused(save_all(person, given), 412)
    assert detail.keys() == {text, any_}
    assert "at revision 2" in detail[text][0]
    assert kept(person) == ({text: {"value": "second"}}, {text: 2})
    refused(save_all(person, {**given, one: {"value": "x"}}), 400)  # what is wrong comes first
    assert (
        expect(save_all(person, {text: {"value": "third", "revision": 2}}), 200)["answers"][text]["revision"]
        == 3
    )


def test_a_revision_never_comes_back(person: Participant) -> None:
    """Cleared and given anew by another, an answer is not at the revision that somebody saw before."""
    text, one = person.item(TEXT), person.item(ONE)
    stale = {"value": "mine", "revision": 1}
    assert (
        expect(save_all(person, {text: {"value": "a"}, one: {"value": [1]}}), 200)["answers"][text][
            "revision"
        ]
        == 1
    )
    expect(save_all(person, {text: None}), 200)
    refused(save_all(person, {text: stale}), 412, text)
    refused(person.answer(text, {"value": "mine"}, **{"If-Match": '"1"'}), 412)
    assert (
        expect(save_all(person, {text: {"value": "b", "revision": 0}}), 200)["answers"][text]["revision"] == 2
    )
    refused(save_all(person, {text: stale}), 412, text)
    refused(save_all(person, {text: {"value": "mine", "revision": 0}}), 412, text)
    refused(person.answer(text, {"value": "mine"}, **{"If-Match": '"1"'}), 412)
    assert kept(person) == ({text: {"value": "b"}, one: {"value": [1]}}, {text: 2, one: 1})
    expect(person.answer(text, None), 200)
    for number, headers in ((3, {"If-Match": '"0"'}), (4, {})):
        assert expect(person.answer(text, {"value": "c"}, **headers), 200)["revision"] == number
    refused(save_all(person, {text: {"value": "mine", "revision": 2}, one: {"value": [1]}}), 412, text)
    given = {text: {"value": "d", "revision": 4}, one: {"value": [2.5], "revision": 1}}
    assert {each["revision"] for each in expect(save_all(person, given), 200)["answers"].values()} == {5, 2}


def test_a_single_answer_takes_its_revision_beside_the_value_too(person: Participant) -> None:
    text = person.item(TEXT)
    for number in range(3):
        assert expect(person.answer(text, {"value": "a", "revision": number}), 200)["revision"] == number + 1
    refused(person.answer(text, {"value": "b", "revision": 1}), 412)
    refused(person.answer(text, {"value": "b" * 5000, "revision": 1}), 412)
    refused(person.answer(text, {"value": "b", "revision": 3}, **{"If-Match": '"2"'}), 400, "revision")
    for wrong in ("3", -1, 1.5, True):
        refused(person.answer(text, {"value": "b", "revision": wrong}), 400, "revision")
    assert kept(person) == ({text: {"value": "a"}}, {text: 3})
    assert (
        expect(person.answer(text, {"value": "b", "revision": 3}, **{"If-Match": '"3"'}), 200)["revision"]
        == 4
    )
    assert (
        expect(person.answer(text, {"value": "b", "revision": 4}, **{"If-Match": "*"}), 200)["revision"] == 5
    )


def test_of_maps_at_the_same_time_one_is_saved(person: Participant) -> None:
    """Each builds on the same revision: one wins with all its answers, the others change nothing."""
    text, one = person.item(TEXT), person.item(ONE)

    def save(number: int) -> httpx.Response:
        with httpx.Client(base_url=person.http.base_url, timeout=60, trust_env=False) as http:
            mine = Participant(http, person.submission_id, person.token, person.state)
            return save_all(
                mine,
                {
                    text: {"value": str(number), "revision": 0},
                    one: {"value": [VALUES[number]], "revision": 0},
                },
            )

    with ThreadPoolExecutor(5) as threads:
        statuses = [answer.status_code for answer in threads.map(save, range(5))]
    assert sorted(statuses) == [200, 412, 412, 412, 412]
    winner = statuses.index(200)
    assert kept(person)[0] == {text: {"value": str(winner)}, one: {"value": [VALUES[winner]]}}


def test_a_submitted_submission_takes_no_map(person: Participant) -> None:
    text = person.item(TEXT)
    expect(save_all(person, {text: {"value": "x"}}), 200)
    person.submit()
    refused(save_all(person, {text: {"value": "y"}}), 409)
    assert kept(person)[0] == {text: {"value": "x"}}


# all of them together


def test_answers_together_have_a_limit(api: httpx.Client) -> None:
    """Each text may be long; all of a submission are read, shown and handed in at once."""
    scenario = Scenario.create(api, *[ITEMS[TEXT]] * 12)
    person = scenario.start("wordy")
    ids = [person.item(number) for number in range(12)]
    long = {"value": "'" * 999_000}
    with ThreadPoolExecutor(8) as threads:
        answered = list(threads.map(lambda each: person.answer(each, long).status_code, ids[:8]))
    assert sorted(answered) == [200] * 4 + [400] * 4
    saved, revisions = kept(person)
    assert len(saved) == 4
    free = next(each for each in ids if each not in saved)
    refused(person.answer(free, long), 400, "value")
    refused(save_all(person, {free: long, ids[9]: {"value": "short"}}), 400, free)
    assert kept(person)[1] == revisions
    expect(save_all(person, {each: {"value": "short"} for each in ids if each not in saved}), 200)
    there = next(iter(saved))
    expect(person.answer(there, {"value": "x" * 999_000}), 200)  # in the place of one as long
    expect(person.answer(there, None), 200)
    expect(person.answer(free, long), 200)
    person.submit()
    assert expect(api.get(f"/data-collection/collections/{scenario.collection['id']}/overview"), 200)


def test_every_script_has_as_much_room_as_its_bytes(api: httpx.Client) -> None:
    scenario = Scenario.create(api, *[ITEMS[TEXT]] * 3)
    person = scenario.start("p")
    long = {"value": "한" * 690_000}
    answered = [person.answer(person.item(number), long).status_code for number in range(3)]
    assert answered == [200, 200, 400]


def test_one_answer_of_any_length_that_is_taken_is_saved(api: httpx.Client) -> None:
    scenario = Scenario.create(api, ITEMS[TEXT], ITEMS[TEXT])
    person = scenario.start("p")
    text = {"value": "\N{LINE SEPARATOR}" * 999_999}  # six bytes each
    path = f"{person.path}/answers/{person.item(0)}"
    expect(person.http.put(path, json=text, headers=person.headers), 200)
    refused(person.answer(person.item(1), {"value": "x" * 5_000}), 400, "value")
    expect(person.answer(person.item(1), {"value": "x" * 3_000}), 200)
    person.submit()


def test_a_form_says_which_answer_is_too_much(api: httpx.Client, server: Installation) -> None:
    scenario = Scenario.create(api, *[ITEMS[TEXT]] * 6)
    bare = f"{server.url}/participate/{scenario.study['id']}"
    with httpx.Client(trust_env=False, headers={"Origin": server.url, "Accept": "text/html"}) as browser:
        begun = browser.post(bare, data={"participant_id": "p", "session_id": ""})
        page = f"{server.url}{begun.headers['Location'].split('?')[0]}/1"
        ids = [item["id"] for item in scenario.collection["collection_items"][0]["page_items"]]
        for some in (ids[:5], ids[5:]):
            fields = {f"r.{each}": "0" for each in some} | {f"a.{each}": "x" * 700_000 for each in some}
            answered = browser.post(page, data={**fields, "go": "next"})
    assert "all answers together are more" in answered.text
