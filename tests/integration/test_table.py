"""The table of responses: columns in the order that was chosen, what the form makes an address of, and its commands."""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.installation import Installation
from tests.integration.rows import connected
from tests.integration.test_responses import PHOTO, TEXT, Answered, optional
from tests.integration.test_workbench import text_of
from tests.scenario import Scenario, expect


@pytest.fixture(scope="module")
def answered(server: Installation) -> Iterator[Answered]:
    with server.client() as client:
        yield Answered(client)


@pytest.fixture(scope="module")
def browser(server: Installation) -> Iterator[httpx.Client]:
    headers = {"Accept": "text/html", "Origin": server.url}
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60, headers=headers) as client:
        assert client.post("/sign-in", data={"token": server.token}).status_code == 303
        yield client


def path_of(answered: Answered) -> str:
    return f"/workbench/collections/{answered.scenario.collection['id']}/responses"


def heads(page: str) -> list[str]:
    found = re.search(r"<thead>(.*?)</thead>", page, re.DOTALL)
    assert found
    return [re.sub("<[^>]*>", "", each) for each in re.findall(r"<th [^>]*>(.*?)</th>", found[1])]


def test_columns_stand_in_the_order_that_was_chosen(browser: httpx.Client, answered: Answered) -> None:
    a = answered
    names = [a.weight, "started", "flags", a.text, "study"]
    page = text_of(
        browser.get(path_of(a), params={"column": [*names, "nonsense"], "state": "AWAITING REVIEW"})
    )
    assert heads(page) == ["Participant", "How heavy?", "Started", "Marks", "How was it?", "Study"]
    # every address that leads on keeps the columns: sorted by one, without the filter, in another order
    for link in re.findall(r'href="([^"]*/responses\?[^"]*)"', page):
        query = parse_qs(urlsplit(html.unescape(link)).query)
        assert sorted(query["column"]) == sorted(names), link
    moved = re.search(rf'value="{a.text}"[^>]*>.*?href="([^"]*)" data-move="-1"', page)
    assert moved
    assert heads(text_of(browser.get(html.unescape(moved[1]))))[3:5] == ["How was it?", "Marks"]
    # and the form sends them in the order that they are shown in
    assert re.findall(r'name="column" value="([^"]*)" checked', page) == names


def test_without_a_choice_the_first_few_are_shown(browser: httpx.Client, answered: Answered) -> None:
    page = text_of(browser.get(path_of(answered)))
    fields = ["Participant", "State", "Completed", "Duration", "Marks"]
    assert heads(page) == [*fields, "How was it?", "Which?", "And why?", "How heavy?", "A photo"]
    assert "column=" not in page.replace('name="column"', "").split('id="columns"')[0]


@pytest.mark.parametrize(
    ("typed", "condition"),
    [
        ({"question": "choice", "test": "is", "operand": "yes"}, "is:true"),  # its label, in any case
        ({"question": "choice", "test": "is", "operand": "1"}, "is:1"),
        ({"question": "choice", "test": "is", "operand": "one"}, "is:one"),
        ({"question": "explained", "test": "is", "operand": "A"}, "is:a"),
        ({"question": "weight", "test": "between", "operand": "5 – 80"}, "between:5,80"),
        ({"question": "text", "test": "missing", "operand": "left over"}, "missing"),
    ],
)
def test_what_is_typed_becomes_a_condition(
    browser: httpx.Client, answered: Answered, typed: dict[str, str], condition: str
) -> None:
    question = getattr(answered, typed["question"])
    answer = browser.get(
        path_of(answered), params={**typed, "question": question, "column": "study", "after": "x"}
    )
    assert answer.status_code == 303, answer.text
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query == {"where": [f"{question}:{condition}"], "column": ["study"]}
    assert browser.get(answer.headers["location"]).status_code == 200


def test_the_form_keeps_all_that_it_shows(browser: httpx.Client, answered: Answered) -> None:
    """Sent as it is, it asks for the same view."""
    a = answered
    given: dict[str, Any] = {
        "state": ["AWAITING REVIEW", "APPROVED"],
        "study": a.scenario.study["id"],
        "submission": [a.ids["anna"], a.ids["bert"]],
        "since": "2020-01-01T10:30:00.000000Z",
        "before": "2099-01-01",
        "shorter": "3600s",
        "where": f"{a.weight}:answered",
        "sort": f"-{a.weight}",
    }
    page = browser.get(path_of(a), params=given).text
    form = re.search(r'<form class="filter card".*?</form>', page, re.DOTALL)
    assert form
    sent: dict[str, list[str]] = {}
    for tag in re.findall(r"<input [^>]*>", form[0]):
        field = dict(re.findall(r'([a-z]+)="([^"]*)"', tag))
        if field.get("type") != "checkbox" or tag.endswith(" checked>"):
            sent.setdefault(field["name"], []).append(html.unescape(field.get("value", "")))
    for name, body in re.findall(r'<select [^>]*name="([^"]*)">(.*?)</select>', form[0], re.DOTALL):
        chosen = re.findall(r'value="([^"]*)" selected', body)
        sent.setdefault(name, []).extend(map(html.unescape, chosen))
    for name, value in given.items():
        if name != "study":  # there is one, and no choice
            assert sorted(sent[name]) == sorted(value if isinstance(value, list) else [value]), name


def test_the_commands_do_what_the_page_shows(
    server: Installation, browser: httpx.Client, answered: Answered, tmp_path: Any
) -> None:
    a = answered
    given = {
        "where": f"{a.text}:contains:n_",
        "state": "AWAITING REVIEW",
        "sort": "participant",
        "note": "no",
    }
    page = text_of(browser.get(path_of(a), params=given))
    lists, exports = (shlex.split(text) for text in re.findall(r'data-copy="(fieldpack [^"]*)"', page))
    settings: dict[str, Any] = {"PROLIFIC_URL": server.url, "PROLIFIC_TOKEN": server.token}
    listed = json.loads(server.run(*lists[1:], "--json", **settings).stdout)
    assert [row["participant_id"] for row in listed] == ["bert"]
    told = json.loads(server.run(*exports[1:], "--json", "-o", str(tmp_path / "a.zip"), **settings).stdout)
    assert told["submission_count"] == 1
    every = server.run(
        "collection", "responses", a.scenario.collection["id"], "--limit", "2", "--csv", **settings
    )
    assert [line.split(",")[1] for line in every.stdout.splitlines()] == ["participant_id", "eve", "dora"]


def test_answers_of_any_length_are_found(api: httpx.Client) -> None:
    """What is too long to be kept by question is found in the whole response."""
    options = [{"label": f"Option {n}", "value": f"{n}-{'v' * 90}"} for n in range(40)]
    many = {"type": "multiple_choice", "description": "Which?", "answer_limit": -1, "options": options}
    scenario = Scenario.create(api, optional(TEXT), optional(many), PHOTO)
    text, choice, _ = (item["id"] for item in scenario.collection["collection_items"][0]["page_items"])
    long = "Ä" * 399 + "The END, " + "x" * 5000 + "Far Away"
    given: dict[str, dict[str, Any]] = {
        "long": {text: {"value": long}},
        "digits": {text: {"value": "1" * 150}, choice: {"value": [options[39]["value"]]}},
        "many": {choice: {"value": [option["value"] for option in options]}},
        "short": {text: {"value": "the end"}},
        "exact": {text: {"value": ("Quite Exact " * 12).strip()}},
    }
    for name, answers in given.items():
        person = scenario.start(name)
        expect(person.http.put(f"{person.path}/answers", json=answers, headers=person.headers), 200)
        person.submit()
    path = f"/data-collection/collections/{scenario.collection['id']}/submissions"
    for condition, names in [
        (f"{text}:contains:THE END", ["long", "short"]),
        (f"{text}:contains:far away", ["long"]),
        (f"{text}:between:1e100,1e200", ["digits"]),
        (f"{text}:between:1e200,", []),
        (f"{choice}:is:{options[39]['value']}", ["digits", "many"]),
        (f"{choice}:is:{options[0]['value']}", ["many"]),
        (f"{text}:is:{('Quite Exact ' * 12).strip()}", ["exact"]),
        (f"{text}:is:{('quite exact ' * 12).strip()}", []),
        (f"{text}:is:{long[:400]}", []),
    ]:
        found = expect(api.get(path, params={"where": condition, "sort": "participant"}), 200)
        assert [row["participant_id"] for row in found["results"]] == names, condition[37:80]


KEPT = """
    SELECT (SELECT count(*) FROM answer_values v WHERE v.submission_id = s.id) AS kept,
           (SELECT count(*) FROM jsonb_object_keys(s.answers)) AS answered
    FROM submissions s WHERE s.id = %s
"""


def test_answers_are_kept_by_question_as_long_as_they_are_there(
    server: Installation, api: httpx.Client
) -> None:
    scenario = Scenario.create(api, TEXT, PHOTO)
    person = scenario.start("somebody")
    expect(person.answer(person.item(0), {"value": "Fine"}), 200)
    with connected(server) as database:

        def kept() -> tuple[int, int]:
            row = database.execute(KEPT, [person.submission_id]).fetchone()
            assert row is not None
            return tuple(row)

        assert kept() == (0, 0)  # nothing is written for it before it is handed in
        person.submit()
        assert kept() == (1, 1)
        expect(api.delete(f"/submissions/{person.submission_id}"), 204)
        assert kept() == (0, 0)
