"""Ways for files to come in, and what is said of those that can't."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from fieldpack.filetypes import Listing
from fieldpack.server.uploads.content_types import HEAD_BYTES, judge_head
from fieldpack.server.web.catalogue import CATALOGUES, SOURCE
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
from tests.containers import iso, picture, tiff
from tests.formats import FORMATS
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
    # it begins as a text may: that it is a program is seen by a closer look only
    program = b"MZ" + bytes(range(256)) * 40
    add(page, "Files", ("noise.txt", "text/plain", program), ("a.png", "image/png", EXTRA))
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


JUDGE = """async (cases) => {
  const { Listing } = await import("/static/now/sniff.js");
  return cases.map(([accepted, name, head]) => new Listing(accepted).refuse(name, new Uint8Array(head)));
}"""


def test_page_and_server_judge_by_one_table(study: Scenario, visitors: Contexts) -> None:
    page = visitors().new_page()
    start(page, link(study, "ann"))
    cases = []
    verdicts = []
    for given in FORMATS:
        head = given.data[:HEAD_BYTES]
        for accepted, name in (
            (given.accepted, given.name),
            ((".jpg", ".m4a"), "a.jpg"),
            ((".xyz",), "a.xyz"),
        ):
            verdict = judge_head(head, name, Listing(accepted), whole=len(given.data) <= HEAD_BYTES)
            assert verdict is not None
            cases.append([accepted, name, list(head)])
            verdicts.append(verdict.refusal is not None)
    refused = page.evaluate(JUDGE, cases)
    assert [each is not None for each in refused] == verdicts
    assert {f"files.kind.{word}" for word in set(refused) - {None, "data"}} <= set(
        CATALOGUES[SOURCE].for_browser()
    )


def test_what_fits_is_said_before_it_is_sent(api: httpx.Client, visitors: Contexts) -> None:
    study = publish(
        api,
        collection_body(
            "", {**FILES, "accepted_file_types": [".jpg", ".m4a", ".nef", ".txt"], "max_file_count": 9}
        ),
    )
    page = visitors().new_page()
    start(page, link(study, "ann"))
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    heic = iso(b"heic", compatible=(b"mif1", b"heic"))
    add(page, "Files", ("a.jpg", "image/jpeg", EXTRA), ("b.png", "image/png", EXTRA), ("c.m4a", "", heic),
        ("d.jpg", "", b"\1\2\3\4" * 300), ("e.nef", "", b"%PDF-1.7\n" + bytes(2000)))  # fmt: skip
    messages = here(page).locator(".messages p")
    expect(messages).to_have_count(5)
    expect(messages.nth(0)).to_contain_text("a.jpg was not added: its content is a picture of another type")
    expect(messages.nth(1)).to_contain_text("b.png was not added: files of type .png are not accepted here")
    expect(messages.nth(2)).to_contain_text("c.m4a was not added: its content is a picture of another type")
    expect(messages.nth(3)).to_contain_text("d.jpg was not added: its content is of no type that is accepted")
    expect(messages.nth(4)).to_contain_text("e.nef was not added: its content is a PDF")
    assert sent == []
    fitting = {
        "photo.JFIF": picture("JPEG"),
        "memo.m4a": iso(b"mp42", b"soun", media_bytes=300_000),
        "raw.nef": tiff(pad=9000),
        "empty.txt": b"",
    }
    add(page, "Files", *((name, "", data) for name, data in fitting.items()))
    expect(here(page).locator(".file.done")).to_have_count(4)
    add(page, "Files", ("film.m4a", "", iso(b"mp42", b"vide", b"soun")))
    failed = here(page).locator(".file.failed")
    expect(failed.locator(".file-state")).to_contain_text("of no type that is accepted here")
    failed.get_by_role("button", name="Remove").click()
    go_on(page)
    submit(page)
    with archive(study) as exported:
        [record] = responses(exported)
        found = {file["file_name"]: file["content_type"] for file in record["by_words"]["Files"]["value"]}
    assert found == {
        "photo.JFIF": "image/jpeg",
        "memo.m4a": "audio/mp4",
        "raw.nef": "image/x-nikon-nef",
        "empty.txt": "text/plain",
    }
