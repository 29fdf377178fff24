"""Connections by themselves: a server of ours with a small application, on real sockets, with short limits."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import inspect
import json
import socket
import ssl
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httptools
import pytest
import trustme
import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from fieldpack.server.http.authentication import EXTENSION
from fieldpack.server.http.intake import connections, server
from fieldpack.server.http.intake.addresses import (
    AddressTable,
    Admission,
    clear_region,
    create_table,
    network_of,
    plain_address,
)
from fieldpack.server.http.intake.connections import Connection
from fieldpack.server.http.intake.reading import MAX_HEAD_BYTES, MAX_PIPELINED
from fieldpack.server.http.intake.server import Server
from fieldpack.server.http.sending.events import EventStream, Wake, write_event

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
END = b"Connection: close\r\n\r\n"


async def _speak(wake: Wake) -> AsyncGenerator[bytes]:
    while not wake.is_over:
        yield write_event("beat", None)
        await wake.wait(3600)


@dataclass
class Running:
    """A server in a thread of this process.

    The application answers the body it got; `/known` authenticates first, `/deaf` reads nothing, `/gate` waits
    until the gate is opened, `/events` goes on for ever.
    """

    limit: int = 1000
    most: int = 1000
    trusted: tuple[str, ...] = ()
    table: AddressTable = field(default_factory=AddressTable)
    tls: trustme.CA | None = None
    seen: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(2048)
        self.port: int = self.socket.getsockname()[1]
        config = uvicorn.Config(
            self.app, log_config=None, ws="none", timeout_keep_alive=75, lifespan="off", interface="asgi3"
        )
        config.load()
        if self.tls is not None:
            config.ssl = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.issue_cert("localhost").configure_cert(config.ssl)
        self.admission = Admission(self.limit, self.trusted.__contains__, self.table)
        self.server = Server(config, self.admission, self.most)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        wait_for(lambda: self.server.started)

    def _run(self) -> None:
        async def serve() -> None:
            self.loop = asyncio.get_running_loop()
            await self.server._serve([self.socket])

        uvicorn_loop = self.server.config.get_loop_factory()
        with asyncio.Runner(loop_factory=uvicorn_loop) as runner:
            runner.run(serve())

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.gate.set)
        self.server.should_exit = True
        self.thread.join(10)
        assert not self.thread.is_alive()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.seen.append(scope["path"])
        if scope["path"] == "/events":
            await EventStream(_speak)(scope, receive, send)
            return
        if scope["path"] == "/known":
            scope["extensions"][EXTENSION]()
        body = b""
        more = scope["path"] != "/deaf"
        while more:
            message: Message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        if scope["path"] == "/gate":
            await self.gate.wait()
        names = [name for name, _ in scope["headers"]]
        body = body or b",".join(names)
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"%d" % len(body))],
            }
        )
        await send({"type": "http.response.body", "body": body})

    def connect(self, host: str = "127.0.0.1") -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), timeout=60, source_address=(host, 0))
        if self.tls is None:
            return made
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.tls.configure_trust(context)
        return context.wrap_socket(made, server_hostname="localhost")

    def ask(self, *pieces: bytes, host: str = "127.0.0.1") -> tuple[int, bytes]:
        """Send, and read until the server closes: the last status, and all bytes."""
        with self.connect(host) as client:
            with contextlib.suppress(OSError):  # refused before all was sent
                for piece in pieces:
                    client.sendall(piece)
            got = read_all(client)
        statuses = [int(part[:3]) for part in got.split(b"HTTP/1.1 ")[1:]]
        return (statuses or [0])[-1], got

    def open_connections(self) -> int:
        return len(self.server.server_state.connections)


def read_all(client: socket.socket) -> bytes:
    got = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := client.recv(65536):
            got += data
    return got


def read_answer(client: socket.socket) -> bytes:
    """One answer of the application, of a connection that stays."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += client.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    size = int(head.partition(b"content-length: ")[2].split()[0])
    while len(body) < size:
        body += client.recv(65536)
    return head + b"\r\n\r\n" + body


def goes_through(client: socket.socket) -> bool:
    try:
        client.sendall(b"x" * 1000)
    except OSError:
        return False
    return True


def wait_for(condition: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextlib.contextmanager
def running(**options: Any) -> Iterator[Running]:
    made = Running(**options)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def plain() -> Iterator[Running]:
    with running() as made:
        yield made


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every limit in time at a moment's length."""
    for name in (
        "HEAD_SECONDS",
        "BODY_SECONDS",
        "IDLE_SECONDS",
        "LINGER_SECONDS",
        "STALL_SECONDS",
        "PARTING_SECONDS",
    ):
        monkeypatch.setattr(connections, name, 0.3)
    monkeypatch.setattr(server, "HANDSHAKE_SECONDS", 0.5)
    monkeypatch.setattr(server, "TICKS", 1)


def error_of(got: bytes) -> dict[str, Any]:
    head, _, body = got.rpartition(b"HTTP/1.1 ")[2].partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert b"content-type: application/json" in head
    found: dict[str, Any] = json.loads(body)["error"]
    assert set(found) == {"status", "error_code", "title", "detail", "additional_information", "interactive"}
    assert found["status"] == int(head[:3])
    return found


CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
REFUSED = {
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two of Host": (HEAD + b"Host: y\r\n\r\n", 400),
    "the same Host twice": (HEAD + b"HOST: x\r\n\r\n", 400),
    "two of Host in HTTP/1.0": (b"GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n", 400),
    "an unknown method": (b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "a folded header": (HEAD + b"X: a\r\n b\r\n\r\n", 400),
    "a line without CR": (b"GET / HTTP/1.1\nHost: x\n\n", 400),
    "an URL that is none": (b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "two lengths": (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    "length and chunks": (POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "an unknown coding": (POST + b"Transfer-Encoding: gzip\r\n\r\n", 400),
    "a coding within chunks": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "codings in two headers": (
        POST + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "chunks in two headers": (POST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n", 400),
    "a request line without a version": (b"GET /\r\n\r\n", 400),
    "a request line without a version, and a Host": (b"GET /\r\nHost: x\r\n\r\n", 400),
    "a chunk of no size": (POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
    "long extensions": (POST + b"Transfer-Encoding: chunked\r\n\r\n3;" + b"a" * 70_000, 400),
    "many extensions": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n" + (b"1;" + b"a" * 5000 + b"\r\nx\r\n") * 20,
        400,
    ),
    "long trailers": (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"a" * 70_000, 400),
    "many trailers": (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: abcdefgh\r\n" * 9000, 400),
    "long trailers with their end": (CHUNKED + b"0\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 400),
    "many trailers with their end": (CHUNKED + b"0\r\n" + b"X: abcdefgh\r\n" * 9000 + b"\r\n", 400),
    "long extensions with their end": (CHUNKED + b"3;" + b"a" * 70_000 + b"\r\nabc\r\n0\r\n\r\n", 400),
    "an extension of the last chunk": (CHUNKED + b"3\r\nabc\r\n0;" + b"a" * 70_000 + b"\r\n\r\n", 400),
    "trailers behind a long body": (
        CHUNKED + b"%x\r\n" % 200_000 + b"a" * 200_000 + b"\r\n0\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        400,
    ),
    "many lines": (HEAD + b"X: a\r\n" * 100 + b"\r\n", 431),
    "many lines without an end": (HEAD + b"X: a\r\n" * 101, 431),
    "a long header": (HEAD + b"X: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n", 431),
    "an endless header": (HEAD + b"X: " + b"a" * (64 << 20), 431),
    "a long name": (HEAD + b"a" * MAX_HEAD_BYTES, 431),
    "many headers": (HEAD + b"".join(b"X%d: %s\r\n" % (n, b"a" * 1000) for n in range(80)) + b"\r\n", 431),
    "a long request line": (b"GET /" + b"a" * MAX_HEAD_BYTES + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "an endless request line": (b"GET /" + b"a" * (64 << 20), 414),
    "a long query": (b"GET /?" + b"a=b&" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("how", ["alone", "in pieces", "after another", "after a body"])
def test_what_is_refused_before_the_application(plain: Running, kind: str, how: str) -> None:
    data, status = REFUSED[kind]
    pieces = [data]
    if how == "in pieces":
        pieces = [data[at : at + 7] for at in range(0, 700, 7)] + [data[700:]]
    elif how == "after another":
        pieces = [HEAD + b"\r\n" + data]
    elif how == "after a body":
        pieces = [POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n" + data]
    got = plain.ask(*pieces)[1]
    assert error_of(got)["status"] == status
    if how.startswith("after"):
        assert got.startswith(b"HTTP/1.1 200"), "the one before it has its answer first"
    wait_for(lambda: plain.open_connections() == 0)


TAKEN = {
    "HTTP/1.0 without Host": b"GET / HTTP/1.0\r\n\r\n",
    "an empty line first": b"\r\n\r\n" + HEAD + END,
    "99 lines": HEAD + b"X: a\r\n" * 98 + END,
    "nearly 64 KiB": HEAD + b"X: " + b"a" * (MAX_HEAD_BYTES - len(HEAD) - len(END) - 5) + b"\r\n" + END,
    "a body": POST + b"Content-Length: 5\r\n" + END + b"hello",
    "chunks": POST
    + b"Transfer-Encoding: chunked\r\n"
    + END
    + b"1;x=y\r\na\r\n" * 5000
    + b"0\r\nX: y\r\n\r\n",
    "chunks by another case and space": POST
    + b"TRANSFER-ENCODING:  Chunked \r\n"
    + END
    + b"1\r\na\r\n0\r\n\r\n",
    "trailers": POST
    + b"Transfer-Encoding: chunked\r\n"
    + END
    + b"1\r\na\r\n0\r\nX: "
    + b"a" * 60_000
    + b"\r\n\r\n",
    "a body of ends": POST
    + b"Transfer-Encoding: chunked\r\n"
    + END
    + b"5000\r\n"
    + b"0\r\n\r\n" * 4096
    + b"\r\n0\r\n\r\n",
    "an upgrade": HEAD + b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n",
}


@pytest.mark.parametrize("kind", TAKEN)
@pytest.mark.parametrize("together", [1, 13, 1 << 20])
def test_what_is_taken(plain: Running, kind: str, together: int) -> None:
    data = TAKEN[kind]
    pieces = [data[at : at + together] for at in range(0, min(len(data), 900), together)]
    assert plain.ask(*pieces, data[sum(map(len, pieces)) :])[0] == 200


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 60_000])
def test_what_follows_trailers_is_counted_by_itself(plain: Running, at: int) -> None:
    """In two pieces, cut around the empty line between them: neither is too much alone."""
    first = CHUNKED + b"1\r\na\r\n0\r\nX: " + b"a" * 60_000 + b"\r\n\r\n"
    both = first + HEAD + b"X: " + b"a" * 60_000 + b"\r\n" + END
    cut = len(first) - at
    assert plain.ask(both[:cut], both[cut:])[1].count(b"HTTP/1.1 200") == 2


def test_a_trailer_becomes_no_header(plain: Running) -> None:
    chunks = b"Transfer-Encoding: chunked\r\n" + END + b"0\r\nAuthorization: Token x\r\n\r\n"
    status, got = plain.ask(POST + chunks)
    assert status == 200
    assert b"authorization" not in got


def test_what_waits_is_asked_to_go_on(plain: Running) -> None:
    with plain.connect() as client:
        client.sendall(POST + b"Content-Length: 2\r\nExpect: 100-continue\r\n" + END)
        assert client.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.sendall(b"hi")
        assert read_all(client).endswith(b"hi")


def test_requests_sent_ahead_of_a_known_client_are_all_answered_in_turn_and_few_are_held() -> None:
    with running() as made:
        one = b"POST /gate HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
        count = 2000
        with made.connect() as client:
            sent = b"".join(one + b"%04d" % number for number in range(count)).replace(b"/gate", b"/known", 1)
            sender = threading.Thread(target=client.sendall, args=(sent,))
            sender.start()
            wait_for(lambda: made.seen)
            [connection] = made.server.server_state.connections
            assert isinstance(connection, Connection)
            wait_for(lambda: len(connection.pipeline) == MAX_PIPELINED)
            made.loop.call_soon_threadsafe(made.gate.set)
            got = b""
            while got.count(b"HTTP/1.1 200") < count or not got.endswith(b"%04d" % (count - 1)):
                got += client.recv(65536)
            sender.join()
        answers = [part[-4:] for part in got.split(b"HTTP/1.1 200 ")[1:]]
        assert answers == [b"%04d" % number for number in range(count)]


@pytest.mark.parametrize("secure", [False, True])
def test_of_requests_that_a_stranger_sends_ahead_few_are_answered(secure: bool) -> None:
    """So that little of what is sent at once makes much work."""
    with running(tls=trustme.CA() if secure else None) as made:
        status, got = made.ask((HEAD + b"\r\n") * 5000)
        assert status == error_of(got)["status"] == 400
        assert len(made.seen) == got.count(b"HTTP/1.1 200") <= MAX_PIPELINED + 1
        wait_for(lambda: not made.open_connections())


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("secure", [False, True])
def test_who_is_silent_or_slow_is_let_go(secure: bool) -> None:
    with running(tls=trustme.CA() if secure else None) as made:
        assert made.ask(b"") == (0, b"")
        for begun in (b"G", HEAD, HEAD + b"X: "):
            assert error_of(made.ask(begun)[1])["error_code"] == 140800
        assert made.ask(HEAD + b"\r\n", HEAD)[0] == 408  # the second of a connection
        for body in (b"Content-Length: 100000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"):
            assert error_of(made.ask(POST + body)[1])["status"] == 408
            known = POST.replace(b" / ", b" /known ")
            assert error_of(made.ask(known + body)[1])["status"] == 408
        wait_for(lambda: not made.open_connections())


@pytest.mark.usefixtures("short")
def test_a_stranger_must_keep_up_and_others_only_come_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BODY_RATE", 1000)
    monkeypatch.setattr(connections, "IDLE_SECONDS", 20.0)

    def send_slowly(made: Running, path: bytes) -> int:
        with made.connect() as client:
            client.sendall(POST.replace(b" / ", path) + b"Content-Length: 20\r\n" + END)
            with contextlib.suppress(OSError):
                for _ in range(20):
                    client.sendall(b"x")
                    time.sleep(0.1)
            return int(read_all(client)[9:12])

    with running() as made:
        assert send_slowly(made, b" / ") == 408
        assert send_slowly(made, b" /known ") == 200


@pytest.mark.usefixtures("short")
def test_who_goes_on_after_the_answer_is_cut_off() -> None:
    with running() as made, made.connect() as client:
        client.sendall(POST.replace(b" / ", b" /deaf ") + b"Content-Length: 100000000\r\n\r\n")
        assert read_answer(client).startswith(b"HTTP/1.1 200")
        wait_for(lambda: not goes_through(client))


@pytest.mark.usefixtures("short")
def test_hands_that_are_never_shaken() -> None:
    with running(tls=trustme.CA(), limit=3) as made:
        silent = [socket.create_connection(("127.0.0.1", made.port), timeout=20) for _ in range(3)]
        wait_for(lambda: made.admission.table.count(made.admission._key_of("127.0.0.1") or 0) == 3)
        with pytest.raises(OSError):
            made.connect()
        for each in silent:
            assert read_all(each) == b""
            each.close()
        wait_for(lambda: not made.admission.table.count(made.admission._key_of("127.0.0.1") or 0))
        assert made.ask(HEAD + END)[0] == 200


# addresses


def test_only_connections_that_proved_nothing_count() -> None:
    with running(limit=3) as made:
        known = []
        for _ in range(10):  # one after the other they are known, and count no longer
            client = made.connect()
            client.sendall(HEAD.replace(b" / ", b" /known ") + b"\r\n")
            assert read_answer(client).startswith(b"HTTP/1.1 200")
            known.append(client)
        silent = [made.connect() for _ in range(3)]
        wait_for(lambda: made.open_connections() == 13)
        status, got = made.ask(b"")
        assert status == 429
        assert b"retry-after: " in got
        assert error_of(got)["error_code"] == 142900
        assert made.ask(HEAD + END, host="127.0.0.2")[0] == 200, "others come in"
        for client in known:  # and those who are known are served
            client.sendall(HEAD + b"\r\n")
            assert read_answer(client).startswith(b"HTTP/1.1 200")
        silent.pop().close()
        wait_for(lambda: made.open_connections() == 12)
        assert made.ask(HEAD + END)[0] == 200
        for client in known + silent:
            client.close()


def test_a_crowd_behind_one_address_is_never_refused() -> None:
    """Each browser opens six connections, and proves who it is on one; the others fetch scripts, and wait."""
    with running(limit=20) as made:
        crowd = []
        for _ in range(100):
            for number in range(6):
                client = made.connect()
                path = b" /known " if number == 0 else b" / "
                client.sendall(HEAD.replace(b" / ", path) + b"\r\n")
                assert read_answer(client).startswith(b"HTTP/1.1 200")
                crowd.append((number, client))
        for number, client in crowd:
            if number == 0:
                client.sendall(HEAD + b"\r\n")
                assert read_answer(client).startswith(b"HTTP/1.1 200")
            client.close()


def test_proxies_are_not_counted() -> None:
    with running(limit=1, trusted=("127.0.0.1",)) as made:
        silent = [made.connect() for _ in range(5)]
        assert made.ask(HEAD + END)[0] == 200
        silent.append(made.connect("127.0.0.2"))
        wait_for(lambda: made.open_connections() == 6)
        assert made.ask(HEAD + END, host="127.0.0.2")[0] == 429
        for client in silent:
            client.close()


def test_the_descriptors_are_never_used_up() -> None:
    """Beyond them connections wait in the system's queue, and have their turn when others go."""
    with running(most=5) as made:
        silent = [made.connect() for _ in range(8)]
        wait_for(lambda: made.open_connections() == 5)
        for client in silent:
            client.close()
        assert made.ask(HEAD + END)[0] == 200


def test_a_want_of_descriptors_is_waited_out() -> None:
    """The system has none left: the queue waits, nothing spins, nothing ends."""
    with running() as made:
        listener: Any = made.server.servers[0]

        class Scarce:
            fileno = made.socket.fileno
            asked = 0

            def accept(self) -> Any:
                self.asked += 1
                if self.asked < 4:
                    raise OSError(errno.EMFILE, "Too many open files")
                return made.socket.accept()

        listener._socket = scarce = Scarce()
        assert made.ask(HEAD + END)[0] == 200
        assert scarce.asked < 10


@pytest.mark.parametrize(
    ("host", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1"),
        ("2001:db8:0:0:a::", "2001:db8::"),
        ("fe80::1%eth0", "fe80::2"),
        ("192.0.2.7", "::ffff:192.0.2.7"),
    ],
)
def test_what_is_one_address(host: str, same: str) -> None:
    assert network_of(host) == network_of(same)
    assert plain_address(same) in (host, same)


@pytest.mark.parametrize(
    ("host", "other"),
    [
        ("2001:db8::1", "2001:db8:0:1::1"),
        ("192.0.2.7", "192.0.2.8"),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.8"),
    ],
)
def test_what_are_two(host: str, other: str) -> None:
    assert network_of(host) != network_of(other)


def test_processes_count_together_and_a_dead_one_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "addresses"
    create_table(path, 3)
    tables = [AddressTable(path, region) for region in range(3)]
    key = tables[0].key_of(b"somebody")
    assert key == tables[2].key_of(b"somebody")
    for table, count in zip(tables, (2, 3, 4), strict=True):
        for _ in range(count):
            table.change(key, 1)
    assert [table.count(key) for table in tables] == [9, 9, 9]
    tables[0].change(key, -1)
    clear_region(path, 2)
    assert tables[0].count(key) == tables[1].count(key) == 4
    for _ in range(3):
        tables[1].change(key, -1)
    assert tables[0].count(key) == 1
    assert tables[1].count(key) == 1


def test_a_flood_of_addresses_takes_no_more_room(tmp_path: Path) -> None:
    path = tmp_path / "addresses"
    create_table(path, 1)
    size = path.stat().st_size
    table = AddressTable(path, 0)
    keys = [table.key_of(b"%d" % number) for number in range(50_000)]
    for key in keys:
        table.change(key, 1)
    assert all(table.count(key) == 1 for key in keys)
    for key in keys:
        table.change(key, -1)
    assert path.stat().st_size == size
    assert AddressTable(path, 0).count(keys[0]) == 0
    assert not any(path.read_bytes()[72::16]), "every count is 0 again"


# what of uvicorn this leans on


def test_what_goes_on_for_ever_ends_with_the_server_and_with_its_reader() -> None:
    running = Running()
    with running.connect() as left:
        left.sendall(HEAD.replace(b"/ ", b"/events ") + b"\r\n")
        assert left.recv(1)
    wait_for(lambda: running.open_connections() == 0)
    with running.connect() as client:
        client.sendall(HEAD.replace(b"/ ", b"/events ") + b"\r\n")
        got = client.recv(1)
        running.server.should_exit = True
        got += read_all(client)
    assert b"event: beat\n" in got
    assert got.endswith(b"0\r\n\r\n")  # its end, not an end of the connection in its middle
    running.stop()


def test_uvicorn_is_as_it_is_leaned_on() -> None:
    """Attributes that are not promised. Where one is missing, connections.py is to be looked at again."""

    async def make() -> HttpToolsProtocol:
        config = uvicorn.Config(lambda: None, ws="none", log_config=None)
        return HttpToolsProtocol(config, ServerState(), {})

    protocol = asyncio.run(make())
    for name in (
        "parser", "pipeline", "cycle", "flow", "transport", "client", "loop", "server_state", "headers",
        "_start_asgi_task", "scope", "timeout_keep_alive_task",
        "_unset_keepalive_if_required", "timeout_keep_alive_handler",
        "on_header", "on_headers_complete", "on_body", "on_message_complete", "on_response_complete",
    ):  # fmt: skip
        assert hasattr(protocol, name), name
    assert {"parser", "flow"} <= set(vars(protocol))
    arguments = set(inspect.signature(RequestResponseCycle.__init__).parameters)
    assert {"scope", "transport", "flow", "message_event", "keep_alive", "on_response"} <= arguments
    source = inspect.getsource(RequestResponseCycle)
    for name in ("disconnected", "keep_alive", "response_started", "response_complete", "message_event"):
        assert f"self.{name}" in source, name
    for name in ("_serve", "startup", "on_tick", "lifespan", "servers", "server_state"):
        assert f"self.{name}" in inspect.getsource(uvicorn.Server), name
    assert "self.url = " in inspect.getsource(HttpToolsProtocol.on_message_begin)
    assert "self.pipeline.appendleft(" in inspect.getsource(HttpToolsProtocol.on_headers_complete)
    parser = httptools.HttpRequestParser(protocol)
    assert callable(parser.get_method)
    assert "on_chunk_header" not in vars(HttpToolsProtocol), "it would have to be called too"
