"""Nothing of an erased person is left in any file of the data folder: PostgreSQL's own files and log included."""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import signal
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
import psutil
import psycopg
import pytest

from fieldpack.server.db.parameters import cluster_folder
from fieldpack.server.db.scrubbing import TABLES, Postponed, scrub
from fieldpack.server.storage import thumbnail_key
from tests.files_there import iter_contents
from tests.gates import wait_for
from tests.installation import Installation, installed
from tests.integration.rows import connected, insert_submissions
from tests.pictures import make_drawing, save
from tests.receiver import receiving
from tests.scenario import PNG, Scenario, expect

GONE_SECONDS = 300.0  # 10 on a machine with nothing else to do


@pytest.fixture(scope="module")
def server() -> Iterator[Installation]:
    """One of its own: every file of it is looked into."""
    with installed(FIELDPACK_RESERVE_MB="1", FIELDPACK_HOOK_TARGETS="127.0.0.1") as installation:
        yield installation


def find_on_disk(server: Installation, markers: dict[str, bytes]) -> dict[str, list[str]]:
    """Files anywhere in the data folder that hold these bytes, by marker."""
    found: dict[str, list[str]] = {}
    for path, data in iter_contents(server.data_dir):
        for name, marker in markers.items():
            if marker in data:
                found.setdefault(name, []).append(str(path.relative_to(server.data_dir)))
    return found


def wait_until_gone(server: Installation, markers: dict[str, bytes]) -> float:
    began = time.monotonic()
    while found := find_on_disk(server, markers):
        assert time.monotonic() - began < GONE_SECONDS, (found, server.log[-30_000:])
        time.sleep(0.2)
    return time.monotonic() - began


def leave_traces(scenario: Scenario, server: Installation) -> tuple[str, dict[str, bytes]]:
    """A whole submission, exported, looked at and reviewed, and the bytes that can only be of it."""
    person, session, secret, name, message, content, better, reason, note = (
        secrets.token_hex(16) for _ in range(9)
    )
    long = secrets.token_urlsafe(15_000)  # does not compress: it lies in the TOAST table as it is
    participant = scenario.start(person, session)
    expect(participant.answer(participant.item(0), {"value": secret}), 200)
    expect(participant.answer(participant.item(0), {"value": f"{secret} changed"}), 200)
    expect(participant.answer(participant.item(2), {"value": long}), 200)
    photo = save(make_drawing(), "PNG") + content.encode()
    participant.upload(participant.item(1), f"{name}.png", photo)
    participant.submit()
    path = f"/submissions/{participant.submission_id}/corrections"
    body = {"instruction_id": participant.item(0), "answer": {"value": better}, "reason": reason}
    expect(scenario.api.post(path, json=body), 201)
    expect(scenario.api.post(path, json={**body, "answer": {"value": "Fine"}}), 201)
    expect(scenario.api.post(f"/submissions/{participant.submission_id}/notes", json={"text": note}), 201)
    scenario.export()
    decision = {"action": "REJECT", "message": message, "rejection_category": "OTHER"}
    expect(scenario.api.post(f"/submissions/{participant.submission_id}/transition", json=decision), 200)
    for path in (f"/studies/{scenario.study['id']}/submissions", f"/submissions/{participant.submission_id}"):
        expect(scenario.api.get(path), 200)
    expect(scenario.api.get(f"/data-collection/collections/{scenario.collection['id']}/responses"), 200)
    texts = {f"long {at}": long[at : at + 64] for at in range(0, len(long) - 64, 1500)}
    texts |= {"person": person, "session": session, "secret": secret, "name": name}
    texts |= {"message": message, "content": content, "better": better, "reason": reason, "note": note}
    markers = {key: text.encode() for key, text in texts.items()}
    markers["thumbnail"] = find_thumbnail(server, participant.submission_id)
    return participant.submission_id, markers | {"meaning": find_meaning(server, participant.submission_id)}


def find_thumbnail(server: Installation, submission_id: str) -> bytes:
    """What is stored as the small picture of the submission's photo, once it is made."""
    found: list[Any] = []

    def look() -> bool:
        with connected(server) as database:
            found[:] = database.execute(
                "SELECT f.blob_id FROM thumbnail_files f JOIN uploads u ON u.blob_id = f.blob_id"
                " WHERE u.submission_id = %s",
                [submission_id],
            ).fetchall()
        return bool(found)

    wait_for(look)
    return (server.data_dir / "storage" / thumbnail_key(found[0][0], 320)).read_bytes()


def find_meaning(server: Installation, submission_id: str) -> bytes:
    """How PostgreSQL stores whom the audit log means by a subject: two ids, one after the other."""
    with connected(server) as database:
        row = database.execute(
            "SELECT id FROM audit_subjects WHERE submission_id = %s", [submission_id]
        ).fetchone()
    assert row is not None
    subject: UUID = row[0]
    return subject.bytes + UUID(submission_id).bytes


def say(submission_id: str) -> bytes:
    """What a receiver says of a submission: bytes that can only be of it."""
    return hashlib.sha256(submission_id.encode()).hexdigest().encode()


@contextmanager
def told(api: httpx.Client, workspace_id: str) -> Iterator[None]:
    """Events of submissions go to a receiver, which says something of each."""
    expect(api.post("/hooks/secrets", json={"workspace_id": workspace_id}), 201)
    with receiving() as receiver:
        receiver.answer = lambda request: (200, {}, say(request.event["resource_id"]))
        body = {
            "event_type": "submission.status.change",
            "target_url": receiver.url,
            "workspace_id": workspace_id,
        }
        made = api.post("/hooks/subscriptions", json=body)
        path = f"/hooks/subscriptions/{expect(made, 201)['id']}"
        expect(api.post(path, json={"secret": made.headers["x-hook-secret"]}), 200)
        yield
        expect(api.delete(path), 204)


def count_said(server: Installation, submission_id: str) -> int:
    """How many answers of a receiver about a submission are kept."""
    with connected(server) as database:
        row = database.execute(
            "SELECT count(a.answer) FROM hook_attempts a JOIN hook_events e ON e.id = a.event_id"
            " WHERE e.resource_id = %s",
            [submission_id],
        ).fetchone()
    assert row is not None
    return int(row[0])


def create(api: httpx.Client) -> Scenario:
    questions: list[dict[str, Any]] = [
        {"type": "free_text", "description": "How was it?"},
        {"type": "file_upload", "description": "A photo.", "required": False},
        {"type": "free_text", "description": "In full", "required": False},
    ]
    return Scenario.create(api, *questions)


def people_in(scenario: Scenario) -> set[str]:
    archive = zipfile.ZipFile(io.BytesIO(scenario.download()))
    assert archive.testzip() is None
    return {json.loads(line)["participant_id"] for line in archive.read("responses.jsonl").splitlines()}


def test_no_file_holds_anything_of_the_erased(api: httpx.Client, server: Installation) -> None:
    scenario = create(api)
    scenario.take_part("stays", "Stays", [("stays.png", PNG)])
    with told(api, scenario.collection["workspace_id"]):
        erased, markers = leave_traces(scenario, server)
        markers["said"] = say(erased)
        listed = {"filter_id": "custom_blocklist", "selected_values": [markers["person"].decode(), "another"]}
        expect(api.patch(f"/studies/{scenario.study['id']}", json={"filters": [listed]}), 200)
        wait_for(lambda: count_said(server, erased) == 3)  # started, submitted, rejected
        with connected(
            server
        ) as database:  # names are in its statistics, as they are some time later by itself
            database.execute("ANALYZE; CHECKPOINT")
        held = find_on_disk(server, markers)
        assert set(held) >= {
            "person",
            "session",
            "secret",
            "name",
            "message",
            "content",
            "better",
            "reason",
            "note",
            "thumbnail",
            "meaning",
            "said",
        }, held
        assert len(held) > 10, held  # pieces of the long answer
        expect(api.delete(f"/submissions/{erased}"), 204)
        wait_until_gone(server, markers)
        with connected(server) as database:  # what was to be told is there, without any of it
            for table in ("changes", "hook_events"):
                row = database.execute(f"SELECT count(*) FROM {table}").fetchone()
                assert row is not None
                assert row[0] > 0, table
    assert people_in(scenario) == {"stays"}
    assert find_on_disk(server, markers) == {}


def test_while_exports_are_made_and_people_take_part(api: httpx.Client, server: Installation) -> None:
    scenario, other = create(api), create(api)
    scenario.take_part("stays", "Stays")
    insert_submissions(server, other.study["id"], 20_000)
    ended = threading.Event()
    failures: list[BaseException] = []

    def go_on() -> None:
        number = 0
        try:
            with server.client() as client:
                busy = Scenario(client, other.collection, other.study)
                while not ended.is_set():
                    busy.take_part(f"{uuid4()}", f"number {number}", [("busy.png", PNG)])
                    assert busy.export()["submission_count"] > 20_000
                    number += 1
            assert number
        except BaseException as error:
            failures.append(error)

    busy = threading.Thread(target=go_on)
    busy.start()
    try:
        erased = [leave_traces(scenario, server) for _ in range(3)]
        for submission_id, _ in erased:
            expect(api.delete(f"/submissions/{submission_id}"), 204)
        for _, markers in erased:
            wait_until_gone(server, markers)
    finally:
        ended.set()
        busy.join()
    assert failures == []
    assert people_in(scenario) == {"stays"}


def test_what_others_still_see_is_waited_for(api: httpx.Client, server: Installation) -> None:
    """A row that a snapshot sees is copied when its table is written anew, and nobody would come back for it."""
    scenario = create(api)
    scenario.take_part("stays", "Stays")
    erased, markers = leave_traces(scenario, server)
    scrubs = server.log.count("database.scrubbed")
    with connected(server) as reader:
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM collections")
        expect(api.delete(f"/submissions/{erased}"), 204)
        with connected(server) as watching:
            waits = "SELECT FROM procrastinate_jobs WHERE task_name = 'fieldpack:scrub' AND status = 'doing'"
            wait_for(lambda: watching.execute(waits).fetchone() is not None)
        time.sleep(3.0)  # it would be over by now, on a machine with nothing else to do
        assert server.log.count("database.scrubbed") == scrubs
        reader.execute("ROLLBACK")
    wait_until_gone(server, markers)


@pytest.mark.parametrize("victim", ["postmaster", "worker"])
def test_who_dies_meanwhile_is_no_excuse(api: httpx.Client, server: Installation, victim: str) -> None:
    """Killed while it writes a table anew: the job is taken up again, and what the crash left is removed."""
    scenario = create(api)
    scenario.take_part("stays", "Stays")
    insert_submissions(server, scenario.study["id"], 20_000)
    erased, markers = leave_traces(scenario, server)
    later, more = leave_traces(scenario, server)
    with connected(server) as watching:
        expect(api.delete(f"/submissions/{erased}"), 204)
        deadline = time.monotonic() + GONE_SECONDS
        at_work = "SELECT pid FROM pg_stat_progress_cluster WHERE relid = 'submissions'::regclass"
        while (row := watching.execute(at_work).fetchone()) is None:
            assert time.monotonic() < deadline, server.log[-3000:]
        if victim == "worker":
            os.kill(server.children("worker")[0], signal.SIGKILL)
        else:
            parent = psutil.Process(row[0]).parent()
            assert parent is not None
            parent.kill()
    wait_until_gone(server, markers)
    deadline = time.monotonic() + GONE_SECONDS
    while api.delete(f"/submissions/{later}").status_code != 204:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    wait_until_gone(server, more)


def test_it_never_waits_in_front_of_others_for_long(server: Installation) -> None:
    with connected(server) as database, connected(server) as reader, reader.transaction():
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM submissions")
        stop = threading.Event()
        ending = threading.Timer(1.0, stop.set)
        ending.start()
        with pytest.raises(Postponed):  # the reader began before; and then the process ends
            scrub(database, cluster_folder(server.data_dir), stop)
        ending.join()
        database.execute("SET lock_timeout = '500ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            database.execute("VACUUM (FULL) submissions")


def test_each_wait_has_its_own_patience(server: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where much was waited for, or large tables take their time, the next wait is not given up at once."""
    monkeypatch.setattr("fieldpack.server.db.scrubbing.PATIENCE_SECONDS", 2.0)
    with connected(server) as database, connected(server) as reader, connected(server) as locker:
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM collections")
        database.execute("SELECT pg_current_xact_id()")  # the reader's snapshot is an older one from now on
        locker.execute("BEGIN; LOCK TABLE submissions IN SHARE UPDATE EXCLUSIVE MODE")
        timers = [
            threading.Timer(seconds, session.execute, ["ROLLBACK"])
            for session, seconds in ((reader, 1.2), (locker, 2.4))
        ]
        for timer in timers:
            timer.start()
        scrub(database, cluster_folder(server.data_dir), threading.Event())
        for timer in timers:
            timer.join()


def test_a_table_too_large_to_lock_is_named(server: Installation) -> None:
    with connected(server) as database:
        scrubbed = scrub(database, cluster_folder(server.data_dir), threading.Event(), largest_bytes=0)
        assert set(scrubbed.too_large) >= set(TABLES)
