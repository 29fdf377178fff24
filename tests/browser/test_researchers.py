"""What researchers find: signing in, their collections and studies, an export, and the preview."""

from __future__ import annotations

import io
import zipfile

import httpx
from playwright.sync_api import Page, expect

from tests.browser.conftest import Contexts
from tests.browser.visitor import (
    fill_first_page,
    fill_second_page,
    go_on,
    here,
    origin,
    publish_example,
    ready,
)
from tests.installation import Installation
from tests.scenario import Scenario


def sign_in(page: Page, server: Installation) -> None:
    page.get_by_label("Token").fill(server.token)
    page.get_by_role("button", name="Sign in").click()


def preview_url(study: Scenario) -> str:
    return f"{origin(study)}/data-collection-tool/collections/{study.collection['id']}?preview=true"


def test_the_preview_asks_who_you_are_and_stores_nothing(
    server: Installation, example: Scenario, visitors: Contexts
) -> None:
    page = visitors().new_page()
    plain = httpx.get(preview_url(example), trust_env=False)
    assert plain.status_code == 303
    assert plain.headers["location"].startswith("/sign-in?next=")
    page.goto(preview_url(example))
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".error")).to_contain_text("unknown or was revoked")
    sign_in(page, server)
    assert page.url == preview_url(example)
    writes: list[str] = []
    page.on("request", lambda request: writes.append(request.url) if request.method != "GET" else None)
    page.get_by_role("link", name="Start").click()
    ready(page)
    expect(page.locator(".banner")).to_contain_text("Nothing is stored")
    go_on(page)
    expect(page.locator("#errors li")).to_have_count(4)
    fill_first_page(page)
    go_on(page)
    fill_second_page(page)
    expect(here(page).locator(".file-state")).to_contain_text(["not sent", "not sent"])
    go_on(page)
    expect(here(page)).to_contain_text("£ 42.50")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#code")).to_have_text("EXAMPLE1")
    assert writes == []
    assert page.evaluate("Object.keys(localStorage).filter(key => key.includes('answers'))") == []
    assert example.api.get(f"/studies/{example.study['id']}").json()["places_taken"] == 0


def test_the_preview_without_scripts(server: Installation, example: Scenario, visitors: Contexts) -> None:
    page = visitors(java_script_enabled=False).new_page()
    page.goto(preview_url(example))
    sign_in(page, server)
    page.get_by_role("link", name="Start").click()
    for heading in ("Page 1 of 2", "Page 2 of 2"):
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        go_on(page)
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#code")).to_have_text("EXAMPLE1")


def test_collections_studies_and_an_export(
    server: Installation, api: httpx.Client, visitors: Contexts
) -> None:
    study = publish_example(api, places=20, name="Counted study")
    study.start("ann")
    bo = study.start("bo")
    api.post(f"{bo.path}/return", headers=bo.headers)
    page = visitors().new_page()
    page.goto(origin(study))
    sign_in(page, server)
    card = page.locator(".collection", has=page.locator(f"#link-{study.study['id']}"))
    expect(card.locator(".places")).to_have_text("1 of 20 places taken")
    expect(card.locator(".counts dd")).to_have_text(["0", "0", "0 B"])
    expect(card.get_by_label("Participant link of Counted study", exact=True)).to_have_value(
        study.study["external_study_url"]
    )
    expect(card.get_by_role("link", name="Preview")).to_have_attribute(
        "href", preview_url(study).removeprefix(origin(study))
    )
    card.get_by_role("button", name="Export").click()
    archive = page.get_by_role("link", name="Download the archive")
    archive.wait_for(timeout=60_000)
    with page.expect_download() as download:
        archive.click()
    assert download.value.suggested_filename.startswith(study.collection["id"])
    with zipfile.ZipFile(io.BytesIO(download.value.path().read_bytes())) as exported:
        assert exported.testzip() is None
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{origin(study)}/researcher")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_anothers_collection_is_not_shown(
    server: Installation, example: Scenario, visitors: Contexts
) -> None:
    import json

    made = json.loads(server.run("workspace", "create", "--title", "Elsewhere", "--json").stdout)
    other = json.loads(
        server.run(
            *("token", "create", "--name", "x", "--workspace", made["id"]),
            *("--researcher", "other@example.org", "--json"),
        ).stdout
    )
    page = visitors().new_page()
    page.goto(preview_url(example))
    page.get_by_label("Token").fill(other["token"])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("There is nothing here")
    page.goto(f"{origin(example)}/researcher")
    expect(page.locator("main")).to_contain_text("Elsewhere")
    expect(page.locator(".collection")).to_have_count(0)
