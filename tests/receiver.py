"""A receiver of webhooks: keeps what it gets, and answers as a test says."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Answer", "Received", "Receiver", "receiving"]


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def id(self) -> str:
        return self.headers["x-event-id"]

    def is_signed(self, secret: str) -> bool:
        """Whether the signature is what the contract says, by these lines alone."""
        timestamp = self.headers["x-prolific-request-timestamp"]
        assert timestamp == self.headers["x-timestamp"]
        digest = hmac.new(secret.encode(), timestamp.encode() + self.body, hashlib.sha256).digest()
        return self.headers["x-prolific-request-signature"] == base64.b64encode(digest).decode()


Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Receiver:
    """Answers 200 until told otherwise."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    answer: Callable[[Received], Answer] = lambda request: (200, {}, b"ok")

    def taken(self, path: str = "/") -> list[Received]:
        """What came to a path, in order."""
        return [request for request in list(self.received) if request.path == path]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver at 127.0.0.1, over http."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            body = self.rfile.read(length)
            if len(body) < length:  # the sender was killed
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Received(self.path, headers, body)
            status, more, content = receiver.answer(request)
            receiver.received.append(request)
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
