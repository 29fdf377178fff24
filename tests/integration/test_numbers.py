"""Numbers as people write them, through the API: what a save answers, what a submit refuses, and what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import fieldpack
from tests.integration.test_answers import read
from tests.number_ways import EVERY, Way
from tests.refusals import refused
from tests.scenario import Participant, Scenario, expect

ITEM = {"type": "free_text", "required": False, "validation": {"type": "number"}}


@pytest.fixture(scope="module")
def saved(server: Any) -> Iterator[tuple[Scenario, Participant, list[dict[str, Any]]]]:
    """A participant who has given a question of its own each way to write a number; what the saves answered."""
    with server.client() as api:
        scenario = Scenario.create(api, *({**ITEM, "description": f"{way.text}"} for _, way in EVERY))
        participant = scenario.start("p")
        answers = [
            expect(participant.answer(participant.item(number), {"value": way.text}), 200)
            for number, (_, way) in enumerate(EVERY)
        ]
        yield scenario, participant, answers


def beside(way: Way) -> dict[str, Any]:
    if way.read is None:
        return {}
    return {"read_as": way.read} if isinstance(way.read, str) else {"ambiguous": list(way.read)}


def test_a_save_keeps_what_was_typed_and_says_how_it_is_read(saved: Any) -> None:
    _, participant, answers = saved
    state = expect(participant.http.get(participant.path, headers=participant.headers), 200)
    for number, (locale, way) in enumerate(EVERY):
        answer = answers[number]
        assert answer["answer"] == {"value": way.text} == state["answers"][participant.item(number)]
        found = {key: answer[key] for key in ("read_as", "ambiguous") if key in answer}
        assert found == beside(way), (locale, way)


def test_a_submit_refuses_what_is_unclear_and_stores_the_rest_in_its_normal_form(saved: Any) -> None:
    scenario, participant, _ = saved
    api = scenario.api
    detail = refused(api.post(f"{participant.path}/submit", headers=participant.headers), 400)
    assert isinstance(detail, dict)
    unclear = {number for number, (_, way) in enumerate(EVERY) if not isinstance(way.read, str)}
    assert {participant.item(number) for number in unclear} == set(detail)
    for number in unclear:
        way = EVERY[number][1]
        [sentence] = detail[participant.item(number)]
        assert sentence == (
            f"Can be read as {way.read[0]} or as {way.read[1]}: write it in one of these ways."
            if way.read
            else "Must be a number, such as 72.5."
        )
        expect(
            participant.answer(participant.item(number), {"value": way.read[1]} if way.read else None), 200
        )
    participant.submit()
    stored = {
        participant.item(number): way.read if isinstance(way.read, str) else way.read[1]
        for number, (_, way) in enumerate(EVERY)
        if way.read
    }
    records = expect(
        api.get(f"/data-collection/collections/{scenario.collection['id']}/responses?limit=1000"), 200
    )["results"]
    listed = {each["response"]["instruction_id"]: each["response"]["answer"] for each in records}
    assert listed == {key: [{"value": value}] for key, value in stored.items()}
    _, [line], _ = read(scenario)
    assert {key: answer["value"] for key, answer in line["responses"].items()} == stored


def test_the_unit_says_whether_a_number_is_asked_for(api: httpx.Client) -> None:
    units = [
        {"label": "kg", "value": "kg", "validation": {"type": "number", "min": 0, "max": 500}},
        {"label": "free", "value": "free"},
    ]
    scenario = Scenario.create(
        api, {"type": "free_text_with_unit", "description": "D", "unit_options": units}
    )
    participant = scenario.start("p")
    item = participant.item(0)
    free = expect(participant.answer(item, {"value": "1,5", "unit": "free"}), 200)
    assert "read_as" not in free
    kilos = expect(participant.answer(item, {"value": "1.234,5", "unit": "kg"}), 200)
    assert kilos["read_as"] == "1234.5"
    assert refused(api.post(f"{participant.path}/submit", headers=participant.headers), 400) == {
        item: ["Must be at most 500."]
    }
    assert expect(participant.answer(item, {"value": " 72,50 ", "unit": "kg"}), 200)["read_as"] == "72.50"
    assert "read_as" not in expect(participant.answer(item, {"value": " ", "unit": "kg"}), 200)
    expect(participant.answer(item, {"value": " 72,50 ", "unit": "kg"}), 200)
    participant.submit()
    _, [line], _ = read(scenario)
    assert line["responses"][item] == {"type": "free_text_with_unit", "value": "72.50", "unit": "kg"}


def test_a_column_of_numbers_stays_one(api: httpx.Client, tmp_path: Path) -> None:
    """However each participant writes theirs."""
    scenario = Scenario.create(api, {**ITEM, "description": "Weight"})
    written = ["72", " 72", "72,5", "\u2212\u0663\u066b\u0665", "1 234", ".5", "+5", "1'234,5", "1E3"]
    for number, text in enumerate(written):
        participant = scenario.start(f"p{number}")
        expect(participant.answer(participant.item(0), {"value": text}), 200)
        participant.submit()
    archive = tmp_path / "archive.zip"
    archive.write_bytes(scenario.download())
    with fieldpack.open_export(archive) as export:
        column = export.to_pandas()["Weight"]
    assert column.dtype == float
    assert column.to_list() == [72, 72, 72.5, -3.5, 1234, 0.5, 5, 1234.5, 1000]
