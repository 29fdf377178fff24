"""What tests of faults share: files to take part with, and waiting for what comes of an export."""

from __future__ import annotations

import contextlib
import hashlib
import io
import socket
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.installation import Installation
from tests.integration.rows import connected
from tests.scenario import PNG, UPLOAD, Scenario

PATIENCE_SECONDS = 120.0

PHOTO = {**UPLOAD, "max_file_size_mb": 20}
TEXT = {"type": "free_text", "description": "How was it?"}


def photos(scenario: Scenario, count: int, size_bytes: int) -> None:
    for number in range(count):
        content = PNG + hashlib.shake_128(str(number).encode()).digest(size_bytes - len(PNG))
        scenario.take_part(f"with-{number}", "Fine", [(f"{number}.png", content)])


def wait_for(condition: Any, seconds: float = PATIENCE_SECONDS) -> None:
    """Until it holds. The time is only for what never comes: no promise is measured by it."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_until_read(connection: socket.socket) -> None:
    """Until the program at the other end, on this machine, has taken everything that was sent from the kernel."""
    wait_for(lambda: _count_unread(connection) == 0)


def _count_unread(connection: socket.socket) -> int:
    """Bytes on their way to the other end, and those that wait there, by Linux's own table (proc_net_tcp)."""
    here, there = (f":{end[1]:04X}" for end in (connection.getsockname(), connection.getpeername()))
    unread = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues = line.split()[:5]
        sending, receiving = (int(queue, 16) for queue in queues.split(":"))
        if local.endswith(here) and remote.endswith(there):
            unread += sending
        if local.endswith(there) and remote.endswith(here):
            unread += receiving
    return unread


@contextmanager
def held_jobs(server: Installation) -> Iterator[HeldJobs]:
    """Export jobs wait after they took their snapshot and before they read a line; until released, or the end."""
    with connected(server) as database:
        held = HeldJobs(database)
        try:
            yield held
        finally:
            held.release()


class HeldJobs:
    """A gate in the database: jobs read the list of instructions next, and that is locked."""

    def __init__(self, database: psycopg.Connection[Any]) -> None:
        self.database = database
        database.execute("BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE")

    def wait(self, count: int = 1) -> None:
        """Until so many jobs are there."""
        query = (
            "SELECT count(*) FROM pg_locks WHERE relation = 'items'::regclass AND NOT granted"
            " AND pid <> pg_backend_pid()"
        )
        wait_for(lambda: self.database.execute(query).fetchone() == (count,))

    def release(self) -> None:
        """Let them go on."""
        with contextlib.suppress(psycopg.OperationalError):  # a test may have ended this connection, too
            self.database.execute("ROLLBACK")


def wait_until_ended(scenario: Scenario, export_id: str, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
    """The export once it is no longer generating, whatever the server answers in between."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            response = scenario.api.get(f"{scenario.export_path}/{export_id}", headers={"Prefer": "wait=5"})
            answer: dict[str, Any] = response.json()
            assert response.status_code in (200, 503), answer
            if response.status_code == 200 and answer["status"] != "generating":
                return answer
        except httpx.HTTPError:
            time.sleep(0.1)
        assert time.monotonic() < deadline


def check(content: bytes, export: dict[str, Any]) -> None:
    """The archive is whole, and holds as many lines and files as the export says."""
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.testzip() is None
    assert len(archive.namelist()) == 3 + export["file_count"]
    assert archive.read("responses.jsonl").count(b"\n") == export["submission_count"]
