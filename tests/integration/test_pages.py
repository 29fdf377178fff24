"""Pages as a browser gets them, without running scripts: what they say, in which status."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import httpx
import pytest

from tests.scenario import Participant, Scenario, expect

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def page(api: httpx.Client, path: str, **headers: str) -> httpx.Response:
    """A page of the server, as browsers ask for it."""
    root = str(api.base_url).removesuffix("/api/v1/")
    return httpx.get(root + path, headers={"Accept": BROWSER, **headers}, trust_env=False)


def words(answer: httpx.Response) -> str:
    """What a page says."""
    assert answer.headers["content-type"].startswith("text/html"), answer.text
    text = re.sub(r"<(script|style|title)\b.*?</\1>|<[^>]*>", " ", answer.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(text)).strip()


def hand_in(scenario: Scenario) -> Participant:
    participant = scenario.start("p")
    expect(participant.answer(participant.item(0), {"value": "x"}), 200)
    participant.submit()
    return participant


LEFT = "One thing is left to do"
NOTHING = "There is nothing left to do."


@pytest.mark.parametrize(
    ("code", "url"),
    [("CODE1", ""), ("CODE1", "https://example.org/?cc=CODE1"), (None, ""), (None, "https://example.org/")],
)
@pytest.mark.parametrize("again", [False, True])
def test_the_last_page_says_one_thing(api: httpx.Client, code: str | None, url: str, again: bool) -> None:
    codes: list[dict[str, Any]] = [{"code": code, "code_type": "COMPLETED", "actions": []}]
    participant = hand_in(Scenario.create(api, completion_codes=codes, completion_url=url))
    done = page(api, f"{participant.path}/done{'?already=1' if again else ''}", **participant.headers)
    assert done.status_code == 200
    said = words(done)
    assert "None" not in said
    main = done.text.partition("<main")[2]
    if code is None and not url:
        assert NOTHING in said
        assert LEFT not in said
        assert "code" not in said.lower().replace("skip to the content", "")
        return
    assert f"<h1>{LEFT}</h1>" in main
    assert NOTHING not in said
    assert "nothing" not in said.lower()
    # what is left comes right after the heading
    after = main.partition("</h1>")[2].strip()
    assert after.startswith(
        f'<p class="code" id="code">{code}</p>' if code else '<p><a class="button primary"'
    )
    assert (f'href="{url}"' in main) == bool(url)


ACCEPT: dict[str, bool] = {
    BROWSER: True,
    "text/html": True,
    "TEXT/HTML": True,
    "text/*": True,
    "text/html, application/json;q=0.9": True,
    "application/json;q=0.5, */*;q=0.9, text/html;q=0.8": True,
    "text/html;q=0.1": True,
    "text/html;charset=utf-8": True,
    "*/*": False,
    "": False,
    "application/json": False,
    "application/json, text/html;q=0.9": False,
    "text/html, application/json": False,
    "text/html;q=0, */*": False,
    "text/html;q=0.5, */*": False,
    "text/html;q=2": False,
    "text/html;q=x": False,
    "text/plain": False,
    "xtext/html": False,
}


@pytest.mark.parametrize("accept", ACCEPT)
def test_who_prefers_a_page_gets_one(api: httpx.Client, accept: str) -> None:
    answer = page(api, "/participate/nothing", Accept=accept)
    assert answer.status_code == 404
    kind = "text/html" if ACCEPT[accept] else "application/json"
    assert answer.headers["content-type"].startswith(kind)


def test_a_browser_gets_refusals_as_pages(api: httpx.Client) -> None:
    """With the status and the sentence that a program gets."""
    scenario = Scenario.create(api)
    study = f"/participate/{scenario.study['id']}"
    unknown = "/participate/00000000-0000-4000-8000-000000000000"
    for method, path in (
        ("GET", "/nothing"),
        ("GET", "/participate"),
        ("GET", unknown),
        ("GET", f"/participate/submissions/{scenario.start('a').submission_id}"),
        ("GET", "/static/x/nothing.css"),
        ("POST", "/health/live"),
        ("POST", study),
        ("PUT", study),
        ("DELETE", "/researcher"),
        ("GET", f"{study}?PROLIFIC_PID={'x' * 2000}"),
        ("GET", "/sign-in/x"),
        ("GET", "/data-collection-tool/collections/x/y"),
    ):
        root = str(api.base_url).removesuffix("/api/v1/")
        as_program = httpx.request(
            method, root + path, headers={"Accept": "application/json"}, trust_env=False
        )
        as_person = httpx.request(method, root + path, headers={"Accept": BROWSER}, trust_env=False)
        assert as_program.status_code == as_person.status_code >= 400, path
        assert as_program.headers.get("allow") == as_person.headers.get("allow"), path
        detail = as_program.json()["error"]["detail"]
        said = words(as_person)
        for sentence in (
            [detail] if isinstance(detail, str) else [text for each in detail.values() for text in each]
        ):
            assert re.sub(r"\s+", " ", sentence) in said, path
        assert "Content-Security-Policy" in as_person.headers
        assert 'name="viewport"' in as_person.text


def test_archive_links_that_are_cut_short_are_pages(api: httpx.Client) -> None:
    scenario = Scenario.create(api)
    scenario.take_part("a")
    export = scenario.export()
    root = str(api.base_url).removesuffix("/api/v1/")
    link = export["url"].removeprefix(root)
    assert page(api, link).status_code == 200
    path, _, query = link.partition("?")
    for cut in range(len("/api/v1/"), len(link), 7):
        shown = page(api, link[:cut])
        assert shown.status_code in (403, 404), link[:cut]
        detail = httpx.get(root + link[:cut], trust_env=False).json()["error"]["detail"]
        assert detail in words(shown)
    changed = page(api, f"{path}?{query[:-1]}{'0' if query[-1] != '0' else '1'}")
    assert changed.status_code == 403
    assert "This link isn't whole" in words(changed)
    expect(api.delete(f"{scenario.export_path}/{export['export_id']}"), 204)
    gone = page(api, link)
    assert gone.status_code == 410
    assert "This is no longer here" in words(gone)


def test_an_export_that_is_refused_is_a_page_for_a_browser(api: httpx.Client) -> None:
    scenario = Scenario.create(api)
    for path, status in ((f"/api/v1{scenario.export_path}?nonsense=1", 400),
                         ("/api/v1/data-collection/collections/x/export", 404)):  # fmt: skip
        root = str(api.base_url).removesuffix("/api/v1/")
        headers = {"Accept": BROWSER, "Authorization": api.headers["Authorization"]}
        shown = httpx.post(root + path, headers=headers, trust_env=False)
        assert shown.status_code == status
        assert words(shown)


def test_the_api_stays_the_api(api: httpx.Client) -> None:
    """A browser that asks the rest of it gets JSON, as its scripts do."""
    for path in (
        "/api/v1/users/me",
        "/api/v1/studies/x",
        "/api/v1/nothing",
        "/api/v1/data-collection/collections/x",
    ):
        answer = page(api, path)
        assert answer.status_code in (401, 404)
        assert answer.headers["content-type"] == "application/json"


CONTACT = "Ask the lab: lab@example.org\nor <b>call</b> 123"


@pytest.mark.parametrize(
    ("fields", "shown", "account"),
    [
        ({}, False, False),
        ({"contact": CONTACT}, True, False),
        ({"contact": CONTACT, "contact_shows_account": True}, True, True),
        ({"contact_shows_account": True}, False, True),
        ({"contact": CONTACT, "contact_shows_account": False}, True, False),
        ({"contact": " \n "}, False, False),
    ],
)
def test_whom_to_ask_stands_on_every_page_of_a_study(
    api: httpx.Client, fields: dict[str, Any], shown: bool, account: bool
) -> None:
    scenario = Scenario.create(api, **fields)
    study = f"/participate/{scenario.study['id']}"
    begun, done, returned = scenario.start("a"), hand_in(scenario), scenario.start("c")
    expect(returned.http.post(f"{returned.path}/return", headers=returned.headers), 200)
    email = scenario.study["researcher"]["email"]

    def check(answer: httpx.Response) -> None:
        said = words(answer)
        assert ("Ask the lab: lab@example.org or <b>call</b> 123" in said) == shown, answer.url
        assert (email in answer.text) == account, answer.url
        assert ("Questions about this study" in said) == (shown or account)
        assert "<b>call" not in answer.text

    pages = [
        (study, {}, 200),
        (f"{study}?PROLIFIC_PID=x", {}, 200),
        (f"{study}?PROLIFIC_PID={'x' * 2000}", {}, 400),
        (f"{begun.path}/1", begun.headers, 200),
        (f"{begun.path}/review", begun.headers, 200),
        (f"{begun.path}/99", begun.headers, 404),
        (f"{begun.path}/return", begun.headers, 200),
        (f"{done.path}/done", done.headers, 200),
        (returned.path, returned.headers, 200),
        (f"{begun.path}/1", {}, 401),
    ]
    for path, headers, status in pages:
        answer = page(api, path, **headers)
        assert answer.status_code == status, path
        check(answer)
    transition = f"/studies/{scenario.study['id']}/transition"
    expect(api.post(transition, json={"action": "PAUSE"}), 200)
    check(page(api, f"{study}?PROLIFIC_PID=new"))
    expect(api.post(transition, json={"action": "STOP"}), 200)
    check(page(api, study))
    assert "Questions about this study" not in page(api, "/sign-in").text


def test_a_contact_is_given_changed_and_taken_away(api: httpx.Client) -> None:
    scenario = Scenario.create(api, contact=f"  {CONTACT} ")
    path = f"/studies/{scenario.study['id']}"
    assert scenario.study["contact"] == CONTACT
    assert expect(api.patch(path, json={"contact": ""}), 200)["contact"] == CONTACT  # empty is not given
    assert expect(api.patch(path, json={"contact": " "}), 200)["contact"] == ""
    assert "Questions" not in words(page(api, f"/participate/{scenario.study['id']}"))
    assert api.patch(path, json={"contact": "x" * 2001}).status_code == 400
    assert api.patch(path, json={"contact_shows_account": "yes"}).status_code == 400


@pytest.mark.parametrize(
    ("types", "button"),
    [
        ([".jpg", ".mp4"], "Take a photo or video"),
        ([".jpg"], "Take a photo"),
        ([".heic", ".pdf"], "Take a photo"),
        ([".mov", ".pdf"], "Record a video"),
        ([".pdf"], None),
        ([".JFIF", ".webm"], "Take a photo"),
        ([".heif", ".qt"], "Take a photo or video"),
        ([".png", ".webp", ".tif"], None),  # phones' photos are called otherwise, and would be refused
        ([".m4v", ".flv", ".3gp", ".m4a"], None),
        ([".omv"], None),
    ],
)
def test_the_camera_takes_what_is_accepted(api: httpx.Client, types: list[str], button: str | None) -> None:
    item = {"type": "file_upload", "description": "F", "accepted_file_types": types}
    participant = Scenario.create(api, item).start("a")
    shown = page(api, f"{participant.path}/1", **participant.headers).text
    found = re.findall(r'<label class="camera"[^>]*>([^<]*)<', shown)
    assert found == ([button] if button else [])


def test_trying_again_is_offered_where_it_may_help(api: httpx.Client) -> None:
    scenario = Scenario.create(api, places=1)
    study = f"/participate/{scenario.study['id']}"
    transition = f"/studies/{scenario.study['id']}/transition"
    expect(api.post(transition, json={"action": "PAUSE"}), 200)
    assert "Try again" in page(api, f"{study}?PROLIFIC_PID=a").text
    expect(api.post(transition, json={"action": "START"}), 200)
    scenario.start("a")
    assert "Try again" in page(api, f"{study}?PROLIFIC_PID=b").text
    expect(api.post(transition, json={"action": "STOP"}), 200)
    closed = page(api, f"{study}?PROLIFIC_PID=b")
    assert "This study is closed" in words(closed)
    assert "Try again" not in closed.text
    assert "Try again" not in page(api, "/participate/nothing").text


def test_words_of_an_option_that_excludes_the_others(api: httpx.Client) -> None:
    options = [{"label": "A", "value": "a"}, {"label": "None", "value": "none", "exclusive": True}]
    item = {"type": "multiple_choice", "description": "C", "options": options, "answer_limit": -1}
    participant = Scenario.create(api, item).start("a")
    said = words(page(api, f"{participant.path}/1", **participant.headers))
    assert said.count("Can't be combined with other choices") == 1
    assert "Stands alone" not in said


HELP = {"helper_text": "HELP & text", "placeholder_text_input": "PLACE & holder"}
FIVE = [{"label": f"L{number}", "value": number, "heading": "Why?"} for number in range(5)]


@pytest.mark.parametrize(
    ("item", "inside"),
    [
        ({"type": "free_text"}, True),
        ({"type": "free_text_with_unit", "unit_options": [{"label": "kg", "value": "kg"}]}, True),
        ({"type": "multiple_choice", "options": FIVE}, True),
        ({"type": "multiple_choice", "options": FIVE, "answer_limit": 2}, True),
        ({"type": "multiple_choice", "options": FIVE[:2]}, False),
        ({"type": "multiple_choice", "options": FIVE, "disable_dropdown": True, "answer_limit": 3}, False),
        ({"type": "multiple_choice_with_free_text", "options": FIVE[:2]}, True),
        ({"type": "multiple_choice_with_free_text", "options": FIVE}, True),
        ({"type": "file_upload"}, False),
    ],
)
def test_helper_text_and_placeholder_are_shown(api: httpx.Client, item: dict[str, Any], inside: bool) -> None:
    participant = Scenario.create(api, {"description": "D", **item, **HELP}).start("a")
    shown = page(api, f"{participant.path}/1", **participant.headers).text
    identifier = participant.item(0)
    [hint] = re.findall(rf'<div class="hint" id="h-{identifier}">(.*?)</div>', shown, re.DOTALL)
    assert "HELP &amp; text" in hint
    assert ("PLACE &amp; holder" in hint) != inside
    assert "PLACE &amp; holder" in shown
    assert f'aria-describedby="h-{identifier} x-{identifier}"' in shown


def test_dates_are_marked_for_the_readers_locale(api: httpx.Client) -> None:
    participant = Scenario.create(api, maximum_allowed_time=60).start("a")
    shown = page(api, f"{participant.path}/1", **participant.headers).text
    [moment] = re.findall(r'<time datetime="([^"]+)" data-local>', shown)
    assert moment.startswith(participant.state["deadline_at"][:19])
