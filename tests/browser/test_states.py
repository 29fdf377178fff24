"""Every state is said in words; axe-core finds nothing on any page; the keyboard alone is enough."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Contexts
from tests.browser.visitor import (
    DESKTOP,
    EXTRA,
    PHONE,
    RECEIPT,
    add,
    archive,
    check_example,
    example_body,
    fill_first_page,
    fill_second_page,
    fits,
    go_on,
    here,
    is_saved,
    link,
    origin,
    payload,
    publish,
    publish_example,
    question,
    ready,
    responses,
    start,
    submit,
    violations,
)
from tests.installation import Installation
from tests.integration.rows import connected
from tests.scenario import Scenario


def heading(page: Page) -> str:
    return page.get_by_role("heading", level=1).inner_text()


def act(scenario: Scenario, action: str) -> None:
    response = scenario.api.post(f"/studies/{scenario.study['id']}/transition", json={"action": action})
    assert response.status_code == 200


def make_overdue(server: Installation, submission_id: str) -> None:
    """Put a submission's deadline into the past, as time would."""
    with connected(server) as connection:
        connection.execute(
            "UPDATE submissions SET deadline_at = now() - interval '1 minute' WHERE id = %s", [submission_id]
        )


@pytest.mark.parametrize(
    ("device", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop-light", "phone-dark"]
)
def test_axe_finds_nothing_on_any_page(
    example: Scenario, visitors: Contexts, device: dict[str, Any], scheme: str
) -> None:
    page = visitors(**device, color_scheme=scheme).new_page()
    found: list[str] = []

    def look() -> None:
        found.extend(violations(page))

    page.goto(link(example, None))
    look()
    page.get_by_role("button", name="Start").click()
    look()
    page.get_by_label("Your participant ID").fill("ann")
    page.get_by_role("button", name="Start").click()
    ready(page)
    look()
    go_on(page)
    look()
    fill_first_page(page)
    go_on(page)
    look()
    add(page, "photo of the receipt", ("notes.txt", "text/plain", b"notes"))
    fill_second_page(page)
    expect(here(page).locator(".file.done")).to_have_count(2)
    look()
    go_on(page)
    look()
    page.get_by_role("link", name="Leave the study").click()
    page.wait_for_url("**/return")
    look()
    page.get_by_role("link", name="Stay").click()
    ready(page)
    page.goto(page.url.rsplit("/", 1)[0] + "/review")
    ready(page)
    submit(page)
    look()
    page.goto(link(example, "ann"))
    look()
    assert found == []


def test_axe_finds_nothing_without_scripts_or_for_researchers(
    server: Installation, example: Scenario, visitors: Contexts
) -> None:
    page = visitors().new_page()
    found: list[str] = []
    home = f"{origin(example)}/researcher"
    page.goto(home)
    found += violations(page)
    page.get_by_role("button", name="Sign in").click()
    found += violations(page)
    page.get_by_label("Token").fill(server.token)
    page.get_by_role("button", name="Sign in").click()
    found += violations(page)
    collection = f"{origin(example)}/data-collection-tool/collections/{example.collection['id']}"
    for step in ("start", "1", "2", "review", "done"):
        page.goto(f"{collection}?preview=true&step={step}")
        found += violations(page)
    page.goto(f"{home}?search={example.collection['id']}")
    page.locator(f"form[action$='{example.collection['id']}/export'] button").click()
    page.get_by_role("link", name="Download the archive").wait_for(timeout=60_000)
    found += violations(page)
    assert found == []


def test_studies_that_nobody_can_start(api: httpx.Client, visitors: Contexts) -> None:
    page = visitors().new_page()
    found: list[str] = []

    def said(url: str) -> str:
        page.goto(url)
        found.extend(violations(page))
        return heading(page)

    unpublished = publish(api, example_body(), publish=False)
    assert said(link(unpublished, "ann")) == "This study is not open yet"
    paused = publish_example(api)
    act(paused, "PAUSE")
    assert said(link(paused, "ann")) == "This study is paused"
    closed = publish_example(api)
    act(closed, "STOP")
    assert said(link(closed, "ann")) == "This study is closed"
    full = publish_example(api, places=1)
    full.start("someone")
    assert said(link(full, "ann")) == "This study is full"
    assert said(f"{origin(full)}/participate/00000000-0000-4000-8000-000000000000") == "There is nothing here"
    assert said(f"{origin(full)}/participate/nonsense") == "There is nothing here"
    assert said(link(full, "x" * 300)) == "That can't be right"
    assert found == []


def test_full_between_looking_and_starting(api: httpx.Client, visitors: Contexts) -> None:
    full = publish_example(api, places=1)
    page = visitors().new_page()
    page.goto(link(full, "ann"))
    full.start("someone")
    page.get_by_role("button", name="Start").click()
    assert heading(page) == "This study is full"


def test_a_link_without_a_participant(example: Scenario, visitors: Contexts) -> None:
    page = visitors().new_page()
    # as a recruiting service leaves it that fills nothing in
    page.goto(example.study["external_study_url"])
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".error")).to_contain_text("Enter your participant ID")
    page.get_by_label("Your participant ID").fill("  lab-07 ")
    page.get_by_role("button", name="Start").click()
    ready(page)
    page.goto(link(example, None))
    expect(page.locator("main")).to_contain_text("You are taking part as lab-07")
    page.get_by_role("link", name="Continue").click()
    ready(page)
    # the next person at the same tablet
    page.goto(link(example, None))
    page.get_by_label("Your participant ID").fill("lab-08")
    page.get_by_role("button", name="Start").click()
    ready(page)
    listed = example.api.get(f"/studies/{example.study['id']}/submissions").json()["results"]
    assert [each["participant_id"] for each in listed] == ["lab-07", "lab-08"]


def test_leaving_frees_the_place(api: httpx.Client, visitors: Contexts) -> None:
    study = publish_example(api, places=1)
    page = visitors().new_page()
    start(page, link(study, "ann"))
    assert api.get(f"/studies/{study.study['id']}").json()["status"] == "AWAITING REVIEW"
    page.get_by_role("link", name="Leave the study").click()
    page.get_by_role("button", name="Leave, and don't use my answers").click()
    assert heading(page) == "You have left this study"
    assert violations(page) == []
    after = api.get(f"/studies/{study.study['id']}").json()
    assert (after["status"], after["places_taken"]) == ("ACTIVE", 0)
    page.goto(link(study, "ann"))
    assert heading(page) == "You have left this study"


def test_taking_part_again_where_the_study_allows_it(api: httpx.Client, visitors: Contexts) -> None:
    study = publish_example(api, submissions_config={"max_submissions_per_participant": 2})
    page = visitors().new_page()
    for _ in range(2):
        start(page, link(study, "ann", None))
        page.get_by_role("link", name="Leave the study").click()
        page.get_by_role("button", name="Leave, and").click()
    page.goto(link(study, "ann", None))
    assert heading(page) == "You have left this study"
    counts = api.get(f"/studies/{study.study['id']}/submissions/counts").json()
    assert counts["RETURNED"] == 2


def test_the_researcher_asks_for_a_return(example: Scenario, visitors: Contexts) -> None:
    page = visitors().new_page()
    start(page, link(example, "ann"))
    fill_first_page(page)
    go_on(page)
    fill_second_page(page)
    go_on(page)
    submit(page)
    expect(page.get_by_role("link", name="Return the submission")).to_have_count(0)
    [submission] = example.api.get(f"/studies/{example.study['id']}/submissions").json()["results"]
    asked = example.api.post(
        f"/submissions/{submission['id']}/request-return", json={"request_return_reasons": ["Blurred"]}
    )
    assert asked.status_code == 200
    page.reload()
    assert violations(page) == []
    page.get_by_role("link", name="Return the submission").click()
    page.get_by_role("button", name="Leave, and").click()
    assert heading(page) == "You have left this study"
    with archive(example) as exported:
        assert responses(exported) == []


def test_time_is_up_and_late_work_is_kept(
    server: Installation, api: httpx.Client, visitors: Contexts
) -> None:
    study = publish_example(api, places=1, maximum_allowed_time=5)
    page = visitors().new_page()
    start(page, link(study, "ann"))
    expect(page.locator("#deadline")).to_contain_text("left")
    fill_first_page(page)
    is_saved(page)
    submission_id = page.url.split("/")[-2]
    make_overdue(server, submission_id)
    page.reload()
    ready(page)
    expect(page.locator("#late")).to_contain_text("Time is up")
    assert violations(page) == []
    # the place is someone else's from now on
    assert study.start("bo").state["status"] == "ACTIVE"
    go_on(page)
    fill_second_page(page)
    go_on(page)
    submit(page)
    expect(page.locator("main")).to_contain_text("marked as late")
    check_example(study, "ann")
    with archive(study) as exported:
        assert [each["status"] for each in responses(exported)] == ["TIMED-OUT"]


def test_the_key_is_lost(example: Scenario, visitors: Contexts) -> None:
    context = visitors()
    page = context.new_page()
    start(page, link(example, "ann"))
    context.clear_cookies()
    question(page, "mainly go out").get_by_role("textbox").fill("typed after the cookie went")
    expect(page.locator("#saving")).to_contain_text("Open your study link again")
    page.reload()
    assert heading(page) == "Open your study link again"
    assert violations(page) == []
    page.goto(link(example, "ann"))
    page.get_by_role("button", name="Continue").click()
    ready(page)
    expect(question(page, "mainly go out").get_by_role("textbox")).to_have_value(
        "typed after the cookie went"
    )
    is_saved(page)


def test_the_whole_form_by_keyboard(example: Scenario, visitors: Contexts) -> None:
    page = visitors().new_page()
    press = page.keyboard.press

    def tab_to(label: str) -> None:
        for _ in range(40):
            press("Tab")
            focused = page.evaluate(
                """() => {
                  const at = document.activeElement;
                  const names = [at.getAttribute("aria-label"), at.labels?.[0]?.textContent, at.textContent];
                  return names.find(Boolean)?.trim() ?? "";
                }"""
            )
            if label in focused:
                outline = page.evaluate(
                    """() => {
                      const at = document.activeElement;
                      const near = [at, at.closest("label"), at.nextElementSibling].filter(Boolean);
                      return near.some((each) => getComputedStyle(each).outlineStyle === "solid");
                    }"""
                )
                assert outline, f"the focus on {label} can't be seen"
                return
        raise AssertionError(f"{label} can't be reached")

    page.goto(link(example, "ann"))
    tab_to("Start")
    press("Enter")
    ready(page)
    tab_to("What did you mainly")
    page.keyboard.insert_text("Bread, milk and apples\nfor the weekend")
    tab_to("Supermarket")
    press("ArrowDown")
    press("ArrowDown")
    tab_to("How many people")
    page.keyboard.type("3")
    tab_to("How much did the shopping cost")
    tab_to("How much did the shopping cost")
    page.keyboard.type("42.50")
    press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Page 2 of 2")
    tab_to("Choose files: Please take")
    with page.expect_file_chooser() as chooser:
        press("Enter")
    chooser.value.set_files([payload("receipt.jpg", "image/jpeg", RECEIPT)])
    tab_to("Recycled")
    press("Space")
    tab_to("What did you recycle")
    page.keyboard.type("Glass, at the corner")
    tab_to("Thrown away")
    press("Space")
    tab_to("How much does the packaging weigh")
    page.keyboard.type("350")
    tab_to("Choose files: If you like")
    with page.expect_file_chooser() as chooser:
        press("Space")
    chooser.value.set_files([payload("Verpackung “neu”.png", "image/png", EXTRA)])
    tab_to("Next")
    press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Check your answers")
    tab_to("Submit")
    press("Enter")
    page.wait_for_url("**/done")
    check_example(example, "ann")


def test_right_to_left_texts(api: httpx.Client, visitors: Contexts) -> None:
    body = example_body()
    text = "ما الذي خرجت لشرائه؟"
    body["collection_items"] = [
        {"page_items": [{"type": "free_text", "description": text, "helper_text": "جملة واحدة تكفي."}]}
    ]
    study = publish(api, body)
    page = visitors(**PHONE).new_page()
    start(page, link(study, "ann"))
    box = page.locator(".question .text")
    assert box.evaluate("element => getComputedStyle(element).direction") == "rtl"
    assert fits(page)
