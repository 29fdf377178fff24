"""The way to an installation from outside: any process that answers, again and again until one does."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx

__all__ = ["PATIENCE_SECONDS", "PAUSE_SECONDS", "Outside", "Refused", "Unreachable"]

PATIENCE_SECONDS = 120.0
PAUSE_SECONDS = 0.2
PASSING = (429, 502, 503, 504)


class Unreachable(Exception):
    """No process gave an answer for a long time."""


class Refused(Exception):
    """An answer that nothing in the load should meet, such as a 500."""


class Outside:
    """A client of every server in turn, as a proxy in front of them would be."""

    def __init__(self, urls: list[str], token: str) -> None:
        self.urls = urls
        self.token = token
        self.passing_faults: dict[str, int] = {}
        self._turn: Iterator[int] = itertools.count()
        self._lock = threading.Lock()
        self._clients = threading.local()
        self._opened: list[httpx.Client] = []

    def request(
        self,
        method: str,
        path: str,
        *,
        expected: tuple[int, ...],
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """An answer with one of the expected statuses, from whichever server gives one.

        Raises:
            Refused: an answer that is neither expected nor passing.
            Unreachable: none for a long time.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        headers = {"Authorization": f"Token {self.token}", **(headers or {})}
        while True:
            try:
                answer = self.client().request(
                    method, f"{self.origin()}/api/v1{path}", headers=headers, **more
                )
                if answer.status_code in expected:
                    return answer
                if answer.status_code not in PASSING:
                    raise Refused(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
                fault = f"status {answer.status_code}"
            except httpx.TransportError as error:
                fault = type(error).__name__
            with self._lock:
                self.passing_faults[fault] = self.passing_faults.get(fault, 0) + 1
            if time.monotonic() > deadline:
                raise Unreachable(f"{method} {path}: {fault} for {PATIENCE_SECONDS:.0f} s.")
            time.sleep(PAUSE_SECONDS)

    def origin(self) -> str:
        """The next server in turn."""
        with self._lock:
            return self.urls[next(self._turn) % len(self.urls)]

    def client(self) -> httpx.Client:
        """This thread's own."""
        found: httpx.Client | None = getattr(self._clients, "client", None)
        if found is None or found.is_closed:
            found = self._clients.client = httpx.Client(timeout=30, trust_env=False)
            with self._lock:
                self._opened.append(found)
        return found

    def close(self) -> None:
        """Close every thread's client."""
        for client in self._opened:
            client.close()
