"""Pages of the workbench: what they show, what their forms do, and what they refuse. Scripts are in tests/browser."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from tests.installation import Installation
from tests.integration.decisions import make_held
from tests.integration.test_responses import Answered
from tests.scenario import FREE_TEXT, PNG, UPLOAD, Scenario, expect

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def answered(server: Installation) -> Iterator[Answered]:
    with server.client() as client:
        yield Answered(client)


@pytest.fixture(scope="module")
def browser(server: Installation) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=server.url,
        trust_env=False,
        timeout=60,
        headers={"Accept": "text/html", "Origin": server.url},
    ) as client:
        assert client.post("/sign-in", data={"token": server.token}).status_code == 303
        yield client


def text_of(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    return html.unescape(response.text)


def test_who_is_not_signed_in_is_asked_to_and_comes_back(server: Installation, answered: Answered) -> None:
    path = f"/workbench/collections/{answered.scenario.collection['id']}/responses?state=ACTIVE"
    answer = httpx.get(server.url + path, trust_env=False)
    assert answer.status_code == 303
    assert parse_qs(urlsplit(answer.headers["location"]).query)["next"] == [path]
    page = f"{server.url}/workbench/submissions/{answered.ids['anna']}"
    assert httpx.post(page, trust_env=False).status_code == 403  # from no page of ours
    posted = httpx.post(page, headers={"Origin": server.url}, trust_env=False)
    assert posted.status_code == 303
    assert posted.headers["location"].startswith("/sign-in")


def test_the_overview_leads_to_the_responses_it_counts(browser: httpx.Client, answered: Answered) -> None:
    base = f"/workbench/collections/{answered.scenario.collection['id']}"
    page = text_of(browser.get(base))
    assert f'href="{base}/responses?state=AWAITING+REVIEW&tests=no"' in page
    for link in re.findall(rf'href="({re.escape(base)}/responses\?[^"]*)"[^>]*>(\d+)<', page):
        shown = text_of(browser.get(link[0]))
        assert len(re.findall(r'<th scope="row">', shown)) == int(link[1]), link


def test_the_table_shows_what_the_api_lists(browser: httpx.Client, answered: Answered) -> None:
    base = f"/workbench/collections/{answered.scenario.collection['id']}/responses"
    for query, given in [
        ("search=sunny", {"search": "sunny"}),
        (f"where={answered.choice}:is:one", {"where": f"{answered.choice}:is:one"}),
        ("sort=participant", {"sort": "participant"}),
    ]:
        page = text_of(browser.get(f"{base}?{query}"))
        shown = re.findall(r'<th scope="row"><a [^>]*>([^<]*)</a>', page)
        assert shown == answered.names(**given)
    page = text_of(browser.get(base))
    assert "72.50 Kilograms" in page
    assert "A: because" in page


def test_a_condition_that_is_put_together_in_the_form_is_in_the_address(
    browser: httpx.Client, answered: Answered
) -> None:
    base = f"/workbench/collections/{answered.scenario.collection['id']}/responses"
    given = {
        "search": "",
        "question": answered.text,
        "test": "contains",
        "operand": "rain & sun",
        "state": "ACTIVE",
    }
    answer = browser.get(base, params=given)
    assert answer.status_code == 303
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query == {"state": ["ACTIVE"], "where": [f"{answered.text}:contains:rain & sun"]}
    page = text_of(browser.get(answer.headers["location"]))
    assert "How was it? contains rain & sun" in page


def test_pages_of_the_table_follow_each_other(
    server: Installation, browser: httpx.Client, api: httpx.Client
) -> None:
    scenario = Scenario.create(api)
    for number in range(53):
        scenario.take_part(f"p{number:02}")
    path = f"/workbench/collections/{scenario.collection['id']}/responses?sort=participant"
    seen: list[str] = []
    first = page = text_of(browser.get(path))
    seen += re.findall(r'<th scope="row"><a [^>]*>([^<]*)</a>', page)
    following = re.search(r'rel="next" href="([^"]*)"', page)
    assert following
    page = text_of(browser.get(following[1]))
    seen += re.findall(r'<th scope="row"><a [^>]*>([^<]*)</a>', page)
    assert seen == [f"p{number:02}" for number in range(53)]
    previous = re.search(r'rel="prev" href="([^"]*)"', page)
    assert previous
    names = r'<th scope="row"><a [^>]*>([^<]*)</a>'
    assert re.findall(names, text_of(browser.get(previous[1]))) == re.findall(names, first)


def test_deciding_goes_on_to_the_next_within_the_filter(
    server: Installation, browser: httpx.Client, api: httpx.Client
) -> None:
    scenario = Scenario.create(api)
    ids = {name: scenario.take_part(name) for name in ("a", "b", "c")}
    view = "?state=AWAITING+REVIEW&sort=participant"
    answer = browser.post(f"/workbench/submissions/{ids['a']}{view}", data={"go": "approve"})
    assert answer.headers["location"] == f"/workbench/submissions/{ids['b']}{view}"
    make_held(server)
    assert expect(api.get(f"/submissions/{ids['a']}"), 200)["status"] == "APPROVED"
    page = browser.post(f"/workbench/submissions/{ids['b']}{view}", data={"go": "reject", "message": "No."})
    assert page.status_code == 400
    assert "A rejection needs a reason and a message" in page.text
    given = {"go": "reject", "message": "No.", "category": "LOW_EFFORT"}
    answer = browser.post(f"/workbench/submissions/{ids['b']}{view}", data=given)
    assert answer.headers["location"] == f"/workbench/submissions/{ids['c']}{view}"
    make_held(server)
    assert expect(api.get(f"/submissions/{ids['b']}"), 200)["status"] == "REJECTED"
    # somebody else has decided meanwhile: said in words, and nothing is changed
    expect(api.post(f"/submissions/{ids['c']}/transition", json={"action": "APPROVE"}), 200)
    again = browser.post(f"/workbench/submissions/{ids['c']}{view}", data=given)
    assert again.status_code == 409
    assert "APPROVED" in again.text
    assert expect(api.get(f"/submissions/{ids['c']}"), 200)["status"] == "APPROVED"


def test_notes_are_written_and_taken_back(browser: httpx.Client, answered: Answered) -> None:
    path = f"/workbench/submissions/{answered.ids['dora']}"
    assert browser.post(path, data={"go": "note", "message": HOSTILE}).status_code == 303
    page = browser.get(path)
    assert HOSTILE in text_of(page)
    assert HOSTILE not in page.text
    note = re.search(r'name="note" value="([^"]*)"', page.text)
    assert note
    assert browser.post(path, data={"go": "remove_note", "note": note[1]}).status_code == 303
    assert HOSTILE not in text_of(browser.get(path))


def test_approving_what_is_shown_is_refused_when_it_has_changed(
    server: Installation, browser: httpx.Client, api: httpx.Client
) -> None:
    scenario = Scenario.create(api)
    for name in ("a", "b"):
        scenario.take_part(name)
    path = f"/workbench/collections/{scenario.collection['id']}/responses/decide"
    assert browser.post(path, data={"go": "approve", "count": "1"}).status_code == 409
    assert browser.post(path, data={"go": "approve", "count": "x"}).status_code == 400
    assert browser.post(path, data={"go": "approve", "count": "2"}).status_code == 303
    make_held(server)
    counts = expect(api.get(f"/studies/{scenario.study['id']}/submissions/counts"), 200)
    assert counts["APPROVED"] == 2


def test_a_response_shows_answers_of_every_type(browser: httpx.Client, answered: Answered) -> None:
    for name in ("anna", "bert", "carl", "dora", "eve"):
        assert answered.ids.get(name) is None or text_of(
            browser.get(f"/workbench/submissions/{answered.ids[name]}")
        )
    page = text_of(browser.get(f"/workbench/submissions/{answered.ids['bert']}"))
    for shown in ("Rain_ and rain", "Yes", "because", "8 Kilograms"):
        assert shown in page, shown


def test_writing_needs_a_page_of_ours(
    server: Installation, browser: httpx.Client, answered: Answered
) -> None:
    collection = answered.scenario.collection["id"]
    for path in (
        f"/workbench/submissions/{answered.ids['anna']}",
        f"/workbench/submissions/{answered.ids['anna']}/erase",
        f"/workbench/collections/{collection}/erase?participant=anna",
        f"/workbench/collections/{collection}/responses/decide",
    ):
        answer = browser.post(path, data={"go": "approve"}, headers={"Origin": "https://elsewhere.example"})
        assert answer.status_code == 403, path


def test_files_are_shown_only_where_nothing_in_them_can_act(browser: httpx.Client, api: httpx.Client) -> None:
    svg = {
        "type": "file_upload",
        "description": "A drawing",
        "accepted_file_types": [".svg"],
        "required": False,
    }
    scenario = Scenario.create(api, FREE_TEXT, UPLOAD, svg)
    participant = scenario.start("p")
    expect(participant.answer(participant.item(0), {"value": "x"}), 200)
    participant.upload(participant.item(1), "photo.png", PNG)
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    participant.upload(participant.item(2), "drawing.svg", drawing)
    participant.submit()
    page = browser.get(f"/workbench/submissions/{participant.submission_id}").text
    links = dict.fromkeys(re.findall(r'href="(/workbench/collections/[^"]*/files/[^"]*)"', page))
    kinds: dict[str, Any] = {}
    for link in links:
        answer = browser.get(link)
        assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        kinds[answer.headers["content-type"]] = answer.headers["content-disposition"].partition(";")[0]
    assert kinds == {"image/png": "inline", "image/svg+xml": "attachment"}


def test_stored_script_stays_text_on_every_page(browser: httpx.Client, api: httpx.Client) -> None:
    question = {"type": "free_text", "description": HOSTILE}
    scenario = Scenario.create(api, question, UPLOAD, name=HOSTILE)
    submission = scenario.take_part(HOSTILE[:60], HOSTILE, files=[(f"{HOSTILE}.png", PNG)])
    base = f"/workbench/collections/{scenario.collection['id']}"
    question_id = scenario.collection["collection_items"][0]["page_items"][0]["id"]
    for path in (
        base,
        f"{base}/responses",
        f"{base}/responses?search=script&participant={HOSTILE[:20]}&where={question_id}:contains:{HOSTILE[:30]}",
        f"/workbench/submissions/{submission}",
        f"/workbench/submissions/{submission}/erase",
        f"{base}/erase?participant={HOSTILE[:60]}",
        f"{base}/erasures",
        f"/workbench/submissions/{submission}/history",
    ):
        page = browser.get(path).text
        assert "<script>alert" not in page, path
        assert "<img src=x" not in page, path


def test_erasing_asks_for_the_id_first(browser: httpx.Client, api: httpx.Client) -> None:
    scenario = Scenario.create(api)
    submission = scenario.take_part("to-go", files=[("a.png", PNG)])
    path = f"/workbench/submissions/{submission}/erase"
    assert "to-go" in text_of(browser.get(path))
    wrong = browser.post(path, data={"participant": "to-stay"})
    assert wrong.status_code == 400
    assert expect(api.get(f"/submissions/{submission}"), 200)
    done = browser.post(path, data={"participant": " \u200bto-\u00adgo"})  # as it was copied out of a mail
    assert "to-go" not in text_of(done)
    assert submission in done.text
    assert api.get(f"/submissions/{submission}").status_code == 404
    assert browser.get(path).status_code == 404


NO_NUMBERS = ["1" * 5000, "1" + "0" * 20, "0001" + "9" * 20, "\u0661", "\u00b2", "-1", "+1", "1_0"]


def test_what_is_no_number_in_reach_is_refused(browser: httpx.Client, api: httpx.Client) -> None:
    """Wherever an address or a form has one: days, a count, a page of a form, an option."""
    options = [{"label": "One", "value": "one"}, {"label": "Two", "value": "two"}]
    scenario = Scenario.create(api, {"type": "multiple_choice", "description": "Which?", "options": options})
    collection = scenario.collection["id"]
    invitations = f"/researcher/workspaces/{scenario.collection['workspace_id']}/invitations"
    decide = f"/workbench/collections/{collection}/responses/decide"
    preview = f"/data-collection-tool/collections/{collection}"
    participant = scenario.start("p")
    auth, choice = participant.headers, participant.item(0)
    for number in NO_NUMBERS:
        form = {"role": "editor", "days": number, "email": ""}
        assert browser.post(invitations, data=form).status_code == 400
        assert browser.post(decide, data={"go": "approve", "count": number}).status_code == 400
        step = {"preview": "true", "step": number}
        assert browser.get(preview, params=step).status_code == 404
        page = f"{participant.path}/{quote(number)}"
        assert browser.get(page, headers=auth).status_code == 404
        assert browser.post(page, data={"a": "b"}, headers=auth).status_code == 404
        chosen = {f"a.{choice}": number, f"r.{choice}": "0"}
        assert browser.post(f"{participant.path}/1", data=chosen, headers=auth).status_code == 400
    assert expect(api.get(participant.path, headers=auth), 200)["answers"] == {}


def test_a_study_from_three_fields_to_its_end(
    browser: httpx.Client, api: httpx.Client, answered: Answered
) -> None:
    base = f"/workbench/collections/{answered.scenario.collection['id']}"
    wrong = browser.post(f"{base}/studies/new", data={"name": "Second", "places": "none", "minutes": ""})
    assert wrong.status_code == 400
    assert 'value="Second"' in wrong.text
    made = browser.post(f"{base}/studies/new", data={"name": "Second", "places": "1 500", "minutes": "7"})
    assert made.status_code == 303
    path = made.headers["location"]
    study_id = path.rpartition("/")[2]
    study = expect(api.get(f"/studies/{study_id}"), 200)
    assert (study["status"], study["total_available_places"]) == ("UNPUBLISHED", 1500)
    assert study["estimated_completion_time"] == 7
    for go, status in (("PUBLISH", "ACTIVE"), ("PAUSE", "PAUSED"), ("START", "ACTIVE")):
        assert browser.post(path, data={"go": go}).status_code == 303
        assert expect(api.get(f"/studies/{study_id}"), 200)["status"] == status
    assert browser.post(path, data={"go": "change", "places": "2000", "minutes": "90"}).status_code == 303
    study = expect(api.get(f"/studies/{study_id}"), 200)
    assert (study["total_available_places"], study["maximum_allowed_time"]) == (2000, 90)
    page = text_of(browser.get(path))
    assert study["external_study_url"].split("?")[0] in page
    assert study["completion_codes"][0]["code"] in page
    late = browser.post(path, data={"go": "PUBLISH"})
    assert late.status_code == 409
    assert "ACTIVE" in late.text
    trial = browser.post(path, data={"go": "try"})
    assert "PROLIFIC_PID=test-" in text_of(trial)
    copy = browser.post(path, data={"go": "clone"}).headers["location"]
    assert copy != path
    assert browser.post(copy, data={"go": "delete"}).headers["location"] == base
    assert browser.get(copy).status_code == 404
    assert browser.post(path, data={"go": "delete"}).status_code == 409
    assert browser.post(path, data={"go": "STOP"}).status_code == 303


@pytest.mark.parametrize(
    "query", ["search=a%00b", "participant=%00x", "before=9999-12-31", "sort=x", "after=x"]
)
def test_what_is_no_view_is_refused_on_the_page_too(
    browser: httpx.Client, answered: Answered, query: str
) -> None:
    base = f"/workbench/collections/{answered.scenario.collection['id']}/responses"
    assert browser.get(f"{base}?{query}").status_code == 400
