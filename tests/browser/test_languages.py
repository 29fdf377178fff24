"""The pages in every language that there is, on the narrowest phone."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page
from playwright.sync_api import expect as shows

from fieldpack.server.web.catalogue import CATALOGUES
from tests.browser.conftest import Contexts
from tests.browser.visitor import (
    RECEIPT,
    add,
    fill_first_page,
    fill_second_page,
    fits,
    go_on,
    here,
    link,
    origin,
    publish_example,
    question,
    say,
    start,
    submit,
    violations,
)

NARROW: dict[str, Any] = {"viewport": {"width": 320, "height": 700}, "has_touch": True, "is_mobile": True}
# what stands between tags or in a label, but no key of a text may
KEY = re.compile(
    r"\b(?:done|export|files|form|number|problem|researcher|review|rule|saving|start|state)\.[a-z_]+\b"
)


def check_page(page: Page, language: str) -> None:
    """It is in its language, as wide as the screen, accessible, and shows no key in a text's place."""
    shows(page.locator("html")).to_have_attribute("lang", language)
    shows(page.locator("html")).to_have_attribute("dir", CATALOGUES[language].direction)
    assert fits(page)
    assert KEY.findall(page.locator("body").inner_text()) == []
    assert violations(page) == []


@pytest.mark.parametrize("language", CATALOGUES)
def test_a_walk(api: Any, visitors: Contexts, language: str) -> None:
    study = publish_example(api, estimated_completion_time=1, maximum_allowed_time=60)
    page = visitors(**NARROW, locale=language).new_page()
    page.goto(link(study, language))
    check_page(page, language)
    shows(page.locator(".meta")).to_have_text(say(page, "start.minutes", count=1))
    start(page, link(study, language))
    go_on(page)
    shows(page.locator("#errors h2")).to_have_text(say(page, "form.errors", count=4))
    check_page(page, language)
    fill_first_page(page)
    question(page, "cost in total").get_by_role("textbox").fill("99999")
    go_on(page)
    shows(question(page, "cost in total").locator(".error")).to_contain_text(
        say(page, "problem.number_high", bound=10_000)
    )
    question(page, "cost in total").get_by_role("textbox").fill("42")
    go_on(page)
    add(page, "photo of the receipt", ("notes.txt", "text/plain", b"notes"))
    shows(question(page, "photo of the receipt").locator(".messages")).to_contain_text("notes.txt")
    fill_second_page(page)
    received = say(page, "files.received", size=CATALOGUES[language].size(len(RECEIPT)))
    shows(here(page).locator(".file-state").first).to_have_text(received)
    check_page(page, language)
    go_on(page)
    check_page(page, language)
    submit(page)
    check_page(page, language)
    page.goto(f"{origin(study)}/participate/unknown")
    shows(page.get_by_role("heading")).to_have_text(say(page, "state.unknown.title"))
    shows(page.locator(".hint[lang=en]")).to_have_text("Study unknown does not exist.")


@pytest.mark.parametrize("language", CATALOGUES)
def test_the_researchers_pages(server: Any, api: Any, visitors: Contexts, language: str) -> None:
    study = publish_example(api)
    page = visitors(**NARROW, locale=language).new_page()
    page.goto(f"{origin(study)}/sign-in")
    check_page(page, language)
    page.get_by_label(say(page, "sign_in.token")).fill(server.token)
    page.get_by_role("button", name=say(page, "sign_in")).click()
    check_page(page, language)
    page.locator(f"form[action$='{study.collection['id']}/export'] button").click()
    page.get_by_role("link", name=say(page, "export.download")).wait_for()
    check_page(page, language)
    shows(page.locator(".card").first).to_contain_text(say(page, "files.count", count=0))
