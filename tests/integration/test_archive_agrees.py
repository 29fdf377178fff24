"""What researchers are shown equals what the archive holds: counts, filters and exports beside pandas on all of it."""

from __future__ import annotations

import io
import json
import random
import re
import zipfile
from collections.abc import Callable
from typing import Any

import httpx
import pandas as pd
import pytest

from tests.installation import Installation
from tests.scenario import PNG, Participant, Scenario, expect

WORDS = ("Quiet", "sunny", "RAIN", "Straße", "élan", "улица", "街上", "50%", "a_b", "co-op", "x")
PEOPLE = 30
FILTERS = 40
EXPORTS = 6
Mask = Callable[[pd.DataFrame], "pd.Series[bool]"]


class Study:
    """A collection of random questions, answered at random."""

    def __init__(self, api: httpx.Client, seed: int) -> None:
        self.rng = random.Random(seed)
        self.api = api
        self.scenario = Scenario.create(api, *[self.make_question(kind) for kind in self.choose_kinds()])
        self.path = f"/data-collection/collections/{self.scenario.collection['id']}"
        page = self.scenario.collection["collection_items"][0]["page_items"]
        self.questions: list[dict[str, Any]] = page
        self.under_way: list[Participant] = []
        for number in range(PEOPLE):
            self.take_part(f"person-{number}")

    def choose_kinds(self) -> list[str]:
        kinds = [
            "free_text",
            "multiple_choice",
            "multiple_choice_with_free_text",
            "free_text_with_unit",
            "file_upload",
        ]
        chosen = [*kinds, *self.rng.choices(kinds, k=3)]
        self.rng.shuffle(chosen)
        return chosen

    def make_question(self, kind: str) -> dict[str, Any]:
        item: dict[str, Any] = {"type": kind, "description": self.text(), "required": False}
        values: list[Any] = self.rng.sample(["one", "1", 1, 2.5, True, "true", "ünï"], 4)
        if kind.startswith("multiple_choice"):
            item["options"] = [{"label": f"Label {value!r}", "value": value} for value in values]
            item["answer_limit"] = self.rng.choice([1, -1])
        if kind == "multiple_choice_with_free_text":
            item["options"] = [{**option, "heading": "Why?"} for option in item["options"]]
        if kind == "free_text_with_unit":
            item |= {"unit_options": [{"label": "kg", "value": "kg"}], "unit_position": "suffix"}
            item["validation"] = {"type": "number"}
        return item

    def text(self) -> str:
        return " ".join(self.rng.choices(WORDS, k=self.rng.randint(1, 6)))

    def answer(self, item: dict[str, Any]) -> dict[str, Any]:
        options = [option["value"] for option in item.get("options", [])]
        chosen = (
            self.rng.sample(options, self.rng.randint(1, 3) if item.get("answer_limit") == -1 else 1)
            if options
            else []
        )
        match item["type"]:
            case "free_text":
                return {"value": self.text()}
            case "multiple_choice":
                return {"value": chosen}
            case "multiple_choice_with_free_text":
                return {"value": [{"value": each, "explanation": self.text()} for each in chosen]}
            case _:
                number = self.rng.choice(["7", "-3.50", "0.125", "1e2", "12", "72.5", "100000"])
                return {"value": number, "unit": "kg"}

    def take_part(self, name: str) -> None:
        person = self.scenario.start(name)
        given = {
            item["id"]: self.answer(item)
            for item in self.questions
            if item["type"] != "file_upload" and self.rng.random() < 0.7
        }
        expect(person.http.put(f"{person.path}/answers", json=given, headers=person.headers), 200)
        fate = self.rng.random()
        if fate < 0.1:
            return
        if fate < 0.2:
            expect(person.http.post(f"{person.path}/return", headers=person.headers), 200)
            return
        for item in self.questions:
            if item["type"] == "file_upload" and self.rng.random() < 0.3:
                person.upload(item["id"], self.rng.choice(["me.png", "Straße 1.png"]), PNG)
        person.submit()
        path = f"/submissions/{person.submission_id}/transition"
        if fate < 0.4:
            expect(self.api.post(path, json={"action": "APPROVE"}), 200)
        elif fate < 0.5:
            rejection = {"action": "REJECT", "message": "No.", "rejection_category": "LOW_EFFORT"}
            expect(self.api.post(path, json=rejection), 200)

    def list(self, wanted: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
        """All pages, seven at a time."""
        rows: list[dict[str, Any]] = []
        after: dict[str, str] = {}
        while True:
            found = expect(
                self.api.get(f"{self.path}/submissions", params={**wanted, "limit": 7, **after}), 200
            )
            rows += found["results"]
            if found["meta"]["next"] is None:
                return rows, found["meta"]["count"]
            after = {"after": found["meta"]["next"]}

    def export(self, wanted: dict[str, Any]) -> pd.DataFrame:
        body = {"filter": {name: value for name, value in wanted.items() if name not in ("since", "before")}}
        names = {"since": "from", "before": "to"}
        body["filter"] |= {names[name]: wanted[name] for name in names if name in wanted}
        answer = self.api.post(f"{self.path}/export", json=body, headers={"Prefer": "wait=60"}).json()
        assert answer["status"] == "complete", answer
        return read(self.scenario.download(answer))

    # filters, and what they mean in pandas

    def make_filter(self, table: pd.DataFrame) -> tuple[dict[str, Any], Mask]:
        """One or two filters together."""
        wanted: dict[str, Any] = {}
        masks: list[Mask] = []
        for _ in range(self.rng.choice([1, 1, 2])):
            name, value, mask = self.make_one(table)
            if name == "where":
                wanted.setdefault("where", []).append(value)
            elif name in wanted:
                continue
            else:
                wanted[name] = value
            masks.append(mask)

        def both(frame: pd.DataFrame) -> pd.Series[bool]:
            found = pd.Series(True, index=frame.index)
            for mask in masks:
                found &= mask(frame)
            return found

        return wanted, both

    def make_one(self, table: pd.DataFrame) -> tuple[str, Any, Mask]:
        rng = self.rng
        someone = table.iloc[rng.randrange(len(table))]
        seconds = (someone.completed_at - someone.started_at).total_seconds()
        of_files = [item["id"] for item in self.questions if item["type"] == "file_upload"]
        match rng.choice(
            ["state", "participant", "files", "since", "before", "shorter", "search", *["where"] * 6]
        ):
            case "state":
                states = rng.sample(["APPROVED", "REJECTED", "AWAITING REVIEW"], rng.randint(1, 2))
                return "state", states, lambda frame: frame.status.isin(states)
            case "participant":
                return (
                    "participant",
                    someone.participant_id,
                    lambda frame: frame.participant_id == someone.participant_id,
                )
            case "files":
                has = rng.random() < 0.5
                return "files", "yes" if has else "no", lambda frame: has_any(frame, of_files) == has
            case "since":
                at = someone.completed_at
                return "since", at.isoformat(), lambda frame: frame.completed_at >= at
            case "before":
                at = someone.completed_at
                return "before", at.isoformat(), lambda frame: frame.completed_at < at
            case "shorter":
                whole = int(seconds) + rng.randint(0, 1)
                return (
                    "shorter",
                    f"{whole}s",
                    lambda frame: (frame.completed_at - frame.started_at).dt.total_seconds() <= whole,
                )
            case "search":
                word = rng.choice(["quiet", "sunny", "rain", "Straße", "улица", "nowhere"])
                pattern = re.compile(rf"(?<!\w){re.escape(word.lower())}(?!\w)")
                return (
                    "search",
                    word,
                    lambda frame: frame.responses.map(
                        lambda given: any(pattern.search(text.lower()) for text in texts_of(given))
                    ).astype(bool),
                )
            case _:
                return "where", *self.make_condition()

    def make_condition(self) -> tuple[str, Mask]:
        rng = self.rng
        item = rng.choice(self.questions)
        id = item["id"]
        kind = item["type"]
        tests = {"free_text": ["contains"], "free_text_with_unit": ["between"], "file_upload": []}.get(
            kind, ["is"]
        )
        test = rng.choice([*tests, *tests, "answered", "missing"])
        answers: Callable[[pd.DataFrame], pd.Series[Any]] = lambda frame: frame.responses.map(  # noqa: E731
            lambda given: given.get(id)
        )
        match test:
            case "answered":
                return f"{id}:answered", lambda frame: answers(frame).notna()
            case "missing":
                return f"{id}:missing", lambda frame: answers(frame).isna()
            case "contains":
                part = rng.choice(["ET", "sun", "0%", "_", "街", "раин", "УЛ", "n s", "ß"])
                return (
                    f"{id}:contains:{part}",
                    lambda frame: (
                        values(answers(frame))
                        .map(lambda value: isinstance(value, str) and part.lower() in value.lower())
                        .astype(bool)
                    ),
                )
            case "between":
                low, high = sorted(rng.choices([-10, 0, 7, 12, 72.5, 200], k=2))
                return (
                    f"{id}:between:{low},{high}",
                    lambda frame: pd.to_numeric(values(answers(frame))).between(low, high),
                )
            case _:
                option = rng.choice(item["options"])["value"]
                return (
                    f"{id}:is:{json.dumps(option)}",
                    lambda frame: (
                        answers(frame)
                        .map(
                            lambda answer: (
                                isinstance(answer, dict)
                                and any(same(each, option) for each in answer["value"])
                            )
                        )
                        .astype(bool)
                    ),
                )


def same(given: Any, option: Any) -> bool:
    """Whether an option was chosen; to JSON, as to people, 1 is neither true nor "1"."""
    value = given["value"] if isinstance(given, dict) else given
    return type(value) is type(option) and value == option


def values(answers: pd.Series[Any]) -> pd.Series[Any]:
    return answers.map(lambda answer: answer["value"] if isinstance(answer, dict) else None).astype(object)


def has_any(frame: pd.DataFrame, ids: list[str]) -> pd.Series[bool]:
    return frame.responses.map(lambda given: any(id in given for id in ids)).astype(bool)


def texts_of(given: dict[str, Any]) -> list[str]:
    found = []
    for answer in given.values():
        value = answer["value"]
        for each in value if isinstance(value, list) else [value]:
            parts = each.values() if isinstance(each, dict) else [each]
            found += [part for part in parts if isinstance(part, str)]
    return found


def read(archive: bytes) -> pd.DataFrame:
    lines = zipfile.ZipFile(io.BytesIO(archive)).read("responses.jsonl").decode().splitlines()
    columns = [
        "submission_id",
        "participant_id",
        "study_id",
        "status",
        "started_at",
        "completed_at",
        "responses",
    ]
    table = pd.DataFrame([json.loads(line) for line in lines], columns=columns)
    for name in ("started_at", "completed_at"):
        table[name] = pd.to_datetime(table[name], utc=True, format="ISO8601")
    return table


@pytest.fixture(scope="module", params=[3, 11])
def study(server: Installation, request: pytest.FixtureRequest) -> Any:
    with server.client() as client:
        yield Study(client, request.param)


def test_the_overview_counts_what_the_archive_holds(study: Study) -> None:
    table = study.export({})
    found = expect(study.api.get(f"{study.path}/overview"), 200)
    assert found["submitted"] == len(table)
    assert found["participants"] == PEOPLE
    assert found["started"] == PEOPLE
    for name, status in (
        ("awaiting_review", "AWAITING REVIEW"),
        ("approved", "APPROVED"),
        ("rejected", "REJECTED"),
    ):
        assert found[name] == (table.status == status).sum(), name
    assert found["under_way"] + found["returned"] == PEOPLE - len(table)
    files = [
        each
        for given in table.responses
        for answer in given.values()
        if answer["type"] == "file_upload"
        for each in answer["value"]
    ]
    assert (found["files"], found["file_bytes"]) == (len(files), sum(each["size_bytes"] for each in files))
    taken = (table.completed_at - table.started_at).dt.total_seconds()
    assert found["median_seconds"] == pytest.approx(taken.median())
    assert found["quartiles_seconds"] == pytest.approx([taken.quantile(0.25), taken.quantile(0.75)])
    days = table.completed_at.dt.strftime("%Y-%m-%d").value_counts().sort_index()
    assert [(day["day"], day["count"]) for day in found["days"]] == list(days.items())
    for question in found["questions"]:
        answered = table.responses.map(lambda given, id=question["instruction_id"]: id in given).sum()
        assert (question["answered"], question["missing"]) == (answered, len(table) - answered)


def test_every_filter_shows_what_pandas_finds(study: Study) -> None:
    table = study.export({})
    for number in range(FILTERS):
        wanted, mask = study.make_filter(table)
        expected = sorted(table[mask(table)].submission_id)
        rows, count = study.list(wanted)
        # the list has those who have not submitted too, where nothing is asked of answers
        shown = sorted(row["submission_id"] for row in rows if row["responses"] is not None)
        assert shown == expected, wanted
        assert count == len(rows), wanted
        if number < EXPORTS:
            assert sorted(study.export(wanted).submission_id) == expected, wanted
