"""Many at once: places are never oversold, nobody waits for somebody who waits for them, nothing is lost."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.gates import wait_for
from tests.installation import Installation, installed
from tests.integration.rows import connected
from tests.scenario import Participant, Scenario, expect


@pytest.fixture(scope="module")
def busy() -> Iterator[Installation]:
    """Two web processes: what holds between requests must hold between processes."""
    with installed("--workers", "2") as installation:
        yield installation


def all_at_once(
    server: Installation, calls: list[tuple[str, str, Any]], token: str | None = None
) -> list[httpx.Response]:
    """Every call on a connection of its own, all under way together; who is asked to come again does."""

    async def send(client: httpx.AsyncClient, method: str, path: str, body: Any) -> httpx.Response:
        while True:
            answer = await client.request(method, path, json=body)
            if answer.status_code != 503:
                return answer
            await asyncio.sleep(float(answer.headers["Retry-After"]))

    async def run() -> list[httpx.Response]:
        headers = {"Authorization": f"Token {token or server.token}"}
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=f"{server.url}/api/v1", headers=headers, timeout=120, limits=limits, trust_env=False
        ) as client:
            return await asyncio.gather(*(send(client, *call) for call in calls))

    return asyncio.run(run())


def test_two_hundred_participants_for_a_hundred_places(busy: Installation) -> None:
    with busy.client() as api:
        scenario = Scenario.create(api, places=100)
        path = f"/participate/studies/{scenario.study['id']}/submissions"
        calls = [("POST", path, {"participant_id": f"p{number}", "session_id": "s"}) for number in range(200)]
        answers = all_at_once(busy, calls)
        assert Counter(answer.status_code for answer in answers) == {201: 100, 409: 100}
        study = expect(api.get(f"/studies/{scenario.study['id']}"), 200)
        assert (study["places_taken"], study["status"]) == (100, "AWAITING REVIEW")
        counts = expect(api.get(f"/studies/{scenario.study['id']}/submissions/counts"), 200)
        assert (counts["ACTIVE"], counts["TOTAL"]) == (100, 100)
        assert len({answer.json()["submission_id"] for answer in answers if answer.status_code == 201}) == 100


def test_one_participant_many_times_at_once(busy: Installation) -> None:
    with busy.client() as api:
        scenario = Scenario.create(api, places=100)
        path = f"/participate/studies/{scenario.study['id']}/submissions"
        same = all_at_once(busy, [("POST", path, {"participant_id": "p", "session_id": "s"})] * 30)
        assert Counter(answer.status_code for answer in same) == {201: 1, 200: 29}
        assert len({answer.json()["submission_id"] for answer in same}) == 1
        other = [("POST", path, {"participant_id": "q", "session_id": str(number)}) for number in range(30)]
        assert Counter(answer.status_code for answer in all_at_once(busy, other)) == {201: 1, 409: 29}
        assert expect(api.get(f"/studies/{scenario.study['id']}"), 200)["places_taken"] == 2


def test_submitting_twice_at_once(busy: Installation) -> None:
    with busy.client() as api:
        scenario = Scenario.create(api)
        participant = scenario.start("p")
        expect(participant.answer(participant.item(0), {"value": "x"}), 200)
        answers = all_at_once(busy, [("POST", f"{participant.path}/submit", None)] * 20, participant.token)
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.text for answer in answers}) == 1
        responses = f"/data-collection/collections/{scenario.collection['id']}/responses"
        assert expect(api.get(responses), 200)["meta"]["count"] == 1


def test_fifty_requests_of_two_filters_make_two_exports(busy: Installation) -> None:
    with busy.client() as api:
        scenario = Scenario.create(api)
        scenario.take_part("p")
        filtered = f"{scenario.export_path}?to=2999-01-01T00:00:00Z"
        calls = [("POST", scenario.export_path if number % 2 else filtered, None) for number in range(100)]
        answers = all_at_once(busy, calls)
        assert {answer.status_code for answer in answers} <= {200, 202}
        assert len({answer.json()["export_id"] for answer in answers}) == 2
        assert len(expect(api.get(scenario.export_path), 200)) == 2


def test_edits_and_ends_at_once_do_not_deadlock(busy: Installation) -> None:
    """Submit, return, review, erase, edit, export and patch of the same things, again and again."""
    with busy.client() as api:
        scenario = Scenario.create(api, places=500)
        people = [scenario.start(f"p{number}") for number in range(40)]
        for person in people:
            expect(person.answer(person.item(0), {"value": "x"}), 200)
        collection = f"/data-collection/collections/{scenario.collection['id']}"
        study = f"/studies/{scenario.study['id']}"

    def work(number: int) -> list[httpx.Response]:
        person = people[number]
        with busy.client() as own:
            answers = [own.post(f"{person.path}/submit", headers=person.headers)]
            answers.append(own.post(scenario.export_path))
            if number % 4 == 0:
                answers.append(own.put(collection, json=scenario.collection))
            decision = f"/submissions/{person.submission_id}/transition"
            answers.append(own.post(decision, json={"action": "APPROVE"}))
            answers.append(own.get(f"{study}/submissions/counts"))
            answers.append(own.patch(study, json={"total_available_places": 500 + number}))
            if number % 2 == 0:
                answers.append(own.delete(f"/submissions/{person.submission_id}"))
            answers.append(own.post(scenario.export_path))
            return answers

    with ThreadPoolExecutor(20) as pool:
        for answers in pool.map(work, range(40)):
            for answer in answers:
                assert answer.status_code in (200, 202, 204), (answer.request.url, answer.text)
    with busy.client() as api:
        scenario.api = api
        archive = zipfile.ZipFile(io.BytesIO(scenario.download()))
        assert archive.read("responses.jsonl").count(b"\n") == 20
    with connected(busy) as database:
        deadlocks = database.execute(
            "SELECT sum(deadlocks) FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    assert deadlocks == (0,)
    assert "crash" not in busy.log


ENDS: dict[str, Callable[[httpx.Client, Participant], httpx.Response]] = {
    "submit": lambda own, person: own.post(f"{person.path}/submit", headers=person.headers),
    "return": lambda own, person: own.post(f"{person.path}/return", headers=person.headers),
    "review": lambda own, person: own.post(
        f"/submissions/{person.submission_id}/transition", json={"action": "APPROVE"}
    ),
    "approve": lambda own, person: own.post(
        "/submissions/bulk-approve", json={"submission_ids": [person.submission_id]}
    ),
    "erase": lambda own, person: own.delete(f"/submissions/{person.submission_id}"),
}


@pytest.mark.parametrize("name", ENDS)
def test_whoever_waits_for_the_counter_holds_nothing_that_others_need(busy: Installation, name: str) -> None:
    """The counter is the first lock of all: were it taken after the submission's, two would wait for each other."""
    with busy.client() as api, connected(busy) as holder, connected(busy) as other:
        scenario = Scenario.create(api)
        person = scenario.start("p")
        expect(person.answer(person.item(0), {"value": "x"}), 200)
        if name in ("review", "approve"):
            person.submit()
        waiting = """
            SELECT 1 FROM pg_stat_activity
            WHERE wait_event_type = 'Lock' AND query ~ 'collection_changes' AND datname = current_database()
        """
        with ThreadPoolExecutor(1) as pool, busy.client() as own:
            with holder.transaction():
                lock = "SELECT 1 FROM collection_changes WHERE collection_id = %s FOR UPDATE"
                holder.execute(lock, [scenario.collection["id"]])
                ending = pool.submit(ENDS[name], own, person)
                wait_for(lambda: other.execute(waiting).fetchone() is not None)
                with other.transaction():
                    other.execute(
                        "SELECT 1 FROM studies WHERE id = %s FOR UPDATE NOWAIT", [scenario.study["id"]]
                    )
                    row = "SELECT 1 FROM submissions WHERE id = %s FOR UPDATE NOWAIT"
                    other.execute(row, [person.submission_id])
            assert ending.result().status_code in (200, 204)


def test_ends_of_one_submission_at_once(busy: Installation) -> None:
    """Each end is asked for by several at the same moment, while the collection is edited and exported."""
    with busy.client() as api:
        scenario = Scenario.create(api, places=500)
        collection = f"/data-collection/collections/{scenario.collection['id']}"
        people = [scenario.start(f"p{number}") for number in range(8)]
        for person in people:
            expect(person.answer(person.item(0), {"value": "x"}), 200)

    def edit(own: httpx.Client, person: Participant) -> httpx.Response:
        return own.put(collection, json=scenario.collection)

    def export(own: httpx.Client, person: Participant) -> httpx.Response:
        return own.post(scenario.export_path)

    def work(
        call: tuple[Callable[[httpx.Client, Participant], httpx.Response], Participant],
    ) -> httpx.Response:
        with busy.client() as own:
            return call[0](own, call[1])

    steps = [*ENDS.values(), edit, export] * 2
    with ThreadPoolExecutor(14) as pool:
        for person in people:
            for answer in pool.map(work, [(step, person) for step in steps]):
                assert answer.status_code < 500, (answer.request.url, answer.text)
    with busy.client() as api:
        scenario.api = api
        archive = zipfile.ZipFile(io.BytesIO(scenario.download()))
        assert archive.read("responses.jsonl") == b""
        assert expect(api.get(f"/studies/{scenario.study['id']}/submissions/counts"), 200)["TOTAL"] == 0
    with connected(busy) as database:
        deadlocks = "SELECT sum(deadlocks) FROM pg_stat_database WHERE datname = current_database()"
        assert database.execute(deadlocks).fetchone() == (0,)


def test_time_is_up_for_all_while_others_start(busy: Installation) -> None:
    with busy.client() as api:
        scenario = Scenario.create(api, places=20)
        for number in range(20):
            scenario.start(f"early {number}")
        with connected(busy) as database:
            database.execute(
                "UPDATE submissions SET deadline_at = now() - interval '1 minute' WHERE study_id = %s",
                [scenario.study["id"]],
            )
        path = f"/participate/studies/{scenario.study['id']}/submissions"
        calls: list[tuple[str, str, Any]] = [
            ("POST", path, {"participant_id": f"p{number}", "session_id": "s"}) for number in range(40)
        ]
        looks: list[tuple[str, str, Any]] = [
            ("GET", f"/studies/{scenario.study['id']}/submissions", None)
        ] * 10
        answers = all_at_once(busy, [*calls, *looks])
        assert Counter(answer.status_code for answer in answers) == {201: 20, 409: 20, 200: 10}
        assert expect(api.get(f"/studies/{scenario.study['id']}"), 200)["places_taken"] == 20
