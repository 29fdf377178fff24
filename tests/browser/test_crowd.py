"""Many at once: places are given out exactly, and nobody's answer is lost."""

from __future__ import annotations

import asyncio
import os
import ssl
import statistics
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import httpx
import pytest

from tests.browser.visitor import EXTRA, archive, origin, publish, publish_example, responses
from tests.scenario import UPLOAD, Scenario, collection_body

PEOPLE = 100
Result = TypeVar("Result")
PLAIN = ssl.create_default_context()  # made once: it reads every certificate of the system
SECONDS = float(os.environ.get("CROWD_SECONDS", "15"))
TEXTS = [{"type": "free_text", "description": f"Question {number}"} for number in range(5)]


def browserless(study: Scenario) -> httpx.AsyncClient:
    """Talks to the server as pages do, without a browser around it: one for each participant, as there."""
    return httpx.AsyncClient(
        base_url=origin(study),
        headers={"Origin": origin(study), "Accept": "text/html"},
        trust_env=False,
        timeout=120,
        verify=PLAIN,
    )


def in_own_loop(run: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """In a thread: where a browser runs, the main one has Playwright's loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(run())).result()


def test_200_start_at_once_on_100_places(api: httpx.Client) -> None:
    study = publish_example(api, places=PEOPLE)

    async def run() -> list[int]:
        async def start(number: int) -> int:
            async with browserless(study) as http:
                data = {"participant_id": f"p{number}", "session_id": "s"}
                while True:
                    answer = await http.post(f"/participate/{study.study['id']}", data=data)
                    if answer.status_code != 503:
                        return answer.status_code
                    await asyncio.sleep(float(answer.headers["Retry-After"]))

        return await asyncio.gather(*map(start, range(2 * PEOPLE)))

    assert Counter(in_own_loop(run)) == {303: PEOPLE, 409: PEOPLE}
    after = api.get(f"/studies/{study.study['id']}").json()
    assert (after["places_taken"], after["status"]) == (PEOPLE, "AWAITING REVIEW")


def test_100_answer_and_upload_at_once(api: httpx.Client, record_property: Any) -> None:
    """For a while everyone saves answers over and over, uploads, and submits in the end."""
    upload = {**UPLOAD, "accepted_file_types": [".png"], "max_file_count": 100, "required": True}
    study = publish(api, collection_body("", *TEXTS, upload), places=PEOPLE)
    took: list[float] = []
    last: dict[str, dict[str, str]] = {}
    files: Counter[str] = Counter()

    async def take_part(http: httpx.AsyncClient, number: int, until: float) -> None:
        name = f"p{number}"
        path = f"/api/v1/participate/studies/{study.study['id']}/submissions"
        state = (await http.post(path, json={"participant_id": name, "session_id": "s"})).json()
        headers = {"Authorization": f"Bearer {state['token']}"}
        base = f"/api/v1/participate/submissions/{state['submission_id']}"
        items = state["collection"]["collection_items"][0]["page_items"]
        given: dict[str, str] = {}
        revisions: Counter[str] = Counter()
        turn = 0
        while time.monotonic() < until or len(given) < len(TEXTS) or not files[name]:
            item = items[turn % len(TEXTS)]
            text = f"{name} says {turn}"
            began = time.perf_counter()
            saved = await http.put(
                f"{base}/answers/{item['id']}",
                json={"value": text},
                headers={**headers, "If-Match": f'"{revisions[item["id"]]}"'},
            )
            took.append(time.perf_counter() - began)
            assert saved.status_code == 200, saved.text
            revisions[item["id"]] = saved.json()["revision"]
            given[item["description"]] = text
            if turn % 10 == number % 10:
                await send(http, base, headers, items[-1]["id"])
                files[name] += 1
            turn += 1
            await asyncio.sleep(0.2)
        last[name] = given
        assert (await http.post(f"{base}/submit", headers=headers)).status_code == 200

    async def send(http: httpx.AsyncClient, base: str, headers: dict[str, str], item: str) -> None:
        import base64

        metadata = f"instruction_id {base64.b64encode(item.encode()).decode()},filename YS5wbmc="
        tus = {**headers, "Tus-Resumable": "1.0.0", "Upload-Length": str(len(EXTRA))}
        created = await http.post(
            f"{base}/uploads",
            content=EXTRA,
            headers={**tus, "Upload-Metadata": metadata, "Content-Type": "application/offset+octet-stream"},
        )
        assert created.status_code == 201, created.text

    async def run() -> None:
        async def one(number: int) -> None:
            async with browserless(study) as http:
                await take_part(http, number, until)

        until = time.monotonic() + SECONDS
        await asyncio.gather(*map(one, range(PEOPLE)))

    in_own_loop(run)
    p95 = statistics.quantiles(took, n=20)[-1]
    record_property("p95_of_saving_ms", round(p95 * 1000))
    record_property("answers_saved", len(took))
    with archive(study) as exported:
        records = responses(exported)
        assert len(records) == PEOPLE
        for record in records:
            words = {key: value["value"] for key, value in record["by_words"].items()}
            kept = words.pop(UPLOAD["description"])
            assert words == last[record["participant_id"]]
            assert len(kept) == files[record["participant_id"]]
            assert all(exported.read(each["path"]) == EXTRA for each in kept)


@pytest.mark.parametrize("minutes", [1])
def test_the_life_of_a_study(api: httpx.Client, minutes: int) -> None:
    """Full, open again when someone leaves, approved by itself where the study says so."""
    automatic = [{"code": "YES1", "code_type": "COMPLETED", "actions": [{"action": "AUTOMATICALLY_APPROVE"}]}]
    study = publish(
        api,
        collection_body("", TEXTS[0]),
        places=2,
        completion_codes=automatic,
        maximum_allowed_time=minutes,
    )

    def status() -> str:
        found: str = api.get(f"/studies/{study.study['id']}").json()["status"]
        return found

    one, two = study.start("one"), study.start("two")
    assert status() == "AWAITING REVIEW"
    assert api.post(f"{two.path}/return", headers=two.headers).status_code == 200
    assert status() == "ACTIVE"
    three = study.start("three")
    assert status() == "AWAITING REVIEW"
    one.answer(one.item(0), {"value": "done"})
    assert one.submit() == {"status": "APPROVED", "completion_code": "YES1", "completion_url": ""}
    # a place that was used up stays taken
    assert status() == "AWAITING REVIEW"
    assert api.post(f"{one.path}/return", headers=one.headers).status_code == 409
    asked = api.post(
        f"/submissions/{one.submission_id}/request-return", json={"request_return_reasons": ["x"]}
    )
    assert asked.json()["return_requested"]
    assert api.post(f"{one.path}/return", headers=one.headers).status_code == 200
    assert status() == "ACTIVE"
    assert three.state["status"] == "ACTIVE"
