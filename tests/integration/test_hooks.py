"""Webhooks: confirmed, signed, in order, tried again, given up, disabled; and nothing of who was erased."""

from __future__ import annotations

import dataclasses
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

from fieldpack.server.hooks.delivery import AT_ONCE, FAILING_JOBS, WORKING_JOBS
from tests.gates import wait_for
from tests.installation import Installation, installed
from tests.integration.rows import connected
from tests.proportion import MOST
from tests.receiver import Received, Receiver, receiving
from tests.refusals import refused
from tests.scenario import Scenario, expect
from tests.shapes import ID, find_faults, is_time

SUBSCRIPTION = {
    "id": ID,
    "event_type": str,
    "target_url": str,
    "is_enabled": bool,
    "workspace_id": ID,
    ...: None,
}
EVENT = {
    "id": ID,
    "datetime_created": is_time,
    "datetime_updated": is_time,
    "event_type": str,
    "resource_id": ID,
    "status": str,
    "target_url": str,
    "payload": dict,
    ...: None,
}
SUBMISSION = "submission.status.change"


@dataclass
class Hooked:
    """An installation whose webhooks may come to a receiver of ours."""

    server: Installation
    api: httpx.Client
    receiver: Receiver
    workspace: str
    secret: str

    def subscribe(self, event_type: str, path: str, *, confirmed: bool = True) -> str:
        """A subscription that leads to a path of the receiver; the path of it in the API."""
        body = {
            "event_type": event_type,
            "target_url": self.receiver.url + path,
            "workspace_id": self.workspace,
        }
        made = self.api.post("/hooks/subscriptions", json=body)
        found = f"/hooks/subscriptions/{expect(made, 201)['id']}"
        if confirmed:
            expect(self.api.post(found, json={"secret": made.headers["x-hook-secret"]}), 200)
        return found

    def events(self, subscription: str, query: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = expect(self.api.get(f"{subscription}/events?{query}"), 200)["results"]
        return found

    def wait(self, path: str, count: int) -> list[Received]:
        wait_for(lambda: len(self.receiver.taken(path)) >= count)
        return self.receiver.taken(path)


@pytest.fixture(scope="module")
def hooked() -> Iterator[Hooked]:
    with (
        receiving() as receiver,
        installed(FIELDPACK_HOOK_TARGETS="127.0.0.1") as server,
        server.client() as api,
    ):
        workspace = expect(api.get("/workspaces"), 200)["results"][0]["id"]
        secret = expect(api.post("/hooks/secrets", json={"workspace_id": workspace}), 201)
        assert set(secret) == {"id", "value", "workspace_id"}
        yield Hooked(server, api, receiver, workspace, secret["value"])


@pytest.fixture
def path(hooked: Hooked) -> Iterator[str]:
    """A path of the receiver for one test, which has no subscription any more after it."""
    yield f"/{uuid4()}"
    hooked.receiver.answer = lambda request: (200, {}, b"ok")
    for enabled in ("true", "false"):
        for row in expect(hooked.api.get(f"/hooks/subscriptions?is_enabled={enabled}"), 200)["results"]:
            expect(hooked.api.delete(f"/hooks/subscriptions/{row['id']}"), 204)


def test_types_and_secrets(hooked: Hooked) -> None:
    types = expect(hooked.api.get("/hooks/event-types"), 200)["results"]
    assert {row["event_type"] for row in types} == {
        "study.status.change", "study.progress.change", SUBMISSION, "collection.export.complete",
        "collection.export.failed", "submission.erased"}  # fmt: skip
    assert all(set(row) == {"event_type", "description"} for row in types)
    workspace = expect(hooked.api.post("/workspaces", json={"title": "Secrets"}), 201)["id"]
    body = {"event_type": SUBMISSION, "target_url": "https://receiver.invalid/", "workspace_id": workspace}
    refused(hooked.api.post("/hooks/subscriptions", json=body), 400, "workspace_id")
    first = expect(hooked.api.post("/hooks/secrets", json={"workspace_id": workspace}), 201)
    second = expect(hooked.api.post("/hooks/secrets/", json={"workspace_id": workspace}), 201)
    assert first["value"] != second["value"]
    listed = expect(hooked.api.get(f"/hooks/secrets?workspace_id={workspace}"), 200)
    assert listed == {"results": [second], "meta": {"count": 1}}
    expect(hooked.api.post("/hooks/subscriptions", json=body), 201)


def test_what_is_not_confirmed_gets_nothing(hooked: Hooked, path: str) -> None:
    subscription = hooked.subscribe(SUBMISSION, path, confirmed=False)
    row = expect(hooked.api.get(subscription), 200)
    assert find_faults(row, SUBSCRIPTION) == []
    assert (row["is_enabled"], row["is_confirmed"]) == (True, False)
    refused(hooked.api.post(subscription, json={"secret": "guessed"}), 400, "secret")
    refused(hooked.api.post(f"{subscription}/test"), 409)
    Scenario.create(hooked.api).start("a")
    assert hooked.events(subscription) == []
    assert hooked.receiver.taken(path) == []


def test_sent_and_signed(hooked: Hooked, path: str) -> None:
    subscription = hooked.subscribe(SUBMISSION, path)
    scenario = Scenario.create(hooked.api)
    submission = scenario.take_part(f"person-{uuid4()}")
    expect(hooked.api.post(f"/submissions/{submission}/transition", json={"action": "APPROVE"}), 200)
    got = hooked.wait(path, 3)
    assert [request.event["status"] for request in got] == ["ACTIVE", "AWAITING REVIEW", "APPROVED"]
    for request in got:
        assert request.is_signed(hooked.secret)
        assert request.event["event_type"] == SUBMISSION
        assert request.event["resource_id"] == submission
        assert request.event["study_id"] == scenario.study["id"]
        assert b"person-" not in request.body
    assert len({request.id for request in got}) == 3
    wait_for(lambda: [event["status"] for event in hooked.events(subscription)] == ["SUCCEEDED"] * 3)
    events = hooked.events(subscription)
    assert find_faults(events, [EVENT]) == []
    assert [event["id"] for event in events] == [request.id for request in reversed(got)]
    assert events[0]["payload"] == got[-1].event
    [attempt] = events[0]["attempts"]
    assert (attempt["status_code"], attempt["answer"], attempt["error"]) == (200, "ok", None)
    assert hooked.events(subscription, f"resource_id={uuid4()}") == []
    assert len(hooked.events(subscription, f"resource_id={submission}&limit=2")) == 2
    assert hooked.events(subscription, "status=PENDING") == []
    assert hooked.events(subscription, 'status=["PENDING","succeeded"]') == events
    refused(hooked.api.get(f"{subscription}/events?status=LOST"), 400, "status")


def test_an_event_says_where_it_went(hooked: Hooked, path: str) -> None:
    subscription = hooked.subscribe(SUBMISSION, path)
    scenario = Scenario.create(hooked.api)
    submission = scenario.take_part(f"person-{uuid4()}")
    wait_for(lambda: [event["status"] for event in hooked.events(subscription)] == ["SUCCEEDED"] * 2)
    before, after = hooked.receiver.url + path, f"{hooked.receiver.url}{path}-moved"
    expect(hooked.api.patch(subscription, json={"target_url": after}), 200)
    expect(hooked.api.post(f"/submissions/{submission}/transition", json={"action": "APPROVE"}), 200)
    wait_for(lambda: [event["status"] for event in hooked.events(subscription)] == ["SUCCEEDED"] * 3)
    events = hooked.events(subscription)
    assert [event["target_url"] for event in events] == [after, before, before]
    assert [event["attempts"][0]["target_url"] for event in events] == [after, before, before]


def test_a_subscription_that_leads_elsewhere_stays_confirmed(hooked: Hooked, path: str) -> None:
    subscription = hooked.subscribe(SUBMISSION, path)
    row = expect(
        hooked.api.patch(subscription, json={"target_url": f"{hooked.receiver.url}{path}-moved"}), 200
    )
    assert row["is_confirmed"] is True


def test_every_type(hooked: Hooked, path: str) -> None:
    types = [row["event_type"] for row in expect(hooked.api.get("/hooks/event-types"), 200)["results"]]
    for kind in types:
        hooked.subscribe(kind, f"{path}-{kind}")
    scenario = Scenario.create(hooked.api, places=1)
    submission = scenario.take_part("a")
    export = scenario.export()
    hooked.wait(f"{path}-{SUBMISSION}", 1)  # what is not sent before the erasure never is
    expect(hooked.api.delete(f"/submissions/{submission}"), 204)
    study = scenario.study["id"]
    seen = {kind: hooked.wait(f"{path}-{kind}", 1) for kind in types}
    assert {kind: {request.event["resource_id"] for request in got} for kind, got in seen.items()} == {
        "study.status.change": {study},
        "study.progress.change": {study},
        SUBMISSION: {submission},
        "collection.export.complete": {export["export_id"]},
        "collection.export.failed": {export["export_id"]},
        "submission.erased": {submission},
    }
    statuses = [request.event["status"] for request in hooked.wait(f"{path}-study.status.change", 2)]
    assert statuses[:2] == ["ACTIVE", "AWAITING REVIEW"]
    progress = seen["study.progress.change"][0].event
    assert (progress["places_taken"], progress["total_available_places"]) == (1, 1)
    assert seen["submission.erased"][0].event["status"] == "ERASED"


def test_trials_are_not_told_of(hooked: Hooked, path: str) -> None:
    hooked.subscribe(SUBMISSION, path)
    scenario = Scenario.create(hooked.api)
    trial = expect(hooked.api.post(f"/studies/{scenario.study['id']}/test-study"), 200)["study_id"]
    Scenario(hooked.api, scenario.collection, {"id": trial}).take_part("tries")
    real = scenario.take_part("a")
    assert {request.event["resource_id"] for request in hooked.wait(path, 2)} == {real}


def hurry_until(hooked: Hooked, condition: Callable[[], bool]) -> None:
    """Wait until it holds, as if the time of every event that waits had come.

    Again with each look: an attempt that is under way sets its event's next time when it ends.
    """

    with connected(hooked.server) as database:

        def hurried() -> bool:
            database.execute(
                "UPDATE hook_events SET next_at = now() WHERE status = 'PENDING' AND next_at > now()"
            )
            return condition()

        wait_for(hurried)


def test_in_order_until_an_event_is_given_up(hooked: Hooked, path: str) -> None:
    """Of one resource the next waits for the one before; others go on meanwhile."""
    subscription = hooked.subscribe(SUBMISSION, path)
    scenario = Scenario.create(hooked.api)
    blocked: set[str] = set()

    def answer(request: Received) -> tuple[int, dict[str, str], bytes]:
        fails = request.event["resource_id"] in blocked and request.event["status"] == "ACTIVE"
        return (503, {}, b"later") if fails else (200, {}, b"ok")

    hooked.receiver.answer = answer
    stuck = scenario.start("stuck")
    blocked.add(stuck.submission_id)
    expect(stuck.answer(stuck.item(0), {"value": "x"}), 200)
    stuck.submit()
    other = scenario.take_part("other")

    def of(resource: str) -> list[Received]:
        return [each for each in hooked.receiver.taken(path) if each.event["resource_id"] == resource]

    wait_for(lambda: len(of(other)) == 2)
    hurry_until(hooked, lambda: len(of(stuck.submission_id)) == 13)
    got = of(stuck.submission_id)
    assert [each.event["status"] for each in got] == ["ACTIVE"] * 12 + ["AWAITING REVIEW"]
    assert len({each.id for each in got[:12]}) == 1
    wait_for(lambda: len(hooked.events(subscription, "status=SUCCEEDED")) == 3)
    [failed] = hooked.events(subscription, "status=FAILED")
    assert len(failed["attempts"]) == 12
    assert failed["attempts"][-1]["error"] == "The receiver answered 503."
    assert failed["attempts"][-1]["answer"] == "later"
    blocked.clear()
    expect(hooked.api.post(f"{subscription}/events/{failed['id']}/resend"), 200)
    wait_for(lambda: len(of(stuck.submission_id)) == 14)
    assert of(stuck.submission_id)[-1].id == failed["id"]


def test_a_receiver_that_hangs_costs_nobody_else(hooked: Hooked, path: str) -> None:
    gate = threading.Event()

    def answer(request: Received) -> tuple[int, dict[str, str], bytes]:
        if request.path.endswith("-hangs"):
            gate.wait(120)
        return 200, {}, b"ok"

    hooked.receiver.answer = answer
    for number in range(4):  # more than a worker runs jobs at a time
        hooked.subscribe(SUBMISSION, f"{path}-{number}-hangs")
    hooked.subscribe(SUBMISSION, path)
    try:
        scenario = Scenario.create(hooked.api)
        scenario.take_part("a")
        assert len(hooked.wait(path, 2)) == 2
        scenario.export()
    finally:
        gate.set()


def test_those_that_hang_in_one_workspace_hold_up_no_other(hooked: Hooked, path: str) -> None:
    """Of the places where jobs run a workspace has its share, however many of its receivers hang."""
    gate, hanging = threading.Event(), []

    def answer(request: Received) -> tuple[int, dict[str, str], bytes]:
        if request.path.endswith("-hangs"):
            hanging.append(request.path)
            gate.wait(120)
        return 200, {}, b"ok"

    hooked.receiver.answer = answer
    other = expect(hooked.api.post("/workspaces", json={"title": "Other"}), 201)["id"]
    expect(hooked.api.post("/hooks/secrets", json={"workspace_id": other}), 201)
    there = dataclasses.replace(hooked, workspace=other)
    many = [there.subscribe(SUBMISSION, f"{path}-{number}-hangs") for number in range(40)]
    healthy = hooked.subscribe(SUBMISSION, path)
    try:
        for subscription in many:
            expect(hooked.api.post(f"{subscription}/test"), 201)
        wait_for(lambda: len(hanging) >= WORKING_JOBS)
        began = time.monotonic()
        expect(hooked.api.post(f"{healthy}/test"), 201)
        hooked.wait(path, 1)
        # those that hang are given up after 10 s, and others come
        assert len(set(hanging)) <= WORKING_JOBS + FAILING_JOBS or time.monotonic() - began > 8
    finally:
        gate.set()
        for subscription in many:
            expect(hooked.api.delete(subscription), 204)


def insert_pending(hooked: Hooked, subscription: str, count: int) -> None:
    """Events of as many resources, which wait to be sent."""
    with connected(hooked.server) as database:
        database.execute(
            """
            INSERT INTO hook_events (subscription_id, event_type, resource_id, payload)
            SELECT %s, %s, gen_random_uuid(), '{"status": "TEST"}' FROM generate_series(1, %s)
            """,
            [subscription.rpartition("/")[2], SUBMISSION, count],
        )


@dataclass
class Held:
    """A receiver that holds what comes first, as many as are sent at a time, until it is told to go on."""

    came: list[Received] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def answer(self, request: Received) -> tuple[int, dict[str, str], bytes]:
        self.came.append(request)
        self.gate.wait(8)
        return 200, {}, b"ok"


@pytest.fixture
def held(hooked: Hooked, path: str) -> Iterator[Held]:
    receiver = Held()
    hooked.receiver.answer = receiver.answer
    yield receiver
    receiver.gate.set()


def test_what_has_changed_meanwhile_is_followed_by_each_event(hooked: Hooked, path: str, held: Held) -> None:
    """Where the subscription leads, and what signs: not as it was when its turn began."""
    subscription = hooked.subscribe(SUBMISSION, path)
    insert_pending(hooked, subscription, 40)
    wait_for(lambda: len(held.came) >= AT_ONCE)
    before = hooked.secret
    hooked.secret = expect(hooked.api.post("/hooks/secrets", json={"workspace_id": hooked.workspace}), 201)[
        "value"
    ]
    expect(hooked.api.patch(subscription, json={"target_url": f"{hooked.receiver.url}{path}-moved"}), 200)
    held.gate.set()
    wait_for(lambda: len(hooked.events(subscription, "status=SUCCEEDED&limit=100")) == 40)
    first, then = hooked.receiver.taken(path), hooked.receiver.taken(f"{path}-moved")
    assert (len(first), len(then)) == (AT_ONCE, 40 - AT_ONCE)
    assert all(request.is_signed(before) for request in first)
    assert all(request.is_signed(hooked.secret) for request in then)


@pytest.mark.parametrize("how", ["deleted", "disabled"])
def test_nothing_more_is_sent_to_what_is_gone(hooked: Hooked, path: str, held: Held, how: str) -> None:
    subscription = hooked.subscribe(SUBMISSION, path)
    after = hooked.subscribe(SUBMISSION, f"{path}-after")
    insert_pending(hooked, subscription, 40)
    wait_for(lambda: len(held.came) >= AT_ONCE)
    if how == "deleted":
        expect(hooked.api.delete(subscription), 204)
    else:
        expect(hooked.api.patch(subscription, json={"is_enabled": False}), 200)
    held.gate.set()
    with connected(hooked.server) as database:

        def works() -> bool:
            query = "SELECT FROM procrastinate_jobs WHERE args->>'subscription_id' = %s"
            return database.execute(query, [subscription.rpartition("/")[2]]).fetchone() is not None

        wait_for(lambda: not works())
    expect(hooked.api.post(f"{after}/test"), 201)
    hooked.wait(f"{path}-after", 1)
    assert len(hooked.receiver.taken(path)) == AT_ONCE


def test_of_who_was_erased_only_that_is_sent(hooked: Hooked, path: str, held: Held) -> None:
    subscription = hooked.subscribe(SUBMISSION, path)
    erased = hooked.subscribe("submission.erased", f"{path}-erased")
    insert_pending(hooked, subscription, AT_ONCE)
    wait_for(lambda: len(held.came) >= AT_ONCE)
    submission = Scenario.create(hooked.api).take_part("a")
    wait_for(lambda: len(hooked.events(subscription, f"resource_id={submission}")) == 2)
    expect(hooked.api.delete(f"/submissions/{submission}"), 204)
    held.gate.set()
    wait_for(lambda: len(hooked.events(subscription, "status=SUCCEEDED")) == AT_ONCE)
    [told] = hooked.wait(f"{path}-erased", 1)
    assert told.event["status"] == "ERASED"
    assert hooked.events(subscription, f"resource_id={submission}") == []
    assert all(request.event["status"] == "TEST" for request in hooked.receiver.taken(path))
    wait_for(lambda: len(hooked.events(erased, "status=SUCCEEDED")) == 1)


def test_what_is_known_of_somebody_erased_is_not_sent_again(hooked: Hooked, path: str) -> None:
    subscription = hooked.subscribe(SUBMISSION, path)
    erased = hooked.subscribe("submission.erased", f"{path}-erased")
    submission = Scenario.create(hooked.api).start("a").submission_id
    wait_for(lambda: len(hooked.events(subscription, "status=SUCCEEDED")) == 1)
    expect(hooked.api.delete(f"/submissions/{submission}"), 204)
    [event] = hooked.events(subscription)
    refused(hooked.api.post(f"{subscription}/events/{event['id']}/resend"), 404)
    wait_for(lambda: len(hooked.events(erased, "status=SUCCEEDED")) == 1)
    [event] = hooked.events(erased)
    expect(hooked.api.post(f"{erased}/events/{event['id']}/resend"), 200)
    hooked.wait(f"{path}-erased", 2)


def test_what_an_earlier_version_left_of_somebody_erased_is_withdrawn(hooked: Hooked, path: str) -> None:
    subscription = hooked.subscribe(SUBMISSION, path)
    submission = Scenario.create(hooked.api).start("a").submission_id
    wait_for(lambda: len(hooked.events(subscription, "status=SUCCEEDED")) == 1)
    expect(hooked.api.delete(f"/submissions/{submission}"), 204)
    with connected(hooked.server) as database:
        database.execute(
            "UPDATE hook_events SET status = 'PENDING', next_at = now() WHERE resource_id = %s", [submission]
        )
    wait_for(lambda: hooked.events(subscription) == [])
    assert len(hooked.receiver.taken(path)) == 1


def test_answers_are_kept_in_part(hooked: Hooked, path: str) -> None:
    hooked.receiver.answer = lambda request: (200, {}, b"\xff\0" + b"a" * 10_000)
    subscription = hooked.subscribe(SUBMISSION, path)
    test = expect(hooked.api.post(f"{subscription}/test"), 201)["id"]
    [got] = hooked.wait(path, 1)
    assert (got.id, got.event["status"], got.event["test"]) == (test, "TEST", True)
    wait_for(lambda: bool(hooked.events(subscription)[0]["attempts"]))
    kept = hooked.events(subscription)[0]["attempts"][0]["answer"]
    assert kept.startswith("\ufffd\ufffdaaa")
    assert len(kept) == 4096


def insert_attempted(hooked: Hooked, subscription: str, events: int, attempts: int) -> None:
    with connected(hooked.server) as database:
        database.execute(
            """
            WITH made AS (
                INSERT INTO hook_events (subscription_id, event_type, resource_id, payload, status)
                SELECT %(id)s, %(type)s, gen_random_uuid(), '{}', 'FAILED' FROM generate_series(1, %(events)s)
                RETURNING id
            )
            INSERT INTO hook_attempts (event_id, target_url, seconds, status_code, answer, error)
            SELECT m.id, 'https://receiver.invalid/', 1, 500, lpad(n::text, 4096, '-'), 'Failed.'
            FROM generate_series(1, %(attempts)s) AS n, made m ORDER BY n
            """,
            {
                "id": subscription.rpartition("/")[2],
                "type": SUBMISSION,
                "events": events,
                "attempts": attempts,
            },
        )


def test_a_page_of_events_is_bounded_and_whole_where_it_is_short(hooked: Hooked, path: str) -> None:
    subscription = hooked.subscribe(SUBMISSION, path)
    insert_attempted(hooked, subscription, 21, 14)
    for query, lengths in (("limit=20", [4096] * 12), ("limit=21", [100] * 11 + [4096])):
        for event in hooked.events(subscription, query):
            answers = [attempt["answer"] for attempt in event["attempts"]]
            assert [len(answer) for answer in answers] == lengths
            assert answers[-1].endswith("-14")
            assert event["target_url"] == "https://receiver.invalid/"
            if len(answers[0]) == 4096:  # in order, the first two left out
                assert [int(answer.strip("-")) for answer in answers] == list(range(3, 15))


def test_the_size_of_a_page_of_events_does_not_grow_with_their_attempts(hooked: Hooked, path: str) -> None:
    few, many = hooked.subscribe(SUBMISSION, path), hooked.subscribe(SUBMISSION, f"{path}-many")
    insert_attempted(hooked, few, 1_000, 1)
    insert_attempted(hooked, many, 1_000, 24)
    sizes = [len(hooked.api.get(f"{each}/events?limit=1000").content) for each in (few, many)]
    assert sizes[1] < 3 * sizes[0], sizes


def test_a_page_of_events_costs_in_proportion_to_its_length(hooked: Hooked, path: str) -> None:
    subscription = hooked.subscribe(SUBMISSION, path)
    insert_attempted(hooked, subscription, 1_000, 12)
    web = psutil.Process(hooked.server.children("web")[0])

    def measure(limit: int) -> float:
        """Processor seconds of the server, the least of three times."""
        spent = []
        for _ in range(3):
            before = web.cpu_times()
            hooked.events(subscription, f"limit={limit}")
            after = web.cpu_times()
            spent.append(after.user + after.system - before.user - before.system)
        return min(spent)

    measure(1_000)
    small, large = measure(250), measure(1_000)
    assert large < MOST * max(small, 0.02), (small, large)


def test_redirects(hooked: Hooked, path: str) -> None:
    """Those that keep the method are followed, and looked at as the first target is."""
    places = {
        "-307": (307, {"Location": f"{hooked.receiver.url}{path}-end"}),
        "-308": (308, {"Location": f"{path}-end"}),
        "-302": (302, {"Location": f"{hooked.receiver.url}{path}-end"}),
        "-inside": (307, {"Location": "https://10.0.0.1/"}),
        "-plain": (307, {"Location": "http://example.org/"}),
        "-name": (307, {"Location": f"http://localhost:{hooked.receiver.url.rpartition(':')[2]}{path}-end"}),
        "-loop": (307, {"Location": f"{path}-loop"}),
        "-odd": (307, {"Location": "http://[x"}),
        "-decimal": (307, {"Location": "https://167772161/"}),
        "-hexadecimal": (308, {"Location": "https://0x0a.1/"}),
        "-six": (307, {"Location": "https://[::ffff:10.0.0.1]/"}),
        "-user": (307, {"Location": "https://example.org@10.0.0.1/"}),
        "-dots": (307, {"Location": "https://10\u3002\u3002".encode().decode("latin-1") + "0.1/"}),
        "-metadata": (308, {"Location": "//169.254.169.254/latest/meta-data/"}),
    }

    def answer(request: Received) -> tuple[int, dict[str, str], bytes]:
        status, headers = places.get(request.path.removeprefix(path), (200, {}))
        return status, headers, b""

    hooked.receiver.answer = answer
    subscriptions = {name: hooked.subscribe(SUBMISSION, path + name) for name in places}
    for subscription in subscriptions.values():
        expect(hooked.api.post(f"{subscription}/test"), 201)
    found: dict[str, Any] = {}
    for name, subscription in subscriptions.items():
        wait_for(lambda s=subscription: bool(hooked.events(s)[0]["attempts"]))
        found[name] = hooked.events(subscription)[0]["attempts"][0]["error"]
    assert found["-307"] is None
    assert found["-308"] is None
    assert found["-302"] == "The receiver answered 302."
    assert "inside" in found["-inside"]
    assert "https" in found["-plain"]
    assert found["-name"] is not None
    assert found["-loop"] == "The receiver answered 307."
    assert "no URL" in found["-odd"]
    for name in ("-decimal", "-hexadecimal", "-six", "-user", "-dots", "-metadata"):
        assert str(found[name]).startswith("Not sent: "), (name, found[name])
    assert len(hooked.receiver.taken(f"{path}-end")) == 2


@pytest.mark.parametrize(
    "url",
    ["http://receiver.invalid/", "https://127.0.0.2/", "https://10.0.0.1/", "https://[::1]/",
     "https://2130706434/", "https://a@receiver.invalid/", "https://169.254.169.254/", "x", "https://10。0。0。1/", "https://[:::]/",
     "https://[1.2.3.4]/", "https://receiver.invalid:\u0661/"],
)  # fmt: skip
def test_targets_inside_are_refused(hooked: Hooked, url: str) -> None:
    body = {"event_type": SUBMISSION, "target_url": url, "workspace_id": hooked.workspace}
    refused(hooked.api.post("/hooks/subscriptions", json=body), 400, "target_url")


def test_disabled_after_five_days_with_a_notice_on_the_third(hooked: Hooked, path: str) -> None:
    hooked.receiver.answer = lambda request: (500, {}, b"")
    subscription = hooked.subscribe("study.status.change", path)
    identifier = subscription.rpartition("/")[2]

    def turn_back(column: str, days: int) -> None:
        with connected(hooked.server) as database:
            database.execute(
                f"UPDATE hook_subscriptions SET {column} = now() - make_interval(days => %s) WHERE id = %s",
                [days, identifier],
            )

    def fail(count: int) -> dict[str, Any]:
        expect(hooked.api.post(f"{subscription}/test"), 201)
        hurry_until(
            hooked, lambda: sum(len(event["attempts"]) for event in hooked.events(subscription)) >= count
        )
        found: dict[str, Any] = expect(hooked.api.get(subscription), 200)
        return found

    row = fail(1)
    assert (row["notice"], row["failing_since"] is not None) == (None, True)
    turn_back("failing_since", 6)
    wait_for(lambda: fail(1)["notice"] is not None)
    assert expect(hooked.api.get(subscription), 200)["is_enabled"] is True  # never without two days of notice
    turn_back("noticed_at", 2)
    hurry_until(hooked, lambda: expect(hooked.api.get(subscription), 200)["is_enabled"] is False)
    row = expect(hooked.api.get(subscription), 200)
    assert row["disabled_at"] is not None
    assert "Disabled" in row["notice"]
    assert subscription.rpartition("/")[2] not in json.dumps(
        expect(hooked.api.get("/hooks/subscriptions"), 200)
    )
    listed = expect(hooked.api.get("/hooks/subscriptions?is_enabled=false"), 200)["results"]
    assert [each["id"] for each in listed] == [identifier]
    pending = hooked.events(subscription, "status=PENDING")
    assert pending
    refused(hooked.api.post(f"{subscription}/events/{pending[0]['id']}/resend"), 409)
    hooked.receiver.answer = lambda request: (204, {}, b"")
    row = expect(hooked.api.patch(subscription, json={"is_enabled": True}), 200)
    assert (row["is_enabled"], row["notice"], row["failing_since"]) == (True, None, None)
    hurry_until(hooked, lambda: hooked.events(subscription, "status=PENDING") == [])


def test_nothing_is_left_of_who_was_erased(hooked: Hooked, path: str) -> None:
    """Neither in events nor in what the receiver said, before and after."""
    name = f"erased-{uuid4()}"
    hooked.receiver.answer = lambda request: (200, {}, name.encode())
    subscription = hooked.subscribe(SUBMISSION, path)
    erased = hooked.subscribe("submission.erased", f"{path}-erased")
    submission = Scenario.create(hooked.api).take_part(name)
    wait_for(lambda: len(hooked.events(subscription, "status=SUCCEEDED")) == 2)
    assert name in json.dumps(hooked.events(subscription))
    expect(hooked.api.delete(f"/submissions/{submission}"), 204)
    wait_for(lambda: len(hooked.events(erased, "status=SUCCEEDED")) == 1)
    for found in (hooked.events(subscription), hooked.events(erased)):
        assert found
        assert name not in json.dumps(found)
    with connected(hooked.server) as database:
        for table in ("hook_events", "hook_attempts", "changes", "procrastinate_jobs"):
            query = f"SELECT count(*) FROM {table} t WHERE t::text LIKE %s"
            assert database.execute(query, [f"%{name}%"]).fetchone() == (0,), table


def test_the_backlog_is_in_the_metrics(hooked: Hooked, path: str) -> None:
    hooked.receiver.answer = lambda request: (500, {}, b"")
    subscription = hooked.subscribe(SUBMISSION, path)
    expect(hooked.api.post(f"{subscription}/test"), 201)

    def figure(name: str) -> float:
        text = httpx.get(f"{hooked.server.url}/metrics", trust_env=False, timeout=60).text
        [value] = re.findall(rf"^{name} (\S+)$", text, re.MULTILINE)
        return float(value)

    assert figure("fieldpack_hook_events") == 1
    with connected(hooked.server) as database:  # as if it had waited since, and an hour is over
        database.execute("UPDATE hook_events SET created_at = created_at - interval '1 hour'")
    assert 3600 <= figure("fieldpack_oldest_hook_event_seconds") < 7200
    hooked.receiver.answer = lambda request: (200, {}, b"")
    hurry_until(
        hooked, lambda: figure("fieldpack_hook_events") == figure("fieldpack_oldest_hook_event_seconds") == 0
    )


def test_another_workspaces(hooked: Hooked, path: str) -> None:
    subscription = hooked.subscribe(SUBMISSION, path)
    home = json.loads(hooked.server.run("workspace", "create", "--title", "Home", "--json").stdout)["id"]
    arguments = ["token", "create", "--researcher", "hooks@example.org", "--name", "x", "--json"]
    token = json.loads(hooked.server.run(*arguments, "--workspace", home).stdout)["token"]
    with hooked.server.client(token) as other:
        assert expect(other.get("/hooks/subscriptions"), 200)["results"] == []
        assert expect(other.get("/hooks/secrets"), 200)["results"] == []
        refused(other.get(f"/hooks/secrets?workspace_id={hooked.workspace}"), 403)
        for method, where in (("GET", ""), ("DELETE", ""), ("GET", "/events"), ("POST", "/test")):
            refused(other.request(method, subscription + where), 404)


def test_the_commands(hooked: Hooked, path: str) -> None:
    """From a secret to an event that was sent, by the command line alone."""
    settings: dict[str, Any] = {"PROLIFIC_TOKEN": hooked.server.token, "PROLIFIC_URL": hooked.server.url}

    def run(*arguments: str) -> Any:
        return json.loads(hooked.server.run("hook", *arguments, "--json", **settings).stdout)

    workspace = ("-w", hooked.workspace)
    assert SUBMISSION in {row["event_type"] for row in run("event-types")}
    secret = run("create-secret", *workspace)["value"]
    assert [row["value"] for row in run("secrets", *workspace)] == [secret]
    url = hooked.receiver.url + path
    made = run("create", "-e", SUBMISSION, "-u", url, *workspace)
    assert made["is_confirmed"] is True
    later = run("create", "-e", SUBMISSION, "-u", url, *workspace, "--no-confirm")
    assert later["is_confirmed"] is False
    assert run("confirm", later["id"], later["secret"])["is_confirmed"] is True
    event = run("test", made["id"])["id"]
    [got] = hooked.wait(path, 1)
    assert got.id == event
    assert got.is_signed(secret)
    wait_for(lambda: [row["status"] for row in run("events", made["id"])] == ["SUCCEEDED"])
    assert run("events", made["id"], "--status", "FAILED", "--status", "pending") == []
    csv = ("events", "-s", made["id"], "--csv", "--fields", "id,tries,last", "-l", "1")
    assert hooked.server.run("hook", *csv, **settings).stdout == f"id,tries,last\n{event},1,200\n"
    hooked.server.run("hook", "resend", made["id"], event, **settings)
    assert len(hooked.wait(path, 2)) == 2
    assert run("update", made["id"], "--disable")["is_enabled"] is False
    assert [row["id"] for row in run("list", *workspace, "--disabled")] == [made["id"]]
    assert [row["id"] for row in run("list", *workspace)] == [later["id"]]
    for words, states in (("-e", "t"), ("--enabled=true", "t"), ("--enabled=false", "f"), ("--enabled -d=T", "tf"),
                          ("-d=false", "t"), ("--no-enabled=false", "t"), ("--no-enabled", "f"),
                          ("--enabled=F --disabled=0", "f")):  # fmt: skip
        wanted = [later["id"]] * ("t" in states) + [made["id"]] * ("f" in states)
        assert [row["id"] for row in run("list", *workspace, *words.split())] == wanted
    hooked.server.run("hook", "delete", made["id"], **settings)
    assert run("list", *workspace, "--disabled") == []
    hooked.secret = secret


def test_the_page(hooked: Hooked, path: str) -> None:
    """Subscribe, try, see what came of it, switch off, delete; without scripts."""
    home = f"/workbench/workspaces/{hooked.workspace}/hooks"
    headers = {"Accept": "text/html", "Origin": hooked.server.url}
    with httpx.Client(base_url=hooked.server.url, trust_env=False, headers=headers, timeout=60) as browser:
        assert browser.get(home).headers["location"].startswith("/sign-in")
        browser.post("/sign-in", data={"token": hooked.server.token})
        assert home in browser.get("/researcher").text

        def do(go: str, **more: str) -> httpx.Response:
            return browser.post(home, data={"go": go, **more})

        inside = do("create", event_type=SUBMISSION, target_url="https://10.0.0.1/")
        assert inside.status_code == 400
        assert "Leads to an address inside" in inside.text
        assert 'value="https://10.0.0.1/"' in inside.text
        assert do("create", event_type="nothing", target_url="https://receiver.invalid/").status_code == 400
        made = do("create", event_type=SUBMISSION, target_url=hooked.receiver.url + path)
        assert made.status_code == 303
        hook = made.headers["location"].partition("hook=")[2]
        assert "Works" in browser.get(made.headers["location"]).text
        assert do("test", hook=hook).status_code == 303
        [got] = hooked.wait(path, 1)
        assert got.event["status"] == "TEST"
        wait_for(lambda: "arrived" in browser.get(made.headers["location"]).text)
        assert do("disable", hook=hook).status_code == 303
        assert "Switched off" in browser.get(home).text
        refusal = do("test", hook=hook)
        assert refusal.status_code == 409
        assert "not enabled" in refusal.text
        assert do("enable", hook=hook).status_code == 303
        assert do("delete", hook=hook).status_code == 303
        assert "There is no webhook yet" in browser.get(home).text
        assert do("delete", hook=hook).status_code == 404
        stranger = browser.post(home, data={"go": "create"}, headers={"Origin": "https://example.org"})
        assert stranger.status_code == 403
