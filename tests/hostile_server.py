"""A collection server as bad as the network makes them: real HTTP, on a real socket, misbehaving on request.

It knows just enough of the API to hand out an archive, the way this project's server or the hosted service
would, and breaks in every way a download can meet. What it was asked is kept in `requests`.
"""

from __future__ import annotations

import io
import json
import random
import re
import socket
import ssl
import struct
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.gates import wait_until_read

TOKEN = "secret-token"
COLLECTION = "0f7d1c3a-5a53-4d42-9d5f-0a2b4cdd1e11"
EXPORT = "6f1c2a34-0000-4000-8000-000000000001"


def make_archive(
    members: int = 8, member_bytes: int = 100_000, *, seed: int = 1, descriptors: bool = False
) -> bytes:
    """A ZIP with a deflated member and stored ones of random bytes."""
    chance = random.Random(seed)
    target: Any = _Unseekable() if descriptors else io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("responses.jsonl", b'{"submission_id": "s"}\n' * 5000, zipfile.ZIP_DEFLATED)
        for number in range(members):
            archive.writestr(f"files/{number}.bin", chance.randbytes(member_bytes))
        archive.writestr("files/empty.txt", b"")
    data: bytes = target.getvalue()
    return data


class _Unseekable(io.RawIOBase):
    """Makes zipfile write data descriptors, as a streaming server does."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def getvalue(self) -> bytes:
        return b"".join(self._parts)


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


@dataclass
class HostileServer:
    """What it serves and how it misbehaves; change the fields at any time.

    Attributes:
        archive: what links lead to.
        cut_after: called for each answer's body; how many bytes leave before the connection breaks, or None.
        is_reset: break with RST instead of an early end.
        is_range_blind: ignore Range.
        is_condition_blind: ignore If-Range, as some proxies and buckets do: a part of whatever is there now.
        gives_etag, is_chunked, content_type, claimed_bytes: how the archive is presented.
        link_bytes: how many bytes one link serves until it answers `expired_status`.
        busy: statuses answered to the next requests for the archive.
        on_bytes: called with the count of bytes sent so far, between chunks.
        polls: answers of `generating` before an export is complete.
        is_hosted: answer exports as the hosted service does, with nothing but status and link.
        waiting: the waiting_reason of an export that is generating.
        ignored: what the header X-Ignored-Parameters of lists says.
        bare_lists: "cut" answers lists as bare arrays, "uncut" ones whole whatever is asked for.
        api_busy: (status, headers) answered to the next API requests.
        fails_with: reason with which the export ends as failed.
        redirects_to: origin to which links are redirected.
        location: what links are redirected to, as it is.
        link: what is given out as a link, as it is.
        api_answer: called for the headers and the body, in pieces, of every answer of the API.
        held: set once `hold` has stopped an archive.
        export_id: what exports are called; another one when the archive is another.
    """

    archive: bytes
    cut_after: Callable[[], int | None] = lambda: None
    is_reset: bool = False
    is_range_blind: bool = False
    is_condition_blind: bool = False
    gives_etag: bool = True
    is_chunked: bool = False
    content_type: str = "application/zip"
    claimed_bytes: int | None = None
    link_bytes: int | None = None
    expired_status: int = 403
    busy: list[int] = field(default_factory=list)
    on_bytes: Callable[[int], None] = lambda sent: None
    polls: int = 0
    is_hosted: bool = False
    ignored: str = ""
    waiting: str = ""
    bare_lists: str = ""
    api_busy: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    fails_with: str | None = None
    redirects_to: str | None = None
    location: str | None = None
    link: str | None = None
    api_answer: Callable[[], tuple[dict[str, str], Iterable[bytes]]] | None = None
    created_at: str = "2026-03-04T05:06:07Z"
    export_id: str = EXPORT
    url: str = ""
    requests: list[Asked] = field(default_factory=list)
    sent_bytes: int = 0
    held: threading.Event = field(default_factory=threading.Event)
    _links: dict[str, int] = field(default_factory=dict)
    _released: threading.Event = field(default_factory=threading.Event)

    @property
    def etag(self) -> str:
        return f'"{hash(self.archive) & 0xFFFFFFFF:x}"'

    def mint(self) -> str:
        """A fresh link."""
        name = f"/download/{len(self._links)}"
        self._links[name] = 0
        return self.url + name

    def hold(self, after_bytes: int, until: Callable[[], bool] = lambda: True) -> None:
        """Send so many bytes of archives, then a little at a time until `until`, then nothing until `release`."""

        def wait(sent: int) -> None:
            if sent >= after_bytes:
                if not until():
                    time.sleep(0.02)
                    return
                self.held.set()
                self._released.wait()

        self.held.clear()
        self._released.clear()
        self.on_bytes = wait

    def release(self) -> None:
        """Send the rest, and count anew."""
        self.on_bytes = lambda sent: None
        self.sent_bytes = 0
        self._released.set()

    def asked(self, prefix: str, method: str | None = None) -> list[Asked]:
        """The requests for paths that begin with `prefix`."""
        return [r for r in self.requests if r.path.startswith(prefix) and method in (None, r.method)]


@contextmanager
def serve_hostile(archive: bytes, tls: ssl.SSLContext | None = None, **how: Any) -> Iterator[HostileServer]:
    """Run one for the length of a `with`."""
    state = HostileServer(archive, **how)

    class Handler(_Handler):
        server_state = state

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Clients that go away are the point."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    state.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: HostileServer

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def do_PATCH(self) -> None:
        self._handle()

    def _handle(self) -> None:
        state, parts = self.server_state, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        state.requests.append(Asked(self.command, parts.path, parse_qs(parts.query), headers, body))
        if parts.path.startswith("/download/"):
            self._serve_link(parts.path)
        else:
            self._serve_api(parts.path)

    # The API

    def _serve_api(self, path: str) -> None:
        state = self.server_state
        if state.api_busy:
            status, headers = state.api_busy.pop(0)
            self._refuse(status, "Busy.", headers)
        elif self.headers.get("Authorization") != f"Token {TOKEN}":
            self._refuse(401, "The token is not known.")
        elif state.api_answer is not None:
            self._answer_in_pieces(*state.api_answer())
        elif path.startswith("/api/v1/lists/") or path in ("/api/v1/studies/", "/api/v1/workspaces/"):
            self._serve_list()
        elif path == "/api/v1/users/me":
            self._answer(200, {"id": "r1", "name": "Ada"})
        elif re.fullmatch(r"/api/v1/data-collection/collections/[^/]+/export(/[^/]+)?", path):
            self._serve_export()
        else:
            self._refuse(404, "There is no such route.")

    def _serve_list(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        offset, limit = int(query.get("offset", ["0"])[0]), int(query.get("limit", ["200"])[0])
        everything = [{"id": f"item-{n}"} for n in range(450)]
        state = self.server_state
        headers = {"X-Ignored-Parameters": state.ignored} if state.ignored else {}
        if state.bare_lists == "uncut":
            self._answer(200, everything, headers)
        elif state.bare_lists:
            self._answer(200, everything[offset : offset + limit], headers)
        else:
            self._answer(
                200, {"results": everything[offset : offset + limit], "meta": {"count": 450}}, headers
            )

    def _serve_export(self) -> None:
        state = self.server_state
        about = {} if state.is_hosted else {"created_at": state.created_at, "export_id": state.export_id}
        if state.polls > 0:
            state.polls -= 1
            about |= {"waiting_reason": state.waiting} if state.waiting else {}
            self._answer(
                202, {"status": "generating", "export_id": state.export_id, "progress": 0.5, **about}
            )
        elif state.fails_with:
            self._answer(200, {"status": "failed", "failure_reason": state.fails_with, **about})
        else:
            if not state.is_hosted:
                about |= {"submission_count": 3, "file_count": 9, "size_bytes": len(state.archive)}  # type: ignore[dict-item]
            link = {
                "url": state.link if state.link is not None else state.mint(),
                "expires_at": "2030-01-01T00:00:00Z",
            }
            self._answer(200, {"status": "complete", **link, **about})

    def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _answer_in_pieces(self, headers: dict[str, str], pieces: Iterable[bytes]) -> None:
        self.send_response(200)
        for name, value in {
            "Content-Type": "application/json",
            "Transfer-Encoding": "chunked",
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.server_state.sent_bytes += len(piece)
        self.wfile.write(b"0\r\n\r\n")

    def _refuse(self, status: int, detail: Any, headers: dict[str, str] | None = None) -> None:
        problem = {"status": status, "error_code": 140000 + status, "title": "No", "detail": detail}
        self._answer(status, {"error": problem}, headers)

    # The links

    def _serve_link(self, path: str) -> None:
        state = self.server_state
        if "authorization" in state.requests[-1].headers:
            self._refuse(400, "A token came with a download link.")
            return
        if state.redirects_to is not None or state.location is not None:
            self.send_response(302)
            self.send_header("Location", state.location or f"{state.redirects_to}{path}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if state.busy:
            self._refuse(state.busy.pop(0), "Not now.", {"Retry-After": "0"})
            return
        if state.link_bytes is not None and state._links.get(path, 0) >= state.link_bytes:
            self._refuse(state.expired_status, "This link has expired: ask for the export again.")
            return
        self._send_archive(path)

    def _send_archive(self, path: str) -> None:
        state, whole = self.server_state, self.server_state.archive
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        condition = self.headers.get("If-Range")
        is_part = (
            wanted
            and not state.is_range_blind
            and (state.is_condition_blind or condition in (None, state.etag))
        )
        start, end = 0, len(whole)
        if wanted and is_part:
            start = int(wanted[1]) if wanted[1] else max(0, end - int(wanted[2]))  # the last bytes
            end = min(end, int(wanted[2]) + 1) if wanted[1] and wanted[2] else end
            if start >= len(whole):
                self._refuse(416, "Beyond the end.", {"Content-Range": f"bytes */{len(whole)}"})
                return
        self.send_response(206 if is_part else 200)
        self.send_header("Content-Type", state.content_type)
        if not state.is_range_blind:
            self.send_header("Accept-Ranges", "bytes")
        if state.gives_etag:
            self.send_header("ETag", state.etag)
        if is_part:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(whole)}")
        if state.is_chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(state.claimed_bytes or end - start))
        self.end_headers()
        self._send_body(path, whole[start:end])

    def _send_body(self, path: str, body: bytes) -> None:
        state, left, at = self.server_state, self.server_state.cut_after(), 0
        while at < len(body):
            step = min(16384, len(body) - at)
            if left is not None:
                if at >= left:
                    self._break()
                    return
                step = min(step, left - at)
            if state.link_bytes is not None and state._links.get(path, 0) >= state.link_bytes:
                self._break()
                return
            chunk = body[at : at + step]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk) if state.is_chunked else chunk)
            at += step
            state.sent_bytes += step
            state._links[path] = state._links.get(path, 0) + step
            state.on_bytes(state.sent_bytes)
        if state.is_chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _break(self) -> None:
        self.wfile.flush()
        if self.server_state.is_reset:
            wait_until_read(self.connection)  # a reset throws away what was not
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()
        self.close_connection = True
