"""What people try: scripts in every text, forged keys, other people's submissions, forms from other sites."""

from __future__ import annotations

import io
import json
import random
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import expect

from fieldpack.server.values.urls import is_plain_url, is_web_url
from tests.browser.conftest import Contexts
from tests.browser.visitor import (
    EXTRA,
    add,
    example_body,
    go_on,
    here,
    link,
    origin,
    publish,
    publish_example,
    question,
    ready,
    start,
    submit,
)
from tests.installation import Installation
from tests.scenario import Scenario
from tests.unit.test_urls import OBSCURE, PLAIN

# each of these calls `struck` if any part of it ever runs
SCRIPTS = (
    "<script>struck()</script><img src=x onerror=struck()><svg onload=struck()></svg>"
    "<a href='javascript:struck()'>go</a><iframe srcdoc='<script>parent.struck()</script>'></iframe>"
    "\"' onfocus=struck() autofocus x='"
)
SCRIPT = "<script>struck()</script>"
MARKDOWN = f'[go](javascript:struck()) ![x](x"onerror="struck()) {SCRIPTS}\n\n`</textarea>{SCRIPTS}`'
HTML = {"Accept": "text/html"}


def hostile_body() -> dict[str, Any]:
    """A collection whose every text is an attack."""
    option = {"label": f"Label {SCRIPTS}", "heading": f"Heading {SCRIPTS}"}
    return {
        "name": f"Name {SCRIPTS}",
        "description": SCRIPTS,
        "task_details": {
            "task_name": f"Task {SCRIPTS}",
            "task_introduction": f"<p>Intro</p>{SCRIPTS}",
            "task_steps": f"<p>Steps</p>{SCRIPTS}",
        },
        "collection_items": [
            {
                "page_items": [
                    {"type": "rich_text", "content": SCRIPTS},
                    {"type": "rich_text", "content": MARKDOWN, "content_format": "markdown"},
                    {
                        "type": "free_text",
                        "description": f"Text {SCRIPTS}",
                        "helper_text": SCRIPTS,
                        "placeholder_text_input": SCRIPTS,
                    },
                    {
                        "type": "multiple_choice_with_free_text",
                        "description": f"Choice {SCRIPTS}",
                        "options": [{**option, "value": SCRIPTS}],
                    },
                    {
                        "type": "free_text_with_unit",
                        "description": f"Unit {SCRIPTS}",
                        "unit_options": [{"label": SCRIPTS, "value": SCRIPT}, {"label": "b", "value": "b"}],
                        "default_unit": SCRIPT,
                    },
                    {
                        "type": "file_upload",
                        "description": f"Files {SCRIPTS}",
                        "accepted_file_types": [".png", ".svg", ".html"],
                        "max_file_count": 5,
                    },
                    {
                        "type": "image",
                        "url": 'https://example.org/x.png?"onerror="struck()',
                        "alt_text": SCRIPTS,
                        "caption": SCRIPTS,
                    },
                ]
            }
        ],
    }


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_stored_scripts_are_inert(
    server: Installation, api: httpx.Client, visitors: Contexts, scripts: bool
) -> None:
    """Whatever researcher or participant write is shown as text, or was removed on the way in."""
    study = publish(api, hostile_body(), name=f"Study {SCRIPTS}")
    context = visitors(java_script_enabled=scripts)
    struck: list[str] = []
    if scripts:
        context.expose_binding("struck", lambda source: struck.append(source["page"].url))
    page = context.new_page()
    page.on("dialog", lambda dialog: struck.append(dialog.message))
    page.goto(f"{origin(study)}/participate/{study.study['id']}?PROLIFIC_PID={'<script>struck()</script>'}")
    page.get_by_role("button", name="Start").click()
    if scripts:
        ready(page)
    question(page, "Text").get_by_role("textbox").fill(f"Answer </textarea>{SCRIPTS}")
    question(page, "Choice").get_by_role("radio").check()
    question(page, "Choice").get_by_role("textbox").fill(f"Why </textarea>{SCRIPTS}")
    question(page, "Unit").get_by_role("textbox").fill(f"7 {SCRIPTS}")
    svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='struck()'><script>parent.struck()</script></svg>"
    web = b"<!doctype html><script>struck()</script>"
    add(
        page,
        "Files",
        ("<img src=x onerror=struck()>.png", "image/png", EXTRA),
        ("drawing.svg", "image/svg+xml", svg),
        ("page.html", "text/html", web),
    )
    if scripts:
        expect(here(page).locator(".file.done")).to_have_count(3)
    go_on(page)
    expect(here(page)).to_contain_text("Answer </textarea><script>")
    expect(here(page)).to_contain_text("<img src=x onerror=struck()>.png")
    submit(page)
    page.goto(f"{origin(study)}/sign-in")
    page.get_by_label("Token").fill(server.token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("main")).to_contain_text("Name <script>struck()")
    page.goto(
        f"{origin(study)}/data-collection-tool/collections/{study.collection['id']}?preview=true&step=1"
    )
    page.wait_for_timeout(300)
    assert struck == []
    # what was uploaded comes back as an attachment that may do nothing
    listed = api.get(f"/data-collection/collections/{study.collection['id']}/responses").json()["results"]
    files = [answer for each in listed for answer in each["response"]["answer"] if "file_key" in answer]
    assert len(files) == 3
    for file in files:
        path = f"/data-collection/collections/{study.collection['id']}/files/{file['file_key']}"
        response = api.get(path)
        assert response.headers["content-disposition"].startswith("attachment")
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in response.headers["content-security-policy"]


@pytest.mark.parametrize("base", ["https://study.example/a/b", "http://study.example/a/b"])
def test_the_browser_reads_urls_as_the_sanitiser_does(visitors: Contexts, base: str) -> None:
    """What is kept leads by one of four schemes, or stays here: so says the browser itself."""
    page = visitors().new_page()
    some = random.Random(5)
    parts = ["http:", "https:", "javascript:", "mailto:", "//", "/", "\\", "\t", "\n", " ", "\x01", "\u200b"]
    parts += ["evil.example", "a@", ":", "#", "?", ".", "%2f", "\u00a0", "ä", "java", "script"]
    urls = [*PLAIN, *OBSCURE, *("".join(some.choices(parts, k=some.randint(1, 6))) for _ in range(20_000))]
    kept = [url for url in urls if is_plain_url(url)]
    assert len(kept) > 500
    read = page.evaluate(
        """([urls, base]) => urls.map((url) => {
          let there = null;
          try { there = new URL(url, base); } catch { return [url, null, null]; }
          return [url, there.protocol, there.origin];
        })""",
        [kept, base],
    )
    for url, protocol, there in read:
        if protocol is None:
            continue
        assert protocol in ("http:", "https:", "mailto:", "tel:"), url
        absolute = re.match(r"(https?://|mailto:|tel:)", url, re.IGNORECASE)
        assert absolute or there == base.rpartition("/a/")[0], url
        if absolute and is_web_url(url):
            assert there.lower().startswith(absolute[0].lower()), url


def test_every_page_forbids_inline_scripts_and_frames(
    server: Installation, example: Scenario, visitors: Contexts
) -> None:
    page = visitors().new_page()
    pages: list[Any] = []
    page.on("response", lambda response: pages.append(response))
    start(page, link(example, "ann"))
    page.goto(f"{origin(example)}/researcher")
    page.goto(f"{origin(example)}/participate/unknown")
    documents = [each for each in pages if "text/html" in each.headers.get("content-type", "")]
    assert len(documents) >= 4
    for response in documents:
        policy = response.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert response.headers["x-frame-options"] == "DENY"
        assert response.headers["x-content-type-options"] == "nosniff"
        html = page.request.get(response.url).text()
        assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", html)
    page.goto(f"{origin(example)}/researcher")
    # and if one got in, the browser would not run it
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.append("window.ran = true");
          try { document.body.append(script); } catch { /* Trusted Types */ }
        }"""
    )
    assert page.evaluate("window.ran") is None
    visitors.faults.messages.clear()


def test_cookies_are_out_of_reach(example: Scenario, visitors: Contexts, server: Installation) -> None:
    context = visitors()
    page = context.new_page()
    start(page, link(example, "ann"))
    page.goto(f"{origin(example)}/sign-in")
    page.get_by_label("Token").fill(server.token)
    page.get_by_role("button", name="Sign in").click()
    cookies = context.cookies()
    assert len(cookies) == 3
    assert all(cookie["httpOnly"] and cookie["sameSite"] == "Lax" for cookie in cookies)
    assert page.evaluate("document.cookie") == ""
    assert all(server.token not in cookie["value"] for cookie in cookies)


def test_over_https_no_sibling_can_plant_them(visitors: Contexts) -> None:
    """In a real browser, which holds to what `__Host-` means: start, go on, sign in and out."""
    from tests.installation import installed

    with installed("--tls") as secure, secure.client() as api:
        study = publish_example(api)
        context = visitors(ignore_https_errors=True, pictures=False)
        page = context.new_page()
        start(page, link(study, "ann"))
        page.reload()
        ready(page)
        page.goto(f"{origin(study)}/sign-in")
        page.get_by_label("Token").fill(secure.token)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Collections")
        cookies = context.cookies()
        assert len(cookies) == 3
        for cookie in cookies:
            assert cookie["name"].startswith("__Host-fieldpack_")
            assert (cookie["secure"], cookie["path"], cookie["domain"]) == (True, "/", "127.0.0.1")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
        assert len(context.cookies()) == 2


Begin = Callable[[Scenario, str], tuple[httpx.Client, str]]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Starts as a participant: a browser, as far as its cookies go, and the path of the submission."""
    opened: list[httpx.Client] = []

    def make(study: Scenario, participant: str) -> tuple[httpx.Client, str]:
        http = httpx.Client(base_url=origin(study), trust_env=False, headers=HTML)
        opened.append(http)
        started = http.post(
            f"/participate/{study.study['id']}",
            data={"participant_id": participant, "session_id": "s"},
            headers={"Origin": origin(study)},
        )
        assert started.status_code == 303
        return http, started.headers["location"]

    yield make
    for http in opened:
        http.close()


def test_forged_sessions(example: Scenario, begin: Begin) -> None:
    http, path = begin(example, "ann")
    submission = path.rsplit("/", 1)[1]
    name = f"fieldpack_{submission.replace('-', '')}"
    for value in ("", "forged", http.cookies[name][:-1], http.cookies[name] + "x", "\\x00"):
        response = httpx.get(f"{origin(example)}{path}", cookies={name: value}, headers=HTML, trust_env=False)
        assert response.status_code == 401
    token_id = uuid4()
    later = int(time.time()) + 9999
    for value in ("", "x", "..", f"{token_id}.{later}.{'0' * 64}", f"{token_id}.{later}.", "e.1.2"):
        response = httpx.get(
            f"{origin(example)}/researcher",
            headers=[("Accept", "text/html"), ("Cookie", f"fieldpack_researcher={value}")],
            trust_env=False,
        )
        assert (response.status_code, response.headers["location"][:8]) == (303, "/sign-in")


def test_a_session_ends_with_its_token(server: Installation, example: Scenario) -> None:
    made = json.loads(server.run("token", "create", "--name", "short", "--json").stdout)
    with httpx.Client(base_url=origin(example), trust_env=False, headers=HTML) as http:
        http.post("/sign-in", data={"token": made["token"]}, headers={"Origin": origin(example)})
        assert http.get("/researcher").status_code == 200
        server.run("token", "revoke", made["token_id"])
        assert http.get("/researcher").status_code == 303


def test_anothers_submission(example: Scenario, begin: Begin) -> None:
    mine, _ = begin(example, "ann")
    _, theirs = begin(example, "bo")
    submission = theirs.rsplit("/", 1)[1]
    key = next(value for name, value in mine.cookies.items() if "study" not in name)
    forged = {f"fieldpack_{submission.replace('-', '')}": key}
    same = {"Origin": origin(example)}
    with httpx.Client(base_url=origin(example), trust_env=False, cookies=forged, headers=same) as http:
        api = f"/api/v1/participate/submissions/{submission}"
        assert http.get(f"{theirs}/1").status_code == 404
        assert http.post(f"{theirs}/1", data={"go": "next"}).status_code == 404
        assert http.get(api).status_code == 404
        assert http.post(f"{api}/submit").status_code == 404
        assert http.post(f"{theirs}/return").status_code == 404


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
    ids=["nothing", "origin", "null", "fetch-metadata"],
)
def test_forms_of_other_sites(
    example: Scenario, headers: dict[str, str], server: Installation, begin: Begin
) -> None:
    http, path = begin(example, "ann")
    submission = path.rsplit("/", 1)[1]
    api = f"/api/v1/participate/submissions/{submission}"
    for wrong in (
        http.post(f"{path}/1", data={"go": "next"}, headers=headers),
        http.post(f"{path}/review", headers=headers),
        http.post(f"{path}/return", headers=headers),
        http.post(f"{api}/submit", headers=headers),
        http.post(f"{api}/return", headers=headers),
        http.post(f"/participate/{example.study['id']}", data={"participant_id": "x"}, headers=headers),
        http.post("/sign-in", data={"token": server.token}, headers=headers),
        http.post("/sign-out", headers=headers),
        http.post(f"/researcher/collections/{example.collection['id']}/export", headers=headers),
    ):
        assert wrong.status_code == 403
        assert "set-cookie" not in wrong.headers
    assert http.get(api).json()["status"] == "ACTIVE"


@pytest.mark.parametrize(
    "next", ["//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil", "/a\nb", "javascript:x"]
)
def test_signing_in_leads_nowhere_else(server: Installation, example: Scenario, next: str) -> None:
    response = httpx.post(
        f"{origin(example)}/sign-in",
        data={"token": server.token, "next": next},
        headers={"Origin": origin(example)},
        trust_env=False,
    )
    assert (response.status_code, response.headers["location"]) == (303, "/researcher")


def test_a_replayed_submit(example: Scenario, begin: Begin) -> None:
    participant = example.start("ann")
    for page in example.collection["collection_items"]:
        for item in page["page_items"]:
            if item["type"] == "free_text":
                participant.answer(item["id"], {"value": "enough words"})
            elif item["type"] == "free_text_with_unit":
                participant.answer(item["id"], {"value": "5", "unit": item["default_unit"]})
            elif item["type"] == "multiple_choice":
                participant.answer(item["id"], {"value": [item["options"][0]["value"]]})
            elif item["type"] == "multiple_choice_with_free_text":
                participant.answer(item["id"], {"value": [{"value": "kept", "explanation": ""}]})
            elif item["type"] == "file_upload":
                participant.upload(item["id"], "a.png", EXTRA)
    first = participant.submit()
    assert participant.submit() == first
    http, path = begin(example, "bo")
    same = {"Origin": origin(example)}
    assert http.post(f"{path}/review", data={"go": "next"}, headers=same).status_code == 400
    counts = example.api.get(f"/studies/{example.study['id']}/submissions/counts").json()
    assert (counts["AWAITING REVIEW"], counts["ACTIVE"]) == (1, 1)


def test_forms_that_are_malformed_or_too_large(example: Scenario, begin: Begin) -> None:
    http, path = begin(example, "ann")
    same = {"Origin": origin(example)}
    urlencoded = {**same, "Content-Type": "application/x-www-form-urlencoded"}
    item = example.collection["collection_items"][0]["page_items"]
    text, choice = item[1]["id"], item[2]["id"]

    def post(step: str, data: dict[str, Any]) -> httpx.Response:
        return http.post(f"{path}/{step}", data=data, headers=same)

    assert post("1", {f"r.{text}": "0", f"a.{text}": "a\0b"}).status_code == 400
    assert post("1", {f"r.{choice}": "0", f"a.{choice}": "99", "go": "next"}).status_code == 400
    assert post("1", {f"r.{choice}": "0", f"a.{choice}": ["0", "1"], "go": "next"}).status_code == 400
    assert post("99", {}).status_code == 404
    assert post("0", {}).status_code == 404
    assert post("1", {"remove": "nonsense"}).status_code == 404
    assert post("1", {f"r.{text}": "0", f"a.{text}": "x" * 5_000_000}).status_code == 413
    boundary = {**same, "Content-Type": "multipart/form-data; boundary=x"}
    for body in (b"", b"--x", b"--x\r\nContent-Disposition: form-data\r\n\r\n\xff\r\n--x--", b"\xff" * 99):
        assert http.post(f"{path}/1", content=body, headers=boundary).status_code in (303, 400)
    for body in (b"%ff%fe=%00", b"&&&===", b"a.%s=1&" % b"\xff"):
        assert http.post(f"{path}/1", content=body, headers=urlencoded).status_code in (303, 400)
    assert http.get(f"/api/v1/participate/submissions/{path.rsplit('/', 1)[1]}").json()["answers"] == {}


def test_a_plain_upload_is_held_to_the_rules(api: httpx.Client, begin: Begin) -> None:
    body = example_body()
    study = publish(api, body)
    http, path = begin(study, "ann")
    same = {"Origin": origin(study)}
    item = study.collection["collection_items"][1]["page_items"][1]
    name = f"f.{item['id']}"
    rounds = [
        ([("photo.png", b"<!doctype html><script>struck()</script>")], "its content is of no type"),
        ([("photo.exe", b"MZ")], "files of type .exe are not accepted"),
        ([("big.png", EXTRA + b"\0" * (26 << 20))], "at most 26.2 MB are allowed"),
        ([(f"{number}.png", EXTRA) for number in range(4)], "at most 3 are possible"),
    ]
    for files, said in rounds:
        response = http.post(f"{path}/2", files=[(name, file) for file in files], headers=same)
        assert response.status_code == 400
        assert said in response.text
    listed = http.get(f"/api/v1/participate/submissions/{path.rsplit('/', 1)[1]}").json()["files"]
    assert [(each["file_name"], each["status"]) for each in listed] == [
        (f"{number}.png", "complete") for number in range(3)
    ]


def test_names_of_files_cannot_leave_the_folder(api: httpx.Client, begin: Begin) -> None:
    study = publish_example(api)
    http, path = begin(study, "ann")
    items = study.collection["collection_items"][1]["page_items"]
    names = ["../../etc/passwd.png", "..\\..\\evil.png", "a\u202egnp.png"]
    for name in names:
        files = [(f"f.{items[1]['id']}", (name, EXTRA))]
        assert http.post(f"{path}/2", files=files, headers={"Origin": origin(study)}).status_code == 303
    listed = http.get(f"/api/v1/participate/submissions/{path.rsplit('/', 1)[1]}").json()["files"]
    assert [each["file_name"] for each in listed] == names
    participant = study.start("ann", "s")
    for page in study.collection["collection_items"]:
        for item in page["page_items"]:
            if item["type"] == "free_text":
                participant.answer(item["id"], {"value": "enough words"})
            elif item["type"] == "free_text_with_unit":
                participant.answer(item["id"], {"value": "5", "unit": item["default_unit"]})
            elif item["type"] == "multiple_choice":
                participant.answer(item["id"], {"value": [item["options"][0]["value"]]})
            elif item["type"] == "multiple_choice_with_free_text":
                participant.answer(item["id"], {"value": [{"value": "kept", "explanation": ""}]})
    participant.submit()
    with zipfile.ZipFile(io.BytesIO(study.download())) as exported:
        members = [name for name in exported.namelist() if name.startswith("files/")]
    assert len(members) == 3
    assert all(re.fullmatch(r"files/[0-9a-f-]{36}_[^/\\\u202e]+", name) for name in members)


def test_pages_are_limited_in_rate(begin: Begin) -> None:
    """A server with low limits says so."""
    from tests.installation import installed

    with installed(FIELDPACK_RATE_PER_SUBMISSION="3") as strict, strict.client() as api:
        study = publish_example(api)
        http, path = begin(study, "ann")
        found = {http.get(f"{path}/1").status_code for _ in range(40)}
        assert found == {200, 429}
