"""Fixtures of the browser tests: one Chromium for the run, a context of its own for every visitor."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from tests.browser.visitor import DESKTOP, Faults, open_context
from tests.proxy import Proxy
from tests.scenario import Scenario

expect.set_options(timeout=60_000)  # of a busy machine; what is right waits for no end

ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # a name that is not this machine's own, for what browsers hold back without a secure connection
    "--host-resolver-rules=MAP study.example 127.0.0.1",
]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A real browser."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("needs the program chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


class Contexts:
    """Opens visitors' browsers, and holds them all to making no fault."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.faults = Faults()
        self.open: list[BrowserContext] = []

    def __call__(self, **options: Any) -> BrowserContext:
        context = open_context(self.browser, self.faults, **{**DESKTOP, **options})
        self.open.append(context)
        return context


@pytest.fixture
def visitors(chromium: Browser) -> Iterator[Contexts]:
    """Makes browser contexts; no page of theirs may raise an error or break the Content-Security-Policy."""
    contexts = Contexts(chromium)
    yield contexts
    for context in contexts.open:
        context.close()
    assert contexts.faults.messages == []


@pytest.fixture
def network(api: httpx.Client) -> Iterator[Proxy]:
    """Between a browser and the server, for `link(…, network)`: what holds an upload where a test wants it."""
    port = api.base_url.port
    assert port is not None
    with Proxy(port) as proxy:
        yield proxy


@pytest.fixture
def example(api: httpx.Client) -> Scenario:
    """A published study of the example collection."""
    from tests.browser.visitor import publish_example

    return publish_example(api)
