"""Values of three types, and the reader's own dates, in a browser."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from typing import Any

import pytest
from playwright.sync_api import Page
from playwright.sync_api import expect as shows

from tests.browser.conftest import Contexts
from tests.browser.visitor import go_on, here, link, publish, ready, saved, say, start
from tests.scenario import TASK

VALUES: list[Any] = [1, "1", True, "true", 0, False]
LABELS = ["one", "text one", "yes", "text yes", "zero", "no"]
EACH = [{"label": label, "value": value} for label, value in zip(LABELS, VALUES, strict=True)]
BODY = {
    "name": "Values",
    "task_details": TASK,
    "collection_items": [{"page_items": [
        {"type": "multiple_choice", "description": "Choice", "options": EACH, "disable_dropdown": True},
        {"type": "free_text_with_unit", "description": "Amount", "unit_options": EACH},
    ]}],
}  # fmt: skip


def choose(page: Page, label: str, *, scripts: bool) -> None:
    with saved(page) if scripts else nullcontext():
        here(page).get_by_label(label, exact=True).check()
    here(page).get_by_label("Amount", exact=True).fill("5")
    with saved(page) if scripts else nullcontext():
        here(page).get_by_label("Unit for: Amount").select_option(label=label)


@pytest.mark.parametrize("scripts", [True, False])
def test_values_stay_what_they_are(api: Any, visitors: Contexts, scripts: bool) -> None:
    study = publish(api, BODY)
    for label in LABELS:
        page = visitors(java_script_enabled=scripts).new_page()
        page.goto(link(study, label))
        page.get_by_role("button", name="Start").click()
        if scripts:
            ready(page)
        choose(page, label, scripts=scripts)
        if scripts:
            page.reload()
            ready(page)
            shows(here(page).get_by_label(label, exact=True)).to_be_checked()
            unit = here(page).get_by_label("Unit for: Amount").locator("option:checked")
            shows(unit).to_have_text(label)
        go_on(page)
        shows(page.get_by_text(f"5 {label}", exact=True)).to_be_visible()
        page.get_by_role("button", name="Submit").click()
        shows(page.get_by_role("heading", level=1)).to_have_text("One thing is left to do")
    records = api.get(f"/data-collection/collections/{study.collection['id']}/responses").json()["results"]
    kept: dict[str, list[Any]] = {}
    for record in records:
        [answer] = record["response"]["answer"]
        kept.setdefault(record["participant_id"], []).append(answer.get("unit", answer["value"]))
    assert {name: sorted(map(json.dumps, values)) for name, values in kept.items()} == {
        label: [json.dumps(value)] * 2 for label, value in zip(LABELS, VALUES, strict=True)
    }


@pytest.mark.parametrize(
    ("locale", "pattern"),
    [
        ("de-DE", r"\d{2}\.\d{2}\.\d{4}, \d{2}:\d{2}"),
        ("en-US", r"[A-Z][a-z]{2} \d{1,2}, \d{4}, \d{1,2}:\d{2}\W[AP]M"),
        ("en-GB", r"\d{1,2} [A-Z][a-z]{2,3} \d{4}, \d{2}:\d{2}"),
        ("ja-JP", r"\d{4}/\d{2}/\d{2} \d{1,2}:\d{2}"),
    ],
)
def test_dates_are_the_readers(api: Any, visitors: Contexts, locale: str, pattern: str) -> None:
    study = publish(api, BODY, maximum_allowed_time=3 * 24 * 60)
    page = visitors(locale=locale).new_page()
    start(page, link(study, "a"))
    before, after = map(re.escape, say(page, "form.deadline", time="\0").split("\0"))
    shows(page.locator("#deadline")).to_have_text(re.compile(rf"^{before}{pattern}{after}\s*$"))
