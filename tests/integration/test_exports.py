"""Exports: statuses, headers, idempotence, what *recent* means, filters, retention."""

from __future__ import annotations

import asyncio
import io
import json
import re
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from fieldpack.server.db.embedded.server import open_embedded
from fieldpack.server.exports import transitions
from fieldpack.server.exports.routes import wait_seconds
from fieldpack.server.notices import CHANNEL
from tests.files_there import iter_contents
from tests.installation import Installation
from tests.integration.waiting import wait_for
from tests.refusals import refused
from tests.scenario import PNG, Scenario, expect

FACTS = {
    "export_id",
    "created_at",
    "snapshot_at",
    "completed_at",
    "submission_count",
    "file_count",
    "size_bytes",
}


@pytest.fixture
def scenario(api: httpx.Client) -> Scenario:
    made = Scenario.create(api)
    made.take_part("first", "One", [("photo.png", PNG)])
    return made


def poll(scenario: Scenario, export_id: str) -> dict[str, Any]:
    """The export once it has ended."""
    while True:
        answer: dict[str, Any] = expect(
            scenario.api.get(f"{scenario.export_path}/{export_id}", headers={"Prefer": "wait=10"}), 200
        )
        if answer["status"] != "generating":
            return answer


def lines(archive: bytes) -> list[dict[str, Any]]:
    """The records of an archive."""
    text = zipfile.ZipFile(io.BytesIO(archive)).read("responses.jsonl").decode()
    return [json.loads(line) for line in text.splitlines()]


def test_from_request_to_link(scenario: Scenario) -> None:
    requested = scenario.api.post(scenario.export_path)
    body = expect(requested, 202)
    assert body["status"] == "generating"
    UUID(body["export_id"])
    assert set(body) >= FACTS | {"progress"}
    assert 0 <= body["progress"] <= 1
    assert "url" not in body
    location = f"{scenario.api.base_url}{scenario.export_path.lstrip('/')}/{body['export_id']}"
    assert requested.headers["Location"] == location
    assert requested.headers["Retry-After"] == "3"

    polled = scenario.api.get(requested.headers["Location"], headers={"Prefer": "respond-async, wait=30"})
    complete = expect(polled, 200)
    assert polled.headers["Preference-Applied"] == "wait=30"
    assert complete["status"] == "complete"
    assert set(complete) >= FACTS | {"url", "expires_at"}
    assert complete["export_id"] == body["export_id"]
    assert (complete["submission_count"], complete["file_count"]) == (1, 1)
    archive = scenario.download(complete)
    assert len(archive) == complete["size_bytes"]
    expires = datetime.fromisoformat(complete["expires_at"]) - datetime.fromisoformat(
        complete["completed_at"]
    )
    assert timedelta(hours=23, minutes=59) < expires < timedelta(hours=24, minutes=1)

    again = scenario.api.post(scenario.export_path)
    body = expect(again, 200)
    assert (body["status"], body["export_id"]) == ("complete", complete["export_id"])
    assert "Location" not in again.headers
    assert scenario.download(body) == archive


def test_an_unfinished_poll_is_200_with_retry_after(scenario: Scenario) -> None:
    """GET answers 200 in every state."""
    body = expect(scenario.api.post(scenario.export_path), 202)
    answer = scenario.api.get(f"{scenario.export_path}/{body['export_id']}")
    state = expect(answer, 200)
    if state["status"] == "generating":
        assert answer.headers["Retry-After"] == "3"
        assert state["progress"] <= 1
        assert state["export_id"] == body["export_id"]


@pytest.mark.parametrize("prefer", ["wait=20", "wait=20, respond-async", 'foo; bar, wait="20"', "Wait = 20"])
def test_post_waits_when_asked_to(scenario: Scenario, prefer: str) -> None:
    assert expect(scenario.api.post(scenario.export_path, headers={"Prefer": prefer}), 200)["url"]


def test_preferences_may_come_in_several_lines(scenario: Scenario) -> None:
    """RFC 7240 §2."""
    headers = [("Prefer", "respond-async"), ("Prefer", "wait=20")]
    assert expect(scenario.api.post(scenario.export_path, headers=headers), 200)["url"]


@pytest.mark.parametrize(
    "prefer", ["wait=x", "wait=-1", "wait=", "wait=99999999999999", "nonsense", "wait=0"]
)
def test_malformed_preferences_are_ignored(scenario: Scenario, prefer: str) -> None:
    body = scenario.api.post(scenario.export_path, headers={"Prefer": prefer})
    assert body.status_code in (200, 202)


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (["wait=5"], 5),
        (["wait=5; foo=bar"], 5),
        (["foo; bar", 'WAIT = "5"'], 5),
        ([' a="b, \\" c" ,wait=5, wait=9'], 5),
        (["wait=500"], 60),
        (["foo; wait=5"], 0),
        (["respond-async;wait=5"], 0),
        (['foo="a, wait=5"'], 0),
        (['foo="a, wait=5'], 0),
        (["wait=5 foo"], 0),
        (['"' + '\\"' * 8000 + "\\"], 0),
        (None, 0),
    ],
)
def test_only_a_preference_of_its_own_makes_wait(prefer: list[str] | None, seconds: float) -> None:
    assert wait_seconds(prefer) == seconds


def test_a_body_is_an_object_or_none(scenario: Scenario) -> None:
    api, collection = scenario.api, f"/data-collection/collections/{scenario.collection['id']}"
    for body in (b"[]", b'"x"', b"5", b"true", b"[{}]"):
        refused(api.post(scenario.export_path, content=body), 400, "body")
        for path in (f"{collection}/duplicate", f"/studies/{scenario.study['id']}/clone"):
            refused(api.post(path, content=body), 400, "body")
    first = expect(api.post(scenario.export_path, content=b"null"), 202)["export_id"]
    poll(scenario, first)
    for content, ignored in (
        (b"", None),
        (b" ", None),
        (b"{}", None),
        (b'{"b": 1, "a": 2, "filter": null}', "a, b"),
    ):
        answer = api.post(scenario.export_path, content=content)
        assert expect(answer, 200)["export_id"] == first
        assert answer.headers.get("x-ignored-parameters") == ignored


def test_fifty_at_once_make_one_job(scenario: Scenario, server: Installation) -> None:
    def request(_: int) -> tuple[int, str]:
        with server.client() as client:
            answer = client.post(scenario.export_path)
        return answer.status_code, answer.json()["export_id"]

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(request, range(50)))
    assert len({export_id for _, export_id in answers}) == 1
    assert {status for status, _ in answers} <= {200, 202}
    assert len(expect(scenario.api.get(scenario.export_path), 200)) == 1
    poll(scenario, answers[0][1])
    with connected(server) as database:
        attempts = database.execute("SELECT attempts FROM exports WHERE id = %s", [answers[0][1]]).fetchone()
    assert attempts == (1,)


def connected(server: Installation) -> psycopg.Connection[Any]:
    """A connection to the database of an installation."""
    with open_embedded(server.data_dir) as embedded:
        return psycopg.connect(embedded.url, autocommit=True)


def test_what_makes_an_export_outdated(scenario: Scenario) -> None:
    api = scenario.api
    previous = scenario.export()

    def changed() -> dict[str, Any]:
        nonlocal previous
        body = expect(api.post(scenario.export_path), 202)
        assert body["export_id"] != previous["export_id"]
        previous = poll(scenario, body["export_id"])
        return previous

    def unchanged() -> None:
        assert expect(api.post(scenario.export_path), 200)["export_id"] == previous["export_id"]

    unchanged()
    running = scenario.start("second")
    unchanged()
    expect(running.answer(running.item(0), {"value": "Two"}), 200)
    unchanged()
    running.submit()
    changed()
    running.submit()
    unchanged()

    decision = f"/submissions/{running.submission_id}/transition"
    expect(api.post(decision, json={"action": "APPROVE"}), 200)
    archive = scenario.download(changed())
    assert [line["status"] for line in lines(archive)] == ["AWAITING REVIEW", "APPROVED"]
    expect(api.post(decision, json={"action": "APPROVE"}), 200)
    unchanged()

    path = f"/data-collection/collections/{scenario.collection['id']}"
    expect(api.put(path, json={**expect(api.get(path), 200), "name": "Renamed"}), 200)
    archive = scenario.download(changed())
    described = json.loads(zipfile.ZipFile(io.BytesIO(archive)).read("collection.json"))
    assert described["name"] == "Renamed"

    leaver = scenario.start("third")
    expect(api.post(f"{leaver.path}/return", headers=leaver.headers), 200)
    unchanged()
    expect(api.delete(f"/submissions/{leaver.submission_id}"), 204)
    unchanged()

    expect(api.post(f"/submissions/{running.submission_id}/request-return",
                    json={"request_return_reasons": ["x"]}), 200)  # fmt: skip
    unchanged()
    expect(api.post(f"{running.path}/return", headers=running.headers), 200)
    assert len(lines(scenario.download(changed()))) == 1
    expect(api.patch(f"/studies/{scenario.study['id']}", json={"name": "Another name"}), 200)
    unchanged()
    assert len(expect(api.get(scenario.export_path), 200)) == 5


def test_archives_hold_active_responses_only(scenario: Scenario) -> None:
    scenario.start("under way")
    returned = scenario.start("returned")
    expect(scenario.api.post(f"{returned.path}/return", headers=returned.headers), 200)
    erased = scenario.take_part("erased")
    expect(scenario.api.delete(f"/submissions/{erased}"), 204)
    assert [line["participant_id"] for line in lines(scenario.download())] == ["first"]


def test_an_empty_collection_exports(api: httpx.Client) -> None:
    scenario = Scenario.create(api)
    export = scenario.export()
    assert (export["submission_count"], export["file_count"]) == (0, 0)
    archive = zipfile.ZipFile(io.BytesIO(scenario.download(export)))
    assert archive.namelist() == ["responses.jsonl", "collection.json", "README.md"]
    assert archive.read("responses.jsonl") == b""


def test_instructions_are_numbered_as_the_api_numbers_them(api: httpx.Client) -> None:
    scenario = Scenario.create(api)
    path = f"/data-collection/collections/{scenario.collection['id']}"
    collection = expect(api.get(path), 200)
    page = collection["collection_items"][0]
    first, second = page["page_items"]
    page["order"], first["order"], second["order"] = 1, 2, 1
    another = {"order": 2, "page_items": [{"type": "free_text", "description": "New", "order": 1}]}
    collection["collection_items"].append(another)
    collection = expect(api.put(path, json=collection), 200)
    archive = zipfile.ZipFile(io.BytesIO(scenario.download()))
    described = json.loads(archive.read("collection.json"))["instructions"]
    assert [(row["id"], row["page"], row["order"]) for row in described] == [
        (item["id"], page["order"], item["order"])
        for page in collection["collection_items"]
        for item in page["page_items"]
    ]
    assert [(row["page"], row["order"]) for row in described] == [(1, 1), (1, 2), (2, 1)]


@pytest.fixture
def filtered(scenario: Scenario) -> Scenario:
    """Two more submissions, the last to another study of the same collection."""
    scenario.take_part("second")
    fields = ("name", "total_available_places", "data_collection_method", "data_collection_id")
    made = expect(scenario.api.post("/studies", json={name: scenario.study[name] for name in fields}), 201)
    expect(scenario.api.post(f"/studies/{made['id']}/transition", json={"action": "PUBLISH"}), 200)
    Scenario(scenario.api, scenario.collection, made).take_part("third")
    scenario.study = {**scenario.study, "other": made["id"]}
    return scenario


def test_filters_choose(filtered: Scenario) -> None:
    def chosen(**filter: str) -> list[str]:
        return [line["participant_id"] for line in lines(filtered.download(filtered.export(**filter)))]

    records = lines(filtered.download())
    assert [record["participant_id"] for record in records] == ["first", "second", "third"]
    times = [record["completed_at"] for record in records]
    assert times == sorted(times)
    assert chosen(study_id=filtered.study["id"]) == ["first", "second"]
    assert chosen(study_id=filtered.study["other"]) == ["third"]
    assert chosen(**{"from": times[1]}) == ["second", "third"]  # inclusive
    assert chosen(to=times[1]) == ["first"]  # exclusive
    assert chosen(**{"from": times[1], "to": times[2]}) == ["second"]
    assert chosen(**{"from": times[1], "to": times[1]}) == []
    assert chosen(study_id=filtered.study["other"], to=times[2]) == []
    assert chosen(**{"from": "2999-01-01T00:00:00Z"}) == []


def test_filters_are_normalised_and_listed(filtered: Scenario) -> None:
    first = filtered.export(**{"from": "2026-01-01T12:00:00Z", "study_id": filtered.study["id"]})
    for written in ("2026-01-01T12:00:00.000000Z", "2026-01-01t12:00:00z", "2026-01-01T14:30:00+02:30"):
        again = filtered.api.post(
            filtered.export_path, params={"study_id": filtered.study["id"].upper(), "from": written}
        )
        assert expect(again, 200)["export_id"] == first["export_id"]
    # an unencoded plus arrives as a space
    path = f"{filtered.export_path}?from=2026-01-01T14:30:00+02:30&study_id={filtered.study['id']}"
    assert expect(filtered.api.post(path), 200)["export_id"] == first["export_id"]
    everything = filtered.export()
    assert everything["export_id"] != first["export_id"]
    listed = expect(filtered.api.get(filtered.export_path), 200)
    newest, oldest = listed
    assert (newest["export_id"], newest["filter"], newest["status"]) == (
        everything["export_id"],
        None,
        "complete",
    )
    assert oldest["export_id"] == first["export_id"]
    assert set(oldest["filter"]) == {"from", "study_id"}
    assert oldest["filter"]["study_id"] == filtered.study["id"]
    assert datetime.fromisoformat(oldest["filter"]["from"]) == datetime.fromisoformat(
        "2026-01-01T12:00:00+00:00"
    )
    assert newest["created_at"] > oldest["created_at"]
    page = expect(filtered.api.get(f"{filtered.export_path}?limit=1&offset=1"), 200)
    assert page == [oldest]
    assert expect(filtered.api.get(f"{filtered.export_path}?page=2&page_size=1"), 200) == [oldest]
    described = json.loads(zipfile.ZipFile(io.BytesIO(filtered.download(first))).read("collection.json"))
    assert described["export"]["filter"] == oldest["filter"]
    assert described["export"]["submission_count"] == 2


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=yesterday", "from"),
        ("from=2026-01-01", "from"),
        ("from=2026-01-01T00:00:00", "from"),
        ("from=2026-13-01T00:00:00Z", "from"),
        ("from=0001-01-01T00:00:00%2B14:00", "from"),
        ("to=9999-12-31T23:59:59-14:00", "to"),
        ("from=", "from"),
        ("to=1", "to"),
        ("study_id=", "study_id"),
        ("study_id=x", "study_id"),
        ("study_id=3f0c9a52-5f1e-4a0e-9f5b-1d6f0d6a7e11", "study_id"),
        ("since=2026-01-01T00:00:00Z", "since"),
        ("From=2026-01-01T00:00:00Z", "From"),
        ("limit=5", "limit"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "to"),
        ("from=2026-01-02T00:00:00Z&from=2026-01-02T00:00:00Z", "from"),
    ],
)
def test_malformed_filters_are_400(scenario: Scenario, query: str, field: str) -> None:
    refused(scenario.api.post(f"{scenario.export_path}?{query}"), 400, field)


def test_a_study_of_another_collection_is_400(scenario: Scenario) -> None:
    other = Scenario.create(scenario.api)
    refused(scenario.api.post(f"{scenario.export_path}?study_id={other.study['id']}"), 400, "study_id")


def test_edge_times_are_kept(scenario: Scenario) -> None:
    for time_ in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2016-12-31T23:59:60Z"):
        assert scenario.export(**{"from": time_})["status"] == "complete"


def test_delete(scenario: Scenario) -> None:
    export = scenario.export()
    path = f"{scenario.export_path}/{export['export_id']}"
    answer = scenario.api.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    refused(httpx.get(export["url"]), 410)
    refused(httpx.get(export["url"], headers={"Range": "bytes=0-1"}), 410)
    assert httpx.head(export["url"]).status_code == 410
    refused(scenario.api.get(path), 404)
    refused(scenario.api.delete(path), 404)
    assert expect(scenario.api.get(scenario.export_path), 200) == []
    assert expect(scenario.api.post(scenario.export_path), 202)["export_id"] != export["export_id"]


def test_an_export_of_another_collection_is_404(scenario: Scenario) -> None:
    other = Scenario.create(scenario.api)
    path = f"{other.export_path}/{scenario.export()['export_id']}"
    refused(scenario.api.get(path), 404)
    refused(scenario.api.delete(path), 404)


def test_a_failed_export_is_retried_by_post(scenario: Scenario, server: Installation) -> None:
    export = scenario.export()
    with connected(server) as database:
        database.execute(
            "UPDATE exports SET status = 'failed', failure_reason = 'Because.' WHERE id = %s",
            [export["export_id"]],
        )
    state = expect(scenario.api.get(f"{scenario.export_path}/{export['export_id']}"), 200)
    assert (state["status"], state["failure_reason"]) == ("failed", "Because.")
    assert "url" not in state
    assert set(state) >= FACTS
    refused(httpx.get(export["url"]), 410)
    again = expect(scenario.api.post(scenario.export_path), 202)
    assert poll(scenario, again["export_id"])["status"] == "complete"


def test_who_waits_hears_that_an_export_failed_and_nothing_of_it_stays(
    scenario: Scenario, server: Installation
) -> None:
    """Whatever fails an export does it by this one statement."""
    export = scenario.export()
    export_id = UUID(export["export_id"])
    stored = server.data_dir / "storage" / "exports" / str(export_id)
    assert any(iter_contents(stored))

    async def fail(url: str) -> list[int]:
        async with await psycopg.AsyncConnection.connect(url, row_factory=dict_row) as connection:
            return [
                await transitions.fail(connection, [export_id], "generating", "Not now."),
                await transitions.fail(connection, [export_id], "complete", "Not this.", build=uuid4()),
                await transitions.fail(connection, [export_id], "complete", "Because."),
                await transitions.fail(connection, [export_id], "complete", "Once is enough."),
            ]

    with connected(server) as database:
        database.execute(f"LISTEN {CHANNEL}")
        assert asyncio.run(fail(database.info.dsn)) == [0, 0, 1, 0]
        assert any(notice.payload == str(export_id) for notice in database.notifies(timeout=60))
    state = expect(scenario.api.get(f"{scenario.export_path}/{export_id}"), 200)
    assert (state["status"], state["failure_reason"]) == ("failed", "Because.")
    wait_for(lambda: not any(iter_contents(stored)))


def test_links_are_fresh_at_every_look(scenario: Scenario) -> None:
    export = scenario.export()
    later = expect(scenario.api.get(f"{scenario.export_path}/{export['export_id']}"), 200)
    assert later["expires_at"] > export["expires_at"]
    assert later["url"] != export["url"]
    assert scenario.download(export) == scenario.download(later)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A server that keeps three exports, five with links that work, behind a public address."""
    settings = {
        "FIELDPACK_EXPORTS_KEPT": "3",
        "FIELDPACK_EXPORTS_KEPT_WITH_LINKS": "5",
        "FIELDPACK_EXPORTS_GENERATING": "12",
        "FIELDPACK_PUBLIC_URL": "https://data.example.org",
    }
    installation = Installation(
        tmp_path_factory.mktemp("small") / "data", ["--workers", "2"], settings
    ).start()
    try:
        yield installation
    finally:
        installation.stop()


def local(installation: Installation, url: str) -> str:
    """A link of the public address, at the address of the test."""
    assert url.startswith("https://data.example.org/api/v1/"), url
    return url.replace("https://data.example.org", installation.url)


def test_the_right_export_makes_way(small: Installation) -> None:
    """The oldest of those whose links have all expired; those with a link that works only beyond a larger number."""
    with small.client() as api:
        scenario = Scenario.create(api)

        def export(year: int) -> str:
            made: str = scenario.export(**{"from": f"{year}-01-01T00:00:00Z"})["export_id"]
            return made

        def kept() -> set[str]:
            return {row["export_id"] for row in expect(api.get(scenario.export_path), 200)}

        first, second, third = export(2001), export(2002), export(2003)
        assert kept() == {first, second, third}
        with connected(small) as database:
            for identifier, lives in ((first, "1 hour"), (second, "-1 hour"), (third, "1 hour")):
                database.execute(
                    "UPDATE exports SET links_expire_at = now() + %s::interval WHERE id = %s",
                    [lives, identifier],
                )
        fourth = export(2004)
        assert kept() == {first, third, fourth}
        with connected(small) as database:
            database.execute("UPDATE exports SET links_expire_at = now() + interval '1 hour'")
        fifth, sixth = export(2005), export(2006)
        assert kept() == {first, third, fourth, fifth, sixth}
        with connected(small) as database:
            database.execute("UPDATE exports SET links_expire_at = now() + interval '1 hour'")
        seventh = export(2007)
        assert kept() == {third, fourth, fifth, sixth, seventh}
        with connected(small) as database:
            database.execute("UPDATE exports SET links_expire_at = now() + interval '1 hour'")
            for expired in (fourth, sixth, seventh):
                database.execute(
                    "UPDATE exports SET links_expire_at = now() - interval '1 hour' WHERE id = %s", [expired]
                )
        eighth = export(2008)
        assert kept() == {third, fifth, eighth}
        folder = Path(small.data_dir) / "storage" / "exports"
        wait_for(
            lambda: not {path.name for path in folder.iterdir()} & {first, second, fourth, sixth, seventh}
        )


def test_many_requested_at_once_leave_as_many_as_are_kept(small: Installation) -> None:
    """While they are generating none can make way; when they are done the oldest does. Nobody has looked at them,
    so each counts as having a link that works."""
    with small.client() as api:
        scenario = Scenario.create(api)
        requested = [
            api.post(scenario.export_path, params={"from": f"{year}-01-01T00:00:00Z"}).json()["export_id"]
            for year in range(2001, 2010)
        ]

        def are_complete() -> bool:
            listed = expect(api.get(scenario.export_path), 200)
            return all(row["status"] == "complete" for row in listed)

        wait_for(are_complete)
        listed = expect(api.get(scenario.export_path), 200)
        assert [row["export_id"] for row in listed] == requested[:-6:-1]


def test_a_link_minted_later_never_shortens_the_life_of_an_earlier_one(small: Installation) -> None:
    """As when `FIELDPACK_LINK_LIFETIME_SECONDS` was lowered: the earlier link still works, and its export stays."""
    with small.client() as api:
        scenario = Scenario.create(api)
        export_id = scenario.export()["export_id"]
        with connected(small) as database:
            set_days = "UPDATE exports SET links_expire_at = now() + interval '30 days' WHERE id = %s"
            database.execute(set_days, [export_id])
            expect(api.get(f"{scenario.export_path}/{export_id}"), 200)
            query = "SELECT links_expire_at > now() + interval '29 days' FROM exports WHERE id = %s"
            assert database.execute(query, [export_id]).fetchone() == (True,)


def test_one_that_nobody_has_looked_at_yet_does_not_make_way(small: Installation) -> None:
    with small.client() as api:
        scenario = Scenario.create(api)
        looked_at = [
            scenario.export(**{"from": f"{year}-01-01T00:00:00Z"})["export_id"] for year in (2001, 2002)
        ]
        waited_for = expect(api.post(scenario.export_path), 202)["export_id"]
        with connected(small) as database:
            database.execute("UPDATE exports SET links_expire_at = now() + interval '1 hour'"
                             " WHERE links_expire_at IS NOT NULL")  # fmt: skip
            generating = "SELECT 1 FROM exports WHERE status = 'generating'"
            wait_for(lambda: database.execute(generating).fetchone() is None)
            database.execute("UPDATE exports SET links_expire_at = now() - interval '1 hour'"
                             " WHERE id = ANY(%s::uuid[])", [looked_at])  # fmt: skip
        newest = [
            scenario.export(**{"from": f"{year}-01-01T00:00:00Z"})["export_id"] for year in (2003, 2004)
        ]
        listed = expect(api.get(scenario.export_path), 200)
        assert [row["export_id"] for row in listed] == [*newest[::-1], waited_for]


def test_the_public_url_is_the_origin_of_links(small: Installation) -> None:
    with small.client() as api:
        scenario = Scenario.create(api)
        answer = api.post(scenario.export_path)
        assert answer.headers["Location"].startswith("https://data.example.org/api/v1/data-collection/")
        assert scenario.study["external_study_url"].startswith("https://data.example.org/participate/")
        url = poll(scenario, answer.json()["export_id"])["url"]
        assert re.fullmatch(
            r"https://data\.example\.org/api/v1/[\w/-]+\?expires=\d+&key=[0-9a-f]+&signature=[0-9a-f]+", url
        )


def test_both_processes_serve_the_same_bytes_also_after_a_restart(small: Installation) -> None:
    with small.client() as api:
        scenario = Scenario.create(api)
        scenario.take_part("someone", files=[("a.png", PNG)])
        export_id = scenario.export()["export_id"]

        def fetch() -> tuple[bytes, str, str]:
            link = expect(api.get(f"{scenario.export_path}/{export_id}"), 200)["url"]
            with httpx.Client(trust_env=False) as plain:  # a connection of its own meets any of the processes
                answer = plain.get(local(small, link))
            assert answer.status_code == 200, answer.text
            return answer.content, answer.headers["etag"], answer.headers["content-disposition"]

        assert len({fetch() for _ in range(12)}) == 1
        before = fetch()
    small.stop()
    small.start()
    with small.client() as api:
        scenario.api = api
        assert fetch() == before
        assert expect(api.post(scenario.export_path), 200)["export_id"] == export_id


def _request_too_many(scenario: Scenario) -> None:
    """At most twelve are made at a time; thirty are asked for at once."""

    def ask(year: int) -> httpx.Response:
        return scenario.api.post(scenario.export_path, params={"from": f"{year}-01-01T00:00:00Z"})

    with ThreadPoolExecutor(15) as pool:
        answers = list(pool.map(ask, range(2001, 2031)))
    assert Counter(answer.status_code for answer in answers) == {202: 12, 429: 18}
    busy = [answer for answer in answers if answer.status_code == 429]
    assert {int(answer.headers["Retry-After"]) for answer in busy} == {5}
    assert "12 exports" in refused(busy[0], 429)
    assert len(expect(scenario.api.get(scenario.export_path), 200)) == 12
    begun = next(answer for answer in answers if answer.status_code == 202)
    joined = scenario.api.post(f"{scenario.export_path}?{begun.request.url.query.decode()}")
    assert expect(joined, 202)["export_id"] == begun.json()["export_id"]


def test_without_a_worker_it_waits_and_cannot_be_deleted(small: Installation) -> None:
    small.stop()
    small.options.append("--no-worker")
    small.start()
    with small.client() as api:
        scenario = Scenario.create(api)
        body = expect(api.post(scenario.export_path), 202)
        started = time.monotonic()
        answer = expect(
            api.get(f"{scenario.export_path}/{body['export_id']}", headers={"Prefer": "wait=1"}), 200
        )
        assert answer["status"] == "generating"
        assert time.monotonic() - started >= 0.9
        refused(api.delete(f"{scenario.export_path}/{body['export_id']}"), 409)
        scenario.take_part("later")
        joined = expect(api.post(scenario.export_path), 202)  # who joins gets that job
        assert joined["export_id"] == body["export_id"]
        other = expect(api.post(scenario.export_path, params={"to": "2020-01-01T00:00:00Z"}), 202)
        assert other["export_id"] != body["export_id"]
        _request_too_many(Scenario.create(api))
        expect(api.post(scenario.export_path, params={"to": "2021-01-01T00:00:00Z"}), 202)  # each has its own
    small.stop()
    small.options.remove("--no-worker")
    small.start()
    with small.client() as api:
        scenario.api = api
        assert poll(scenario, body["export_id"])["submission_count"] == 1
