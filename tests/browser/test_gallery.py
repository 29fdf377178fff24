"""The gallery with scripts: thousands of tiles of which a few hundred are there, keys, and what is shown large."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Contexts
from tests.browser.visitor import violations
from tests.installation import Installation
from tests.integration.decisions import make_held
from tests.integration.rows import connected
from tests.integration.test_gallery import base_of, wait_until_made
from tests.pictures import make_drawing, save
from tests.scenario import FREE_TEXT, UPLOAD, Scenario
from tests.scenario import expect as answered

MANY = 1500


@pytest.fixture
def many(api: httpx.Client, server: Installation) -> Scenario:
    """A collection of three responses with real photos, and many more with files that are no pictures."""
    scenario = Scenario.create(api, FREE_TEXT, {**UPLOAD, "accepted_file_types": [".png", ".txt"]})
    for name in ("zoe", "yan", "xia"):
        scenario.take_part(name, f"I am {name}", [(f"{name}.png", save(make_drawing(400, 300), "PNG"))])
    item = scenario.collection["collection_items"][0]["page_items"][1]["id"]
    with connected(server) as database, database.transaction():
        database.execute(
            """
            WITH people AS (
                INSERT INTO submissions (id, study_id, collection_id, collection_version, participant_id, ordinal,
                                         status, response, completed_at, line_end, answer_count, file_count,
                                         activated_counter)
                SELECT gen_random_uuid(), s.study_id, s.collection_id, 1, 'row-' || lpad(n::text, 5, '0'), 1,
                       'AWAITING REVIEW', 'active', now(), s.line_end, 1, 1, s.activated_counter
                FROM submissions s, generate_series(1, %(count)s) n WHERE s.study_id = %(study)s
                    AND s.participant_id = 'zoe'
                RETURNING id, participant_id
            ), contents AS (
                INSERT INTO blobs (id, size_bytes, crc32, sha256, content_type)
                SELECT id, 1, 0, sha256(id::text::bytea), 'text/plain' FROM people
            )
            INSERT INTO uploads (id, submission_id, instruction_id, file_name, length_bytes, offset_bytes,
                                 content_type, blob_id, completed_at, position, path)
            SELECT gen_random_uuid(), id, %(item)s, participant_id || '.txt', 1, 1, 'text/plain', id, now(), 0, ''
            FROM people
            """,
            {"count": MANY, "study": scenario.study["id"], "item": item},
        )
    wait_until_made(server, scenario)
    return scenario


def open_gallery(page: Page, server: Installation, scenario: Scenario, query: str = "") -> None:
    page.goto(f"{server.url}{base_of(scenario)}/gallery{query}")
    if "/sign-in" in page.url:
        page.get_by_label("Token").fill(server.token)
        page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".tile").first).to_be_visible()


def open_with_scripts(page: Page, server: Installation, scenario: Scenario, query: str) -> None:
    open_gallery(page, server, scenario, query)
    expect(page.locator(".pages")).to_have_count(0)  # scrolling does what its links did: the script has begun


COUNT = "() => document.querySelectorAll('.tile').length"
LAST = "() => Math.max(...[...document.querySelectorAll('.tile')].map((tile) => Number(tile.dataset.place)))"
DECISION = re.compile(r"/workbench/submissions/[0-9a-f-]{36}$")
FRAME = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def test_many_tiles_scroll_by_and_few_are_there(
    server: Installation, many: Scenario, visitors: Contexts
) -> None:
    page = visitors().new_page()
    open_with_scripts(page, server, many, "?sort=participant")
    last = -1
    most = 0
    while last < MANY + 2:
        page.evaluate("() => scrollBy(0, innerHeight * 2)")
        page.evaluate(FRAME)
        most = max(most, page.evaluate(COUNT))
        assert most <= 500
        now = page.evaluate(LAST)
        if now == last:  # it waits for more
            page.wait_for_function(
                f"() => {{ scrollTo(0, document.body.scrollHeight); return ({LAST})() > {last}; }}"
            )
        last = now
    expect(page.locator(".tile").filter(has_text="zoe")).to_have_count(0)  # that is a picture
    expect(page.locator(".tile img[alt='zoe.png']")).to_be_visible()
    page.evaluate("() => scrollTo(0, 0)")
    expect(page.locator(".tile", has_text="row-00001.txt")).to_be_visible()
    assert page.evaluate(COUNT) <= 500


def test_files_are_looked_at_and_decided_on_by_keys(
    server: Installation, many: Scenario, visitors: Contexts, api: httpx.Client
) -> None:
    page = visitors().new_page()
    open_with_scripts(page, server, many, "?sort=-participant")
    page.keyboard.press("j")
    expect(page.locator(".tile a").first).to_be_focused()
    page.keyboard.press("Enter")
    box = page.locator("#lightbox")
    expect(box.locator(".shown img")).to_have_attribute("alt", "zoe.png")
    expect(box.locator("h2")).to_have_text("zoe")
    expect(box.locator("dd")).to_have_text("I am zoe")
    page.keyboard.press("j")
    expect(box.locator("dd")).to_have_text("I am yan")
    page.keyboard.press("a")  # approves, and goes on
    expect(box.locator("h2")).to_have_text("xia")
    page.keyboard.press("x")
    expect(box.locator(".said")).to_have_text("1")
    page.keyboard.press("k")
    # closed before the answer is there, which opens nothing again
    held: list[Route] = []
    page.route(DECISION, lambda route: held.append(route))
    with page.expect_request(DECISION):
        page.keyboard.press("a")
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    expect(page.locator(".tile a").nth(1)).to_be_focused()
    held.pop().continue_()
    page.unroute(DECISION)
    page.evaluate("() => fetch('/health/live').then(() => null)")  # a way there and back
    page.evaluate(FRAME)
    expect(box).to_be_hidden()
    make_held(server)
    by_name = {
        row["participant_id"]: row["status"]
        for row in answered(
            api.get(
                f"/data-collection/collections/{many.collection['id']}/submissions",
                params={"sort": "-participant", "limit": 3},
            ),
            200,
        )["results"]
    }
    assert by_name == {"zoe": "AWAITING REVIEW", "yan": "APPROVED", "xia": "AWAITING REVIEW"}
    # chosen in the box, chosen among the tiles
    expect(page.locator(".tile input:checked")).to_have_count(1)
    page.locator(".tile a").first.focus()
    page.keyboard.press("x")
    expect(page.locator(".choice output")).to_have_text("2")
    page.evaluate("() => scrollTo(0, document.body.scrollHeight)")  # they leave the page, and stay chosen
    page.locator(".choice").get_by_role("button", name="Approve").click()
    expect(page.locator(".tile input:checked")).to_have_count(0)
    make_held(server)
    shown = answered(
        api.get(
            f"/data-collection/collections/{many.collection['id']}/submissions",
            params={"state": "APPROVED", "sort": "participant"},
        ),
        200,
    )
    assert [row["participant_id"] for row in shown["results"]] == ["xia", "yan", "zoe"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(server: Installation, many: Scenario, visitors: Contexts, scheme: str) -> None:
    page = visitors(color_scheme=scheme).new_page()
    open_with_scripts(page, server, many, "?sort=-participant")
    assert violations(page) == []
    page.locator(".tile input").first.check()
    assert violations(page) == []
    page.locator(".tile a").first.click()
    expect(page.locator("#lightbox dd")).to_have_text("I am zoe")
    assert violations(page) == []


def test_without_scripts_it_has_pages(server: Installation, many: Scenario, visitors: Contexts) -> None:
    page = visitors(java_script_enabled=False).new_page()
    open_gallery(page, server, many, "?sort=-participant")
    expect(page.locator(".tile")).to_have_count(24)
    page.locator(".tile input").first.check()
    page.get_by_label("Message").fill("Seen without scripts")
    page.get_by_role("button", name="note").click()
    expect(page.locator(".tile")).to_have_count(24)
    page.get_by_role("link", name="Next").click()
    expect(page.locator(".tile")).to_have_count(24)
    page.get_by_role("link", name="Previous").click()
    page.locator(".tile a").first.click()
    expect(page.locator("h1")).to_have_text("zoe")
    expect(page.locator(".note")).to_contain_text("Seen without scripts")
