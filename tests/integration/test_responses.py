"""A collection's responses as researchers look through them: filters, orders, pages, notes, numbers, decisions."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest

from tests.installation import Installation
from tests.integration.rows import connected
from tests.refusals import refused
from tests.scenario import PNG, Scenario, expect

CHOICE = {
    "type": "multiple_choice",
    "description": "Which?",
    "answer_limit": -1,
    "options": [
        {"label": "One", "value": "one"},
        {"label": "1", "value": 1},
        {"label": "Yes", "value": True},
    ],
}
EXPLAINED = {
    "type": "multiple_choice_with_free_text",
    "description": "And why?",
    "answer_limit": -1,
    "options": [{"label": each.upper(), "value": each, "heading": "Why?"} for each in ("a", "b")],
}
WEIGHT = {
    "type": "free_text_with_unit",
    "description": "How heavy?",
    "unit_options": [{"label": "Kilograms", "value": "kg"}],
    "unit_position": "suffix",
    "validation": {"type": "number"},
}
TEXT = {"type": "free_text", "description": "How was it?"}
PHOTO = {"type": "file_upload", "description": "A photo", "required": False}


def optional(item: dict[str, Any]) -> dict[str, Any]:
    return {**item, "required": False}


class Answered:
    """A collection with responses whose answers are known."""

    def __init__(self, api: httpx.Client) -> None:
        self.api = api
        items = [optional(each) for each in (TEXT, CHOICE, EXPLAINED, WEIGHT)]
        self.scenario = Scenario.create(api, *items, PHOTO)
        self.path = f"/data-collection/collections/{self.scenario.collection['id']}"
        page = self.scenario.collection["collection_items"][0]["page_items"]
        self.text, self.choice, self.explained, self.weight, self.photo = (item["id"] for item in page)
        self.ids: dict[str, str] = {}
        self.add("anna", text="A quiet, sunny 50% day", choice=["one", 1], weight="72.50", photo=True)
        self.add("bert", text="Rain_ and rain", choice=[True], explained=[("a", "because")], weight="8")
        self.add("carl", explained=[("b", "")], weight="-3.5e1")
        self.add("dora", text="sunny again")
        self.scenario.start("eve")  # has not submitted

    def add(
        self,
        name: str,
        *,
        text: str | None = None,
        choice: list[Any] | None = None,
        explained: list[tuple[str, str]] | None = None,
        weight: str | None = None,
        photo: bool = False,
    ) -> None:
        participant = self.scenario.start(name)
        if text is not None:
            expect(participant.answer(self.text, {"value": text}), 200)
        if choice is not None:
            expect(participant.answer(self.choice, {"value": choice}), 200)
        if explained is not None:
            value = [{"value": each, "explanation": why} for each, why in explained]
            expect(participant.answer(self.explained, {"value": value}), 200)
        if weight is not None:
            expect(participant.answer(self.weight, {"value": weight, "unit": "kg"}), 200)
        if photo:
            participant.upload(self.photo, "me.png", PNG)
        participant.submit()
        self.ids[name] = participant.submission_id

    def ask(self, **parameters: Any) -> dict[str, Any]:
        found: dict[str, Any] = expect(self.api.get(f"{self.path}/submissions", params=parameters), 200)
        return found

    def names(self, **parameters: Any) -> list[str]:
        return [each["participant_id"] for each in self.ask(**parameters)["results"]]


@pytest.fixture(scope="module")
def answered(server: Installation) -> Any:
    with server.client() as client:
        yield Answered(client)


def test_everything_newest_first(answered: Answered) -> None:
    found = answered.ask()
    assert [each["participant_id"] for each in found["results"]] == ["eve", "dora", "carl", "bert", "anna"]
    assert found["meta"] == {"count": 5, "next": None}
    anna = found["results"][-1]
    assert anna["responses"][answered.text]["value"] == "A quiet, sunny 50% day"
    (file,) = anna["responses"][answered.photo]["value"]
    got = answered.api.get(f"{answered.path}/files/{file['file_key']}")
    assert got.content == PNG
    assert found["results"][0]["responses"] is None


def test_filters(answered: Answered) -> None:
    a = answered

    def where(question: str, rest: str) -> str:
        return f"{question}:{rest}"

    table: list[tuple[dict[str, Any], list[str]]] = [
        ({"state": "active"}, ["eve"]),
        ({"state": ["AWAITING_REVIEW", "ACTIVE"], "participant": "dora"}, ["dora"]),
        ({"participant": "dor"}, []),
        ({"participant": "\ufeff d\u00ado\u200bra\t"}, ["dora"]),
        ({"files": "yes"}, ["anna"]),
        ({"files": "no"}, ["bert", "carl", "dora", "eve"]),
        ({"search": "sunny"}, ["anna", "dora"]),
        ({"search": "sunny -again"}, ["anna"]),
        ({"search": '"quiet sunny"'}, ["anna"]),
        ({"search": "free_text"}, []),
        ({"search": "because"}, ["bert"]),
        ({"where": where(a.choice, "is:one")}, ["anna"]),
        ({"where": where(a.choice, "is:1")}, ["anna"]),
        ({"where": where(a.choice, 'is:"1"')}, []),
        ({"where": where(a.choice, "is:true")}, ["bert"]),
        ({"where": where(a.explained, "is:a")}, ["bert"]),
        ({"where": where(a.text, "contains:RAIN")}, ["bert"]),
        ({"where": where(a.text, "contains:50%")}, ["anna"]),
        ({"where": where(a.text, "contains:n_")}, ["bert"]),
        ({"where": where(a.weight, "between:0,80")}, ["anna", "bert"]),
        ({"where": where(a.weight, "between:,8")}, ["bert", "carl"]),
        ({"where": where(a.weight, "between:72.5,")}, ["anna"]),
        ({"where": where(a.weight, "between:8,72.5)")}, ["bert"]),
        ({"where": where(a.weight, "unit:kg")}, ["anna", "bert", "carl"]),
        ({"where": where(a.weight, 'unit:"lb"')}, []),
        ({"where": where(a.photo, "type:image/png")}, ["anna"]),
        ({"where": where(a.photo, "type:image/jpeg")}, []),
        ({"submitted": "no"}, ["eve"]),
        ({"submitted": "yes", "where": where(a.weight, "missing")}, ["dora"]),
        ({"tests": "no", "state": "ACTIVE"}, ["eve"]),
        ({"tests": "yes"}, []),
        ({"where": where(a.text, "answered")}, ["anna", "bert", "dora"]),
        ({"where": where(a.weight, "missing"), "state": "AWAITING REVIEW"}, ["dora"]),
        ({"where": [where(a.weight, "between:0,"), where(a.text, "contains:rain")]}, ["bert"]),
        ({"shorter": "1h", "longer": "0s"}, ["anna", "bert", "carl", "dora"]),
        ({"longer": "1d"}, []),
        ({"since": "2020-01-01", "before": "2020-12-31"}, []),
        ({"study": a.scenario.study["id"], "files": "yes"}, ["anna"]),
        ({"study": str(uuid.uuid4())}, []),
        ({"note": "no", "state": "ACTIVE"}, ["eve"]),
    ]
    for wanted, names in table:
        assert sorted(a.names(**wanted)) == names, wanted


def test_orders_and_pages_meet(answered: Answered) -> None:
    a = answered
    for sort in ["completed", "started", "duration", "state", "participant", a.text, a.weight, a.choice]:
        for direction in ("", "-"):
            whole = a.names(sort=direction + sort)
            assert len(whole) == 5
            by_page: list[str] = []
            after = None
            while True:
                page = a.ask(sort=direction + sort, limit=2, **({"after": after} if after else {}))
                by_page += [each["participant_id"] for each in page["results"]]
                after = page["meta"]["next"]
                if after is None:
                    break
            assert by_page == whole, (direction, sort)
    assert a.names(sort="participant") == ["anna", "bert", "carl", "dora", "eve"]
    assert a.names(sort="-" + a.weight, state="AWAITING REVIEW", where=f"{a.weight}:answered") == [
        "anna",
        "bert",
        "carl",
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("state", "DONE"),
        ("study", "x"),
        ("since", "yesterday"),
        ("before", "2026-13-01"),
        ("files", "perhaps"),
        ("shorter", "-1s"),
        ("longer", "9" * 30),
        ("where", "x:is:y"),
        ("where", "00000000-0000-4000-8000-000000000000:answered"),
        ("where", "QUESTION:like:y"),
        ("where", "QUESTION:is:"),
        ("where", "QUESTION:between:1"),
        ("where", "QUESTION:between:1,)"),
        ("where", "QUESTION:unit:"),
        ("where", 'QUESTION:unit:"a\\u0000b"'),
        ("submitted", "perhaps"),
        ("tests", "2"),
        ("where", "QUESTION:between:,"),
        ("where", "QUESTION:between:nan,1"),
        ("where", "QUESTION:contains:" + "x" * 501),
        ("sort", "name"),
        ("sort", "'; DROP TABLE submissions; --"),
        ("after", "x"),
        ("after", "WzEsMl0"),
        ("after", "WyJub3QgYSB0aW1lIiwiMDAwMDAwMDAtMDAwMC00MDAwLTgwMDAtMDAwMDAwMDAwMDAwIl0"),
        ("search", "a\0b"),
        ("participant", "a\0b"),
        ("participant", "\u200b\u3164"),
        ("participant", "x" * 201),
        ("before", "9999-12-31"),
        ("where", "QUESTION:contains:a\0b"),
        ("where", 'QUESTION:is:"a\\u0000b"'),
        ("where", "QUESTION:between:1e9999999,"),
        ("limit", "0"),
    ],
)
def test_what_is_no_filter_is_refused_by_name(answered: Answered, name: str, text: str) -> None:
    given = {name: text.replace("QUESTION", answered.text)}
    refused(answered.api.get(f"{answered.path}/submissions", params=given), 400, name)


def test_many_conditions_are_refused(answered: Answered) -> None:
    given = {"where": [f"{answered.text}:contains:{n}" for n in range(11)]}
    refused(answered.api.get(f"{answered.path}/submissions", params=given), 400, "where")


def test_one_response_with_its_collection(answered: Answered) -> None:
    found = expect(answered.api.get(f"/submissions/{answered.ids['bert']}/response"), 200)
    assert found["responses"][answered.explained]["value"] == [{"value": "a", "explanation": "because"}]
    assert found["collection"]["collection_items"][0]["page_items"][0]["id"] == answered.text
    refused(answered.api.get(f"/submissions/{uuid.uuid4()}/response"), 404)


def test_notes(answered: Answered) -> None:
    path = f"/submissions/{answered.ids['carl']}/notes"
    made = expect(answered.api.post(path, json={"text": " Ask again. "}), 201)
    assert made["text"] == "Ask again."
    assert expect(answered.api.get(path), 200) == {"results": [made], "meta": {"count": 1}}
    assert answered.names(note="yes") == ["carl"]
    assert expect(answered.api.get(f"/submissions/{answered.ids['carl']}/response"), 200)["notes"] == [made]
    refused(answered.api.post(path, json={"text": "  "}), 400, "text")
    refused(answered.api.post(path, json={"text": "x" * 10_001}), 400, "text")
    refused(answered.api.delete(f"{path}/{uuid.uuid4()}"), 404)
    assert answered.api.delete(f"{path}/{made['id']}").status_code == 204
    assert answered.names(note="yes") == []


def test_the_numbers_of_a_collection(answered: Answered) -> None:
    found = expect(answered.api.get(f"{answered.path}/overview"), 200)
    assert (found["started"], found["under_way"], found["submitted"]) == (5, 1, 4)
    assert (found["awaiting_review"], found["files"], found["file_bytes"]) == (4, 1, len(PNG))
    assert found["left_without_an_answer"] == 1
    assert [day["count"] for day in found["days"]] == [4]
    answers = {each["instruction_id"]: (each["answered"], each["missing"]) for each in found["questions"]}
    assert answers[answered.text] == (3, 1)
    assert answers[answered.photo] == (1, 3)


def test_an_erased_person_leaves_no_answer_word_or_note(server: Installation, api: httpx.Client) -> None:
    scenario = Scenario.create(api, TEXT)
    submission_id = scenario.take_part("gone", "xylophone")
    path = f"/data-collection/collections/{scenario.collection['id']}/submissions"
    expect(api.post(f"/submissions/{submission_id}/notes", json={"text": "played it"}), 201)
    assert expect(api.get(path, params={"search": "xylophone"}), 200)["meta"]["count"] == 1
    expect(api.delete(f"/submissions/{submission_id}"), 204)
    assert expect(api.get(path), 200)["results"] == []
    refused(api.post(f"/submissions/{submission_id}/notes", json={"text": "x"}), 404)
    with connected(server) as database:
        left = database.execute(
            "SELECT answers, words, (SELECT count(*) FROM notes WHERE submission_id = s.id) AS notes"
            " FROM submissions s WHERE id = %s",
            [submission_id],
        ).fetchone()
    assert left is not None
    assert tuple(left.values() if isinstance(left, dict) else left) == (None, None, 0)


def test_approving_what_a_filter_shows(api: httpx.Client) -> None:
    scenario = Scenario.create(api, TEXT)
    for number in range(5):
        scenario.take_part(f"p{number}", "good" if number < 3 else "bad")
    path = f"/data-collection/collections/{scenario.collection['id']}/submissions/approve"
    good = {"where": f"{scenario.collection['collection_items'][0]['page_items'][0]['id']}:contains:good"}
    refused(api.post(path, params=good, json={"count": 2}), 400, "count")
    assert expect(api.post(path, params=good, json={"count": 3}), 200) == {"approved": 3}
    counts = expect(api.get(f"/studies/{scenario.study['id']}/submissions/counts"), 200)
    assert (counts["APPROVED"], counts["AWAITING REVIEW"]) == (3, 2)


def test_a_very_long_answer_is_taken_and_found(api: httpx.Client) -> None:
    scenario = Scenario.create(api, TEXT, TEXT)
    participant = scenario.start("long")
    words = " ".join(f"w{number:x}" for number in range(14_000))[:99_000]
    expect(participant.answer(participant.item(0), {"value": words}), 200)
    expect(participant.answer(participant.item(1), {"value": words[::-1]}), 200)
    participant.submit()
    path = f"/data-collection/collections/{scenario.collection['id']}/submissions"
    assert expect(api.get(path, params={"search": "w1f"}), 200)["meta"]["count"] == 1


def test_lists_of_very_long_answers_are_bounded(api: httpx.Client) -> None:
    """However many are asked for, and whatever of 4 MB each has answered."""
    scenario = Scenario.create(api, *[TEXT] * 4)
    names = [f"writer-{number}" for number in range(9)]
    for name in names:
        participant = scenario.start(name)
        for question in range(4):
            expect(participant.answer(participant.item(question), {"value": "xyz " * 249_000}), 200)
        participant.submit()
    path = f"/data-collection/collections/{scenario.collection['id']}/submissions"
    for wanted in ({}, {"search": "xyz"}):  # counted apart, and with the page
        seen: list[list[str]] = []
        after: dict[str, str] = {}
        while True:
            page = expect(api.get(path, params={"limit": 8, "sort": "participant", **wanted, **after}), 200)
            seen.append([each["participant_id"] for each in page["results"]])
            assert page["meta"]["count"] == 9
            if page["meta"]["next"] is None:
                break
            after = {"after": page["meta"]["next"]}
        assert [len(each) for each in seen] == [4, 4, 1]
        assert [name for each in seen for name in each] == names
    records = f"/data-collection/collections/{scenario.collection['id']}/responses"
    refused(api.get(records, params={"limit": 36}), 400, "limit")
    assert len(expect(api.get(records, params={"limit": 33, "offset": 3}), 200)["results"]) == 33
