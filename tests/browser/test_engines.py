"""The participants' walk in three engines: every type of item, coming back, an upload that is cut, and the archive."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from playwright.sync_api import Error as PlaywrightError

from tests.browser.conftest import Contexts
from tests.browser.engines import Engine, EngineError, Missing, open_firefox, open_webkit, wait_for
from tests.browser.visitor import archive, link, publish, responses
from tests.proxy import Proxy
from tests.scenario import TASK, Scenario

MIB = 1 << 20
FILM = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + hashlib.shake_128(b"film").digest(12 * MIB)
SENT = 5 * MIB
OPTIONS = [{"label": f"Option {number}", "value": f"value {number}"} for number in range(6)]
HEADED = [{**option, "heading": f"Why {option['value']}?"} for option in OPTIONS[:3]]
PAGES = [
    [
        {"type": "rich_text", "content": "<p>Please <strong>read</strong> this.</p>"},
        {"type": "image", "url": "https://pictures.test/a.png", "alt_text": "A picture"},
        {"type": "free_text", "description": "Text"},
        {"type": "multiple_choice", "description": "One", "options": OPTIONS[:3]},
        {"type": "multiple_choice", "description": "Of many", "options": OPTIONS},
        {"type": "multiple_choice", "description": "Several", "options": OPTIONS[:4], "answer_limit": 2},
        {
            "type": "multiple_choice_with_free_text",
            "description": "Why",
            "options": HEADED,
            "answer_limit": -1,
        },
        {
            "type": "free_text_with_unit",
            "description": "Weight",
            "unit_options": [{"label": "kg", "value": "kg"}, {"label": "lb", "value": "lb"}],
            "default_unit": "kg",
            "unit_position": "suffix",
            "validation": {"type": "number", "min": 0, "max": 500},
        },
    ],
    [
        {
            "type": "file_upload",
            "description": "Film",
            "accepted_file_types": [".mp4"],
            "max_file_size_mb": 50,
            "max_file_count": 1,
        }
    ],
]


class Chromium:
    """The same few things, by Playwright."""

    def __init__(self, contexts: Contexts) -> None:
        self._context = contexts()
        self._page: Page = self._context.new_page()

    def goto(self, url: str) -> None:
        self._page.goto(url)

    def run(self, script: str, *arguments: Any) -> Any:
        try:
            return self._page.evaluate(f"(given) => (function () {{ {script} }})(...given)", list(arguments))
        except PlaywrightError as error:
            raise EngineError(str(error)) from error

    def click(self, selector: str) -> None:
        self._page.locator(selector).first.click()

    def type(self, selector: str, text: str) -> None:
        self._page.locator(selector).first.press_sequentially(text)

    def choose_file(self, selector: str, path: Path) -> None:
        self._page.locator(selector).first.set_input_files(path)

    def choose_option(self, selector: str, value: str) -> None:
        self._page.locator(selector).first.select_option(value)

    def close_tab(self) -> None:
        self._page.close()
        self._page = self._context.new_page()


@contextlib.contextmanager
def open_chromium(request: pytest.FixtureRequest) -> Iterator[Engine]:
    browser: Browser = request.getfixturevalue("chromium")
    contexts = Contexts(browser)
    yield Chromium(contexts)
    for context in contexts.open:
        context.close()
    assert contexts.faults.messages == []


ENGINES: dict[str, Callable[[pytest.FixtureRequest], AbstractContextManager[Engine]]] = {
    "chromium": open_chromium,
    "webkit": lambda request: open_webkit(),
    "firefox": lambda request: open_firefox(),
}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    opened = contextlib.ExitStack()
    try:
        made = opened.enter_context(ENGINES[request.param](request))
    except Missing as missing:
        pytest.skip(str(missing))
    with opened:
        yield made


class Walk:
    """A participant on the form, in any engine."""

    def __init__(self, engine: Engine, study: Scenario) -> None:
        self.engine = engine
        items = [item for page in study.collection["collection_items"] for item in page["page_items"]]
        self.ids = {item["description"]: item["id"] for item in items if "description" in item}

    def question(self, name: str, rest: str) -> str:
        return f"#q-{self.ids[name]} {rest}"

    def is_ready(self) -> None:
        wait_for(self.engine, "document.documentElement.hasAttribute('data-ready')")

    def is_saved(self) -> None:
        wait_for(
            self.engine,
            "document.querySelector('#saving.done') !== null"
            " && !Object.keys(localStorage).some((key) => key.startsWith('fieldpack.answers.'))",
        )

    def has_text(self, selector: str, text: str) -> None:
        wait_for(
            self.engine,
            "[...document.querySelectorAll(arguments[0])].some((each) => each.innerText.includes(arguments[1]))",
            selector,
            text,
        )

    def value(self, name: str, rest: str) -> Any:
        return self.engine.run("return document.querySelector(arguments[0]).value", self.question(name, rest))


def test_the_walk(api: Any, network: Proxy, engine: Engine, tmp_path: Path) -> None:
    study = publish(
        api,
        {
            "name": "Walk",
            "task_details": TASK,
            "collection_items": [{"page_items": items} for items in PAGES],
        },
    )
    film = tmp_path / "film.mp4"
    film.write_bytes(FILM)
    walk = Walk(engine, study)
    mine = link(study, "ann", network=network)
    engine.goto(mine)
    engine.click("form.start button")
    walk.is_ready()
    walk.has_text("#next", "Next")

    engine.type(walk.question("Text", "[name^='a.']"), "Brot & Käse, “gut”")
    walk.is_saved()
    engine.close_tab()
    engine.goto(mine)
    walk.is_ready()
    assert walk.value("Text", "[name^='a.']") == "Brot & Käse, “gut”"

    engine.click("#next")
    walk.has_text("#errors", "Weight")
    engine.click(walk.question("One", ".option:nth-child(2) input"))
    engine.choose_option(walk.question("Of many", "select"), "4")
    for number in (1, 3):
        engine.click(walk.question("Several", f".option:nth-child({number}) input"))
    engine.click(walk.question("Why", ".option:nth-child(3) input"))
    engine.type(walk.question("Why", ".option:nth-child(3) textarea"), "because")
    engine.type(walk.question("Weight", "input[type=text]"), "72,125")
    walk.has_text(".reading", "can be read in two ways")
    engine.click(walk.question("Weight", ".reading button:last-child"))
    engine.choose_option(walk.question("Weight", "select"), "lb")
    walk.is_saved()
    engine.click("#next")
    walk.has_text("h1.where", "Page 2 of 2")

    network.hold(SENT, answers=False)
    engine.choose_file(walk.question("Film", ".files-input"), film)
    wait_for_gate(engine, network)
    network.cut()
    wait_for(engine, "document.querySelector('.file.done') !== null")
    engine.click("#next")
    walk.has_text("h1.where", "Check your answers")
    walk.has_text(".given", "film.mp4")
    walk.has_text(".given", "Option 4")
    engine.click("#next")
    code = wait_for(engine, "document.querySelector('#code')?.innerText")
    assert code == study.study["completion_codes"][0]["code"]

    with archive(study) as exported:
        [record] = responses(exported)
        given = record["by_words"]
        [kept] = given.pop("Film")["value"]
        assert exported.read(kept["path"]) == FILM
    assert {name: each["value"] for name, each in given.items()} == {
        "Text": "Brot & Käse, “gut”",
        "One": ["value 1"],
        "Of many": ["value 4"],
        "Several": ["value 0", "value 2"],
        "Why": [{"value": "value 2", "explanation": "because"}],
        "Weight": "72.125",
    }
    assert given["Weight"]["unit"] == "lb"


def wait_for_gate(engine: Engine, network: Proxy) -> None:
    while not network.held.wait(0.05):
        engine.run("return 1")  # Playwright answers its page only while it is asked something


def test_ci_has_every_engine() -> None:
    """What `.ci/run` installs is what these tests look for."""
    text = (Path(__file__).parents[2] / ".ci" / "run").read_text()
    for package in ("chromium", "firefox-esr", "webkit2gtk-driver", "xvfb"):
        assert f" {package}" in text or f"({package}" in text
