"""The first page of the workbench, and lists of collections: what they find, in which order, and what they count."""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from fieldpack.server.accounts.permissions.roles import Role
from fieldpack.server.collections.lists import queries
from fieldpack.server.collections.lists.count_queries import add_differences
from fieldpack.server.collections.lists.filters import STATES, CollectionFilter, parse_filter
from fieldpack.server.db.embedded.server import open_embedded
from tests.installation import Installation
from tests.integration.rows import connected, insert_researcher
from tests.refusals import refused
from tests.scenario import PNG, Scenario, collection_body, expect

COLLECTIONS = "/data-collection/collections"
MANY = 10_000


@pytest.fixture(scope="module")
def browser(server: Installation) -> Iterator[httpx.Client]:
    headers = {"Accept": "text/html", "Origin": server.url}
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60, headers=headers) as client:
        assert client.post("/sign-in", data={"token": server.token}).status_code == 303
        yield client


@pytest.fixture(scope="module")
def workspace(server: Installation) -> str:
    """One that nothing else uses."""
    with server.client() as api:
        made: str = expect(api.post("/workspaces", json={"title": f"Home {uuid4()}"}), 201)["id"]
    return made


def create(api: httpx.Client, workspace: str, **fields: Any) -> str:
    made: str = expect(api.post(COLLECTIONS, json={**collection_body(workspace), **fields}), 201)["id"]
    return made


def open_study(api: httpx.Client, collection: str, *actions: str) -> None:
    body = {
        "name": "Study",
        "total_available_places": 5,
        "data_collection_method": "AI_TASK_BUILDER_COLLECTION",
        "data_collection_id": collection,
    }
    study = expect(api.post("/studies", json=body), 201)["id"]
    for action in actions:
        expect(api.post(f"/studies/{study}/transition", json={"action": action}), 200)


def listed(api: httpx.Client, workspace: str, **given: str) -> list[str]:
    found = expect(api.get(COLLECTIONS, params={"workspace_id": workspace, **given}), 200)
    assert found["meta"]["count"] == len(found["results"])
    return [each["id"] for each in found["results"]]


def shown(page: httpx.Response) -> list[str]:
    """The ids on a page, in its order."""
    assert page.status_code == 200, page.text
    return re.findall(r'<h2 dir="auto"><a href="/workbench/collections/([0-9a-f-]+)"', page.text)


def numbers(browser: httpx.Client, collection: str) -> list[str]:
    """What the page says of a collection: responses, those to review, storage, and the bars of its line."""
    page = browser.get("/researcher", params={"search": collection})
    assert shown(page) == [collection]
    figures = re.findall(r"<dd>(?:<a [^>]*>)?([^<]*)(?:</a>)?</dd>", page.text)
    title = re.search(r"<title>(\d+) responses? completed in the last 30 days", page.text)
    assert title
    return [*map(html.unescape, figures), title[1]]


def fold(server: Installation) -> None:
    """Add the differences to the counts, as the job does."""

    async def add() -> None:
        with open_embedded(server.data_dir) as embedded:
            async with await psycopg.AsyncConnection.connect(
                embedded.url, row_factory=dict_row
            ) as connection:
                while await add_differences(connection, 1000):
                    pass

    asyncio.run(add())


def test_what_is_counted_is_what_the_overview_counts(
    server: Installation, api: httpx.Client, browser: httpx.Client
) -> None:
    """After each thing that can happen to a submission, before and after differences are added up."""
    scenario = Scenario.create(api)
    collection = scenario.collection["id"]

    def agree(responses: int, review: int) -> None:
        overview = expect(api.get(f"{COLLECTIONS}/{collection}/overview"), 200)
        assert (overview["submitted"], overview["awaiting_review"]) == (responses, review)
        assert sum(day["count"] for day in overview["days"]) == responses
        for folds in (False, True):
            if folds:
                fold(server)
            found = numbers(browser, collection)
            assert (found[0], found[1], found[3]) == (str(responses), str(review), str(responses))

    agree(0, 0)
    ids = [scenario.take_part(f"p{number}", files=[("a.png", PNG)]) for number in range(6)]
    agree(6, 6)
    assert numbers(browser, collection)[2] == f"{6 * len(PNG)} B"
    expect(api.post("/submissions/bulk-approve", json={"submission_ids": ids[:2]}), 200)
    agree(6, 4)
    rejection = {"action": "REJECT", "message": "No.", "rejection_category": "OTHER"}
    expect(api.post(f"/submissions/{ids[2]}/transition", json=rejection), 200)
    expect(api.patch(f"/submissions/{ids[3]}", json={"test": True}), 200)
    agree(5, 2)
    expect(api.delete(f"/submissions/{ids[4]}"), 204)
    expect(api.delete(f"/submissions/{ids[0]}"), 204)
    agree(3, 1)
    expect(api.post(f"/submissions/{ids[5]}/transition", json={"action": "RETURN"}), 200)
    expect(api.patch(f"/submissions/{ids[3]}", json={"test": False}), 200)
    agree(3, 1)
    scenario.start("under way")
    agree(3, 1)


def test_lists_and_the_page_find_the_same(
    server: Installation, api: httpx.Client, browser: httpx.Client, workspace: str
) -> None:
    draft = create(api, workspace, name="Receipts 100%_", description="Of shops")
    paused = create(api, workspace, name="Walks")
    ended = create(api, workspace, name="receipts again")
    open_study(api, paused, "PUBLISH", "PAUSE")
    open_study(api, ended, "PUBLISH", "STOP")
    running = create(api, workspace, name="Open", description="receipts of every kind")
    open_study(api, running)
    open_study(api, running, "PUBLISH")
    expected: dict[tuple[tuple[str, str], ...], set[str]] = {
        (): {draft, paused, ended, running},
        (("search", "RECEIPTS"),): {draft, ended, running},
        (("search", "100%_"),): {draft},
        (("search", "0_"),): set(),
        (("search", "%"),): {draft},
        (("search", paused.upper()),): {paused},
        (("state", "draft"),): {draft},
        (("state", "PAUSED"),): {paused},
        (("state", "ended"),): {ended},
        (("state", "open"), ("search", "receipts")): {running},
        (("mine", "yes"),): {draft, paused, ended, running},
        (("review", "yes"),): set(),
        (("archived", "yes"),): set(),
        (("archived", "all"), ("state", "")): {draft, paused, ended, running},
    }
    for given, found in expected.items():
        assert set(listed(api, workspace, **dict(given))) == found, given
        page = browser.get("/researcher", params={"workspace": workspace, **dict(given)})
        assert set(shown(page)) == found, given
    _, token = insert_researcher(server, role=Role.VIEWER, workspace_id=workspace)
    with server.client(token) as other:
        assert listed(other, workspace, mine="yes") == []
        assert len(listed(other, workspace)) == 4
    for name, text in (("state", "x"), ("mine", "x"), ("archived", "x"), ("sort", "x"), ("search", "\0")):
        given_wrong = {"workspace_id": workspace, name: text}
        refused(api.get(COLLECTIONS, params=given_wrong), 400, name)
    listing = server.run(
        "collection", "list", "-w", workspace, "--search", "receipts", "--state", "open", "--json"
    )
    assert [each["id"] for each in json.loads(listing.stdout)] == [running]


def test_who_is_no_member_finds_nothing(server: Installation, browser: httpx.Client) -> None:
    path, other = "/researcher", str(uuid4())
    with connected(server) as database:
        database.execute("INSERT INTO workspaces (id, title) VALUES (%s, 'Of others')", [other])
    assert other not in browser.get(path).text
    assert browser.get(path, params={"workspace": other}).status_code == 404
    for wrong in ("x", "e30"):
        assert browser.get(path, params={"after": wrong}).status_code == 400


def test_pages_follow_each_other_by_what_happened_last(
    server: Installation, api: httpx.Client, browser: httpx.Client
) -> None:
    workspace = expect(api.post("/workspaces", json={"title": f"Pages {uuid4()}"}), 201)["id"]
    made = [create(api, workspace, name=f"Number {number}") for number in range(30)]
    with connected(server) as database:  # as if each had been made a day after the one before
        database.execute(
            "UPDATE collection_activity a SET active_at ="
            " now() - make_interval(days => 40 - array_position(%s, a.collection_id)) WHERE a.workspace_id = %s",
            [[UUID(each) for each in made], workspace],
        )
    assert listed(api, workspace, sort="activity") == made[::-1]
    last = made[0]
    open_study(api, last)  # something happens: first again
    expected = [last, *made[:0:-1]]
    assert listed(api, workspace, sort="activity") == expected
    first = browser.get("/researcher", params={"workspace": workspace})
    following = re.search(r'rel="next" href="([^"]*)"', first.text)
    assert following
    second = browser.get(html.unescape(following[1]))
    assert shown(first) + shown(second) == expected
    assert 'rel="next"' not in second.text
    previous = re.search(r'rel="prev" href="([^"]*)"', second.text)
    assert previous
    assert shown(browser.get(html.unescape(previous[1]))) == shown(first)


def test_ten_thousand_collections_are_a_page_like_ten(server: Installation, api: httpx.Client) -> None:
    """Counted in rows that PostgreSQL fetches: pages read what they show, and no submission."""
    researcher = expect(api.get("/users/me"), 200)["id"]

    async def look() -> None:
        with open_embedded(server.data_dir) as embedded:
            async with await psycopg.AsyncConnection.connect(
                embedded.url, row_factory=dict_row
            ) as connection:
                workspace = uuid4()
                await connection.execute(
                    "INSERT INTO workspaces (id, title) VALUES (%s, 'Many')", [workspace]
                )
                await connection.execute(
                    "INSERT INTO memberships (workspace_id, researcher_id, role) VALUES (%s, %s, 'owner')",
                    [workspace, researcher],
                )
                await connection.execute(
                    "INSERT INTO collections (id, workspace_id, name, created_by)"
                    " SELECT gen_random_uuid(), %s, 'Number ' || n, %s FROM generate_series(1, %s) n",
                    [workspace, researcher, MANY],
                )
                await connection.execute(
                    "UPDATE collection_activity SET active_at = now() - random() * interval '1 year'"
                    " WHERE workspace_id = %s",
                    [workspace],
                )
                await connection.execute(
                    "ANALYZE collections, collection_activity, collection_counts, studies"
                )

                async def fetched() -> dict[str, int]:
                    cursor = await connection.execute(
                        "SELECT relname, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) AS count"
                        " FROM pg_stat_xact_user_tables"
                    )
                    return {row["relname"]: row["count"] for row in await cursor.fetchall()}

                place, seen = None, 0
                for _ in range(3):
                    before = await fetched()
                    rows = await queries.list_latest(
                        connection, [workspace], UUID(researcher), ["owner"], CollectionFilter(), 26, place
                    )
                    assert len(rows) == 26
                    await queries.summarise(connection, [row.id for row in rows])
                    after = await fetched()
                    read = {name: count - before.get(name, 0) for name, count in after.items()}
                    assert read.get("submissions", 0) == 0
                    assert read["collections"] <= 4 * 26, read
                    assert read["collection_activity"] <= 4 * 26, read
                    place, seen = rows[-1].place, seen + len(rows)
                await connection.rollback()

    asyncio.run(look())


def test_a_filter_is_written_as_it_is_read() -> None:
    for state in (None, *STATES):
        for archived in ("no", "yes", "all"):
            wanted = CollectionFilter("a b", state, mine=True, review=state is None, archived=archived)
            assert parse_filter(wanted.parameters()) == wanted
    assert CollectionFilter().parameters() == []
    assert parse_filter([("search", " "), ("state", ""), ("other", "x")]) == CollectionFilter()
