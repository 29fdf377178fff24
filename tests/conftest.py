"""Fixtures: one installation for the whole run; each test makes its own collections in it."""

from __future__ import annotations

import functools
import os
import ssl
import sys
from collections.abc import Generator, Iterator
from typing import Any

import certifi
import httpx
import pytest
from httpx._config import DEFAULT_TIMEOUT_CONFIG
from hypothesis import HealthCheck, settings

from tests.installation import Installation, installed

# A server is three processes, each of which would compile all of its modules anew: a third of what its start costs.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

make_context = ssl.create_default_context
public_authorities = functools.cache(lambda: make_context(cafile=certifi.where()))


def find_context(*positions: Any, **names: Any) -> ssl.SSLContext:
    """As `ssl.create_default_context`; what httpx gives every client is read once, not a thousand times 25 ms long."""
    if not positions and names == {"cafile": certifi.where()}:
        return public_authorities()
    return make_context(*positions, **names)


ssl.create_default_context = find_context

# how long an answer may take is the machine's affair: not 5 s, which a busy one needs for a restarted server
for phase in ("connect", "read", "write", "pool"):
    setattr(DEFAULT_TIMEOUT_CONFIG, phase, 60.0)

# how long an example takes is the machine's affair, here as in every other test
settings.register_profile(
    "any_speed", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any_speed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: Playwright keeps an event loop running in this thread from then on."""
    items.sort(key=lambda item: "browser" in item.path.parts)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI everything that a test can need is installed: a skip there is a failure."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Figures that tests report (`record_property`), which are no one's to judge here."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid}: {name} {value}")


@pytest.fixture(scope="session")
def server() -> Iterator[Installation]:
    """A running server with a worker, shared by all tests that don't harm it."""
    with installed() as installation:
        yield installation


@pytest.fixture
def api(server: Installation) -> Iterator[httpx.Client]:
    """The first researcher's client."""
    with server.client() as client:
        yield client
