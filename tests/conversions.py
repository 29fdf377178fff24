"""What tests do with conversions: have them made, bring them, and hold the process that makes one."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psutil

from tests.gates import wait_for
from tests.installation import Installation
from tests.scenario import Scenario, expect

CHILD = "fieldpack.server.exports.conversions.child"


def conversion_path(scenario: Scenario, export: dict[str, Any], format: str = "") -> str:
    path = f"{scenario.export_path}/{export['export_id']}/conversions"
    return f"{path}/{format}" if format else path


def convert(scenario: Scenario, export: dict[str, Any], format: str) -> dict[str, Any]:
    """A conversion once it is over."""
    path = conversion_path(scenario, export, format)
    answer = scenario.api.post(path)
    assert answer.status_code in (200, 202), answer.text
    state: dict[str, Any] = answer.json()

    def is_over() -> bool:
        state.update(expect(scenario.api.get(path, headers={"Prefer": "wait=5"}), 200))
        return bool(state["status"] != "generating")

    wait_for(is_over)
    return state


def fetch(conversion: dict[str, Any]) -> bytes:
    assert conversion["status"] == "complete", conversion
    answer = httpx.get(conversion["url"], trust_env=False, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.content


def find_children(server: Installation) -> list[psutil.Process]:
    """The processes of a server that convert."""
    found = []
    for pid in server.children("worker"):
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if CHILD in process.cmdline():
                        found.append(process)
    return found


@contextmanager
def held_conversion(
    server: Installation, scenario: Scenario, export: dict[str, Any]
) -> Iterator[psutil.Process]:
    """A conversion to CSV that is stopped in the middle, with the process that is at it; it goes on in the end."""
    path = conversion_path(scenario, export, "csv")
    held: list[psutil.Process] = []

    def is_held() -> bool:
        state = scenario.api.get(path).json()
        if state.get("status") == "complete":  # it was too quick
            expect(scenario.api.delete(path), 204)
        if state.get("status") != "generating":
            assert scenario.api.post(path).status_code == 202
        for process in find_children(server):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
                if path_is_generating():
                    held.append(process)
                else:
                    process.send_signal(signal.SIGCONT)
        return bool(held)

    def path_is_generating() -> bool:
        return bool(scenario.api.get(path).json().get("status") == "generating")

    wait_for(is_held)
    try:
        yield held[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(held[0].pid, signal.SIGCONT)
