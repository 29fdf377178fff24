"""The workbench in a browser: every screen for everybody, and a review by the keys alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from playwright.sync_api import Route, expect
from starlette.routing import compile_path

from fieldpack.server.app import API, create_app
from fieldpack.server.config import load_settings
from tests.browser.conftest import Contexts
from tests.browser.pictured import NO_PAGES, PICTURED
from tests.browser.screenshots import FOLDER
from tests.browser.test_attacks import SCRIPTS
from tests.browser.visitor import PHONE, fits, violations
from tests.browser.workbench import Filled, sign_in
from tests.browser.workbench_states import STATES
from tests.installation import Installation
from tests.integration.decisions import held_for_long, make_held
from tests.scenario import Scenario

LOOKS: dict[str, dict[str, Any]] = {
    "desktop": {},
    "desktop, dark": {"color_scheme": "dark"},
    "phone": PHONE,
    "phone, dark": {**PHONE, "color_scheme": "dark"},
}


@pytest.fixture(scope="module", autouse=True)
def _unhurried(server: Installation) -> Iterator[None]:
    with held_for_long(server):
        yield


@pytest.fixture(scope="module")
def filled(server: Installation, _unhurried: None) -> Iterator[Filled]:
    """With a decision that can be undone on every screen that shows one."""
    with server.client() as api:
        filled = Filled(api)
        held = api.post(f"/submissions/{filled.ids[2]}/decisions", json={"action": "APPROVE"})
        assert held.status_code == 201
        yield filled


@pytest.mark.parametrize("look", LOOKS)
def test_every_screen_is_for_everybody(
    server: Installation, filled: Filled, visitors: Contexts, look: str
) -> None:
    """By axe, and without anything that sticks out."""
    page = visitors(**LOOKS[look]).new_page()
    sign_in(page, server)
    found: list[str] = []
    for name, path in filled.screens.items():
        page.goto(f"{server.url}{path}")
        if name == "response":  # what can be opened there is looked at too
            page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        found += violations(page)
        if not fits(page):
            found.append(f"{name} is wider than the window")
    assert found == []


def test_screens_are_for_everybody_before_their_pictures_have_come(
    server: Installation, filled: Filled, visitors: Contexts
) -> None:
    """What leads to a picture can be hit meanwhile."""
    page = visitors().new_page()
    sign_in(page, server)

    def hold_pictures(route: Route) -> None:
        if route.request.resource_type != "image":  # those are left without an answer
            route.fallback()

    page.route("**/*", hold_pictures)
    found: list[str] = []
    seen = set()
    for name, path in filled.screens.items():
        page.goto(f"{server.url}{path}", wait_until="domcontentloaded")
        if page.locator("img").count() > 0:
            seen.add(name)
            found += violations(page)
    assert found == []
    assert seen >= {"response", "responses", "gallery"}


@pytest.mark.parametrize("look", LOOKS)
def test_every_state_is_for_everybody(
    server: Installation, filled: Filled, visitors: Contexts, look: str
) -> None:
    """What is shown after something was done, or was not."""
    page = visitors(**LOOKS[look]).new_page()
    sign_in(page, server)
    page.on("dialog", lambda dialog: dialog.accept())  # leaving what was not saved
    found: list[str] = []
    for name, visit in STATES.items():
        visit(page, server.url, filled)
        found += violations(page)
        if not fits(page):
            found.append(f"{name} is wider than the window")
    assert found == []


def test_every_screen_can_be_read_without_scripts(
    server: Installation, filled: Filled, visitors: Contexts
) -> None:
    page = visitors(java_script_enabled=False).new_page()
    sign_in(page, server)
    for path in filled.screens.values():
        answer = page.goto(f"{server.url}{path}")
        assert answer is not None
        assert answer.status == 200
        assert page.locator("h1").inner_text() != ""


def test_stored_scripts_do_nothing_on_any_screen(server: Installation, visitors: Contexts) -> None:
    """In every text that a researcher or a participant wrote; the visitor's own faults would tell of refused ones."""
    with server.client() as api:
        filled = Filled(api, mark=f" {SCRIPTS}")
        path = f"/data-collection/collections/{filled.scenario.collection['id']}"
        body = {
            **api.get(path).json(),
            "name": f"Name {SCRIPTS}",
            "description": f"Description {SCRIPTS}",
        }
        assert api.put(path, json=body).status_code == 200
        context = visitors()
        struck: list[str] = []
        context.expose_binding("struck", lambda source: struck.append(source["page"].url))
        page = context.new_page()
        sign_in(page, server)
        page.on("dialog", lambda dialog: dialog.accept())  # leaving what was not saved
        shown = set()
        for name, screen in filled.screens.items():
            page.goto(f"{server.url}{screen}")
            page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
            page.wait_for_timeout(300)  # for what scripts of the page do with the texts
            if "struck()" in page.locator("body").inner_text():
                shown.add(name)
        for visit in STATES.values():
            visit(page, server.url, filled)
        for state in ("lightbox", "gallery-chosen", "editor-preview"):
            STATES[state](page, server.url, filled)
            assert "struck()" in page.locator("body").inner_text(), state
        assert struck == []
        assert shown >= {"home", "editor", "manage", "overview", "responses", "response", "study", "history"}


def test_right_to_left(server: Installation, filled: Filled, visitors: Contexts) -> None:
    page = visitors().new_page()
    sign_in(page, server)
    for name, path in filled.screens.items():
        page.goto(f"{server.url}{path}")
        page.evaluate("document.documentElement.dir = 'rtl'")
        assert fits(page), name


def test_a_review_by_the_keys_alone(server: Installation, visitors: Contexts) -> None:
    """From the table into a response, decided, noted, and on within the filter."""
    with server.client() as api:
        filled = Filled(api, count=6)

        def state(number: int) -> str:
            answer: httpx.Response = api.get(f"/submissions/{filled.ids[number]}")
            status: str = answer.json()["status"]
            return status

        page = visitors().new_page()
        sign_in(page, server)
        collection = filled.scenario.collection["id"]
        page.goto(f"{server.url}/workbench/collections/{collection}/responses?state=AWAITING+REVIEW")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url("**/workbench/submissions/**")  # waits for the script as well, as each below
        first = page.url
        page.keyboard.press("j")
        page.wait_for_url(lambda url: url != first)
        page.keyboard.press("k")
        page.wait_for_url(first)
        shown = filled.ids.index(first.split("/submissions/")[1].partition("?")[0])
        page.keyboard.press("n")
        page.keyboard.type("Seen by keys.")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Seen by keys.")).to_be_visible()
        page.wait_for_load_state("load")  # the script has run by then
        page.keyboard.press("a")
        page.wait_for_url(lambda url: url != first)
        expect(page.get_by_text("is about to be approved")).to_be_visible()
        page.keyboard.press("u")
        page.wait_for_url(first)
        expect(page.get_by_text("is about to be approved")).to_have_count(0)
        assert state(shown) == "AWAITING REVIEW"
        page.keyboard.press("a")
        page.wait_for_url(lambda url: url != first)
        make_held(server)
        assert state(shown) == "APPROVED"
        page.keyboard.press("?")
        expect(page.locator(".keys dl")).to_be_visible()
        page.keyboard.press("r")
        expect(page.locator("#category")).to_be_focused()
        page.locator("#category").select_option("LOW_EFFORT")
        expect(page.locator("#message")).to_have_value("Your answers show little effort.")


def test_an_answer_is_corrected_by_the_keys_alone(server: Installation, visitors: Contexts) -> None:
    with server.client() as api:
        filled = Filled(api, count=3)
        page = visitors().new_page()
        sign_in(page, server)
        page.goto(f"{server.url}/workbench/submissions/{filled.ids[0]}")
        page.locator("details.correct > summary").first.focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        page.keyboard.press("Control+A")
        page.keyboard.type("A glass jar with its lid")
        page.keyboard.press("Tab")
        page.keyboard.type("Seen in the photo.")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_url("**#answer-*")
        versions = page.locator("details.versions")
        expect(versions.locator("summary")).to_have_text("1 correction")
        versions.locator("summary").press("Enter")
        expect(versions.locator("ins")).to_contain_text("with its lid")
        expect(versions).to_contain_text("Seen in the photo.")
        made = api.get(f"/submissions/{filled.ids[0]}/corrections").json()["results"]
        assert [each["after"]["value"] for each in made] == ["A glass jar with its lid"]


def test_every_page_is_photographed(filled: Filled) -> None:
    """A page that no picture shows is one that nobody has looked at; the screens are also what axe sees above."""
    screens = [path.partition("?")[0] for path in filled.screens.values()]
    pages = {
        route.path: compile_path(route.path)[0]
        for route in iter_route_contexts(create_app(load_settings(), "postgresql://nowhere").routes)
        if route.path and "GET" in (route.methods or ()) and not route.path.startswith(API)
    }
    unseen = [
        path
        for path, pattern in pages.items()
        if path not in NO_PAGES | PICTURED.keys() and not any(map(pattern.fullmatch, screens))
    ]
    assert unseen == []
    assert {*PICTURED, *NO_PAGES} <= {*pages}
    names = [f"workbench-{name}" for name in (*filled.screens, *STATES)] + [
        each for names in PICTURED.values() for each in names
    ]
    missing = [
        f"{name} on a {device}"
        for name in names
        for device in ("desktop", "phone")
        if not (FOLDER / f"pages-{name}-{device}.png").exists()
    ]
    assert missing == []


@pytest.mark.parametrize("is_kept_back", [False, True])
def test_an_open_overview_follows(server: Installation, visitors: Contexts, is_kept_back: bool) -> None:
    """By the server's events, or by asking where something on the way keeps those back; charts are fetched later."""

    def keep_back(route: Route) -> None:
        if "event-stream" in route.request.headers.get("accept", ""):
            route.fulfill(status=503)
        else:
            route.continue_()

    with server.client() as api:
        scenario = Scenario.create(api)
        context = visitors()
        if is_kept_back:
            context.route("**/live", keep_back)
        page = context.new_page()
        sign_in(page, server)
        page.clock.install()
        page.goto(f"{server.url}/workbench/collections/{scenario.collection['id']}")
        submitted = page.locator("[data-figure=submitted]")
        expect(submitted).to_have_text("0")
        expect(page.locator("#live")).to_contain_text("every few seconds" if is_kept_back else "up to date")
        scenario.take_part("anna")
        expect(submitted).to_have_text("1")
        expect(page.locator("[data-part=days] svg")).to_have_count(0)
        page.clock.fast_forward(32_000)
        expect(page.locator("[data-part=days] svg")).to_be_visible()
        expect(page.locator("[data-part=charts] blockquote")).to_have_count(0)
