"""What tests of faults share: files to take part with, and waiting for what comes of an export."""

from __future__ import annotations

import contextlib
import hashlib
import io
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg

from tests.gates import PATIENCE_SECONDS, wait_for, wait_until_read
from tests.installation import Installation
from tests.integration.rows import connected
from tests.scenario import PNG, UPLOAD, Scenario

__all__ = [
    "PATIENCE_SECONDS",
    "PHOTO",
    "TEXT",
    "HeldJobs",
    "check",
    "held_jobs",
    "photos",
    "wait_for",
    "wait_until_ended",
    "wait_until_read",
]

PHOTO = {**UPLOAD, "max_file_size_mb": 20}
TEXT = {"type": "free_text", "description": "How was it?"}


def photos(scenario: Scenario, count: int, size_bytes: int) -> None:
    for number in range(count):
        content = PNG + hashlib.shake_128(str(number).encode()).digest(size_bytes - len(PNG))
        scenario.take_part(f"with-{number}", "Fine", [(f"{number}.png", content)])


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
