"""A collection in numbers: equal to the archive, live, nothing of a person, and bars lead to what they count."""

from __future__ import annotations

import html
import io
import json
import random
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from fieldpack import open_export
from fieldpack.report import Summary, summarize
from fieldpack.report.answers import draw_answers
from fieldpack.report.charts import draw_days
from fieldpack.report.summary import describe_kinds, describe_question
from fieldpack.server.accounts.permissions.roles import Role
from fieldpack.server.responses.overview import gathering, watching
from fieldpack.server.responses.overview.rows import SnapshotRow, SpreadRow
from tests.gates import PATIENCE_SECONDS, wait_for
from tests.installation import Installation
from tests.integration.rows import connected, insert_researcher, insert_submissions
from tests.refusals import refused
from tests.scenario import PNG, Scenario, expect

JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")
STREAM = {"Accept": "text/event-stream"}
SVG = re.compile(r"<svg.*?</svg>", re.DOTALL)
LINKS = re.compile(r"</?a\b[^>]*>")
ITEMS: list[dict[str, Any]] = [
    {
        "type": "multiple_choice",
        "description": "Which <b>ones</b>?",
        "answer_limit": -1,
        "options": [
            {"label": "One", "value": "one"},
            {"label": "1", "value": 1},
            {"label": "Yes & no", "value": True},
            {"label": "Never", "value": "never"},
        ],
    },
    {
        "type": "multiple_choice_with_free_text",
        "description": "And why?",
        "options": [{"label": each.upper(), "value": each, "heading": "Why?"} for each in ("a", "b")],
    },
    {
        "type": "free_text_with_unit",
        "description": "How heavy?",
        "unit_options": [{"label": "Kilograms", "value": "kg"}, {"label": "Pounds", "value": "lb"}],
        "unit_position": "suffix",
        "validation": {"type": "number"},
    },
    {"type": "free_text", "description": "How many?", "validation": {"type": "number"}},
    {"type": "free_text", "description": "Which colour?"},
    {"type": "free_text", "description": "How was it?"},
    {"type": "file_upload", "description": "Photos", "accepted_file_types": [".png", ".jpg"]},
]


class Population:
    """A collection with random responses: some not submitted, returned, tests or erased."""

    def __init__(self, api: httpx.Client, seed: int, size: int = 30) -> None:
        self.api = api
        self.random = random.Random(seed)
        self.scenario = Scenario.create(api, *({**item, "required": False} for item in ITEMS))
        self.items = [
            item["id"] for page in self.scenario.collection["collection_items"] for item in page["page_items"]
        ]
        self.path = f"/data-collection/collections/{self.scenario.collection['id']}"
        self.page = f"/workbench/collections/{self.scenario.collection['id']}"
        for number in range(size):
            self.add(number)

    def add(self, number: int) -> None:
        chance, choose = self.random.random, self.random.choice
        participant = self.scenario.start(f"p{number:03}")
        which, why, heavy, many, colour, text, photos = self.items
        answers: dict[str, Any] = {
            which: {"value": self.random.sample(["one", 1, True], self.random.randint(1, 3))},
            why: {"value": [{"value": choose("ab"), "explanation": f"because {number}"}]},
            heavy: {"value": f"{self.random.uniform(-5, 40):.2f}", "unit": choose(["kg", "kg", "lb"])},
            many: {"value": str(self.random.randint(0, 30) / 10)},
            colour: {"value": choose(["red", "blue", "green"])},
            text: {"value": f"secret {number} {'x' * self.random.randint(0, 9)}"},
        }
        for instruction_id, value in answers.items():
            if chance() < 0.8:
                expect(participant.answer(instruction_id, value), 200)
        for at in range(self.random.choice([0, 0, 1, 3])):
            data, name = choose([(PNG, f"{at}.png"), (JPEG, f"{at}.jpg")])
            participant.upload(photos, name, data)
        if chance() < 0.15:
            return
        participant.submit()
        id, what = participant.submission_id, chance()
        if what < 0.1:
            expect(self.api.delete(f"/submissions/{id}"), 204)
        elif what < 0.2:
            expect(self.api.patch(f"/submissions/{id}", json={"test": True}), 200)
        elif what < 0.3:
            expect(self.api.post(f"/submissions/{id}/transition", json={"action": "RETURN"}), 200)
        elif what < 0.5:
            expect(self.api.post(f"/submissions/{id}/transition", json={"action": "APPROVE"}), 200)

    def overview(self, **given: Any) -> dict[str, Any]:
        found: dict[str, Any] = expect(self.api.get(f"{self.path}/overview", params=given), 200)
        return found


@pytest.fixture(scope="module")
def population(server: Installation) -> Iterator[Population]:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")  # shown when a test fails
    with server.client() as api:
        yield Population(api, seed)


@pytest.fixture(scope="module")
def archive(population: Population) -> bytes:
    return population.scenario.download()


@pytest.fixture(scope="module")
def summary(archive: bytes) -> Summary:
    with open_export(io.BytesIO(archive)) as export:
        return summarize(export)


@contextmanager
def signed_in(server: Installation, token: str) -> Iterator[httpx.Client]:
    headers = {"Accept": "text/html", "Origin": server.url}
    limits = httpx.Limits(max_connections=None)
    with httpx.Client(
        base_url=server.url, trust_env=False, timeout=PATIENCE_SECONDS, headers=headers, limits=limits
    ) as browser:
        assert browser.post("/sign-in", data={"token": token}).status_code == 303
        yield browser


@pytest.fixture(scope="module")
def browser(server: Installation) -> Iterator[httpx.Client]:
    with signed_in(server, server.token) as client:
        yield client


def text_of(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.text


def test_the_numbers_are_those_of_the_archive_in_pandas(population: Population, archive: bytes) -> None:
    found = population.overview()
    with open_export(io.BytesIO(archive)) as export:
        table = export.to_pandas()
        answers, files = export.answers(), export.files()
    took = (table["completed_at"] - table["started_at"]).dt.total_seconds()
    assert found["submitted"] == len(table)
    assert found["median_seconds"] == pytest.approx(took.median())
    assert found["quartiles_seconds"] == pytest.approx([took.quantile(0.25), took.quantile(0.75)])
    assert {day["day"]: day["count"] for day in found["days"]} == {
        str(day): count for day, count in table["completed_at"].dt.date.value_counts().items()
    }
    assert (found["files"], found["file_bytes"]) == (len(files), files["size_bytes"].sum())
    sizes = files.groupby("content_type")["size_bytes"].agg(["count", "sum"])
    assert {each["content_type"]: (each["count"], each["size_bytes"]) for each in found["files_by_type"]} == {
        name: (row["count"], row["sum"]) for name, row in sizes.iterrows()
    }
    answered = answers.groupby("instruction_id")["submission_id"].nunique()
    for each in found["questions"]:
        count = int(answered.get(each["instruction_id"], 0))
        assert (each["answered"], each["missing"]) == (count, len(table) - count)
    statuses = table["status"].value_counts()
    assert found["approved"] == statuses.get("APPROVED", 0)
    assert found["awaiting_review"] == statuses.get("AWAITING REVIEW", 0)
    gone = population.api.get(f"{population.path}/submissions", params={"submitted": "no", "limit": "1000"})
    left = [row for row in expect(gone, 200)["results"] if not row["test"]]
    assert found["started"] == len(table) + len(left)
    assert found["under_way"] == sum(row["status"] == "ACTIVE" for row in left)
    assert found["returned"] == sum(row["status"] == "RETURNED" for row in left)


def test_questions_are_counted_as_reports_count_them(population: Population, summary: Summary) -> None:
    found = population.overview(texts="yes")
    reported = {each.instruction.id: describe_question(each) for each in summary.questions}
    assert [each["instruction_id"] for each in found["questions"]] == population.items
    for each in found["questions"]:
        expected = reported[each["instruction_id"]]
        assert {name: each.get(name) for name in expected if name != "question"} == {
            name: value for name, value in expected.items() if name != "question"
        }
    assert found["files_by_type"] == describe_kinds(summary.files)


def test_charts_are_those_of_reports(browser: httpx.Client, population: Population, summary: Summary) -> None:
    """The same drawings, but for the links around their bars."""
    page = text_of(browser.get(population.page, params={"texts": "yes"}))
    shown = [LINKS.sub("", svg).replace('role="group"', 'role="img"') for svg in SVG.findall(page)]
    drawn = [draw_days(summary.days)] if summary.days else []
    for question in summary.questions:
        drawn += SVG.findall(draw_answers(question))
    assert shown == drawn
    german = text_of(browser.get(population.page, headers={"Accept-Language": "de"}))
    assert "Balkendiagramm" in german
    assert "Bar chart" not in german


def test_a_bar_leads_to_the_responses_that_it_counts(browser: httpx.Client, population: Population) -> None:
    page = text_of(browser.get(population.page, params={"texts": "yes"}))
    bars = re.findall(r'<a href="([^"]*)" aria-label="[^"]*: ([\d,]+)">', page)
    numbers = re.findall(r'<a href="([^"]*)" data-figure="[^"]*">(\d+)</a>', page)
    assert len(bars) > 25
    assert len(numbers) > 15
    for href, count in (*bars, *numbers):
        query = parse_qsl(urlsplit(html.unescape(href)).query)
        answer = population.api.get(f"{population.path}/submissions", params=[*query, ("limit", "1000")])
        rows = expect(answer, 200)["results"]
        if "data-figure" not in href and any("type:" in value for _, value in query):
            kind = next(value.rpartition("type:")[2] for _, value in query if "type:" in value)
            files = [
                file
                for row in rows
                for file in row["responses"][population.items[-1]]["value"]
                if file["content_type"] == kind
            ]
            assert len(files) == int(count)  # a bar of files counts files; it leads to whose they are
            continue
        if "files=yes" in href or "/responses" not in href:  # of files, and who was erased
            continue
        assert len(rows) == int(count.replace(",", "")), href


def test_a_viewer_sees_counts_and_plots_and_nothing_of_a_person(
    server: Installation, population: Population
) -> None:
    workspace = population.scenario.collection["workspace_id"]
    _, token = insert_researcher(server, role=Role.VIEWER, workspace_id=workspace)
    with server.client(token) as api, signed_in(server, token) as viewer:
        said = json.dumps(expect(api.get(f"{population.path}/overview"), 200))
        refused(api.get(f"{population.path}/overview", params={"texts": "yes"}), 403)
        page = text_of(viewer.get(population.page, params={"texts": "yes"}))
        live = text_of(viewer.get(f"{population.page}/live", headers={"Accept": "application/json"}))
    assert "<svg" in page
    assert "/responses" not in page
    for found in (said, page, live):
        assert not re.search(r"secret|because|\b(red|blue|green)\b|p0\d\d", found)


def test_texts_are_shown_to_whoever_asks_and_the_audit_log_is_told(
    server: Installation, browser: httpx.Client, population: Population
) -> None:
    def count() -> int:
        with connected(server) as database:
            row = database.execute(
                "SELECT count(*) AS count FROM audit_entries"
                " WHERE action = 'response.list' AND collection_id = %s",
                [population.scenario.collection["id"]],
            ).fetchone()
        assert row is not None
        return int(row["count"] if isinstance(row, dict) else row[0])

    before = count()
    assert "secret" not in text_of(browser.get(population.page))
    assert count() == before
    assert "secret" in text_of(browser.get(population.page, params={"texts": "yes"}))
    assert count() == before + 1


def test_where_people_leave_is_seen_as_they_answer(api: httpx.Client) -> None:
    """What is saved under way is in no log of changes."""
    scenario = Scenario.create(api)
    path = f"/data-collection/collections/{scenario.collection['id']}/overview"
    participant = scenario.start("eve")
    assert expect(api.get(path), 200)["left_without_an_answer"] == 1
    expect(participant.answer(participant.item(0), {"value": "Fine"}), 200)
    found = expect(api.get(path), 200)
    assert (found["left_without_an_answer"], found["questions"][0]["left"]) == (0, 1)
    file = participant.item(1)
    participant.upload(file, "last.png", PNG)
    listed = f"/data-collection/collections/{scenario.collection['id']}/submissions"
    for item, count in ((participant.item(0), 0), (file, 1)):
        assert len(expect(api.get(listed, params={"where": f"{item}:left"}), 200)["results"]) == count
    participant.submit()
    assert expect(api.get(listed, params={"where": f"{file}:left"}), 200)["results"] == []


def test_a_large_collection_is_shown_before_all_of_it_was_looked_at(
    server: Installation, browser: httpx.Client, api: httpx.Client
) -> None:
    scenario = Scenario.create(api)
    question = scenario.collection["collection_items"][0]["page_items"][0]["id"]
    insert_submissions(server, scenario.study["id"], gathering.LARGE + 1, question)
    path = f"/workbench/collections/{scenario.collection['id']}"
    first = browser.get(path)
    assert first.status_code == 200
    assert 'data-figure="participants"' not in first.text  # what it takes to look at every response
    wait_for(lambda: 'data-figure="participants"' in browser.get(path).text)


def test_the_command_says_what_the_page_says(server: Installation, population: Population) -> None:
    found = population.overview()
    collection = population.scenario.collection["id"]
    assert json.loads(server.run("collection", "overview", collection, "--json").stdout) == found
    said = server.run("collection", "overview", collection).stdout
    for name in ("started", "under_way", "submitted", "approved", "returned"):
        assert re.search(rf"^{name.replace('_', ' ').capitalize()} +{found[name]}$", said, re.MULTILINE), said
    for question in found["questions"]:
        shown = question["description"][:12].rstrip()
        row = next(line for line in said.splitlines() if shown in line)
        numbers = [question[name] for name in ("answered", "missing", "left")]
        assert re.search(r"\s+".join(map(str, numbers)), row), said
    assert "secret" not in said  # texts are shown to whoever asks
    assert server.run("collection", "overview", "no-id", check=False).returncode != 0


def test_an_unknown_collection_has_no_numbers(browser: httpx.Client, population: Population) -> None:
    unknown = "/workbench/collections/00000000-0000-4000-8000-000000000000"
    for headers in ({"Accept": "application/json"}, STREAM):
        assert browser.get(f"{unknown}/live", headers=headers).status_code == 404
    assert browser.get(unknown).status_code == 404


# live


def follow(lines: Iterator[str], name: str, value: str) -> dict[str, str]:
    """The figures, once one of them is this."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    event = ""
    for line in lines:
        assert time.monotonic() < deadline
        if line.startswith("event: "):
            event = line.removeprefix("event: ")
        elif line.startswith("data: ") and event == "figures":
            found: dict[str, str] = json.loads(line.removeprefix("data: "))["figures"]
            if found.get(name) == value:
                return found
    raise AssertionError(f"the stream ended before {name} was {value}")


def test_what_happens_is_told_to_all_who_watch(
    server: Installation, browser: httpx.Client, api: httpx.Client
) -> None:
    scenario = Scenario.create(api)
    live = f"/workbench/collections/{scenario.collection['id']}/live"
    with ExitStack() as stack:
        streams = [
            stack.enter_context(browser.stream("GET", live, headers=STREAM)).iter_lines() for _ in range(3)
        ]
        for lines in streams:
            assert follow(lines, "started", "0")["submitted"] == "0"
        id = scenario.take_part("anna", files=[("a.png", PNG)])
        for lines in streams:
            found = follow(lines, "submitted", "1")
            assert (found["review"], found["files"]) == ("1", "1")
            question = scenario.collection["collection_items"][0]["page_items"][0]["id"]
            follow(lines, f"answered {question}", "1") if found.get(f"answered {question}") != "1" else None
        expect(api.post(f"/submissions/{id}/transition", json={"action": "APPROVE"}), 200)
        for lines in streams:
            assert follow(lines, "approved", "1")["review"] == "0"
    once = expect(browser.get(live, headers={"Accept": "application/json"}), 200)
    assert once["figures"]["approved"] == "1"


def test_a_stream_is_for_those_who_may_see_it(
    server: Installation, population: Population, browser: httpx.Client
) -> None:
    live = f"{population.page}/live"
    assert httpx.get(server.url + live, headers=STREAM, trust_env=False).status_code == 401
    _, token = insert_researcher(server)  # with no role anywhere
    with signed_in(server, token) as stranger:
        assert stranger.get(live, headers=STREAM).status_code == 404
    answer = browser.head(live, headers=STREAM)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert answer.headers["cache-control"] == "no-store"


def test_a_stream_ends_with_its_session(server: Installation, population: Population) -> None:
    with (
        signed_in(server, server.token) as browser,
        browser.stream("GET", f"{population.page}/live", headers=STREAM) as answer,
    ):
        lines = answer.iter_lines()
        next(lines)
        cookies = dict(browser.cookies)
        out = httpx.post(
            f"{server.url}/sign-out", headers={"Origin": server.url}, cookies=cookies, trust_env=False
        )
        assert out.status_code == 303
        for _ in lines:  # to its end
            pass


def test_a_stream_ends_with_the_role(server: Installation, population: Population) -> None:
    collection = population.scenario.collection["id"]
    researcher, token = insert_researcher(server, collection_roles={collection: Role.VIEWER})
    with (
        signed_in(server, token) as browser,
        browser.stream("GET", f"{population.page}/live", headers=STREAM) as answer,
    ):
        lines = answer.iter_lines()
        next(lines)
        expect(population.api.delete(f"{population.path}/members/{researcher}"), 204)
        for _ in lines:
            pass


def test_one_session_has_so_many_streams(server: Installation, population: Population) -> None:
    live = f"{population.page}/live"
    read = []  # an iterator that is let go closes its stream
    with ExitStack() as stack:
        browser = stack.enter_context(signed_in(server, server.token))
        while True:
            answer = stack.enter_context(browser.stream("GET", live, headers=STREAM))
            if answer.status_code == 429:
                break
            assert answer.status_code == 200
            read.append(answer.iter_lines())
            next(read[-1])
            assert len(read) <= watching.MOST_OF_ONE
        assert "Retry-After" in answer.headers
        assert (
            read
        )  # fewer, where streams of other tests have not ended yet: an address has no more than a session


def test_gathering_takes_a_small_share_of_the_time() -> None:
    """The rule by itself; how quick it is, is measured in benchmarks."""
    seen = SnapshotRow("1:1:", datetime(2026, 1, 1, tzinfo=UTC))
    for count, is_large in ((gathering.LARGE, False), (gathering.LARGE + 1, True)):
        spread = SpreadRow(1, count, None, None, None)
        found = gathering.Gathered(seen, 2.0, 100.0, spread, [], {}, {}, [])
        assert found.is_large is is_large
        assert found.due_at == 100 + 2.0 * gathering.SHARE
