"""Exports that hold what a view of responses shows: what is in them, and what an erasure does to them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.installation import Installation
from tests.integration.test_responses import Answered
from tests.refusals import refused
from tests.scenario import Scenario, expect


@pytest.fixture(scope="module")
def answered(server: Installation) -> Iterator[Answered]:
    with server.client() as client:
        yield Answered(client)


def request(api: httpx.Client, path: str, given: Any, **parameters: str) -> dict[str, Any]:
    answer = api.post(path, json=given, params=parameters, headers={"Prefer": "wait=60"})
    assert answer.status_code in (200, 202), answer.text
    found: dict[str, Any] = answer.json()
    assert found["status"] == "complete", found
    return found


def names_in(export: dict[str, Any]) -> list[str]:
    archive = zipfile.ZipFile(io.BytesIO(httpx.get(export["url"], trust_env=False).content))
    lines = archive.read("responses.jsonl").decode().splitlines()
    files = [name for name in archive.namelist() if name.startswith("files/")]
    assert len(files) == export["file_count"]
    found = [json.loads(line) for line in lines]
    assert len(found) == export["submission_count"]
    assert len(files) == sum(
        len(answer["value"])
        for line in found
        for answer in line["responses"].values()
        if answer["type"] == "file_upload"
    )
    return sorted(line["participant_id"] for line in found)


def test_an_export_holds_what_the_view_shows(answered: Answered) -> None:
    a = answered
    views: list[dict[str, Any]] = [
        {},
        {"files": "yes"},
        {"search": "sunny"},
        {"participant": "bert"},
        {"state": ["AWAITING_REVIEW"], "shorter": "1h"},
        {"state": "rejected"},
        {"where": [f"{a.choice}:is:1", f"{a.text}:contains:QUIET"]},
        {"where": f"{a.weight}:between:,10"},
        {"study": [a.scenario.study["id"].upper()]},
    ]
    for view in views:
        export = request(a.api, a.scenario.export_path, {"filter": view})
        shown = sorted(
            each["participant_id"] for each in a.ask(**view)["results"] if each["responses"] is not None
        )
        assert names_in(export) == shown, view


def test_the_same_filter_written_otherwise_is_the_same_export(answered: Answered) -> None:
    a = answered
    one = {"filter": {"state": ["APPROVED", "AWAITING REVIEW"], "files": True, "search": "", "where": None}}
    other = {"filter": {"files": "yes", "state": ["awaiting_review", "approved", "APPROVED"]}}
    first = request(a.api, a.scenario.export_path, one)
    assert request(a.api, a.scenario.export_path, other)["export_id"] == first["export_id"]
    listed = expect(a.api.get(a.scenario.export_path), 200)
    (found,) = [each for each in listed if each["export_id"] == first["export_id"]]
    assert found["filter"] == {"state": ["APPROVED", "AWAITING REVIEW"], "files": "yes"}
    study = a.scenario.study["id"]
    by_query = request(a.api, a.scenario.export_path, None, study_id=study)
    by_body = request(a.api, a.scenario.export_path, {"filter": {"study_id": study}})
    assert by_body["export_id"] == by_query["export_id"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"filter": "x"}, "filter"),
        ({"filter": {f"x{n}": 1 for n in range(101)}}, "filter"),
        ({"filter": {"study": [str(UUID(int=n)) for n in range(1001)]}}, "filter.study"),
        ({"filter": {"colour": "red"}}, "filter.colour"),
        ({"filter": {"note": "yes"}}, "filter.note"),
        ({"filter": {"state": "DONE"}}, "filter.state"),
        ({"filter": {"where": {}}}, "filter.where"),
        ({"filter": {"where": "x:is:y"}}, "filter.where"),
        ({"filter": {"study_id": ["a", "b"]}}, "filter.study_id"),
        ({"filter": {"from": "yesterday"}}, "filter.from"),
        ({"filter": {"where": 'QUESTION:is:"\\u0000"'}}, "filter.where"),
        ({"filter": {"where": "QUESTION:between:,1e9999999"}}, "filter.where"),
        ({"filter": {"search": "x" * 501}}, "filter.search"),
    ],
)
def test_what_is_no_filter_is_refused_by_name(answered: Answered, given: Any, field: str) -> None:
    body = json.dumps(given).replace("QUESTION", answered.text)
    refused(answered.api.post(answered.scenario.export_path, content=body), 400, field)


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b'{"filter": null}', b'{"other": 1}'])
def test_a_body_that_says_nothing_narrows_nothing(answered: Answered, body: bytes) -> None:
    whole = request(answered.api, answered.scenario.export_path, None)
    answer = answered.api.post(answered.scenario.export_path, content=body)
    assert expect(answer, 200)["export_id"] == whole["export_id"]


def test_an_erasure_reaches_the_exports_that_hold_the_person(api: httpx.Client) -> None:
    scenario = Scenario.create(api)
    gone = scenario.take_part("gone", "rain")
    scenario.take_part("stays", "sun")
    question = scenario.collection["collection_items"][0]["page_items"][0]["id"]
    exports = {
        name: request(api, scenario.export_path, {"filter": given})
        for name, given in {
            "rain": {"search": "rain"},
            "sun": {"where": f"{question}:contains:sun"},
            "state": {"state": "AWAITING REVIEW"},
            "all": {},
        }.items()
    }
    # a state that has changed since says nothing of what was in
    expect(api.post(f"/submissions/{gone}/transition", json={"action": "APPROVE"}), 200)
    expect(api.delete(f"/submissions/{gone}"), 204)
    statuses = {
        name: httpx.get(export["url"], trust_env=False).status_code for name, export in exports.items()
    }
    assert statuses == {"rain": 410, "sun": 200, "state": 410, "all": 410}
