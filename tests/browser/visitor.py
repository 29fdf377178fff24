"""What visitors of the pages do over and over: follow a link, fill in the example, look for faults."""

from __future__ import annotations

import copy
import io
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import yaml
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, FilePayload, Locator, Page

from fieldpack.server.web.catalogue import CATALOGUES
from tests.proxy import Proxy
from tests.scenario import SESSION, Scenario, expect

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "collection.yaml"
PHOTO = ROOT / "examples" / "packaging.png"
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
AXE_SCRIPT = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# sums up the sizes of what the page sends, and where it belongs
RECORD_PATCHES = """
(() => {
  const { setRequestHeader, send } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.setRequestHeader = function (name, value) {
    (this.given ??= {})[name.toLowerCase()] = String(value);
    return setRequestHeader.call(this, name, value);
  };
  XMLHttpRequest.prototype.send = function (body) {
    const { "upload-offset": offset, "upload-checksum": checksum } = this.given;
    if (body) window.recordPatch?.(Number(offset ?? 0), body.byteLength, checksum ?? "");
    return send.call(this, body);
  };
})();
"""


class Faults:
    """Errors of scripts, and what the Content-Security-Policy stopped."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.messages.append(f"{page.url}: {error}"))
        page.on("console", lambda message: self._hear(page, message.text))

    def _hear(self, page: Page, text: str) -> None:
        if "Content Security Policy" in text or "TrustedHTML" in text:
            self.messages.append(f"{page.url}: {text}")


def open_context(
    browser: Browser, faults: Faults, *, pictures: bool = True, **options: Any
) -> BrowserContext:
    """A browser of its own, which reaches nothing but this machine.

    Without `pictures` nothing stands between it and the server: what does takes a copy of every byte sent.
    """
    context = browser.new_context(**options)
    context.set_default_timeout(60_000)
    if pictures:
        context.route(re.compile("^https://"), lambda route: route.abort())
    context.on("page", faults.watch)
    # from the start: the browser is told only then to hand the choosing of files over, and a key may be quicker
    context.on("page", lambda page: page.on("filechooser", lambda chooser: None))
    return context


def example_body() -> dict[str, Any]:
    """The example collection, as its file has it."""
    body: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    return body


def publish(
    api: httpx.Client, body: dict[str, Any], *, places: int = 1000, publish: bool = True, **study: Any
) -> Scenario:
    """A collection and a study of it; the example's picture is uploaded first."""
    workspace = expect(api.get("/workspaces"), 200)["results"][0]["id"]
    picture = api.post(f"/workspaces/{workspace}/pictures", content=PHOTO.read_bytes())
    assert picture.status_code in (200, 201), picture.text
    body = copy.deepcopy(body)
    for item in (item for page in body["collection_items"] for item in page["page_items"]):
        if item.get("url") == "./packaging.png":
            item["url"] = picture.json()["url"]
    collection = expect(
        api.post("/data-collection/collections", json={**body, "workspace_id": workspace}), 201
    )
    made = expect(
        api.post(
            "/studies",
            json={
                "name": "Packaging, autumn",
                "total_available_places": places,
                "data_collection_method": "AI_TASK_BUILDER_COLLECTION",
                "data_collection_id": collection["id"],
                **study,
            },
        ),
        201,
    )
    if publish:
        expect(api.post(f"/studies/{made['id']}/transition", json={"action": "PUBLISH"}), 200)
    return Scenario(api, collection, made)


def publish_example(api: httpx.Client, **study: Any) -> Scenario:
    """A published study of the example collection."""
    return publish(api, example_body(), **study)


def origin(scenario: Scenario) -> str:
    """Scheme and address of the server."""
    return str(scenario.api.base_url).partition("/api/")[0]


def link(
    scenario: Scenario,
    participant: str | None,
    session: str | None = SESSION,
    *,
    network: Proxy | None = None,
) -> str:
    """The participant's link, as the recruiting service fills it in; the way there may lead through `network`."""
    url = f"{network.endpoint if network else origin(scenario)}/participate/{scenario.study['id']}"
    if participant is None:
        return url
    return f"{url}?PROLIFIC_PID={participant}&STUDY_ID=s" + (f"&SESSION_ID={session}" if session else "")


def ready(page: Page) -> None:
    """Wait until the scripts of the form have taken over."""
    page.wait_for_selector("html[data-ready]", state="attached")


def say(page: Page, key: str, **values: object) -> str:
    """What a page says by a key of its catalogue, in the language that it is in."""
    language = page.locator("html[lang]").get_attribute("lang")  # which waits for a page that is still coming
    assert language is not None
    return CATALOGUES[language].text(key, **values)


def start(page: Page, url: str) -> None:
    """Follow a link and press Start."""
    page.goto(url)
    page.get_by_role("button", name=say(page, "start.begin")).click()
    ready(page)


def here(page: Page) -> Locator:
    """The page of questions that is shown."""
    return page.locator("section.page:visible")


def question(page: Page, text: str) -> Locator:
    """One question of the page that is shown, by its words."""
    return here(page).locator("[data-item]", has=page.locator(".text", has_text=text))


def is_saved(page: Page) -> None:
    """Wait until the page says that everything is saved (it may mean earlier answers) and keeps nothing that is not."""
    page.wait_for_function(
        """() => document.querySelector("#saving.done")
          && !Object.keys(localStorage).some((key) => key.startsWith("fieldpack.answers."))"""
    )


@contextmanager
def saved(page: Page) -> Iterator[None]:
    """What is answered within is on the server afterwards."""
    with page.expect_response(
        lambda response: response.request.method == "PUT" and "/answers" in response.url and response.ok
    ):
        yield
    is_saved(page)


def picture(colour: tuple[int, int, int], format: str) -> bytes:
    """A small picture."""
    made = io.BytesIO()
    Image.new("RGB", (640, 480), colour).save(made, format)
    return made.getvalue()


RECEIPT = picture((240, 240, 230), "JPEG")
EXTRA = picture((90, 140, 90), "PNG")


def fill_first_page(page: Page) -> None:
    """The example's first page."""
    question(page, "mainly go out").get_by_role("textbox").fill("Bread, milk and apples\nfor the weekend")
    here(page).get_by_label("Market or farm shop").check()
    question(page, "How many people").get_by_role("combobox").select_option(label="3")
    question(page, "cost in total").get_by_role("textbox").fill("42.50")


def fill_second_page(page: Page) -> None:
    """The example's second page."""
    add(page, "photo of the receipt", ("receipt.jpg", "image/jpeg", RECEIPT))
    here(page).get_by_label("Recycled", exact=True).check()
    here(page).get_by_label("What did you recycle, and where?").fill("Glass, at the corner")
    here(page).get_by_label("Thrown away", exact=True).check()
    question(page, "packaging weigh").get_by_role("textbox").fill("350")
    add(page, "film the packaging", ("Verpackung “neu”.png", "image/png", EXTRA))


def payload(name: str, kind: str, data: bytes) -> FilePayload:
    """A file as Playwright gives it to a page."""
    return {"name": name, "mimeType": kind, "buffer": data}


def add(page: Page, text: str, *chosen: tuple[str, str, bytes]) -> None:
    """Choose files in a question."""
    question(page, text).locator(".files-input").set_input_files([payload(*file) for file in chosen])


def go_on(page: Page) -> None:
    page.get_by_role("button", name=say(page, "next")).click()


def submit(page: Page) -> str:
    """Submit; the completion code."""
    page.get_by_role("button", name=say(page, "review.submit")).click()
    page.wait_for_url("**/done")
    return page.locator("#code").inner_text()


def archive(scenario: Scenario) -> zipfile.ZipFile:
    """A fresh export of the scenario's collection."""
    return zipfile.ZipFile(io.BytesIO(scenario.download()))


def responses(exported: zipfile.ZipFile) -> list[dict[str, Any]]:
    """The records of an archive, each with its answers keyed by the words of the question."""
    instructions = json.loads(exported.read("collection.json"))["instructions"]
    words = {each["id"]: each["description"] for each in instructions if each.get("description")}
    records = [json.loads(line) for line in exported.read("responses.jsonl").splitlines()]
    return [
        {**record, "by_words": {words[key]: value for key, value in record["responses"].items()}}
        for record in records
    ]


def check_example(scenario: Scenario, participant: str) -> None:
    """The archive holds exactly what `fill_first_page` and `fill_second_page` gave."""
    with archive(scenario) as exported:
        found = [each for each in responses(exported) if each["participant_id"] == participant]
        assert len(found) == 1
        given = found[0]["by_words"]
        receipt = given.pop("Please take a photo of the receipt.")["value"]
        extra = given.pop("If you like, film the packaging for a moment, or add more photos.")["value"]
        assert given == {
            "What did you mainly go out to buy?": {
                "type": "free_text",
                "value": "Bread, milk and apples\nfor the weekend",
            },
            "Where did you do most of this shopping?": {"type": "multiple_choice", "value": ["market"]},
            "How many people live in your household, including you?": {
                "type": "multiple_choice",
                "value": [3],
            },
            "How much did the shopping cost in total?": {
                "type": "free_text_with_unit",
                "value": "42.50",
                "unit": "GBP",
            },
            "What happened to the packaging?": {
                "type": "multiple_choice_with_free_text",
                "value": [
                    {"value": "recycled", "explanation": "Glass, at the corner"},
                    {"value": "thrown_away", "explanation": ""},
                ],
            },
            "How much does the packaging weigh?": {
                "type": "free_text_with_unit",
                "value": "350",
                "unit": "g",
            },
        }
        assert [each["file_name"] for each in receipt] == ["receipt.jpg"]
        assert [each["file_name"] for each in extra] == ["Verpackung “neu”.png"]
        assert exported.read(receipt[0]["path"]) == RECEIPT
        assert exported.read(extra[0]["path"]) == EXTRA


def fits(page: Page) -> bool:
    """Whether nothing sticks out of the window; a phone's own `innerWidth` grows with what does."""
    assert page.viewport_size is not None
    # of a document that is only coming there is no element yet: it is waited for
    found: bool = page.locator("html").evaluate(
        "(root, width) => root.scrollWidth <= width", page.viewport_size["width"]
    )
    return found


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong with the page as it is."""
    page.wait_for_load_state()
    page.locator("main").wait_for()
    page.evaluate(AXE_SCRIPT)
    found = page.evaluate(
        "tags => axe.run({runOnly: {type: 'tag', values: tags}, resultTypes: ['violations']})", AXE_TAGS
    )
    return [
        f"{page.url}: {each['id']}: {each['help']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for each in found["violations"]
        for node in each["nodes"]
    ]
