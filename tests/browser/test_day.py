"""A researcher's day without a mouse: from the first start to the last erasure, at a desk and on a phone."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Contexts
from tests.browser.keyboard import Keyboard
from tests.browser.visitor import PHONE, fits, here, payload, responses, violations
from tests.browser.workbench import photo
from tests.installation import Installation, installed
from tests.integration.decisions import held_for_long, make_held
from tests.pictures import make_film
from tests.scenario import SESSION, Scenario
from tests.scenario import expect as answered

PEOPLE = 30
PASSWORD = "ochre lanterns in a wide field"
QUESTIONS = ("How was your day?", "Where did it go?", "How heavy was it?", "A photo or a film of it")
PLACES = ("Recycling", "Compost", "Landfill")


@pytest.fixture
def fresh() -> Iterator[Installation]:
    """A server that was never started before."""
    with installed() as installation:
        yield installation


class Desk:
    """A researcher's browser, of which every page that is looked at is for everybody."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.keys = Keyboard(page)
        self.faults: list[str] = []

    def look(self) -> None:
        """By axe, light and dark, and without anything that sticks out."""
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)
            self.faults += [f"{scheme}: {fault}" for fault in violations(self.page)]
        if not fits(self.page):
            self.faults.append(f"{self.page.url} is wider than the window")

    def open(self, url: str) -> None:
        """Follow a link from elsewhere, and look at the page."""
        self.page.goto(url)
        self.look()

    @contextmanager
    def arriving(self, pattern: str = "**") -> Iterator[None]:
        """What is done within leads to another page, which is looked at once its script is there."""
        with self.page.expect_navigation(url=pattern):
            yield
        self.look()


def sign_in_first(desk: Desk, server: Installation) -> None:
    """With the token that the first start prints."""
    desk.open(server.url)
    desk.keys.fill("Token", server.token)
    with desk.arriving("**/researcher"):
        desk.keys.button("Sign in", desk.page.locator("main"))
    expect(desk.page.locator(".collection")).to_have_count(0)


def make_collection(desk: Desk) -> str:
    """As a form, one question of each kind that is asked here; its id."""
    keys, page = desk.keys, desk.page
    with desk.arriving("**/collections/new"):
        keys.follow("New collection in My workspace")
    keys.fill("Name of the collection", "What we throw away")
    keys.fill("Title that participants see", "A day's waste")

    def add(kind: str, question: str) -> Any:
        number = page.locator(".item").count()
        keys.choose(page.get_by_label("Kind of the new one"), kind)
        keys.button("Add it here")
        keys.type(question)  # the new one has the focus
        return page.locator(".item").nth(number)

    where = add("Choice", QUESTIONS[1])
    keys.button("Add one", where)
    for at, place in enumerate(PLACES):
        keys.reach(where.get_by_label("Label", exact=True).nth(at))
        keys.type(place)
        keys.reach(where.get_by_label("Value in the data").nth(at))
        keys.press("ControlOrMeta+a")
        keys.type(place.lower())
    weight = add("Value with a unit", QUESTIONS[2])
    keys.reach(weight.get_by_label("Label", exact=True))
    keys.type("Grams")
    keys.reach(weight.get_by_label("Value in the data"))
    keys.type("g")
    files = add("File upload", QUESTIONS[3])
    keys.fill("File types, such as .jpg .pdf", ".jpg .mp4", files)
    keys.press("Alt+ArrowUp", "Alt+ArrowDown")  # moved and moved back
    with desk.arriving("**/collections/new"):
        keys.button("Check and preview")
    expect(page.locator(".preview .question")).to_have_count(len(QUESTIONS))
    with desk.arriving("**/workbench/collections/*"):
        keys.button("Create the collection")
    return page.url.rpartition("/")[2]


def publish_study(desk: Desk) -> str:
    """In three fields; its id."""
    keys, page = desk.keys, desk.page
    with desk.arriving("**/studies/new"):
        keys.follow("New study")
    keys.fill("Name", "Autumn")
    keys.fill("How many may take part", str(PEOPLE))
    with desk.arriving("**/workbench/studies/*"):
        keys.button("Create")
    with desk.arriving():
        keys.button("Publish")
    expect(page.locator(".tag-active")).to_be_visible()
    return page.url.rpartition("/")[2]


def invite(desk: Desk) -> str:
    """A reviewer; the link they are given."""
    desk.open(f"{desk.page.url.partition('/workbench')[0]}/researcher")
    with desk.arriving("**/invitations"):
        desk.keys.follow("Invitations to My workspace")
    desk.keys.choose(desk.page.get_by_label("Role"), "Reviewer: reads responses, approves and rejects them")
    desk.keys.button("Make a link")
    link = desk.page.get_by_label("Link of the invitation")
    expect(link).to_be_visible()
    desk.look()
    return link.input_value()


def accept(desk: Desk, link: str) -> None:
    """An account, a password, and signing in with it."""
    keys, page = desk.keys, desk.page
    desk.open(link)
    keys.fill("Your name", "Bo Li")
    keys.fill("E-mail address", "bo@example.org")
    with desk.arriving("**/researcher/account*"):
        keys.button("Accept")
    keys.fill("New password", PASSWORD)
    keys.fill("The same once more", PASSWORD)
    with desk.arriving("**/researcher/account*"):
        keys.button("Set a password")
    with desk.arriving("**/sign-in*"):
        keys.button("Sign out", page.locator("header"))
    keys.fill("E-mail address", "bo@example.org")
    keys.fill("Password", PASSWORD)
    with desk.arriving("**/researcher"):
        keys.button("Sign in", page.locator("main"))


def given_by(number: int) -> dict[str, Any]:
    """What the number-th participant answers, by the words of the question."""
    place = PLACES[number % len(PLACES)]
    return {QUESTIONS[0]: f"Day {number}", QUESTIONS[1]: place, QUESTIONS[2]: str(40 + number)}


def files_of(number: int) -> list[tuple[str, str, bytes]]:
    """Their files: a photo each, and a film of the first."""
    files = [(f"photo {number}.jpg", "image/jpeg", photo(number))]
    return [*files, ("film.mp4", "video/mp4", make_film())] if number == 0 else files


def take_part_by_keys(page: Page, link: str) -> None:
    """The first participant, in a browser."""
    keys, given = Keyboard(page), given_by(0)
    page.goto(link)
    keys.button("Start")
    page.wait_for_selector("html[data-ready]", state="attached")
    keys.reach(here(page).get_by_label(QUESTIONS[0]))
    keys.type(given[QUESTIONS[0]])
    keys.pick(here(page).get_by_role("group", name=QUESTIONS[1]), given[QUESTIONS[1]])
    keys.reach(here(page).get_by_label(QUESTIONS[2]))
    keys.type(given[QUESTIONS[2]])
    keys.attach(
        here(page).locator(".files-input"), *(payload(name, kind, data) for name, kind, data in files_of(0))
    )
    expect(here(page).locator(".file.done")).to_have_count(2)
    keys.button("Next")
    expect(page.get_by_role("heading", level=1)).to_have_text("Check your answers")
    keys.button("Submit")
    page.wait_for_url("**/done")


def take_part(study: Scenario, number: int) -> None:
    """The others, through the routes that a participant's page uses."""
    participant = study.start(f"person-{number:02}")
    given = given_by(number)
    answered(participant.answer(participant.item(0), {"value": given[QUESTIONS[0]]}), 200)
    answered(participant.answer(participant.item(1), {"value": [given[QUESTIONS[1]].lower()]}), 200)
    answered(participant.answer(participant.item(2), {"value": given[QUESTIONS[2]], "unit": "g"}), 200)
    for name, _, data in files_of(number):
        participant.upload(participant.item(3), name, data)
    participant.submit()


def states_of(api: httpx.Client, collection: str) -> dict[str, str]:
    """What was decided, by participant."""
    found = answered(
        api.get(f"/data-collection/collections/{collection}/submissions", params={"limit": 100}), 200
    )
    return {row["participant_id"]: row["status"] for row in found["results"]}


def open_first(desk: Desk, server: Installation, collection: str) -> None:
    """From the collection into the first of what waits for a review."""
    desk.open(f"{server.url}/workbench/collections/{collection}")
    with desk.arriving("**/responses*"):
        desk.keys.follow("Responses")
    desk.keys.open("State and study")
    desk.keys.check("To review")
    with desk.arriving("**/responses?*state=AWAITING*"):
        desk.keys.button("Show")
    desk.keys.press("j")
    with desk.arriving("**/workbench/submissions/*"):
        desk.keys.press("Enter")


def shown(page: Page) -> str:
    """Whose response is on the page."""
    return page.get_by_role("heading", level=1).inner_text()


def reject(desk: Desk) -> None:
    """The reason and the message are asked for first."""
    keys, page = desk.keys, desk.page
    keys.press("r")
    expect(page.locator("#category")).to_be_focused()
    keys.choose(page.locator("#category"), "Other")
    keys.fill(
        "Message to the participant", "The photo shows something else than was asked for in the study, sorry."
    )
    with page.expect_navigation():
        keys.button("Reject")


def review(desk: Desk, count: int) -> None:
    """Approve one after the other by a key, within the filter."""
    for _ in range(count):
        with desk.page.expect_navigation():
            desk.keys.press("a")


def look_through_gallery(desk: Desk, server: Installation, collection: str) -> None:
    """Files large, with the answers beside them; the two who are first by name are approved."""
    keys, page = desk.keys, desk.page
    path = f"/workbench/collections/{collection}/gallery?state=AWAITING+REVIEW&sort=participant"
    desk.open(f"{server.url}{path}")
    expect(page.locator(".pages")).to_have_count(0)  # the script has begun
    keys.press("j", "Enter")
    box = page.locator("#lightbox")
    expect(box.locator("h2")).to_have_text("person-00")
    expect(box.locator("dd").first).to_have_text(given_by(0)[QUESTIONS[0]])
    desk.look()
    keys.press("j")
    expect(box.locator("h2")).to_have_text("person-00")  # a photo and a film
    desk.look()
    keys.press("a")
    expect(box.locator("h2")).to_have_text("person-01")
    keys.press("a")
    expect(box.locator("h2")).to_have_text("person-02")
    keys.press("x", "Escape")
    expect(box).to_be_hidden()
    expect(page.locator(".choice output")).to_have_text("1")
    desk.look()


def export_these(desk: Desk, server: Installation, collection: str) -> tuple[str, bytes]:
    """The archive of what a filter shows, and its link."""
    keys, page = desk.keys, desk.page
    desk.open(f"{server.url}/workbench/collections/{collection}/responses")
    keys.press("/")
    expect(page.locator("#search")).to_be_focused()
    keys.open("State and study")
    keys.check("Approved")
    with desk.arriving("**/responses?*state=APPROVED*"):
        keys.button("Show")
    with desk.arriving("**/exports/*"):
        keys.button("Export these")
    download = page.get_by_role("link", name="Download the archive")
    download.wait_for()
    desk.look()
    keys.reach(download)
    with page.expect_download() as downloaded:
        keys.press("Enter")
    return downloaded.value.url, downloaded.value.path().read_bytes()


def erase(desk: Desk, server: Installation, collection: str, person: str) -> str:
    """One person, found by name; the id that stays as proof."""
    keys, page = desk.keys, desk.page
    page.goto(f"{server.url}/workbench/collections/{collection}/responses")
    keys.fill("Participant", person)
    with page.expect_navigation():
        keys.button("Show")
    keys.press("j")
    with page.expect_navigation():
        keys.press("Enter")
    assert shown(page) == person
    submission = page.url.rpartition("/")[2].partition("?")[0]
    with desk.arriving("**/erase"):
        keys.follow("Erase this person’s submission …")
    keys.fill(f"To go on, type the participant’s id: {person}", person)
    with desk.arriving():
        keys.button("Erase for good")
    expect(page.get_by_role("heading", level=1)).to_have_text("Erased")
    assert person not in page.locator("body").inner_text()
    expect(page.locator("main")).to_contain_text(submission)
    return submission


def check_archive(data: bytes, people: set[int]) -> None:
    """Exactly these people, with what they gave, to the byte."""
    with zipfile.ZipFile(io.BytesIO(data)) as exported:
        assert exported.testzip() is None
        found = {record["participant_id"]: record["by_words"] for record in responses(exported)}
        assert set(found) == {f"person-{number:02}" for number in people}
        for number in people:
            given = found[f"person-{number:02}"]
            files = given.pop(QUESTIONS[3])["value"]
            wanted = given_by(number)
            assert given[QUESTIONS[0]]["value"] == wanted[QUESTIONS[0]]
            assert given[QUESTIONS[1]]["value"] == [wanted[QUESTIONS[1]].lower()]
            assert (given[QUESTIONS[2]]["value"], given[QUESTIONS[2]]["unit"]) == (wanted[QUESTIONS[2]], "g")
            assert [each["file_name"] for each in files] == [name for name, _, _ in files_of(number)]
            assert exported.read(files[0]["path"]) == photo(number)


def test_a_day_by_the_keys_alone(fresh: Installation, visitors: Contexts) -> None:
    """From the first start to the last erasure: the owner at a desk, a reviewer and a participant with phones."""
    owner = Desk(visitors().new_page())
    reviewer = Desk(visitors(**PHONE).new_page())
    sign_in_first(owner, fresh)
    collection = make_collection(owner)
    study_id = publish_study(owner)
    link = owner.page.locator("input[value*='/participate/']").first.input_value()
    accept(reviewer, invite(owner))
    participant = visitors(**PHONE).new_page()
    take_part_by_keys(participant, f"{link.partition('?')[0]}?PROLIFIC_PID=person-00&SESSION_ID={SESSION}")
    with fresh.client() as api:
        body = answered(api.get(f"/data-collection/collections/{collection}"), 200)
        study = Scenario(api, body, answered(api.get(f"/studies/{study_id}"), 200))
        for number in range(1, PEOPLE):
            take_part(study, number)
        assert set(states_of(api, collection).values()) == {"AWAITING REVIEW"}
        with held_for_long(fresh):  # what is held can be undone, however slow the machine is
            # one is rejected, one gets a note, and the rest of the first half is approved at the desk
            open_first(owner, fresh, collection)
            rejected = shown(owner.page)
            reject(owner)
            with owner.arriving():
                owner.keys.press("u")
            assert shown(owner.page) == rejected
            reject(owner)
            owner.keys.press("n")
            owner.keys.type("Seen without a mouse.")
            with owner.arriving():
                owner.keys.button("Add note")
            expect(owner.page.get_by_text("Seen without a mouse.")).to_be_visible()
            owner.keys.press("?")
            owner.look()
            review(owner, PEOPLE // 2 - 1)
            make_held(fresh)
            # the rest on a phone
            look_through_gallery(reviewer, fresh, collection)
            make_held(fresh)
            open_first(reviewer, fresh, collection)
            review(reviewer, PEOPLE // 2 - 2)
            make_held(fresh)
        decided = states_of(api, collection)
        assert {person for person, state in decided.items() if state != "APPROVED"} == {rejected}
        assert decided[rejected] == "REJECTED"
        approved = {int(person[-2:]) for person in decided} - {int(rejected[-2:])}
        url, exported = export_these(owner, fresh, collection)
        check_archive(exported, approved)
        # gone from the pages, from the export that was made, and from the next one
        erased = "person-07"
        proof = erase(owner, fresh, collection, erased)
        base = f"{fresh.url}/workbench/collections/{collection}"
        for path in ("", "/responses", "/gallery"):
            assert erased not in owner.page.request.get(f"{base}{path}").text()
        assert owner.page.request.get(f"{fresh.url}/workbench/submissions/{proof}").status in (404, 410)
        assert httpx.get(url, trust_env=False).status_code == 410
        check_archive(study.download(), {*range(PEOPLE)} - {7})
    assert owner.faults + reviewer.faults == []
