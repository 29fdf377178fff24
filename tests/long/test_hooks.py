"""Events of a receiver that refuses and then is slow, while workers are killed.

Ten thousand of them, with a minute of each, in `make soak`; 400 in `make test`.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import defaultdict
from typing import Any

from tests.gates import wait_for
from tests.installation import installed
from tests.integration.rows import connected, insert_submissions
from tests.lengths import length
from tests.receiver import Received, receiving
from tests.scenario import Scenario, expect

SUBMISSIONS = length(100, 2500)
PHASE_SECONDS = length(5.0, 60.0)
KILL_EVERY_SECONDS = length(4.0, 7.0)
SLOW_SECONDS = 0.2
STATES = ("AWAITING REVIEW", "APPROVED", "REJECTED", "PARTIALLY APPROVED")
LONGEST_SECONDS = 1200.0


def test_every_event_arrives_in_order(record_property: Any) -> None:
    began = time.monotonic()

    def answer(request: Received) -> tuple[int, dict[str, str], bytes]:
        passed = time.monotonic() - began
        if passed < PHASE_SECONDS:
            return 503, {}, b""
        if passed < 2 * PHASE_SECONDS:
            time.sleep(SLOW_SECONDS)
        return 200, {}, b""

    with (
        receiving() as receiver,
        installed(FIELDPACK_HOOK_TARGETS="127.0.0.1") as server,
        server.client() as api,
    ):
        receiver.answer = answer
        scenario = Scenario.create(api, places=SUBMISSIONS)
        workspace = scenario.collection["workspace_id"]
        secret = expect(api.post("/hooks/secrets", json={"workspace_id": workspace}), 201)["value"]
        body = {
            "event_type": "submission.status.change",
            "target_url": f"{receiver.url}/",
            "workspace_id": workspace,
        }
        made = api.post("/hooks/subscriptions", json=body)
        path = f"/hooks/subscriptions/{expect(made, 201)['id']}"
        expect(api.post(path, json={"secret": made.headers["x-hook-secret"]}), 200)
        began = time.monotonic()
        insert_submissions(server, scenario.study["id"], SUBMISSIONS)
        with connected(server) as database:
            for state in STATES[1:]:
                database.execute("UPDATE submissions SET status = %s", [state])
        stopped = threading.Event()

        def kill() -> None:
            while not stopped.wait(KILL_EVERY_SECONDS):
                for pid in server.children("worker"):
                    os.kill(pid, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        total = SUBMISSIONS * len(STATES)

        def arrived() -> int:
            count: int = expect(api.get(f"{path}/events?status=SUCCEEDED&limit=1"), 200)["meta"]["count"]
            return count

        try:
            wait_for(lambda: time.monotonic() - began > 2 * PHASE_SECONDS or arrived() == total)
        finally:
            stopped.set()
            killer.join()
        deadline = time.monotonic() + LONGEST_SECONDS
        while arrived() < total:
            assert time.monotonic() < deadline, arrived()
            time.sleep(1)
        record_property("seconds until the last of the events arrived", round(time.monotonic() - began))
        seen: dict[str, list[tuple[str, str]]] = defaultdict(list)
        bodies: dict[str, bytes] = {}
        for request in receiver.received:
            assert request.is_signed(secret)
            assert (
                bodies.setdefault(request.id, request.body) == request.body
            )  # a duplicate is the same event
            found = (request.id, request.event["status"])
            if found not in seen[request.event["resource_id"]]:
                seen[request.event["resource_id"]].append(found)
        assert len(seen) == SUBMISSIONS
        assert all(tuple(status for _, status in events) == STATES for events in seen.values())
        assert len(bodies) == total
