"""What the screens of the workbench show after something was done on them: each state by a name."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.workbench import Filled

Visit = Callable[[Page, str, Filled], None]


def open_lightbox(page: Page, url: str, filled: Filled) -> None:
    page.goto(f"{url}{filled.screens['gallery']}")
    expect(page.locator("main .pages")).to_have_count(0)  # the script has begun
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("#lightbox dd").first).not_to_be_empty()


def choose_in_gallery(page: Page, url: str, filled: Filled) -> None:
    page.goto(f"{url}{filled.screens['gallery']}")
    expect(page.locator("main .pages")).to_have_count(0)
    page.locator(".tile input").first.check()
    expect(page.locator(".choice output")).to_have_text("1")


def find_nothing(page: Page, url: str, filled: Filled) -> None:
    page.goto(f"{url}{filled.screens['overview']}/responses?search=nothing-like-it")
    expect(page.locator(".chips")).to_be_visible()


def write_faults(page: Page, url: str, filled: Filled) -> None:
    page.goto(f"{url}{filled.screens['editor-new']}")
    page.get_by_role("button", name="Text", exact=True).click()
    text = page.get_by_label("Questions as YAML or JSON")
    text.fill(text.input_value().replace("free_text", "free_txt"))
    page.get_by_role("button", name="Check and preview").click()
    expect(page.locator("#faults")).to_be_visible()


def preview_questions(page: Page, url: str, filled: Filled) -> None:
    page.goto(f"{url}{filled.screens['editor']}")
    page.get_by_role("button", name="Check and preview").click()
    expect(page.locator(".preview")).to_be_visible()


def remove_a_question(page: Page, url: str, filled: Filled) -> None:
    page.goto(f"{url}{filled.screens['editor']}")
    page.get_by_role("button", name=re.compile(r"Remove: What did you throw away\?")).click()
    page.get_by_role("button", name="Save the changes").click()
    expect(page.locator("#effects")).to_be_visible()


def type_another_name(page: Page, url: str, filled: Filled) -> None:
    page.goto(f"{url}{filled.screens['manage']}")
    page.locator("form[action$='/delete'] input").fill("Something else")
    page.locator("form[action$='/delete'] button").click()
    expect(page.locator("#wrong")).to_be_visible()


def type_another_person(page: Page, url: str, filled: Filled) -> None:
    page.goto(f"{url}{filled.screens['erase']}")
    page.locator("main form input[type=text]").fill("somebody")
    page.get_by_role("button", name="Erase for good").click()
    expect(page.locator("#wrong")).to_be_visible()


def erase_somebody(page: Page, url: str, filled: Filled) -> None:
    name = f"gone-{secrets.token_hex(4)}"
    participant = filled.scenario.start(name)
    participant.submit()
    page.goto(f"{url}/workbench/submissions/{participant.submission_id}/erase")
    page.locator("main form input[type=text]").fill(name)
    page.get_by_role("button", name="Erase for good").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Erased")


def ask_for_too_few(page: Page, url: str, filled: Filled) -> None:
    page.goto(f"{url}{filled.screens['study-new']}")
    page.get_by_label("How many may take part").fill("none")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.locator(".errors")).to_be_visible()


def reject_without_a_reason(page: Page, url: str, filled: Filled) -> None:
    page.goto(f"{url}{filled.screens['response']}")
    page.get_by_role("button", name="Reject", exact=True).click()
    expect(page.locator(".errors")).to_be_visible()


def make_an_invitation(page: Page, url: str, filled: Filled) -> None:
    page.goto(f"{url}{filled.screens['invitations']}")
    page.get_by_role("button", name="Make a link").click()
    expect(page.get_by_label("Link of the invitation")).to_be_visible()


def follow_an_old_invitation(page: Page, url: str, filled: Filled) -> None:
    page.goto(f"{url}/join?code=used")
    expect(page.get_by_role("heading", level=1)).to_have_text("This invitation is over")


STATES: dict[str, Visit] = {
    "lightbox": open_lightbox,
    "gallery-chosen": choose_in_gallery,
    "responses-none": find_nothing,
    "response-refused": reject_without_a_reason,
    "editor-faults": write_faults,
    "editor-preview": preview_questions,
    "editor-effects": remove_a_question,
    "manage-wrong": type_another_name,
    "erase-wrong": type_another_person,
    "erased": erase_somebody,
    "study-new-wrong": ask_for_too_few,
    "invitation-made": make_an_invitation,
    "invitation-over": follow_an_old_invitation,
}
