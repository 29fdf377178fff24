"""What tests of faults share: files to take part with, and waiting for what comes of an export."""

from __future__ import annotations

import hashlib
import io
import time
import zipfile
from typing import Any

import httpx

from tests.scenario import PNG, UPLOAD, Scenario

PHOTO = {**UPLOAD, "max_file_size_mb": 20}
TEXT = {"type": "free_text", "description": "How was it?"}


def photos(scenario: Scenario, count: int, size_bytes: int) -> None:
    for number in range(count):
        content = PNG + hashlib.shake_128(str(number).encode()).digest(size_bytes - len(PNG))
        scenario.take_part(f"with-{number}", "Fine", [(f"{number}.png", content)])


def wait_for(seconds: float, condition: Any) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_until_ended(scenario: Scenario, export_id: str, seconds: float = 60) -> dict[str, Any]:
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
