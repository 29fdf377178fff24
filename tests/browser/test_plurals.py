"""The browser and the server choose the same form of a text for the same number, and say sizes alike."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route

import fieldpack.server.web as web
from fieldpack.server.web.catalogue import CATALOGUES, SOURCE, Catalogue, Text, plural_categories
from tests.browser.conftest import Contexts

TEXTS_JS = Path(web.__file__).parent / "static" / "texts.js"
CATEGORIES = ["zero", "one", "two", "few", "many", "other"]
# between them they use every category, and the rules that differ: of zero, of decimals, of millions
LANGUAGES = [
    "ar",
    "cs",
    "cy",
    "de",
    "en",
    "es",
    "fr",
    "ga",
    "he",
    "ja",
    "lt",
    "lv",
    "mt",
    "pl",
    "pt",
    "ru",
    "sl",
]
NUMBERS: list[int | float] = [
    *range(1001),
    10_000,
    1_000_000,
    1_000_001,
    3_000_000,
    0.1,
    0.5,
    1.5,
    2.25,
    10.5,
]
TEXTS: dict[str, Text] = {
    "files": {category: f"{category}: {{count}}" for category in CATEGORIES},
    "few": {"one": "one", "other": "other"},
    "number": "{number}",
}
PAGE = "https://pages.test/"
CHOOSE = """async (numbers) => {
  const { t } = await import("/texts.js");
  const all = (key) => numbers.map((count) => t(key, { count }));
  const said = [...numbers, 1e-7, 1e15].map((number) => t("number", { number: 0 - number }));
  return { all: all("files"), some: all("few"), none: t("files"), numbers: said };
}"""


def open_page(page: Page, catalogue: Catalogue) -> None:
    """A page with the state of this catalogue, and the module of every page that has it."""
    state = json.dumps({"language": catalogue.language, "texts": catalogue.for_browser()})

    def serve(route: Route) -> None:
        if route.request.url == PAGE:
            route.fulfill(
                content_type="text/html", body=f"<form id='form' data-state='{escape(state)}'></form>"
            )
        else:
            route.fulfill(content_type="text/javascript", path=str(TEXTS_JS))

    page.route("https://pages.test/**", serve)
    page.goto(PAGE)


@pytest.mark.parametrize("language", sorted({*LANGUAGES, *CATALOGUES}))
def test_they_choose_the_same_form(visitors: Contexts, language: str) -> None:
    catalogue = Catalogue(language, TEXTS, frozenset(TEXTS))
    page = visitors().new_page()
    open_page(page, catalogue)
    chosen = page.evaluate(CHOOSE, NUMBERS)
    assert chosen["all"] == [catalogue.text("files", count=number) for number in NUMBERS]
    assert chosen["none"] == catalogue.text("files") == "other: {count}"
    # a form that a text lacks is made up for by that of `other`
    assert chosen["some"] == [catalogue.text("few", count=number) for number in NUMBERS]
    assert chosen["numbers"] == [
        catalogue.text("number", number=-number) for number in [*NUMBERS, 1e-7, 1e15]
    ]


def test_every_category_is_among_them() -> None:
    found = {Catalogue(language, {}).plural_category(number) for language in LANGUAGES for number in NUMBERS}
    assert found == set(CATEGORIES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_file_has_a_form_for_every_category(language: str) -> None:
    found = {Catalogue(language, {}).plural_category(number) for number in NUMBERS}
    assert found <= set(plural_categories(language))


@pytest.mark.parametrize("language", sorted(CATALOGUES))
def test_they_say_the_same_of_a_size(visitors: Contexts, language: str) -> None:
    page, catalogue = visitors().new_page(), CATALOGUES[language]
    open_page(page, catalogue)
    sizes = [0, 1, 999, 1000, 99_949, 99_951, 999_499, 999_501, 25 * 2**20, 53_480_000, 1.5e9, 2.5e12, 12_345]
    said = page.evaluate(
        "async (sizes) => { const { sizeText } = await import('/texts.js'); return sizes.map(sizeText); }",
        sizes,
    )
    assert said == [catalogue.size(size) for size in sizes]
    assert catalogue.size(53_480_000).startswith(catalogue.number(53.5))


def test_a_size_in_english() -> None:
    assert CATALOGUES[SOURCE].size(25 * 2**20) == "26.2 MB"
