"""Intake on the short way: what was known of a token is asked again, and who comes when too many do is told so."""

from __future__ import annotations

import asyncio
import base64
from typing import Any
from uuid import uuid4

import httpx
import pytest

from fieldpack.server.machine.turns import MOST_STARTS, STARTS_AT_ONCE
from tests.gates import wait_for
from tests.installation import Installation
from tests.integration.rows import connected
from tests.scenario import FREE_TEXT, PNG, UPLOAD, Participant, Scenario, expect

ITEMS = (FREE_TEXT, {**FREE_TEXT, "description": "More?"}, {**UPLOAD, "max_file_count": 2})


def send(
    person: Participant, data: bytes = PNG, name: str = "a.png", *, sha256: bytes | None = None, **more: str
) -> httpx.Response:
    """A file in one request; `sha256` is what is said of it."""
    fields = {"instruction_id": person.item(2), "filename": name, **more}
    metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in fields.items())
    headers = {
        **person.headers,
        "Tus-Resumable": "1.0.0",
        "Content-Type": "application/offset+octet-stream",
        "Upload-Length": str(len(data)),
        "Upload-Metadata": metadata,
    }
    if sha256 is not None:
        headers["Upload-Checksum"] = f"sha256 {base64.b64encode(sha256).decode()}"
    return person.http.post(f"{person.path}/uploads", content=data, headers=headers)


def use(person: Participant) -> None:
    """Have the server know the token, and the collection."""
    expect(person.answer(person.item(0), {"value": "x"}), 200)
    expect(person.http.put(f"{person.path}/answers", json={}, headers=person.headers), 200)
    assert send(person).status_code == 201


def all_ways(person: Participant) -> dict[str, int]:
    """What each way of saving answers now."""
    body: Any = {person.item(0): {"value": "y"}}
    return {
        "answer": person.answer(person.item(0), {"value": "y"}).status_code,
        "answers": person.http.put(f"{person.path}/answers", json=body, headers=person.headers).status_code,
        "file": send(person).status_code,
        "submit": person.http.post(f"{person.path}/submit", headers=person.headers).status_code,
    }


def test_a_token_that_was_good_before_is_asked_again(api: httpx.Client) -> None:
    scenario = Scenario.create(api, *ITEMS)
    erased, other = scenario.start("a"), scenario.start("b")
    use(erased)
    use(other)
    expect(api.delete(f"/submissions/{erased.submission_id}"), 204)
    assert all_ways(erased) == dict.fromkeys(("answer", "answers", "file", "submit"), 401)
    foreign = Participant(other.http, other.submission_id, erased.token, other.state)
    assert all_ways(foreign) == dict.fromkeys(("answer", "answers", "file", "submit"), 401)
    assert all_ways(Participant(other.http, erased.submission_id, other.token, other.state)) == dict.fromkeys(
        ("answer", "answers", "file", "submit"), 404
    )


def test_what_has_ended_stays_as_it_was(api: httpx.Client) -> None:
    scenario = Scenario.create(api, *ITEMS)
    person = scenario.start("a")
    use(person)
    expect(person.answer(person.item(1), {"value": "x"}), 200)
    expect(person.http.post(f"{person.path}/submit", headers=person.headers), 200)
    assert all_ways(person) == {"answer": 409, "answers": 409, "file": 409, "submit": 200}
    state = expect(person.http.get(person.path, headers=person.headers), 200)
    assert state["answers"][person.item(0)] == {"value": "x"}
    assert len(state["files"]) == 1


def test_a_revision_is_the_one_that_was_seen_or_nothing_is_saved(api: httpx.Client) -> None:
    person = Scenario.create(api, *ITEMS).start("a")
    use(person)  # revision 1
    path = f"{person.path}/answers/{person.item(0)}"

    def put(value: str | None, seen: str, item: str = path) -> httpx.Response:
        headers = {**person.headers, "If-Match": seen, "Content-Type": "application/json"}
        content = "null" if value is None else f'{{"value": "{value}"}}'
        return person.http.put(item, content=content, headers=headers)

    assert [put("new", seen).status_code for seen in ('"0"', '"2"', '"01"', '"x"', "")] == [412] * 5
    assert expect(put("new", '"1"'), 200)["revision"] == 2
    assert put("older", '"1"').status_code == 412
    fresh = f"{person.path}/answers/{person.item(1)}"
    assert put("first", '"1"', fresh).status_code == 412
    assert expect(put("first", '"0"', fresh), 200)["revision"] == 1
    assert put("again", '"0"', fresh).status_code == 412
    assert expect(put(None, '"1"', fresh), 200)["revision"] == 0
    state = expect(person.http.get(person.path, headers=person.headers), 200)
    assert state["answers"] == {person.item(0): {"value": "new"}}


@pytest.mark.parametrize("kind", ["type", "name", "many", "checksum"])
def test_a_small_file_that_is_refused_leaves_nothing(
    kind: str, server: Installation, api: httpx.Client
) -> None:
    """The refusal is the one that every upload gets, and neither bytes nor files are counted."""
    scenario = Scenario.create(api, *ITEMS)
    person = scenario.start("a")
    use(person)
    if kind == "many":
        assert send(person).status_code == 201
        answer, status = send(person), 409
    elif kind == "type":
        answer, status = send(person, b"<html><body>x</body></html>"), 415
    elif kind == "name":
        answer, status = send(person, name="a.exe"), 415
    else:
        answer, status = send(person, sha256=bytes(32)), 460
    assert answer.status_code == status, answer.text
    kept = 2 if kind == "many" else 1
    state = expect(person.http.get(person.path, headers=person.headers), 200)
    assert len(state["files"]) == kept
    with connected(server) as database:
        counted = database.execute(
            "SELECT upload_bytes FROM submissions WHERE id = %s", [person.submission_id]
        ).fetchone()
    assert counted == (kept * len(PNG),)


def test_the_same_small_file_again_is_the_same(api: httpx.Client) -> None:
    person = Scenario.create(api, *ITEMS).start("a")
    use(person)
    first, again = send(person, key="k"), send(person, key="k")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.headers["Location"] == again.headers["Location"]
    assert again.headers["Upload-Offset"] == str(len(PNG))
    assert send(person, PNG + b"\0", key="k").status_code == 409
    state = expect(person.http.get(person.path, headers=person.headers), 200)
    assert len(state["files"]) == 2


def test_starts_are_refused_politely_while_answers_are_saved(server: Installation, api: httpx.Client) -> None:
    """Starts stand still at a study that is locked: as many as may wait do, one more is asked to come again."""
    scenario, elsewhere = Scenario.create(api, places=5000), Scenario.create(api, *ITEMS)
    person = elsewhere.start("a")
    use(person)
    study = scenario.study["id"]
    told: list[httpx.Response] = []

    async def run() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=f"{server.url}/api/v1", timeout=120, limits=limits, trust_env=False
        ) as http:

            async def come() -> httpx.Response:
                name = uuid4().hex
                body = {"participant_id": name, "session_id": name}
                answer = await http.post(f"/participate/studies/{study}/submissions", json=body)
                if answer.status_code == 503:
                    told.append(answer)
                return answer

            with connected(server) as database, database.transaction():
                database.execute("SELECT FROM studies WHERE id = %s FOR UPDATE", [study])
                tasks: list[asyncio.Task[httpx.Response]] = []
                while (
                    not told
                ):  # how many it takes depends on how long they have stood; never more than these
                    assert len(tasks) < 2 * (STARTS_AT_ONCE + MOST_STARTS)
                    tasks.append(asyncio.create_task(come()))
                    await asyncio.sleep(0.01)
                saved = await asyncio.to_thread(person.answer, person.item(0), {"value": "meanwhile"})
                assert saved.status_code == 200
            return await asyncio.gather(*tasks)

    answers = asyncio.run(run())
    refused = told[0]
    assert refused.json()["error"]["error_code"] == 150301
    assert int(refused.headers["Retry-After"]) >= 1
    assert {answer.status_code for answer in answers} == {201, 503}
    taken = sum(answer.status_code == 201 for answer in answers)
    wait_for(lambda: api.get(f"/studies/{study}").json()["places_taken"] == taken)
