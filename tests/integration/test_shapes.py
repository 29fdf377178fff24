"""Shapes of answers against a schema written by hand from the contract, for whatever was given."""

from __future__ import annotations

import io
import json
import zipfile
from itertools import combinations
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fieldpack
from tests.installation import Installation
from tests.integration.rows import connected
from tests.refusals import refused
from tests.scenario import Scenario, collection_body, expect
from tests.shapes import COLLECTION, EXPORT, STUDY, SUBMISSION, find_faults

COLLECTIONS = "/data-collection/collections"
TEXTS = {"helper_text": "Help", "placeholder_text_input": "Such as this"}
OPTIONS: list[dict[str, Any]] = [
    {"label": "A", "value": 1},
    {"label": "B", "value": "1"},
    {"label": "C", "value": True},
]
UNITS: list[dict[str, Any]] = [
         {"label": "one", "value": 1}, {"label": "text one", "value": "1"}, {"label": "yes", "value": True},
         {"label": "half", "value": 0.5}, {"label": "no", "value": False}]  # fmt: skip
NUMBER = {"type": "number", "min": 0, "max": 10.5}
# of each type: what it needs, and what it may have besides
TYPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "free_text": ({"description": "D"}, {**TEXTS, "validation": NUMBER, "required": False}),
    "multiple_choice": (
        {"description": "D", "options": OPTIONS},
        {**TEXTS, "answer_limit": 2, "disable_dropdown": True},
    ),
    "multiple_choice_with_free_text": (
        {"description": "D", "options": [{**option, "heading": "Why?"} for option in OPTIONS]},
        {**TEXTS, "answer_limit": -1},
    ),
    "free_text_with_unit": (
        {"description": "D", "unit_options": UNITS},
        {**TEXTS, "default_unit": True, "unit_position": "prefix", "validation": {"type": "string", "max": 5}},
    ),
    "file_upload": (
        {"description": "D"},
        {**TEXTS, "accepted_file_types": [".pdf"], "max_file_size_mb": 0.5, "min_file_count": 2, "max_file_count": 3},
    ),
    "rich_text": ({"content": "<p>C</p>"}, {"content_format": "html"}),
    "image": ({"url": "https://example.org/i.png", "alt_text": "A"}, {"caption": "C"}),
}  # fmt: skip


def fits(value: Any, schema: Any) -> None:
    assert find_faults(value, schema) == []


@pytest.fixture(scope="module")
def workspace(server: Installation) -> str:
    with server.client() as api:
        found: str = expect(api.get("/workspaces"), 200)["results"][0]["id"]
        return found


def every_item() -> list[dict[str, Any]]:
    """Each type with none, one, two, … and all of what it may have."""
    items = []
    for kind, (needed, optional) in TYPES.items():
        for count in range(len(optional) + 1):
            items += [
                {"type": kind, **needed, **{name: optional[name] for name in names}}
                for names in combinations(optional, count)
            ]
    return items


def test_whatever_is_given_comes_back_and_nothing_else_does(api: httpx.Client, workspace: str) -> None:
    items = every_item()
    made = expect(api.post(COLLECTIONS, json=collection_body(workspace, *items)), 201)
    path = f"{COLLECTIONS}/{made['id']}"
    for answer in (made, expect(api.get(path), 200), expect(api.put(path, json=made), 200)):
        fits(answer, COLLECTION)
        answered = answer["collection_items"][0]["page_items"]
        assert len(answered) == len(items)
        for given_, found in zip(items, answered, strict=True):
            assert {name: found[name] for name in given_} == given_
            absent = set(TYPES[given_["type"]][1]) - set(given_) - DEFAULTED
            assert not absent & set(found), given_
    listed = expect(api.get(f"{COLLECTIONS}?workspace_id={workspace}&limit=5"), 200)
    fits(listed, {"results": [COLLECTION], "meta": {"count": int}})


DEFAULTED = {
    "required", "answer_limit", "disable_dropdown", "unit_position", "accepted_file_types", "max_file_size_mb",
    "min_file_count", "max_file_count", "content_format",
}  # fmt: skip

ITEMS = st.sampled_from(sorted(TYPES)).flatmap(
    lambda kind: st.fixed_dictionaries(
        {"type": st.just(kind), **{name: st.just(value) for name, value in TYPES[kind][0].items()}},
        optional={name: st.sampled_from([None, value]) for name, value in TYPES[kind][1].items()},
    )
)


@settings(max_examples=40, deadline=None, derandomize=True, database=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(items=st.lists(ITEMS, min_size=1, max_size=4), description=st.sampled_from([None, "", "About"]))
def test_any_collection_fits(
    api: httpx.Client, workspace: str, items: list[dict[str, Any]], description: str | None
) -> None:
    body = {**collection_body(workspace, *items), "description": description}
    made = expect(api.post(COLLECTIONS, json=body), 201)
    fits(made, COLLECTION)
    fits(expect(api.get(f"{COLLECTIONS}/{made['id']}"), 200), COLLECTION)


def test_what_earlier_versions_stored_is_answered_in_todays_shape(
    api: httpx.Client, workspace: str, server: Installation
) -> None:
    items = [{"type": kind, **needed} for kind, (needed, _) in TYPES.items()]
    made = expect(api.post(COLLECTIONS, json=collection_body(workspace, *items)), 201)
    with connected(server) as database:
        for table, column in (("collection_versions", "collection_id"), ("items", "collection_id")):
            for (body,) in database.execute(
                f"SELECT body FROM {table} WHERE {column} = %s", [made["id"]]
            ).fetchall():
                olden = [body] if table == "items" else body["collection_items"][0]["page_items"]
                for item in olden:
                    item |= {"parent_type": "page", "helper_text": None, "validation": None, "caption": None}
                    item.pop("schema_version", None)
                if table == "items":
                    database.execute(
                        "UPDATE items SET body = %s WHERE id = %s", [json.dumps(body), body["id"]]
                    )
                else:
                    database.execute(
                        "UPDATE collection_versions SET body = %s WHERE collection_id = %s",
                        [json.dumps(body), made["id"]],
                    )
    assert expect(api.get(f"{COLLECTIONS}/{made['id']}"), 200) == made


STUDIES: list[dict[str, Any]] = [
    {},
    {"reward": 0},
    {"reward": 100.0},
    {"reward": 150, "estimated_completion_time": 5.0, "completion_codes": [{"code": None}]},
    {"prolific_id_option": "question", "completion_codes": [{"code": "X", "actor": "researcher"}]},
    {
        "prolific_id_option": "",
        "filters": [{"filter_id": "age"}],
        "description": "About",
        "internal_name": "Inner",
    },
]


def test_studies_submissions_and_exports(api: httpx.Client) -> None:
    for fields in STUDIES:
        scenario = Scenario.create(api, submissions_config={"max_submissions_per_participant": 2}, **fields)
        path = f"/studies/{scenario.study['id']}"
        for study in (
            scenario.study,
            expect(api.get(path), 200),
            expect(api.patch(path, json={"name": "New"}), 200),
        ):
            fits(study, STUDY)
            assert study["prolific_id_option"] == (fields.get("prolific_id_option") or "url_parameters")
        scenario.take_part("a")
        scenario.start("b")
        scenario.start("b", "another")
        listed = expect(api.get(f"{path}/submissions"), 200)
        fits(listed, {"results": [SUBMISSION], "meta": {"count": 3}})
        assert [row["has_siblings"] for row in listed["results"]] == [False, True, True]
        for row in listed["results"]:
            assert expect(api.get(f"/submissions/{row['id']}"), 200) == row
    fits(expect(api.get("/studies?limit=20"), 200), {"results": [STUDY], "meta": {"count": int}})
    scenario.export()
    fits(expect(api.get(scenario.export_path), 200), [EXPORT])


def test_rewards_are_whole(api: httpx.Client) -> None:
    scenario = Scenario.create(api, reward=100.0)
    submission = scenario.take_part("a")
    path = f"/studies/{scenario.study['id']}"
    assert '"reward":100,' in api.get(path).text
    for reward in (100.5, 0.1, -1, "100", True, 1e13):
        refused(api.patch(path, json={"reward": reward}), 400, "reward")
        refused(api.post("/studies", json={**scenario.study, "reward": reward}), 400, "reward")
    assert '"reward":100,' in api.get(f"/submissions/{submission}").text


def test_values_of_three_types(api: httpx.Client, server: Installation) -> None:
    """1, "1" and true are three options and three units; 1.0 is 1."""
    choice = {"type": "multiple_choice", "description": "C", "options": OPTIONS, "answer_limit": -1}
    explained = {
        "type": "multiple_choice_with_free_text",
        "description": "E",
        "options": [{**option, "heading": "Why?"} for option in OPTIONS],
    }
    unit = {"type": "free_text_with_unit", "description": "U", "unit_options": UNITS}
    scenario = Scenario.create(api, choice, explained, unit)
    kept: dict[str, tuple[Any, Any, Any]] = {}
    for given_, value in ((1, 1), (1.0, 1), ("1", "1"), (True, True)):
        name = json.dumps(given_)
        participant = scenario.start(name)
        first, second, third = (participant.item(number) for number in range(3))
        expect(participant.answer(first, {"value": [given_]}), 200)
        expect(participant.answer(second, {"value": [{"value": given_, "explanation": "x"}]}), 200)
        expect(participant.answer(third, {"value": "5", "unit": given_}), 200)
        for wrong in (2, "true", "1.0", False, None, [1], {"value": 1}):
            refused(participant.answer(first, {"value": [wrong]}), 400)
        for wrong in (2, "true", "1.0", [1], {"value": 1}, None):
            refused(participant.answer(third, {"value": "5", "unit": wrong}), 400, "unit")
        participant.submit()
        kept[participant.submission_id] = (value, value, value)
    refused(
        api.post(COLLECTIONS, json=collection_body(scenario.collection["workspace_id"], {**choice, "options": [
            {"label": "A", "value": 1}, {"label": "B", "value": 1.0}]})), 400
    )  # fmt: skip
    twice = {**unit, "unit_options": [{"label": "A", "value": 1}, {"label": "B", "value": 1.0}]}
    refused(api.post(COLLECTIONS, json=collection_body(scenario.collection["workspace_id"], twice)), 400)
    for default, status in ((1.0, 201), ("1", 201), (True, 201), (2, 400), ("true", 400), (False, 201)):
        body = collection_body(scenario.collection["workspace_id"], {**unit, "default_unit": default})
        assert api.post(COLLECTIONS, json=body).status_code == status, default
    data = scenario.download()
    lines = zipfile.ZipFile(io.BytesIO(data)).read("responses.jsonl").decode().splitlines()
    for line in map(json.loads, lines):
        a, b, c = line["responses"].values()
        found = (a["value"][0], b["value"][0]["value"], c["unit"])
        assert [json.dumps(value) for value in found] == [
            json.dumps(value) for value in kept[line["submission_id"]]
        ]


def test_units_of_three_types_keep_their_labels_in_tables(api: httpx.Client, tmp_path: Any) -> None:
    pytest.importorskip("pandas")
    unit = {"type": "free_text_with_unit", "description": "U", "unit_options": UNITS}
    plain = {"type": "free_text_with_unit", "description": "P", "unit_options": [
        {"label": "ten", "value": 10}, {"label": "nope", "value": False}]}  # fmt: skip
    scenario = Scenario.create(api, unit, plain)
    for number, value in enumerate((1, "1", True, 0.5, False)):
        participant = scenario.start(f"p{number}")
        expect(participant.answer(participant.item(0), {"value": "5", "unit": value}), 200)
        expect(participant.answer(participant.item(1), {"value": "6", "unit": [10, False][number % 2]}), 200)
        participant.submit()
    archive = tmp_path / "a.zip"
    archive.write_bytes(scenario.download())
    table = fieldpack.open_export(archive).to_pandas().sort_values("participant_id")
    labels, others = (list(table[name].astype(str)) for name in table.columns if "unit" in str(name).lower())
    assert labels == ["one", "text one", "yes", "half", "no"]
    assert others == ["ten", "nope", "ten", "nope", "ten"]
