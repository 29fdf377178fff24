"""Collections in the browser: found by keys, made and changed as text, put aside and deleted."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import Dialog, Page, expect

from fieldpack.documents.collection_files import file_of
from tests.browser.conftest import Contexts
from tests.browser.visitor import DESKTOP, PHONE, origin, violations
from tests.installation import Installation
from tests.scenario import Scenario


def sign_in(page: Page, server: Installation, path: str) -> None:
    page.goto(f"{server.url}{path}")
    page.get_by_label("Token").fill(server.token)
    page.get_by_role("button", name="Sign in").click()


@pytest.mark.parametrize(
    ("device", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop-light", "phone-dark"]
)
def test_axe_finds_nothing(
    server: Installation, example: Scenario, visitors: Contexts, device: dict[str, Any], scheme: str
) -> None:
    page = visitors(**device, color_scheme=scheme).new_page()
    base = f"{origin(example)}/workbench/collections/{example.collection['id']}"
    sign_in(page, server, f"/researcher?search={example.collection['id']}")
    found = violations(page)
    for path in (f"{origin(example)}/researcher?archived=yes", f"{base}/manage", f"{base}/edit"):
        page.goto(path)
        found += violations(page)
    for summary in page.locator("#fields summary").all():
        summary.click()
    found += violations(page)
    page.get_by_role("button", name="Check and preview").click()
    expect(page.get_by_role("heading", name="Preview")).to_be_visible()
    found += violations(page)
    page.get_by_role("button", name="Text", exact=True).click()
    page.get_by_label("Questions as YAML or JSON").fill("name: 1\ncollection_items: [")
    page.get_by_role("button", name="Save the changes").click()
    expect(page.get_by_role("alert")).to_contain_text("Line 2")
    found += violations(page)
    page.goto(f"{base}/manage")
    page.get_by_label("Type the name to go on").fill("another")
    page.get_by_role("button", name="Delete this collection").click()
    found += violations(page)
    assert found == []


def test_a_fault_leads_to_its_line_and_nothing_is_lost_by_leaving(
    server: Installation, example: Scenario, visitors: Contexts
) -> None:
    page = visitors().new_page()
    sign_in(page, server, f"/workbench/collections/{example.collection['id']}/edit")
    page.get_by_role("button", name="Text", exact=True).click()
    source = page.get_by_label("Questions as YAML or JSON")
    text = source.input_value()
    broken = text.replace("type: free_text", "type: free_txt", 1)
    assert broken != text
    source.fill(broken)
    page.get_by_role("button", name="Check and preview").click()
    page.get_by_role("link", name="Line").first.wait_for()
    page.wait_for_load_state("load")  # the script has run by then
    page.get_by_role("link", name="Line").first.click()
    page.wait_for_function(
        "/free_txt|type/.test(source.value.slice(source.selectionStart, source.selectionEnd))"
    )
    assert page.evaluate("document.activeElement === source")
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.get_by_role("link", name="Collections").click(no_wait_after=True)
    expect(page.get_by_label("Questions as YAML or JSON")).to_have_value(broken)
    assert asked == ["beforeunload"]
    page.get_by_label("Questions as YAML or JSON").fill(text)
    page.get_by_role("button", name="Save the changes").click()
    page.wait_for_url(f"**/workbench/collections/{example.collection['id']}")


def test_home_by_keys(server: Installation, example: Scenario, visitors: Contexts) -> None:
    page = visitors().new_page()
    sign_in(page, server, "/researcher")
    expect(page.get_by_role("heading", name="Collections", exact=True)).to_be_visible()
    page.wait_for_load_state()
    page.keyboard.press("/")
    page.keyboard.type(example.collection["id"])
    page.keyboard.press("Enter")
    expect(page.locator(".collection")).to_have_count(1)
    page.wait_for_load_state()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/workbench/collections/{example.collection['id']}")


def test_a_collection_made_as_a_form_with_keys_alone(
    server: Installation, api: httpx.Client, visitors: Contexts
) -> None:
    """A page and questions added, a fault put right beside its field, and everything moved without a mouse."""
    workspace = api.get("/workspaces").json()["results"][0]["id"]
    page = visitors().new_page()
    sign_in(page, server, f"/workbench/workspaces/{workspace}/collections/new")
    page.get_by_label("Name of the collection").fill("Made as a form")
    page.get_by_label("Kind of the new one").select_option("multiple_choice")
    page.get_by_role("button", name="Add it here").press("Enter")
    item = page.locator(".item").nth(1)
    expect(item.locator("textarea").first).to_be_focused()
    page.keyboard.type("Which?")
    labels, values = item.get_by_label("Label"), item.get_by_label("Value in the data")
    for at, label in enumerate(("One", "Two")):
        labels.nth(at).fill(label)
        values.nth(at).fill("same")
    page.get_by_role("button", name="Create the collection").press("Enter")
    expect(page.locator("#fields .wrong > .error")).to_contain_text("occurs twice")
    values = page.locator(".item").nth(1).get_by_label("Value in the data")
    values.nth(1).fill("2")
    page.locator(".item").nth(1).get_by_label("Kind of the value").nth(1).select_option("number")
    # up by a button, down again by a key, and on to a page of its own
    page.get_by_role("button", name="Up: Which?").press("Enter")
    expect(page.locator(".item summary").first).to_contain_text("Which?")
    page.keyboard.press("Alt+ArrowDown")
    expect(page.locator(".item summary").nth(1)).to_contain_text("Which?")
    page.get_by_role("button", name="Add a page").press("Enter")
    page.get_by_role("button", name="Down: Which?").press("Enter")
    page.get_by_role("button", name="Check and preview").press("Enter")
    expect(page.get_by_role("heading", name="Page 2 of 2")).to_be_visible()
    page.get_by_role("button", name="Create the collection").press("Enter")
    page.wait_for_url("**/workbench/collections/*")
    found = api.get(f"/data-collection/collections/{page.url.rpartition('/')[2]}").json()
    assert found["name"] == "Made as a form"
    first, second = ([item["type"] for item in each["page_items"]] for each in found["collection_items"])
    assert (first, second) == (["free_text"], ["multiple_choice"])
    options = found["collection_items"][1]["page_items"][0]["options"]
    assert options == [{"label": "One", "value": "same"}, {"label": "Two", "value": 2}]
    page.goto(f"{page.url}/edit")
    page.locator(".item summary").nth(1).click()
    item = page.locator(".item").nth(1)
    expect(item.get_by_label("Value in the data").nth(1)).to_have_value("2")
    item.get_by_label("Value in the data").nth(0).fill("true")
    item.get_by_label("Kind of the value").nth(0).select_option("truth")
    page.get_by_role("button", name="Check and preview").click()
    item = page.locator(".item").nth(1)
    page.locator(".item summary").nth(1).click()
    expect(item.get_by_label("Value in the data").nth(0)).to_have_value("true")
    page.get_by_role("button", name="Text", exact=True).click()
    expect(page.get_by_label("Questions as YAML or JSON")).to_have_value(re.compile("value: true\n"))


def test_the_form_loses_nothing_of_any_example(
    server: Installation, example: Scenario, api: httpx.Client, visitors: Contexts
) -> None:
    """Opened as a form, changed in one field, read as text, and saved: all else is as it was."""
    made = api.post(f"/data-collection/collections/{example.collection['id']}/duplicate").json()
    path = f"/data-collection/collections/{made['id']}"
    page = visitors().new_page()
    sign_in(page, server, f"/workbench/collections/{made['id']}/edit")
    page.get_by_label("Name of the collection").fill("Renamed")
    page.get_by_role("button", name="Text", exact=True).click()
    expect(page.get_by_label("Questions as YAML or JSON")).to_have_value(re.compile(r"^name: Renamed\n"))
    page.get_by_role("button", name="Form", exact=True).click()
    expect(page.get_by_label("Name of the collection")).to_have_value("Renamed")
    page.get_by_role("button", name="Save the changes").click()
    page.wait_for_url(f"**/workbench/collections/{made['id']}")
    assert file_of(api.get(path).json()) == {**file_of(made), "name": "Renamed"}


def test_items_are_dragged(
    server: Installation, example: Scenario, api: httpx.Client, visitors: Contexts
) -> None:
    made = api.post(f"/data-collection/collections/{example.collection['id']}/duplicate").json()
    page = visitors().new_page()
    sign_in(page, server, f"/workbench/collections/{made['id']}/edit")
    titles = page.locator(".item summary")
    expect(titles.nth(2)).to_be_visible()
    before = titles.all_inner_texts()
    page.locator(".item .handle").first.drag_to(
        page.locator(".item").nth(2), target_position={"x": 60, "y": 5}
    )
    expect(titles).to_have_text([before[1], before[0], *before[2:]])
