"""What the page says to the server, and when: neighbours together, nothing twice, nothing lost on the way back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Contexts
from tests.browser.visitor import add, go_on, here, is_saved, link, publish, question, ready, start, submit
from tests.scenario import FREE_TEXT, Scenario, collection_body
from tests.scenario import expect as expect_status

ANSWERS = "**/participate/submissions/*/answers**"
UPLOADS = "**/participate/submissions/*/uploads"
# three answers, and on to the next step, at once
GIVE_ALL = """() => {
  const [one, two] = document.querySelectorAll("section:not([hidden]) textarea");
  one.value = "one";
  two.value = "two";
  const blue = document.querySelectorAll("section:not([hidden]) [data-value]")[1];
  blue.checked = true;
  for (const control of [one, two, blue]) control.dispatchEvent(new Event("input", { bubbles: true }));
  document.getElementById("next").click();
}"""
ONE, TWO = ({**FREE_TEXT, "description": name, "required": False} for name in ("First", "Second"))
CHOICE = {
    "type": "multiple_choice",
    "description": "Which",
    "options": [{"label": name, "value": name} for name in ("red", "blue")],
    "required": False,
}
FILES = {"type": "file_upload", "description": "Files", "accepted_file_types": [".txt"], "required": False}


@pytest.fixture
def study(api: Any) -> Scenario:
    return publish(api, collection_body("", ONE, TWO, CHOICE, FILES))


def given(study: Scenario, name: str) -> list[Any]:
    """The values that are saved of somebody."""
    return [answer["value"] for answer in study.start(name).state["answers"].values()]


def box(page: Page, text: str) -> Any:
    return question(page, text).get_by_role("textbox")


@contextmanager
def unanswered(page: Page, pattern: str, method: str) -> Iterator[list[Route]]:
    """Requests reach the server, and their answers never the page, until the end of the block."""
    held: list[Route] = []
    is_over = is_held = False

    def hold(route: Route) -> None:
        nonlocal is_held
        if route.request.method != method or is_held or is_over:
            route.continue_()
            return
        is_held = True
        route.fetch()
        held.append(route)

    page.route(pattern, hold)
    yield held
    is_over = True
    if not page.is_closed():
        for route in held:
            route.abort("connectionreset")


def wait_for(page: Page, held: list[Route]) -> None:
    while not held:
        page.wait_for_timeout(20)


def test_who_leaves_a_step_sends_its_answers_together(study: Scenario, visitors: Contexts) -> None:
    page = visitors().new_page()
    sent: list[Any] = []
    page.on(
        "request",
        lambda request: sent.append(request.post_data_json) if request.method == "PUT" else None,
    )
    start(page, link(study, "amy"))
    page.evaluate(GIVE_ALL)  # by the mouse it may take longer than the page waits for more
    expect(page.get_by_role("button", name="Submit")).to_be_visible()
    is_saved(page)
    assert [len(body) for body in sent] == [3]
    assert sorted(map(str, given(study, "amy"))) == ["['blue']", "one", "two"]


def test_what_is_chosen_goes_with_what_was_just_typed(study: Scenario, visitors: Contexts) -> None:
    page = visitors().new_page()
    sent: list[Any] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "PUT" else None)
    start(page, link(study, "ada"))
    with page.expect_response(lambda response: response.request.method == "PUT"):
        here(page).get_by_label("blue").check()
        here(page).get_by_label("red").check()
    is_saved(page)
    assert len(sent) == 1
    assert given(study, "ada") == [["red"]]


@pytest.mark.parametrize("leaves", [False, True])
def test_an_answer_that_nobody_heard_of_is_no_conflict(
    study: Scenario, visitors: Contexts, leaves: bool
) -> None:
    """The server has what this page sent: it goes on from there, and asks nobody about another tab."""
    context = visitors()
    page = context.new_page()
    start(page, link(study, "bea"))
    with unanswered(page, ANSWERS, "PUT") as held:
        box(page, "First").fill("Hello")
        wait_for(page, held)
        box(page, "First").fill("Hello world")
        if leaves:
            page.close()
    if leaves:
        page = context.new_page()
        page.goto(link(study, "bea"))
        ready(page)
    expect(box(page, "First")).to_have_value("Hello world")
    is_saved(page)
    assert page.locator(".conflict").count() == 0
    assert given(study, "bea") == ["Hello world"]


def test_another_tabs_answer_is_a_conflict_still(study: Scenario, visitors: Contexts) -> None:
    """Also where this page has sent something that nobody heard of."""
    page = visitors().new_page()
    start(page, link(study, "ben"))
    with unanswered(page, ANSWERS, "PUT") as held:
        box(page, "First").fill("Hello")
        wait_for(page, held)
        other = study.start("ben")
        expect_status(other.answer(other.item(0), {"value": "from elsewhere"}), 200)
        box(page, "First").fill("Hello world")
    expect(page.locator(".conflict")).to_contain_text("from elsewhere")
    assert given(study, "ben") == ["from elsewhere"]


def test_two_tabs_keep_what_each_has_typed(study: Scenario, visitors: Contexts) -> None:
    context = visitors()
    one, two = context.new_page(), context.new_page()
    start(one, link(study, "cam"))
    two.goto(link(study, "cam"))
    ready(two)
    context.set_offline(True)
    box(one, "First").fill("typed in the first tab")
    box(two, "Second").fill("typed in the second tab")
    expect(one.locator("#saving.trouble")).to_be_visible()
    one.close()
    two.close()
    context.set_offline(False)
    page = context.new_page()
    page.goto(link(study, "cam"))
    ready(page)
    is_saved(page)
    assert given(study, "cam") == ["typed in the first tab", "typed in the second tab"]


def test_what_a_page_of_before_has_kept_is_taken_over(study: Scenario, visitors: Contexts) -> None:
    """All answers of a submission lay together once."""
    page = visitors().new_page()
    start(page, link(study, "dan"))
    person = study.start("dan")
    kept = {person.item(1): {"answer": {"value": "of before"}, "revision": 0}}
    page.evaluate(
        "([key, value]) => localStorage.setItem(key, value)",
        [f"fieldpack.answers.{person.submission_id}", json.dumps(kept)],
    )
    page.reload()
    ready(page)
    is_saved(page)
    assert given(study, "dan") == ["of before"]


def test_a_small_answer_is_not_held_back_by_a_large_one(study: Scenario, visitors: Contexts) -> None:
    context = visitors()
    page = context.new_page()
    start(page, link(study, "eve"))
    page.evaluate("() => { window.fetch = async () => { throw new TypeError('no network'); }; }")
    box(page, "First").fill("x" * 70_000)
    box(page, "Second").fill("small")
    expect(page.locator("#saving.trouble")).to_be_visible()
    page.evaluate(
        """() => {
          window.sent = [];
          window.fetch = async (url, { body }) => {
            window.sent.push(Object.values(JSON.parse(body)));
            throw new TypeError();
          };
          window.dispatchEvent(new PageTransitionEvent("pagehide"));
        }"""
    )
    [[answer]] = page.evaluate("() => window.sent")[:1]
    assert answer["value"] == "small"


@pytest.mark.parametrize("hands_in", [False, True])
def test_a_file_that_is_removed_before_the_server_has_answered_is_gone(
    study: Scenario, visitors: Contexts, hands_in: bool
) -> None:
    page = visitors().new_page()
    start(page, link(study, "fay"))
    with unanswered(page, UPLOADS, "POST") as held:
        add(page, "Files", ("mistake.txt", "text/plain", b"not this"))
        wait_for(page, held)
        assert len(study.start("fay").state["files"]) == 1
        question(page, "Files").get_by_role("button", name="Remove: mistake.txt").click()
    if hands_in:
        go_on(page)
        submit(page)
        assert study.start("fay").state["files"] == []
    else:
        while study.start("fay").state["files"]:
            page.wait_for_timeout(50)


def test_the_page_does_not_say_that_it_saves_while_it_waits_for_a_decision(
    study: Scenario, visitors: Contexts
) -> None:
    page = visitors().new_page()
    start(page, link(study, "gus"))
    other = study.start("gus")
    expect_status(other.answer(other.item(0), {"value": "from elsewhere"}), 200)
    box(page, "First").fill("mine")
    page.locator(".conflict").wait_for()

    def be_slow(route: Route) -> None:
        page.wait_for_timeout(600)
        route.continue_()

    page.route(ANSWERS, be_slow)
    with page.expect_response(lambda response: response.request.method == "PUT" and response.ok):
        box(page, "Second").fill("slowly")
    expect(page.locator("#saving")).to_have_class("saving trouble")
