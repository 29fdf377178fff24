"""Workers die, stop, come back, and are several: exports complete all the same, and no poller notices."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from tests.conversions import convert, fetch, held_conversion
from tests.installation import FIELDPACK, STOP_SECONDS, Installation, environment, installed
from tests.integration.rows import activity, connected, insert_submissions
from tests.integration.waiting import HeldJobs, held_jobs, wait_for
from tests.scenario import PNG, Scenario, expect

MANY = 20_000
PATIENCE_SECONDS = 300.0
CLIENTS: list[httpx.Client] = []


@pytest.fixture(scope="module")
def own() -> Iterator[Installation]:
    """A server that these tests may harm."""
    with installed("--workers", "1") as installation:
        yield installation
    while CLIENTS:
        CLIENTS.pop().close()


@pytest.fixture(scope="module")
def large(own: Installation) -> str:
    """Id of a study with so many submissions that its exports take a while."""
    with own.client() as api:
        scenario = Scenario.create(api)
        scenario.take_part("with a file", files=[("a.png", PNG)])
        insert_submissions(own, scenario.study["id"], MANY)
        study: str = scenario.study["id"]
        return study


def scenario_of(installation: Installation, study_id: str) -> Scenario:
    """With a connection of its own: those made before a restart are of no use after it."""
    api = installation.client()
    CLIENTS.append(api)
    study = expect(api.get(f"/studies/{study_id}"), 200)
    collection = expect(api.get(f"/data-collection/collections/{study['data_collection_id']}"), 200)
    return Scenario(api, collection, study)


def start_job(scenario: Scenario, held: HeldJobs) -> str:
    """Request an export, and return once a worker is at it, where it is held."""
    answer = expect(scenario.api.post(scenario.export_path), 202)
    held.wait()
    return f"{scenario.export_path}/{answer['export_id']}"


def finish(own: Installation, scenario: Scenario, path: str) -> dict[str, Any]:
    """The complete export."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        state: dict[str, Any] = expect(scenario.api.get(path, headers={"Prefer": "wait=2"}), 200)
        if state["status"] != "generating":
            assert state["status"] == "complete", str(state)
            return state
        assert time.monotonic() < deadline, (state, activity(own), own.log[-3000:])


def check(scenario: Scenario, state: dict[str, Any], count: int = MANY + 1) -> None:
    """The archive is whole, and nothing else is left of the job."""
    archive = zipfile.ZipFile(io.BytesIO(scenario.download(state)))
    assert archive.testzip() is None
    assert archive.read("responses.jsonl").count(b"\n") == count == state["submission_count"]


def change(scenario: Scenario) -> None:
    """Make the last export outdated."""
    path = f"/data-collection/collections/{scenario.collection['id']}"
    expect(scenario.api.put(path, json=expect(scenario.api.get(path), 200)), 200)


class Poller(threading.Thread):
    """A client that polls all the time and minds any error."""

    def __init__(self, installation: Installation, path: str) -> None:
        super().__init__(daemon=True)
        self.installation = installation
        self.path = path
        self.over = threading.Event()
        self.seen: list[str] = []
        self.errors: list[Any] = []

    def run(self) -> None:
        with self.installation.client() as api:
            while not self.over.is_set():
                answer = api.get(self.path)
                if answer.status_code == 200:
                    self.seen.append(answer.json()["status"])
                else:
                    self.errors.append(answer.text)
                time.sleep(0.05)


@contextmanager
def polling(installation: Installation, path: str) -> Iterator[Poller]:
    poller = Poller(installation, path)
    poller.start()
    try:
        yield poller
    finally:
        poller.over.set()
        poller.join()


def test_jobs_of_one_queueing_lock_are_taken_back(own: Installation) -> None:
    """As when a worker died at a periodic job whose next run waits: no other job may be held up by it."""
    with connected(own) as database:
        database.execute(
            """
            INSERT INTO procrastinate_jobs (queue_name, task_name, queueing_lock, args, status)
            SELECT 'maintenance', 'fieldpack:sweep_unfinished', 'sweep_unfinished', '{"timestamp": 0}', 'doing'
            FROM generate_series(1, 3)
            """
        )
        query = "SELECT 1 FROM procrastinate_jobs WHERE task_name = 'fieldpack:sweep_unfinished'"
        wait_for(lambda: database.execute(query).fetchone() is None)


def test_kill_9_of_the_worker_in_the_middle_of_a_job(own: Installation, large: str) -> None:
    scenario = scenario_of(own, large)
    with held_jobs(own) as held:
        path = start_job(scenario, held)
        with polling(own, path) as poller:
            wait_for(lambda: poller.seen)
            [worker] = own.children("worker")
            os.kill(worker, signal.SIGKILL)
            held.release()
            state = finish(own, scenario, path)
            wait_for(lambda: poller.seen[-1] == "complete")
    assert poller.errors == []
    assert set(poller.seen) == {"generating", "complete"}
    assert poller.seen == sorted(poller.seen, reverse=True)  # never back again
    assert own.children("worker") != [worker]
    check(scenario, state)
    with connected(own) as database:
        builds = database.execute(
            "SELECT attempts FROM exports WHERE id = %s", [state["export_id"]]
        ).fetchone()
    assert builds is not None
    assert builds[0] >= 2


def test_kill_9_of_the_worker_in_the_middle_of_a_conversion(own: Installation) -> None:
    """It is made by the next one, and nothing of the first attempt is left."""
    with own.client() as api:
        study: str = Scenario.create(api).study["id"]
    scenario = scenario_of(own, study)
    scenario.take_part("converted")
    export = scenario.export()
    with held_conversion(own, scenario, export):
        [worker] = own.children("worker")
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: own.children("worker") not in ([], [worker]))
    state = convert(scenario, export, "csv")
    assert state["status"] == "complete", str(state)
    assert state["rows"] == export["submission_count"]
    assert fetch(state)
    assert not list((own.data_dir / "tmp" / "conversions").iterdir())
    with connected(own) as database:
        row = database.execute(
            "SELECT attempts FROM conversions WHERE export_id = %s", [export["export_id"]]
        ).fetchone()
    assert row is not None
    assert row[0] >= 2
    folder = own.data_dir / "storage" / "exports" / export["export_id"]
    assert len([path for path in folder.glob("*/converted/*/*") if path.is_file()]) == 1


def test_sigterm_hands_the_job_over(own: Installation, large: str) -> None:
    scenario = scenario_of(own, large)
    change(scenario)
    with held_jobs(own) as held:
        path = start_job(scenario, held)
        [worker] = own.children("worker")
        with polling(own, path) as poller:
            os.kill(worker, signal.SIGTERM)
            held.release()
            state = finish(own, scenario, path)
    assert poller.errors == []
    check(scenario, state)


def test_kill_9_of_the_worker_at_a_decision(own: Installation) -> None:
    """While it is held, and in the middle of making it: it is made afterwards, once."""
    with own.client() as api:  # the other tests know how many the large one has
        study: str = Scenario.create(api).study["id"]
    scenario = scenario_of(own, study)
    submission = scenario.take_part("decided")
    given = {"action": "REJECT", "message": "Dark.", "rejection_category": "OTHER"}
    held = expect(scenario.api.post(f"/submissions/{submission}/decisions", json=given), 201)
    [worker] = own.children("worker")
    os.kill(worker, signal.SIGKILL)
    with connected(own) as database, connected(own) as watching:
        with database.transaction():  # whoever makes it waits here
            database.execute("SELECT FROM submissions WHERE id = %s FOR UPDATE", [submission])
            waits = "SELECT FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"
            wait_for(lambda: hurry(watching) and watching.execute(waits).fetchone() is not None)
            wait_for(lambda: own.children("worker") not in ([], [worker]))
            [second] = own.children("worker")
            os.kill(second, signal.SIGKILL)
        path = f"/decisions/{held['id']}"
        wait_for(lambda: expect(scenario.api.get(path), 200)["status"] == "made")
        made = watching.execute(
            """
            SELECT count(*) FROM audit_entries e JOIN audit_subjects s ON s.id = e.subject_id
            WHERE s.submission_id = %s AND e.action = 'submission.transition'
            """,
            [submission],
        ).fetchone()
    assert made == (1,)
    assert expect(scenario.api.get(f"/submissions/{submission}"), 200)["status"] == "REJECTED"


def hurry(database: psycopg.Connection[Any]) -> bool:
    """All decisions are due now."""
    database.execute("UPDATE decisions SET due_at = now() WHERE ended_at IS NULL AND due_at > now()")
    return True


def test_kill_9_of_everything_and_a_new_start(own: Installation, large: str) -> None:
    scenario = scenario_of(own, large)
    change(scenario)
    with held_jobs(own) as held:
        path = start_job(scenario, held)
        assert own.process is not None
        family = [own.process.pid, *(child.pid for child in psutil.Process(own.process.pid).children())]
        for pid in family:
            os.kill(pid, signal.SIGKILL)
        own.process.wait()
    own.start()
    scenario = scenario_of(own, large)
    check(scenario, finish(own, scenario, path))


def test_a_stop_in_the_middle_and_a_new_start(own: Installation, large: str) -> None:
    scenario = scenario_of(own, large)
    change(scenario)
    with held_jobs(own) as held:
        path = start_job(scenario, held)
        assert own.process is not None
        own.process.send_signal(signal.SIGTERM)
    own.stop()
    own.start()
    scenario = scenario_of(own, large)
    check(scenario, finish(own, scenario, path))


def test_the_same_job_twice(own: Installation, large: str) -> None:
    """As when a worker was taken for dead that was not: neither harms what the other made."""
    scenario = scenario_of(own, large)
    change(scenario)
    with connected(own) as database, held_jobs(own) as held:
        path = start_job(scenario, held)
        again = (
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args)"
            " VALUES ('exports', 'fieldpack:export', jsonb_build_object('export_id', %s::text))"
        )
        database.execute(again, [path.rpartition("/")[2]])
        database.execute("SELECT pg_notify('procrastinate_queue_v1#exports', '{\"type\": \"job_inserted\"}')")
        held.wait(2)
        with polling(own, path) as poller:
            held.release()
            state = finish(own, scenario, path)
        assert poller.errors == []
        check(scenario, state)
        # and once more when it is complete already
        database.execute(again, [state["export_id"]])
        query = (
            "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
            " AND task_name = 'fieldpack:export'"
        )
        wait_for(lambda: database.execute(query).fetchone() == (0,))
    state = expect(scenario.api.get(path), 200)
    assert state["status"] == "complete"
    check(scenario, state)
    assert not list((own.data_dir / "tmp" / "exports").glob("*"))


def test_a_worker_of_its_own(own: Installation, large: str) -> None:
    own.stop()
    own.options.append("--no-worker")
    own.start()
    assert own.children("worker") == []
    scenario = scenario_of(own, large)
    change(scenario)
    body = expect(scenario.api.post(scenario.export_path), 202)
    log = (own.data_dir.parent / "worker.log").open("wb")
    with log:
        worker = subprocess.Popen(
            [*FIELDPACK, "worker", "--data-dir", str(own.data_dir)],
            env=environment(**own.settings),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        path = f"{scenario.export_path}/{body['export_id']}"
        check(scenario, finish(own, scenario, path))
    finally:
        worker.terminate()
        assert worker.wait(STOP_SECONDS) == 0, (own.data_dir.parent / "worker.log").read_text()
    own.stop()
    own.options.remove("--no-worker")
    own.start()
    assert len(own.children("worker")) == 1


def test_a_job_that_vanished_is_made_anew(own: Installation, large: str) -> None:
    """An export that is generating while no job would ever finish it."""
    scenario = scenario_of(own, large)
    change(scenario)
    with held_jobs(own) as held:
        path = start_job(scenario, held)
        with connected(own) as database:
            database.execute("DELETE FROM procrastinate_jobs WHERE task_name = 'fieldpack:export'")
        os.kill(own.children("worker")[0], signal.SIGKILL)
    check(scenario, finish(own, scenario, path))


def test_the_database_goes_and_comes_back(own: Installation, large: str) -> None:
    """Connections are cut in the middle of a job: it is tried again, nobody has to ask."""
    scenario = scenario_of(own, large)
    change(scenario)
    with held_jobs(own) as held:
        path = start_job(scenario, held)
        held.database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        answer = scenario.api.get(path)
        assert answer.status_code in (200, 503), answer.text
        if answer.status_code == 200 and answer.json()["status"] != "generating":
            break
        assert time.monotonic() < deadline, (activity(own), own.log[-3000:])
        time.sleep(0.2)
    assert answer.json()["status"] == "complete"
    check(scenario, answer.json())
