"""Visitors in the engines that Playwright's Chromium is not: WebKit by WebDriver, Firefox by WebDriver BiDi.

Debian's own programs: `WebKitWebDriver` with MiniBrowser on a display of Xvfb, and `firefox-esr`, which speaks BiDi by
itself. Followed: W3C WebDriver and WebDriver BiDi; no more of them than a walk through the pages needs.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import httpx
from websockets.sync.client import ClientConnection, connect

from tests.installation import free_port

PATIENCE_SECONDS = 300.0
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
MINIBROWSERS = "usr/lib/*/webkit2gtk-4.*/MiniBrowser"


class Missing(Exception):
    """The machine lacks this engine; the message says what."""


class Engine(Protocol):
    """One tab of a browser. Elements are named by a CSS selector; the first that matches is meant."""

    def goto(self, url: str) -> None: ...

    def run(self, script: str, *arguments: Any) -> Any:
        """What a function body returns; its arguments are in `arguments`."""

    def click(self, selector: str) -> None: ...

    def type(self, selector: str, text: str) -> None: ...

    def choose_file(self, selector: str, path: Path) -> None: ...

    def choose_option(self, selector: str, value: str) -> None:
        """In a select, by value or label."""

    def close_tab(self) -> None:
        """Close the page as a person would, and open an empty one of the same browser."""


# the place of the option with this value or label
FIND_OPTION = (
    "[...document.querySelector(arguments[0]).options]"
    ".findIndex((each) => each.value === arguments[1] || each.label === arguments[1])"
)


def wait_for(engine: Engine, condition: str, *arguments: Any) -> Any:
    """Until an expression of JavaScript is true; its value."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = None
        with contextlib.suppress(EngineError):  # between two pages
            found = engine.run(f"return {condition};", *arguments)
        if found:
            return found
        assert time.monotonic() < deadline, (
            condition,
            arguments,
            engine.run("return document.body.innerText"),
        )
        time.sleep(0.05)


class EngineError(Exception):
    """What a driver answers instead."""


class WebKit:
    """MiniBrowser, driven by the protocol of W3C WebDriver."""

    def __init__(self, url: str, browser: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=120, trust_env=False)
        capabilities = {
            "browserName": "MiniBrowser",
            "webkitgtk:browserOptions": {"binary": browser, "args": ["--automation"]},
        }
        made = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self._http.base_url = httpx.URL(f"{url}/session/{made['sessionId']}")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._http.request(method, path, json=body)
        value = answer.json()["value"]
        if answer.status_code != 200:
            raise EngineError(f"{path}: {value['error']}: {value['message']}")
        return value

    def _find(self, selector: str) -> str:
        found = self._ask("POST", "/element", {"using": "css selector", "value": selector})
        return f"/element/{found[ELEMENT]}"

    def goto(self, url: str) -> None:
        self._ask("POST", "/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def click(self, selector: str) -> None:
        # the driver itself scrolls no further than to the edge
        self.run(
            "document.querySelector(arguments[0])?.scrollIntoView({ block: 'center', behavior: 'instant' })",
            selector,
        )
        self._ask("POST", f"{self._find(selector)}/click", {})

    def type(self, selector: str, text: str) -> None:
        self._ask("POST", f"{self._find(selector)}/value", {"text": text})

    def choose_file(self, selector: str, path: Path) -> None:
        self.type(selector, str(path))

    def choose_option(self, selector: str, value: str) -> None:
        at = self.run(f"return {FIND_OPTION};", selector, value)
        option = self._find(f"{selector} option:nth-of-type({at + 1})")
        self._ask("POST", f"{option}/click", {})

    def close_tab(self) -> None:
        other = self._ask("POST", "/window/new", {"type": "tab"})["handle"]
        self._ask("DELETE", "/window")
        self._ask("POST", "/window", {"handle": other})

    def close(self) -> None:
        with contextlib.suppress(EngineError, httpx.HTTPError):
            self._ask("DELETE", "")
        self._http.close()


class Firefox:
    """Firefox, driven by WebDriver BiDi over a WebSocket of its own."""

    def __init__(self, port: int) -> None:
        self._numbers = itertools.count(1)
        self._socket = _connect(f"ws://127.0.0.1:{port}/session")
        self._ask("session.new", capabilities={})
        self._context = self._ask("browsingContext.getTree")["contexts"][0]["context"]

    def _ask(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=PATIENCE_SECONDS))
            if answer.get("id") != number:
                continue
            if answer["type"] == "error":
                raise EngineError(f"{method}: {answer['error']}: {answer['message']}")
            return answer["result"]

    def _find(self, selector: str) -> dict[str, Any]:
        locator = {"type": "css", "value": selector}
        found = self._ask(
            "browsingContext.locateNodes", context=self._context, locator=locator, maxNodeCount=1
        )
        if not found["nodes"]:
            raise EngineError(f"no element {selector}")
        return {"sharedId": found["nodes"][0]["sharedId"]}

    def goto(self, url: str) -> None:
        self._ask("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def run(self, script: str, *arguments: Any) -> Any:
        body = f"(function () {{ {script} }})"
        answer = self._ask(
            "script.callFunction",
            functionDeclaration=f"(given) => JSON.stringify({body}(...JSON.parse(given)) ?? null)",
            arguments=[{"type": "string", "value": json.dumps(arguments)}],
            target={"context": self._context},
            awaitPromise=True,
        )
        if answer["type"] == "exception":
            raise EngineError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"])

    def click(self, selector: str) -> None:
        element = self._find(selector)
        self._call(element, "(element) => element.scrollIntoView({ block: 'center', behavior: 'instant' })")
        at = {"type": "pointerMove", "x": 0, "y": 0, "origin": {"type": "element", "element": element}}
        presses = [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self._act({"type": "pointer", "id": "mouse", "actions": [at, *presses]})

    def type(self, selector: str, text: str) -> None:
        self._call(self._find(selector), "(element) => element.focus()")
        keys = [{"type": kind, "value": letter} for letter in text for kind in ("keyDown", "keyUp")]
        self._act({"type": "key", "id": "keys", "actions": keys})

    def _call(self, element: dict[str, Any], function: str) -> None:
        self._ask(
            "script.callFunction",
            functionDeclaration=function,
            arguments=[element],
            target={"context": self._context},
            awaitPromise=True,
        )

    def _act(self, source: dict[str, Any]) -> None:
        self._ask("input.performActions", context=self._context, actions=[source])

    def choose_file(self, selector: str, path: Path) -> None:
        self._ask("input.setFiles", context=self._context, element=self._find(selector), files=[str(path)])

    def choose_option(self, selector: str, value: str) -> None:
        # BiDi has no way into a list that the system draws
        self.run(
            f"""const select = document.querySelector(arguments[0]);
            select.selectedIndex = {FIND_OPTION};
            for (const kind of ["input", "change"]) select.dispatchEvent(new Event(kind, {{ bubbles: true }}));""",
            selector,
            value,
        )

    def close_tab(self) -> None:
        other = self._ask("browsingContext.create", type="tab")["context"]
        self._ask("browsingContext.close", context=self._context)
        self._context = other

    def close(self) -> None:
        with contextlib.suppress(EngineError, OSError, TimeoutError):
            self._ask("browser.close")
        self._socket.close()


def _connect(url: str) -> ClientConnection:
    """As soon as somebody listens there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return connect(url, max_size=None, proxy=None)
        except OSError:
            assert time.monotonic() < deadline, "Firefox does not listen"
            time.sleep(0.1)


@contextlib.contextmanager
def open_webkit() -> Iterator[WebKit]:
    """Raises `Missing` where there is no WebKit, or no display for it."""
    driver, screen = shutil.which("WebKitWebDriver"), shutil.which("Xvfb")
    browsers = sorted(Path("/").glob(MINIBROWSERS))
    if driver is None or screen is None or not browsers:
        raise Missing("needs WebKitWebDriver, MiniBrowser and Xvfb: Debian's webkit2gtk-driver and xvfb")
    with contextlib.ExitStack() as stack:
        reading, writing = os.pipe()
        stack.enter_context(_running([screen, "-displayfd", str(writing), "-nolisten", "tcp"], {}, writing))
        os.close(writing)
        with os.fdopen(reading) as said:
            display = said.readline().strip()
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fieldpack-webkit-"))
        port = free_port()
        settings = {
            "DISPLAY": f":{display}",
            "HOME": folder,
            "XDG_RUNTIME_DIR": folder,
            "GDK_BACKEND": "x11",
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",
            "NO_AT_BRIDGE": "1",
        }
        stack.enter_context(_running([driver, f"--port={port}", "--host=127.0.0.1"], settings))
        _wait_until_open(port)
        browser = WebKit(f"http://127.0.0.1:{port}", str(browsers[-1]))
        stack.callback(browser.close)
        yield browser


@contextlib.contextmanager
def open_firefox() -> Iterator[Firefox]:
    """Raises `Missing` where there is none."""
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    if program is None:
        raise Missing("needs Firefox: Debian's firefox-esr")
    with tempfile.TemporaryDirectory(prefix="fieldpack-firefox-") as folder:
        port = free_port()
        command = [
            program,
            "--headless",
            "--profile",
            folder,
            "--remote-debugging-port",
            str(port),
            "--no-remote",
        ]
        with _running([*command, "about:blank"], {"HOME": folder}):
            browser = Firefox(port)
            try:
                yield browser
            finally:
                browser.close()


def _wait_until_open(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/status", trust_env=False)
            return
        assert time.monotonic() < deadline, "the driver does not listen"
        time.sleep(0.1)


@contextlib.contextmanager
def _running(command: list[str], settings: dict[str, str], keep: int | None = None) -> Iterator[None]:
    """A program in a session of its own, which ends with all its children."""
    process = subprocess.Popen(
        command,
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[keep] if keep is not None else [],
        start_new_session=True,
    )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
