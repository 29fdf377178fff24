"""The example collection, from the link to the completion code, and then what the archive holds."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Contexts
from tests.browser.visitor import (
    DESKTOP,
    PHONE,
    add,
    archive,
    check_example,
    fill_first_page,
    fill_second_page,
    go_on,
    here,
    is_saved,
    link,
    origin,
    publish,
    publish_example,
    question,
    ready,
    responses,
    start,
    submit,
)
from tests.scenario import Scenario


@pytest.mark.parametrize("device", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_from_link_to_code_to_archive(example: Scenario, visitors: Contexts, device: dict[str, Any]) -> None:
    page = visitors(**device).new_page()
    start(page, link(example, "ann"))
    fill_first_page(page)
    is_saved(page)
    go_on(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Page 2 of 2")
    shown = here(page).locator("figure img")
    shown.scroll_into_view_if_needed()
    expect(shown).to_have_js_property("naturalWidth", 960)
    assert shown.evaluate("image => image.currentSrc").startswith(f"{origin(example)}/api/v1/pictures/")
    fill_second_page(page)
    expect(here(page).locator(".file.done")).to_have_count(2)
    go_on(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Check your answers")
    expect(here(page)).to_contain_text("£ 42.50")
    expect(here(page)).to_contain_text("Recycled: Glass, at the corner")
    expect(here(page)).to_contain_text("Verpackung “neu”.png")
    assert submit(page) == example.study["completion_codes"][0]["code"]
    check_example(example, "ann")


def test_looking_takes_no_place(example: Scenario, visitors: Contexts) -> None:
    page = visitors().new_page()
    page.goto(link(example, "scanner"))
    page.reload()
    assert page.request.head(link(example, "scanner")).status == 200
    study = example.api.get(f"/studies/{example.study['id']}").json()
    assert study["places_taken"] == 0


def test_without_a_script_in_the_browser(example: Scenario, visitors: Contexts) -> None:
    page = visitors(java_script_enabled=False).new_page()
    page.goto(link(example, "bo"))
    page.get_by_role("button", name="Start").click()
    expect(page.locator("template")).to_have_count(2)
    go_on(page)
    expect(page.locator("#errors li")).to_have_count(4)
    fill_first_page(page)
    page.locator("input[name^='a.']").nth(0).focus()
    go_on(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Page 2 of 2")
    add(page, "photo of the receipt", ("notes.txt", "text/plain", b"not a picture"))
    page.get_by_role("button", name="Upload now").first.click()
    expect(question(page, "photo of the receipt")).to_contain_text("files of type .txt are not accepted")
    fill_second_page(page)
    go_on(page)
    expect(here(page)).to_contain_text("Recycled: Glass, at the corner")
    page.get_by_role("button", name="Back").click()
    expect(question(page, "photo of the receipt")).to_contain_text("Received")
    page.get_by_role("button", name="Remove receipt.jpg").click()
    go_on(page)
    expect(page.locator("#errors")).to_contain_text("photo of the receipt")
    fill_second_page_again(page)
    go_on(page)
    assert submit(page)
    check_example(example, "bo")


def fill_second_page_again(page: Page) -> None:
    from tests.browser.visitor import RECEIPT

    add(page, "photo of the receipt", ("receipt.jpg", "image/jpeg", RECEIPT))


def test_the_completion_url_is_where_it_ends(server: Any, api: Any, visitors: Contexts) -> None:
    url = f"{server.url}/health/live?finished=1"
    for scripts in (True, False):
        example = publish_example(api, completion_url=f"{url}&fertig=für-alle")
        page = visitors(java_script_enabled=scripts).new_page()
        page.goto(link(example, "cy"))
        page.get_by_role("button", name="Start").click()
        if scripts:
            ready(page)
        fill_first_page(page)
        go_on(page)
        fill_second_page(page)
        go_on(page)
        page.get_by_role("button", name="Submit").click()
        page.wait_for_url(f"{url}&fertig=f%C3%BCr-alle")
        page.goto(link(example, "cy"))
        expect(page.get_by_role("heading", level=1)).to_have_text("One thing is left to do")
        assert (
            page.get_by_role("link", name="Finish at the service").get_attribute("href")
            == f"{url}&fertig=für-alle"
        )


def test_what_is_missing_is_said_and_can_be_left_for_later(example: Scenario, visitors: Contexts) -> None:
    page = visitors().new_page()
    start(page, link(example, "di"))
    question(page, "mainly go out").get_by_role("textbox").fill("Milk")
    question(page, "cost in total").get_by_role("textbox").fill("much")
    go_on(page)
    expect(question(page, "mainly go out").locator(".error")).to_contain_text("at least 10 characters")
    expect(question(page, "cost in total").locator(".error")).to_contain_text("Enter a number")
    expect(page.locator("#errors")).to_be_focused()
    question(page, "cost in total").get_by_role("textbox").fill("20000")
    expect(question(page, "cost in total").locator(".error")).to_contain_text("10000 or less")
    question(page, "cost in total").get_by_role("textbox").fill("20")
    expect(question(page, "cost in total").locator(".error")).to_be_hidden()
    page.get_by_role("button", name="Go on, and come back").click()
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Go on, and come back").click()
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#errors li")).to_have_count(5)
    page.locator("#errors li a").first.click()
    expect(question(page, "mainly go out").get_by_role("textbox")).to_be_focused()
    with archive(example) as exported:
        assert responses(exported) == []


def test_choices_are_held_while_choosing(api: Any, visitors: Contexts) -> None:
    from tests.scenario import collection_body

    options = [{"label": f"Option {number}", "value": number} for number in range(4)]
    headed = [{**option, "heading": f"Why {option['value']}?"} for option in options]
    many = [
        {"label": f"Choice {number}", "value": number, "heading": f"How {number}?"} for number in range(6)
    ]
    body = collection_body(
        "",
        {"type": "multiple_choice", "description": "Two of four", "options": options, "answer_limit": 2},
        {
            "type": "multiple_choice_with_free_text",
            "description": "One explained",
            "options": [*headed[:3], {**headed[3], "exclusive": True}],
            "answer_limit": -1,
        },
        {"type": "multiple_choice_with_free_text", "description": "Dropdown", "options": many},
        {
            "type": "multiple_choice_with_free_text",
            "description": "Dropdown of many",
            "options": many,
            "answer_limit": 2,
        },
        {"type": "multiple_choice", "description": "Laid out", "options": many, "disable_dropdown": True},
        {"type": "multiple_choice", "description": "Need not be", "options": options, "required": False},
    )
    scenario = publish(api, body)
    page = visitors().new_page()
    start(page, link(scenario, "eve"))
    two = question(page, "Two of four")
    two.get_by_label("Option 1").check()
    two.get_by_label("Option 2").check()
    expect(two.get_by_label("Option 3")).to_be_disabled()
    expect(two).to_contain_text("as many as possible")
    two.get_by_label("Option 1").uncheck()
    expect(two.get_by_label("Option 3")).to_be_enabled()
    one = question(page, "One explained")
    expect(one.get_by_label("Why 1?")).to_be_hidden()
    one.get_by_label("Option 1").check()
    one.get_by_label("Why 1?").fill("because")
    one.get_by_label("Option 3").check()
    expect(one.get_by_label("Option 1")).not_to_be_checked()
    one.get_by_label("Option 1").check()
    expect(one.get_by_label("Option 3")).not_to_be_checked()
    single = question(page, "Dropdown").first
    expect(single.get_by_label("How 4?")).to_be_hidden()
    single.get_by_role("combobox").select_option(label="Choice 4")
    single.get_by_label("How 4?").fill("like this")
    several = question(page, "Dropdown of many")
    several.locator("summary").click()
    several.get_by_label("Choice 0").check()
    several.get_by_label("Choice 5").check()
    expect(several.get_by_label("Choice 3")).to_be_disabled()
    several.get_by_label("How 5?").fill("so")
    expect(several.locator("summary")).to_have_text("Choice 0, Choice 5")
    question(page, "Laid out").get_by_label("Choice 2").check()
    optional = question(page, "Need not be")
    back = optional.get_by_role("button", name="Take the choice back")
    expect(back).to_be_hidden()
    optional.get_by_label("Option 1").check()
    back.click()
    expect(optional.get_by_label("Option 1")).not_to_be_checked()
    go_on(page)
    assert submit(page)
    with archive(scenario) as exported:
        given = responses(exported)[0]["by_words"]
    assert given["Two of four"]["value"] == [2]
    assert given["One explained"]["value"] == [{"value": 1, "explanation": "because"}]
    assert given["Dropdown"]["value"] == [{"value": 4, "explanation": "like this"}]
    assert given["Dropdown of many"]["value"] == [
        {"value": 0, "explanation": ""},
        {"value": 5, "explanation": "so"},
    ]
    assert given["Laid out"]["value"] == [2]
    assert "Need not be" not in given
