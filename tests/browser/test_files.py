"""Ways for files to come in, and what is said of those that can't."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Contexts
from tests.browser.visitor import (
    EXTRA,
    add,
    archive,
    go_on,
    here,
    link,
    publish,
    question,
    ready,
    responses,
    start,
    submit,
    violations,
)
from tests.scenario import Scenario, collection_body

FILES = {
    "type": "file_upload",
    "description": "Files",
    "accepted_file_types": [".png", ".txt"],
    "max_file_count": 3,
    "required": False,
}
# hands files over as a mouse or the clipboard would; whether the page took them
HAND_OVER = """([selector, kind, files]) => {
  const carried = new DataTransfer();
  for (const [name, bytes] of files) carried.items.add(new File([new Uint8Array(bytes)], name));
  const options = { bubbles: true, cancelable: true };
  const event = kind === "paste"
    ? new ClipboardEvent(kind, { clipboardData: carried, ...options })
    : new DragEvent(kind, { dataTransfer: carried, ...options });
  document.querySelector(selector).dispatchEvent(event);
  return event.defaultPrevented;
}"""


@pytest.fixture
def study(api: httpx.Client) -> Scenario:
    return publish(api, collection_body("", FILES))


def hand_over(page: Page, selector: str, kind: str, *files: tuple[str, bytes]) -> bool:
    arguments: list[Any] = [selector, kind, [[name, list(data)] for name, data in files]]
    return bool(page.evaluate(HAND_OVER, arguments))


def names(study: Scenario) -> list[str]:
    """The files of the only submission, as the archive has them."""
    with archive(study) as exported:
        [record] = responses(exported)
        return [file["file_name"] for file in record["by_words"]["Files"]["value"]]


def test_dropped_and_pasted(study: Scenario, visitors: Contexts) -> None:
    page = visitors().new_page()
    start(page, link(study, "ann"))
    assert hand_over(page, ".upload", "drop", ("صورة 📷.png", EXTRA), ("b.exe", b"MZ"))
    expect(here(page).locator(".messages")).to_contain_text("b.exe was not added: files of type .exe")
    assert hand_over(page, "h1", "drop", ("beside.png", EXTRA)), "a file beside its place replaces no page"
    assert hand_over(page, "body", "paste", ("image.png", EXTRA + b"1"))
    expect(here(page).locator(".file.done")).to_have_count(2)
    go_on(page)
    submit(page)
    first, second = names(study)
    assert first == "صورة 📷.png"
    assert second.startswith("pasted-")


def test_what_the_server_refuses_is_not_submitted_unseen(study: Scenario, visitors: Contexts) -> None:
    page = visitors().new_page()
    start(page, link(study, "ann"))
    add(page, "Files", ("noise.txt", "text/plain", bytes(range(256)) * 40), ("a.png", "image/png", EXTRA))
    failed = here(page).locator(".file.failed")
    expect(failed.locator(".file-state")).to_contain_text("of no type that is accepted here")
    expect(failed.locator("[role=status]")).to_contain_text("noise.txt: Not accepted")
    expect(here(page).locator(".file.done")).to_have_count(1)
    assert violations(page) == []
    failed.get_by_role("button", name="Try again").click()
    expect(failed).to_have_count(1)
    go_on(page)
    expect(question(page, "Files").locator(".error")).to_contain_text("was not accepted")
    failed.get_by_role("button", name="Remove").click()
    go_on(page)
    expect(here(page).locator(".given")).to_have_text("a.png")
    submit(page)
    assert names(study) == ["a.png"]


def test_without_a_secure_connection_uploads_are_unchecked(study: Scenario, visitors: Contexts) -> None:
    page = visitors().new_page()
    page.goto(link(study, "ann").replace("127.0.0.1", "study.example"))
    page.get_by_role("button", name="Start").click()
    ready(page)
    assert page.evaluate("isSecureContext") is False
    expect(here(page).locator(".unchecked")).to_contain_text("uploads are unchecked")
    add(page, "Files", ("a.png", "image/png", EXTRA))
    here(page).locator(".file.done").wait_for()
    assert violations(page) == []
    go_on(page)
    submit(page)
    assert names(study) == ["a.png"]
