"""Numbers through the pages: what a page reads in them, locale by locale, and what it asks where they may be two."""

from __future__ import annotations

import random
import re
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page
from playwright.sync_api import expect as shows

import fieldpack.server.web as web
from fieldpack.server.submissions.answering.numbers import read_number
from fieldpack.server.web.participants.readings import groups_by_point
from tests.browser.conftest import Contexts
from tests.browser.visitor import (
    archive,
    go_on,
    is_saved,
    link,
    publish,
    ready,
    responses,
    saved,
    say,
    start,
    submit,
    violations,
)
from tests.number_ways import EVERY, WAYS, Way
from tests.scenario import TASK, Scenario
from tests.unit.test_numbers import NONE, as_pair

NUMBERS_JS = Path(web.__file__).parent / "static" / "numbers.js"
ITEM = {"type": "free_text", "required": False, "validation": {"type": "number"}}
MOST = max(map(len, WAYS.values()))
# one that can't be below zero, one with units of which one asks for a number, one that asks for text
OTHERS: list[dict[str, Any]] = [
    {**ITEM, "description": "Positive", "validation": {"type": "number", "min": 0, "max": 2000}},
    {
        "type": "free_text_with_unit", "description": "Amount", "required": False, "default_unit": "kg",
        "unit_options": [
            {"label": "kg", "value": "kg", "validation": {"type": "number", "min": 0}},
            {"label": "free", "value": "free"},
        ],
    },
    {"type": "free_text", "description": "Text", "required": False, "validation": {"type": "string", "max": 20}},
]  # fmt: skip
POSITIVE, AMOUNT, TEXT = range(MOST, MOST + 3)
POINTS = "nl-NL"  # a locale that groups by points, in whose language the pages are not


@pytest.fixture(scope="module")
def study(server: Any) -> Iterator[Scenario]:
    items = [*({**ITEM, "description": f"Number {number}"} for number in range(MOST)), *OTHERS]
    body = {"name": "Numbers", "task_details": TASK, "collection_items": [{"page_items": items}]}
    with server.client() as api:
        yield publish(api, body)


def item_id(study: Scenario, number: int) -> str:
    found: str = study.collection["collection_items"][0]["page_items"][number]["id"]
    return found


def place(page: Page, study: Scenario, number: int) -> Locator:
    return page.locator(f"#q-{item_id(study, number)}")


def field(page: Page, study: Scenario, number: int) -> Locator:
    return page.locator(f"#a-{item_id(study, number)}")


def asked_of(way: Way) -> tuple[str, str] | None:
    """The two numbers that a page of the way's locale asks about."""
    return way.asked or (way.read if isinstance(way.read, tuple) else None)


def stored(study: Scenario, participant: str) -> dict[str, Any]:
    with archive(study) as exported:
        [found] = [each for each in responses(exported) if each["participant_id"] == participant]
    return found["by_words"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("locale", WAYS)
def test_each_way_is_read_in_its_locale(study: Scenario, visitors: Contexts, locale: str) -> None:
    page = visitors(locale=locale).new_page()
    start(page, link(study, locale))
    expected = {}
    for number, way in enumerate(WAYS[locale]):
        reading = place(page, study, number).locator(".reading")
        field(page, study, number).fill(way.text)
        two = asked_of(way)
        if two:
            shows(reading.get_by_role("group")).to_contain_text(
                say(page, "number.ask", text=way.text.strip())
            )
            chosen = two[number % 2]
            reading.get_by_role("button", name=re.compile(rf"^{re.escape(chosen)},")).click()
            shows(reading.get_by_role("button")).to_have_count(0)
            shows(field(page, study, number)).to_have_value(chosen)
            expected[f"Number {number}"] = chosen
        elif isinstance(way.read, str):
            if way.read == way.text.strip():
                shows(reading).to_have_text("")
            else:
                shows(reading).to_contain_text(say(page, "number.read", number=way.read).removesuffix("."))
            expected[f"Number {number}"] = way.read
    go_on(page)
    wrong = [number for number, way in enumerate(WAYS[locale]) if way.read is None]
    shows(page.locator("section.page:visible .question.wrong")).to_have_count(len(wrong))
    for number in wrong:
        shows(place(page, study, number).locator(".error")).to_contain_text(say(page, "problem.not_number"))
        field(page, study, number).fill("")
    if wrong:
        go_on(page)
    submit(page)
    assert {words: answer["value"] for words, answer in stored(study, locale).items()} == expected


def test_what_is_unclear_is_asked_again_until_it_is_said(study: Scenario, visitors: Contexts) -> None:
    page = visitors(locale=POINTS).new_page()
    start(page, link(study, "unclear"))
    with saved(page):
        field(page, study, 0).fill("1")
    field(page, study, 0).fill("1.234")
    shows(page.locator("#saving")).to_have_text("Not saved yet: say which number you mean.")
    field(page, study, 1).fill("5,678")  # ambiguous to the server too, which keeps it as it is
    page.once("dialog", lambda dialog: dialog.accept())
    page.reload()
    ready(page)
    for number, text in ((0, "1.234"), (1, "5,678")):
        shows(field(page, study, number)).to_have_value(text)
        shows(place(page, study, number).get_by_role("group")).to_contain_text(
            f"{text} can be read in two ways"
        )
    assert violations(page) == []
    go_on(page)
    shows(page.locator("section.page:visible .question.wrong")).to_have_count(2)
    shows(place(page, study, 0).locator(".error")).to_contain_text("Say which you mean")
    page.get_by_role("button", name="Go on, and come back").click()
    page.get_by_role("button", name="Submit").click()
    shows(page.get_by_role("heading", name="2 questions need your attention")).to_be_visible()
    page.get_by_role("link", name="Number 0").first.click()
    place(page, study, 0).get_by_role("button", name="1.234, that is 1 and 234 thousandths").click()
    place(page, study, 1).get_by_role("button", name="5678, a whole number").click()
    shows(page.locator(".question.wrong")).to_have_count(0)
    is_saved(page)
    page.reload()
    ready(page)
    shows(field(page, study, 0)).to_have_value("1.234")
    shows(place(page, study, 0).locator(".reading")).to_have_text(
        "Read as 1.234, that is 1 and 234 thousandths."
    )
    shows(page.locator(".reading button")).to_have_count(0)
    go_on(page)
    submit(page)
    assert [stored(study, "unclear")[f"Number {number}"]["value"] for number in (0, 1)] == ["1.234", "5678"]


def test_only_where_a_rule_asks_for_a_number(study: Scenario, visitors: Contexts) -> None:
    page = visitors(locale=POINTS).new_page()
    start(page, link(study, "rules"))
    for number in (POSITIVE, AMOUNT, 0):
        assert field(page, study, number).get_attribute("inputmode") == "text"
    field(page, study, TEXT).fill("1,5")
    shows(place(page, study, TEXT).locator(".reading")).to_have_count(0)
    field(page, study, POSITIVE).fill("3.000,5")
    shows(place(page, study, POSITIVE).locator(".reading")).to_have_text("Read as 3000.5.")
    amount = place(page, study, AMOUNT)
    field(page, study, AMOUNT).fill("1,234")
    shows(amount.get_by_role("group")).to_be_visible()
    amount.get_by_role("combobox").select_option(label="free")
    shows(amount.get_by_role("group")).to_have_count(0)
    go_on(page)
    shows(page.locator("section.page:visible .question.wrong")).to_have_count(1)
    shows(place(page, study, POSITIVE).locator(".error")).to_contain_text("2000 or less")
    field(page, study, POSITIVE).fill("1.999,5")
    go_on(page)
    submit(page)
    found = stored(study, "rules")
    assert found["Positive"]["value"] == "1999.5"
    assert (found["Amount"]["value"], found["Amount"]["unit"]) == ("1,234", "free")
    assert found["Text"]["value"] == "1,5"


def test_without_scripts_the_form_asks(study: Scenario, visitors: Contexts) -> None:
    page = visitors(locale=POINTS, java_script_enabled=False).new_page()
    page.goto(link(study, "plain"))
    page.get_by_role("button", name="Start").click()
    field(page, study, 0).fill("1.234")
    field(page, study, 1).fill("1,234")
    field(page, study, 2).fill("1.234,5")
    field(page, study, 3).fill("1.23,4")
    go_on(page)
    # what the server would take for a decimal is not saved before it is said
    shows(place(page, study, 0).get_by_role("radiogroup")).to_contain_text("1.234 can be read in two ways")
    shows(place(page, study, 1).get_by_role("radiogroup")).to_contain_text("1,234 can be read in two ways")
    shows(place(page, study, 2).locator(".reading")).to_have_text("Read as 1234.5.")
    place(page, study, 0).get_by_label("1.234, that is 1 and 234 thousandths").check()
    go_on(page)
    shows(page.locator(".question.wrong")).to_have_count(2)
    shows(field(page, study, 0)).to_have_value("1.234")
    shows(place(page, study, 3).locator(".error")).to_contain_text(say(page, "problem.not_number"))
    field(page, study, 3).fill("")
    place(page, study, 1).get_by_label("1234, a whole number").check()
    go_on(page)
    page.get_by_role("button", name="Back").click()
    go_on(page)  # what was said is not asked again
    page.get_by_role("button", name="Submit").click()
    shows(page.locator("#code")).to_be_visible()
    values = {words: answer["value"] for words, answer in stored(study, "plain").items()}
    assert values == {"Number 0": "1.234", "Number 1": "1234", "Number 2": "1234.5"}


# the browser's parser and the server's


def texts_to_compare() -> list[str]:
    """The table, what is no number, every digit there is, and what a careless hand makes of a few keys."""
    dice = random.Random(7)
    keys = "0123456789" * 2 + ",,,...''’ \u202f\xa0-+\u2212eE٣٤\u066b\u066c５，．\u200e\u0967"
    typed = ["".join(dice.choices(keys, k=dice.randint(1, 11))) for _ in range(6000)]
    marked = ["".join(dice.choices("012,,.. '", k=dice.randint(3, 11))) for _ in range(6000)]
    digits = [chr(code) for code in range(sys.maxunicode) if unicodedata.category(chr(code)) == "Nd"]
    return [
        *(way.text for _, way in EVERY), *(text for text in NONE if text != "\ud800"), *digits, *typed, *marked
    ]  # fmt: skip


PAGE = "https://numbers.test/"
COMPARE = """async (texts) => {
  const { readNumber } = await import("/numbers.js");
  const read = (text, pointGroups) => {
    const found = readNumber(text, { pointGroups });
    return found && typeof found === "object" ? [found.whole, found.decimal] : found;
  };
  return texts.map((text) => [read(text, false), read(text, true)]);
}"""


def open_parser(page: Page) -> None:
    page.route(
        f"{PAGE}**",
        lambda route: (
            route.fulfill(content_type="text/html", body="<p></p>")
            if route.request.url == PAGE
            else route.fulfill(content_type="text/javascript", path=str(NUMBERS_JS))
        ),
    )
    page.goto(PAGE)


def test_browser_and_server_read_alike(visitors: Contexts) -> None:
    page = visitors().new_page()
    open_parser(page)
    texts = texts_to_compare()
    found = page.evaluate(COMPARE, texts)
    differing = []
    for text, (plain, by_points) in zip(texts, found, strict=True):
        server = [as_pair(read_number(text)), as_pair(read_number(text, point_groups=True))]
        if [tuple(each) if isinstance(each, list) else each for each in (plain, by_points)] != server:
            differing.append((text, plain, by_points, server))
    assert differing == []
    assert sum(plain is not None for plain, _ in found) > 2000


def test_the_browser_judges_megabytes(visitors: Contexts) -> None:
    """What takes more than its length would not end here."""
    page = visitors().new_page()
    open_parser(page)
    judge = """async () => {
      const { readNumber } = await import("/numbers.js");
      const many = 300000;
      return ["9", "\\u0663", ",234", ",23", "1,", "1 .,'", " ", "\\u200f"]
        .map((text) => typeof readNumber(`1${text.repeat(many)}x`) + typeof readNumber(`1${text.repeat(many)}`));
    }"""
    assert len(page.evaluate(judge)) == 8


LOCALES = ["en-US", "en-GB", "en-IN", "de-DE", "de-CH", "fr-FR", "es-ES", "es-MX", "it-IT", "nl-NL", "pt-BR", "id-ID",
           "tr-TR", "da-DK", "el-GR", "ru-RU", "pl-PL", "sv-SE", "ja-JP", "zh-CN", "ko-KR", "vi-VN"]  # fmt: skip


def test_the_server_knows_who_groups_by_points(visitors: Contexts) -> None:
    page = visitors().new_page()
    found = page.evaluate(
        """(locales) => locales.map((locale) => new Intl.NumberFormat(locale).formatToParts(12345678)
             .find((part) => part.type === "group").value === ".")""",
        LOCALES,
    )
    assert found == [groups_by_point(locale) for locale in LOCALES]
    assert groups_by_point("xx-strange, *;q=0.1, de-DE-u-nu-latn;q=0.9, en;q=0.5")
    assert not groups_by_point("")
    assert not groups_by_point("en-GB,de;q=0.5")
    assert not groups_by_point("," * 60_000)
