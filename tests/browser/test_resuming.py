"""What a participant did survives: networks that go, tabs that are killed, servers that restart, two tabs."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.conftest import Contexts
from tests.browser.visitor import (
    PHONE,
    RECORD_PATCHES,
    add,
    archive,
    fill_first_page,
    fits,
    go_on,
    here,
    is_saved,
    link,
    publish,
    question,
    ready,
    responses,
    saved,
    start,
    submit,
    violations,
)
from tests.installation import Installation, installed
from tests.proxy import Proxy
from tests.scenario import Scenario, collection_body

MIB = 1 << 20
MOST_CHUNK = 8 * MIB
SENT = 9 * MIB  # of a film, before the gate: three chunks and a part of the fourth
FILM = {
    "type": "file_upload",
    "description": "Your film",
    "accepted_file_types": [".mp4"],
    "max_file_size_mb": 500,
    "max_file_count": 2,
}
NOTE = {"type": "free_text", "description": "A note", "required": False}
MP4 = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"


def make_film(path: Path, size_bytes: int) -> str:
    """A file that begins as a film, and differs everywhere; its SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as film:
        left = size_bytes
        piece = MP4
        while left:
            piece = piece[:left]
            film.write(piece)
            digest.update(piece)
            left -= len(piece)
            piece = os.urandom(MIB)
    return digest.hexdigest()


class Traffic:
    """The bytes that the pages of a browser sent in uploads.

    A context that serves pictures is slow at sending, as a phone is: Playwright takes a copy of every byte.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.patches: list[tuple[int, int, str]] = []
        context.expose_binding(
            "recordPatch", lambda _, offset, size, checksum: self.patches.append((offset, size, checksum))
        )
        context.add_init_script(RECORD_PATCHES)

    def check(self, size_bytes: int) -> None:
        """Everything was sent with its checksum, and nothing twice beyond one chunk."""
        assert all(checksum.startswith("sha256 ") for _, _, checksum in self.patches)
        assert max(size for _, size, _ in self.patches) <= MOST_CHUNK
        sent = sum(size for _, size, _ in self.patches)
        assert sent <= size_bytes + MOST_CHUNK


def choose_and_hold(page: Page, network: Proxy, path: Path) -> None:
    """Choose the film, and wait until `SENT` of it has passed and the rest waits at the gate."""
    network.hold(SENT, answers=False)
    question(page, "Your film").locator(".files-input").set_input_files(path)
    while not network.held.is_set():
        page.wait_for_timeout(20)  # which lets the page's own requests be answered


def wait_until_kept(page: Page) -> None:
    """Wait until the browser has put the film into its own store."""
    page.wait_for_function(
        """() => new Promise((resolve) => {
          indexedDB.open("fieldpack").onsuccess = ({ target: { result: database } }) => {
            database.transaction("uploads").objectStore("uploads").getAll().onsuccess = ({ target }) => {
              database.close();
              resolve(target.result.some((record) => record.file));
            };
          };
        })"""
    )


def in_archive(scenario: Scenario) -> tuple[str, str, str | None]:
    """The film's SHA-256 on record, that of its bytes in the archive, and the note."""
    with archive(scenario) as exported:
        [record] = responses(exported)
        [film] = record["by_words"]["Your film"]["value"]
        note = record["by_words"].get("A note", {}).get("value")
        return film["sha256"], hashlib.sha256(exported.read(film["path"])).hexdigest(), note


@pytest.fixture
def film_study(api: Any) -> Scenario:
    return publish(api, collection_body("", NOTE, FILM))


def test_the_network_is_away_for_a_while(
    film_study: Scenario, visitors: Contexts, network: Proxy, tmp_path: Path
) -> None:
    size = 40 * MIB
    sha256 = make_film(tmp_path / "film.mp4", size)
    context = visitors(pictures=False)
    traffic = Traffic(context)
    page = context.new_page()
    start(page, link(film_study, "ann", network=network))
    choose_and_hold(page, network, tmp_path / "film.mp4")
    context.set_offline(True)
    network.refuse()
    question(page, "A note").get_by_role("textbox").fill("written in a tunnel")
    expect(here(page).locator(".file-state")).to_contain_text("No connection")
    expect(page.locator("#saving")).to_contain_text("No connection")
    go_on(page)
    page.get_by_role("button", name="Submit").click()
    expect(page.locator(".submitting")).to_contain_text("Waiting for 1 upload")
    time.sleep(5)  # long enough that what is tried again is tried again
    network.heal()
    context.set_offline(False)
    page.wait_for_url("**/done", timeout=120_000)
    traffic.check(size)
    assert in_archive(film_study) == (sha256, sha256, "written in a tunnel")


def test_the_tab_is_killed_and_opened_again(
    film_study: Scenario, visitors: Contexts, network: Proxy, tmp_path: Path
) -> None:
    size = 40 * MIB
    sha256 = make_film(tmp_path / "film.mp4", size)
    context = visitors()
    traffic = Traffic(context)
    page = context.new_page()
    start(page, link(film_study, "bo", network=network))
    question(page, "A note").get_by_role("textbox").fill("before the tab went")
    is_saved(page)
    choose_and_hold(page, network, tmp_path / "film.mp4")
    wait_until_kept(page)
    page.close()
    network.cut()
    page = context.new_page()
    page.goto(link(film_study, "bo", network=network))
    ready(page)
    # it goes on by itself: the browser kept the file
    here(page).locator(".file.done").wait_for(timeout=120_000)
    expect(question(page, "A note").get_by_role("textbox")).to_have_value("before the tab went")
    traffic.check(size)
    go_on(page)
    submit(page)
    assert in_archive(film_study) == (sha256, sha256, "before the tab went")


def test_a_file_that_the_browser_did_not_keep_is_chosen_again(
    film_study: Scenario, visitors: Contexts, network: Proxy, tmp_path: Path
) -> None:
    size = 24 * MIB
    sha256 = make_film(tmp_path / "film.mp4", size)
    make_film(tmp_path / "other.mp4", size)
    context = visitors()
    traffic = Traffic(context)
    # as on a disk without room
    context.add_init_script(
        """if (globalThis.StorageManager) {
          StorageManager.prototype.estimate = async () => ({ quota: 1e6, usage: 1e6 });
        }"""
    )
    page = context.new_page()
    start(page, link(film_study, "cy", network=network))
    choose_and_hold(page, network, tmp_path / "film.mp4")
    page.close()
    network.cut()
    page = context.new_page()
    page.goto(link(film_study, "cy", network=network))
    ready(page)
    expect(here(page).locator(".file-state")).to_contain_text("Choose the same file again")
    go_on(page)
    expect(page.locator("#errors")).to_contain_text("Your film")
    question(page, "Your film").locator(".files-input").set_input_files(tmp_path / "film.mp4")
    here(page).locator(".file.done").wait_for(timeout=120_000)
    expect(here(page).locator(".file")).to_have_count(1)
    traffic.check(size)
    go_on(page)
    submit(page)
    assert in_archive(film_study) == (sha256, sha256, None)


@pytest.fixture
def fragile() -> Iterator[Installation]:
    """A server that a test may kill."""
    with installed() as installation:
        yield installation


def test_the_server_restarts(fragile: Installation, visitors: Contexts, tmp_path: Path) -> None:
    size = 40 * MIB
    sha256 = make_film(tmp_path / "film.mp4", size)
    with fragile.client() as api, Proxy(fragile.port) as network:
        study = publish(api, collection_body("", NOTE, FILM))
        context = visitors(pictures=False)
        traffic = Traffic(context)
        page = context.new_page()
        start(page, link(study, "di", network=network))
        choose_and_hold(page, network, tmp_path / "film.mp4")
        fragile.kill()
        network.cut()
        question(page, "A note").get_by_role("textbox").fill("while it was down")
        expect(here(page).locator(".file-state")).to_contain_text("No connection")
        fragile.start()
        here(page).locator(".file.done").wait_for(timeout=120_000)
        is_saved(page)
        traffic.check(size)
        go_on(page)
        submit(page)
        assert in_archive(study) == (sha256, sha256, "while it was down")


def test_another_device_goes_on_by_the_same_link(example: Scenario, visitors: Contexts) -> None:
    first = visitors().new_page()
    start(first, link(example, "eve"))
    fill_first_page(first)
    is_saved(first)
    second = visitors().new_page()
    second.goto(link(example, "eve"))
    expect(second.locator("main")).to_contain_text("Welcome back")
    second.get_by_role("button", name="Continue").click()
    ready(second)
    expect(question(second, "mainly go out").get_by_role("textbox")).to_have_value(
        "Bread, milk and apples\nfor the weekend"
    )
    expect(question(second, "How many people").get_by_role("combobox")).to_have_value("2")


def test_without_a_session_this_browser_goes_on_and_another_asks_for_the_code(
    example: Scenario, visitors: Contexts
) -> None:
    page = visitors(**PHONE).new_page()
    start(page, link(example, "flo", None))
    note = here(page).get_by_role("note").filter(has_text="Your code to continue later")
    code = note.locator(".resume-code").inner_text()
    fill_first_page(page)
    is_saved(page)
    expect(page.locator(".leave .resume-code")).to_have_text(code)
    go_on(page)
    page.get_by_role("link", name="Continue later").click()
    expect(page.locator(".resume-code")).to_have_text(code)
    page.goto(link(example, "flo", None))
    ready(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Page 2 of 2")
    other = visitors(**PHONE).new_page()
    other.goto(link(example, "flo", None))
    field = other.get_by_label("Your code to continue")
    field.fill("ACEF-HJKM")
    other.get_by_role("button", name="Continue").click()
    expect(other.locator(".error")).to_contain_text("not the right one")
    expect(field).to_be_focused()
    assert fits(other)
    assert violations(other) == []
    field.fill(code.lower().replace("-", " "))
    other.get_by_role("button", name="Continue").click()
    ready(other)
    expect(other.get_by_role("heading", level=1)).to_have_text("Page 1 of 2")
    expect(question(other, "How many people").get_by_role("combobox")).to_have_value("2")


def test_two_tabs_do_not_overwrite_each_other_unseen(film_study: Scenario, visitors: Contexts) -> None:
    context = visitors()
    one, two = context.new_page(), context.new_page()
    start(one, link(film_study, "gil"))
    two.goto(link(film_study, "gil"))
    ready(two)
    note_one = question(one, "A note").get_by_role("textbox")
    note_two = question(two, "A note").get_by_role("textbox")
    note_one.fill("from the first tab")
    is_saved(one)
    note_two.fill("from the second tab")
    conflict = question(two, "A note").locator(".conflict")
    expect(conflict).to_contain_text("from the first tab")
    conflict.get_by_role("button", name="Use the other").click()
    is_saved(two)
    expect(note_two).to_have_value("from the first tab")
    with saved(two):
        note_two.fill("agreed")
    note_one.fill("no, mine")
    with saved(one):
        question(one, "A note").get_by_role("button", name="Keep mine").click()
    expect(conflict).to_have_count(0)
    two.reload()
    ready(two)
    expect(note_two).to_have_value("no, mine")


def test_an_undecided_answer_is_not_submitted(film_study: Scenario, visitors: Contexts) -> None:
    context = visitors()
    one, two = context.new_page(), context.new_page()
    start(one, link(film_study, "gus"))
    two.goto(link(film_study, "gus"))
    ready(two)
    question(one, "A note").get_by_role("textbox").fill("from the first tab")
    is_saved(one)
    question(two, "A note").get_by_role("textbox").fill("from the second tab")
    question(two, "A note").locator(".conflict").wait_for()
    assert violations(two) == []
    go_on(two)
    two.get_by_role("button", name="Go on, and come back").click()
    two.get_by_role("button", name="Submit").click()
    expect(two.locator("#errors")).to_contain_text("A note")
    two.locator("#errors").get_by_role("link", name="A note").click()
    question(two, "A note").get_by_role("button", name="Keep mine").click()
    expect(question(two, "A note").locator(".error")).to_be_hidden()
    is_saved(two)
    assert list(film_study.start("gus").state["answers"].values()) == [{"value": "from the second tab"}]


def test_what_is_given_before_the_scripts_come_is_saved(film_study: Scenario, visitors: Contexts) -> None:
    context = visitors()
    late: list[Route] = []
    context.route(re.compile("/static/.*/form.js"), lambda route: late.append(route))
    page = context.new_page()
    page.goto(link(film_study, "hea"))
    page.get_by_role("button", name="Start").click(no_wait_after=True)
    question(page, "A note").get_by_role("textbox").fill("quicker than the scripts")
    add(page, "Your film", ("film.mp4", "video/mp4", MP4))
    for script in late:
        script.continue_()
    ready(page)
    here(page).locator(".file.done").wait_for()
    is_saved(page)
    state = film_study.start("hea").state
    assert list(state["answers"].values()) == [{"value": "quicker than the scripts"}]


def test_the_server_has_the_last_word(api: Any, visitors: Contexts) -> None:
    study = publish(api, collection_body("", {**NOTE, "required": True}))
    page = visitors().new_page()
    start(page, link(study, "hop"))
    question(page, "A note").get_by_role("textbox").fill("taken away on another device")
    is_saved(page)
    go_on(page)
    other = study.start("hop")
    assert other.answer(other.item(0), None).status_code == 200
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#errors li")).to_have_text("A note")
    ready(page)
    page.get_by_role("link", name="Change: A note").click()
    question(page, "A note").get_by_role("textbox").fill("given again")
    is_saved(page)
    go_on(page)
    assert other.http.post(f"{other.path}/return", headers=other.headers).status_code == 200
    page.get_by_role("button", name="Submit").click()
    expect(page.locator(".submitting")).to_contain_text("submitted or returned, perhaps in another tab")
    page.get_by_role("link", name="Leave the study").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You have left this study")


def test_a_page_without_scripts_does_not_overwrite_either(film_study: Scenario, visitors: Contexts) -> None:
    page = visitors(java_script_enabled=False).new_page()
    page.goto(link(film_study, "hal"))
    page.get_by_role("button", name="Start").click()
    participant = film_study.start("hal")
    note = participant.item(0)
    assert participant.answer(note, {"value": "from elsewhere"}).status_code == 200
    question(page, "A note").get_by_role("textbox").fill("from the page")
    go_on(page)
    expect(question(page, "A note")).to_contain_text("It is now: from elsewhere")
    expect(question(page, "A note").get_by_role("textbox")).to_have_value("from the page")
    page.get_by_role("button", name="Go on, and come back").click()
    state = film_study.start("hal").state
    assert state["answers"][note] == {"value": "from the page"}


def test_answers_typed_just_before_the_tab_closes_are_kept(film_study: Scenario, visitors: Contexts) -> None:
    context = visitors()
    page = context.new_page()
    start(page, link(film_study, "ida"))
    context.set_offline(True)
    question(page, "A note").get_by_role("textbox").fill("typed without a network")
    page.close()
    context.set_offline(False)
    page = context.new_page()
    page.goto(link(film_study, "ida"))
    ready(page)
    expect(question(page, "A note").get_by_role("textbox")).to_have_value("typed without a network")
    is_saved(page)
    state = film_study.start("ida").state
    assert list(state["answers"].values()) == [{"value": "typed without a network"}]


def test_a_server_with_too_much_to_do_is_asked_again(film_study: Scenario, visitors: Contexts) -> None:
    """What was typed stays, the page says why, and another visit sends it."""
    context = visitors()
    page = context.new_page()
    start(page, link(film_study, "joy"))

    def refuse(route: Route) -> None:
        if route.request.method == "PUT":
            route.fulfill(status=503, headers={"Retry-After": "1"}, json={"error": {}})
        else:
            route.continue_()

    page.route("**/participate/submissions/*/answers**", refuse)
    question(page, "A note").get_by_role("textbox").fill("written in a crowd")
    expect(page.locator("#saving")).to_contain_text("Many people are answering")
    page.unroute("**/participate/submissions/*/answers**")
    is_saved(page)
    page.route("**/participate/submissions/*/answers**", refuse)
    question(page, "A note").get_by_role("textbox").fill("written before leaving")
    expect(page.locator("#saving")).to_contain_text("Many people are answering")
    page.close()
    page = context.new_page()
    page.goto(link(film_study, "joy"))
    ready(page)
    expect(question(page, "A note").get_by_role("textbox")).to_have_value("written before leaving")
    is_saved(page)
    state = film_study.start("joy").state
    assert list(state["answers"].values()) == [{"value": "written before leaving"}]


def test_pause_resume_remove_and_refusals(
    api: Any, visitors: Contexts, network: Proxy, tmp_path: Path
) -> None:
    study = publish(api, collection_body("", NOTE, {**FILM, "max_file_size_mb": 50}))
    size = 16 * MIB
    make_film(tmp_path / "film.mp4", size)
    make_film(tmp_path / "large.mp4", 51 * MIB)
    (tmp_path / "page.mp4").write_bytes(b"<!doctype html><script>alert(1)</script>")
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "empty.mp4").touch()
    for name in ("b.mp4", "c.mp4"):
        make_film(tmp_path / name, MIB)
    context = visitors()
    traffic = Traffic(context)
    page = context.new_page()
    start(page, link(study, "jo", network=network))
    asked = question(page, "Your film")
    choose = asked.locator(".files-input")
    choose.set_input_files([tmp_path / name for name in ("large.mp4", "page.mp4", "notes.txt", "empty.mp4")])
    messages = asked.locator(".messages p")
    expect(messages).to_have_count(4)
    expect(messages.nth(0)).to_contain_text("53.5 MB, and at most 52.4 MB")
    expect(messages.nth(1)).to_contain_text("its content is a web page")
    expect(messages.nth(2)).to_contain_text("files of type .txt are not accepted")
    expect(messages.nth(3)).to_contain_text("it is empty")
    assert traffic.patches == []
    choose_and_hold(page, network, tmp_path / "film.mp4")
    asked.get_by_role("button", name="Pause: film.mp4").click()
    expect(asked.locator(".file-state")).to_contain_text("Paused")
    network.cut()
    paused_at = len(traffic.patches)
    page.wait_for_timeout(1200)
    assert len(traffic.patches) == paused_at
    asked.get_by_role("button", name="Resume: film.mp4").click()
    asked.locator(".file.done").wait_for(timeout=120_000)
    traffic.check(size)
    choose.set_input_files([tmp_path / "b.mp4", tmp_path / "c.mp4"])
    expect(asked.locator(".messages")).to_contain_text("c.mp4 was not added: at most 2")
    expect(asked.locator(".file.done")).to_have_count(2)
    choose.set_input_files(tmp_path / "b.mp4")
    expect(asked.locator(".messages")).to_contain_text("b.mp4 was added already")
    with page.expect_response(lambda response: response.request.method == "DELETE"):
        asked.get_by_role("button", name="Remove: film.mp4").click()
    expect(asked.locator(".file")).to_have_count(1)
    page.reload()
    ready(page)
    expect(question(page, "Your film").locator(".file-name")).to_have_text(["b.mp4"])
