"""What is said of texts takes time in proportion to them, however many questions they answer."""

from __future__ import annotations

import time

import httpx

from tests.proportion import MOST
from tests.scenario import Scenario, expect


def seconds_of_overview(api: httpx.Client, questions: int) -> float:
    """The first look at one response of so many texts of 2,000 characters; later ones are answered from memory."""
    text = {"type": "free_text", "description": "Text", "required": False}
    scenario = Scenario.create(api, *[text] * questions)
    person = scenario.start("p")
    answers = {person.item(number): {"value": f"{number} " + "x" * 2_000} for number in range(questions)}
    expect(person.http.put(f"{person.path}/answers", json=answers, headers=person.headers), 200)
    person.submit()
    started = time.perf_counter()
    found = expect(api.get(f"/data-collection/collections/{scenario.collection['id']}/overview"), 200)
    seconds = time.perf_counter() - started
    assert found
    return seconds


def test_texts_of_one_response_are_read_once(api: httpx.Client) -> None:
    small, large = (min(seconds_of_overview(api, size) for _ in range(2)) for size in (400, 1_600))
    assert large < MOST * max(small, 0.05), (small, large)
