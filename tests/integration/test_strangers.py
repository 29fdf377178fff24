"""What nobody we know can make a server hold: memory, disk, connections. Real processes, several addresses."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from fieldpack.server.db.embedded.keeper import find_processes, make_tag
from fieldpack.server.run import shared_folder
from tests.installation import Installation, installed
from tests.refusals import refused
from tests.scenario import PNG, Scenario, expect

LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
FORM = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
PAGE = {"type": "free_text", "description": "Anything?", "required": False}
PHOTO = {
    "type": "file_upload",
    "description": "A photo",
    "accepted_file_types": [".png"],
    "max_file_size_mb": 1,
}


@pytest.fixture(scope="module")
def scenario(server: Installation) -> Iterator[Scenario]:
    with server.client() as client:
        yield Scenario.create(client, PAGE, PHOTO)


@pytest.fixture(scope="module")
def small() -> Iterator[Installation]:
    """Two web processes that take six strangers of one address, and trust no proxy."""
    with installed(
        "--workers", "2", FIELDPACK_CONNECTIONS_PER_ADDRESS="6", FIELDPACK_TRUSTED_PROXIES="127.0.0.1"
    ) as made:
        yield made


@pytest.fixture
def held() -> Iterator[contextlib.ExitStack]:
    """Connections that a test leaves open."""
    with contextlib.ExitStack() as stack:
        yield stack


def connect(server: Installation, host: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=60, source_address=(host, 0))


def read_all(client: socket.socket) -> bytes:
    got = b""
    with contextlib.suppress(ConnectionError):
        while data := client.recv(65536):
            got += data
    return got


def read_answer(client: socket.socket) -> bytes:
    """One answer with a Content-Length, of a connection that stays."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += client.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    size = int(head.lower().partition(b"content-length:")[2].split()[0])
    while len(body) < size:
        body += client.recv(65536)
    return head + b"\r\n\r\n" + body


def ask(server: Installation, data: bytes, host: str = "127.0.0.1") -> tuple[int, bytes]:
    """Send, and read until the server closes: the status, and what came."""
    with connect(server, host) as client:
        with contextlib.suppress(OSError):
            client.sendall(data)
        got = read_all(client)
    return (int(got[9:12]) if got else 0), got


def occupy(server: Installation, host: str, held: contextlib.ExitStack) -> bytes:
    """Hold silent connections of this address until it is at its limit of six: the answer that says so.

    The server closes silent ones after a while, which on a busy machine can be before all were counted: then again.
    """
    answers: list[int] = []
    deadline = time.monotonic() + 120
    while True:
        silent = [held.enter_context(connect(server, host)) for _ in range(6)]
        again = time.monotonic() + 10
        while time.monotonic() < again:  # as soon as all six were taken
            status, got = ask(server, LIVE, host)
            if status == 429:
                return got
            answers.append(status)
        for each in silent:
            each.close()
        assert time.monotonic() < deadline, (len(answers), set(answers), server.log)


def written_by(server: Installation) -> int:
    """Bytes that its web process and its worker have written so far, into whatever it was."""
    pids = [*server.children("web"), *server.children("worker")]
    return sum(psutil.Process(pid).io_counters().write_chars for pid in pids)


# heads


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (b"GET /health/live HTTP/1.1\r\n\r\n", 400, 140000),
        (b"GET /health/live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, 140000),
        (b"BREW /health/live HTTP/1.1\r\nHost: a\r\n\r\n", 400, 140000),
        (b"GET /health/live\r\n\r\n", 400, 140000),
        (b"GET /health/live HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431, 143100),
        (b"GET /health/live HTTP/1.1\r\nHost: a\r\nX: " + b"y" * (64 << 20), 431, 143100),
        (b"GET /" + b"y" * (64 << 20), 414, 141400),
    ],
    ids=["no host", "two hosts", "no method", "no version", "lines", "64 MB", "64 MB line"],
)
def test_heads_are_refused_in_the_one_body(server: Installation, head: bytes, status: int, code: int) -> None:
    found, got = ask(server, head)
    assert found == status
    assert json.loads(got.partition(b"\r\n\r\n")[2])["error"]["error_code"] == code


# forms before anybody is known


def start_path(scenario: Scenario) -> str:
    return f"/participate/{scenario.study['id']}"


@pytest.mark.parametrize("path", ["start", "/sign-in"])
def test_forms_of_strangers_are_small_and_without_files(
    server: Installation, scenario: Scenario, path: str
) -> None:
    url = server.url + (start_path(scenario) if path == "start" else path)
    with httpx.Client(trust_env=False, headers=FORM) as nobody:
        kinds: list[tuple[int, dict[str, Any]]] = [
            (415, {"files": {"file": ("a.png", PNG)}, "data": {"participant_id": "p", "token": "t"}}),
            (415, {"files": {"token": (None, "t")}}),
            (415, {"content": b"{}", "headers": {"Content-Type": "application/json"}}),
            (415, {"content": b"token=t"}),
            (413, {"data": {"token": "t" * 65536, "participant_id": "p"}}),
            (400, {"data": {f"field{number}": "x" for number in range(101)}}),
            (400, {"data": {"token": "a\0b"}}),
        ]
        for status, sent in kinds:
            answer = nobody.post(url, **sent)
            assert answer.status_code == status, sent.keys()
            assert answer.headers["content-type"].startswith("text/html")

        def endless() -> Iterator[bytes]:
            for _ in range(10_000):
                yield b"token=" + b"x" * 10_000

        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        with contextlib.suppress(httpx.HTTPError):  # cut off while it still sends
            assert nobody.post(url, content=endless(), headers=headers).status_code == 413
        refused(nobody.post(url, data={"token": "t" * 65536}, headers={"Accept": "*/*"}), 413)


@pytest.mark.skipif(sys.platform != "linux", reason="counts what processes write, on Linux only")
def test_a_multipart_form_of_a_stranger_leaves_nothing(server: Installation, scenario: Scenario) -> None:
    """Announced with 20 GiB, 128 MiB sent: refused by its head, and nothing of it written."""
    before = written_by(server)
    head = (
        f"POST {start_path(scenario)} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        "Sec-Fetch-Site: same-origin\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        f"Content-Length: {20 << 30}\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    ).encode()
    with connect(server) as client:
        client.sendall(head)
        assert client.recv(1000).startswith(b"HTTP/1.1 415")
        for _ in range(128):
            client.sendall(b"x" * (1 << 20))
        assert written_by(server) - before < 32 << 20


def test_starting_by_the_api_takes_a_small_body(scenario: Scenario, server: Installation) -> None:
    url = f"{server.url}/api/v1/participate/studies/{scenario.study['id']}/submissions"
    body = {"participant_id": "p", "session_id": "s", "x": "y" * 131_072}
    refused(httpx.post(url, json=body, trust_env=False), 413)


# who is asked before the body is read


def test_bodies_are_read_of_those_who_may_send_them(server: Installation, scenario: Scenario) -> None:
    """Every route that writes, with a body announced and never sent: nobody is waited for."""
    paths = httpx.get(f"{server.url}/api/v1/openapi.json", trust_env=False).json()["paths"]
    routes = [
        (method.upper(), path)
        for path, operations in paths.items()
        for method in operations
        if method in ("post", "put", "patch", "delete")
        and path != "/api/v1/participate/studies/{study_id}/submissions"
    ]
    routes += [
        ("POST", f"/participate/submissions/{scenario.study['id']}/1"),
        ("POST", f"/participate/submissions/{scenario.study['id']}/return"),
        ("POST", f"/data-collection-tool/collections/{scenario.collection['id']}"),
        ("POST", f"/researcher/collections/{scenario.collection['id']}/export"),
    ]
    assert len(routes) > 15
    for method, path in routes:
        for name in ("{submission_id}", "{upload_id}", "{study_id}"):
            path = path.replace(name, scenario.study["id"])
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nSec-Fetch-Site: same-origin\r\n"
            "Tus-Resumable: 1.0.0\r\nContent-Length: 1000\r\n\r\n"
        )
        with connect(server) as client:
            client.sendall(head.encode())
            assert int(client.recv(12)[9:]) in (303, 401), (method, path)


# forms of participants


@pytest.fixture
def participant(server: Installation, scenario: Scenario) -> Iterator[tuple[httpx.Client, str]]:
    """A browser that has begun, and the path of its first page."""
    with httpx.Client(base_url=server.url, trust_env=False, headers=FORM, timeout=60) as browser:
        name = f"p{time.monotonic_ns()}"
        answer = browser.post(start_path(scenario), data={"participant_id": name, "session_id": name})
        assert answer.status_code == 303
        yield browser, answer.headers["location"]


def fields_of(scenario: Scenario) -> tuple[str, str]:
    text, photo = scenario.collection["collection_items"][0]["page_items"]
    return text["id"], photo["id"]


def test_files_of_a_form_are_kept_up_to_their_limit(
    participant: tuple[httpx.Client, str], scenario: Scenario, server: Installation
) -> None:
    browser, path = participant
    text, photo = fields_of(scenario)
    files = [
        (f"f.{photo}", ("good.png", PNG)),
        (f"f.{photo}", ("large.png", PNG + os.urandom(3 << 20))),
        ("f.elsewhere", ("other.png", PNG + os.urandom(3 << 20))),
    ]
    data = {f"a.{text}": "kept", f"r.{text}": "0", "go": "next"}
    answer = browser.post(f"{path}/1", data=data, files=files)
    assert answer.status_code == 400
    assert "large.png" in answer.text
    token = browser.cookies[f"fieldpack_{path.rpartition('/')[2].replace('-', '')}"]
    state = expect(
        httpx.get(
            f"{server.url}/api/v1{path}", headers={"Authorization": f"Bearer {token}"}, trust_env=False
        ),
        200,
    )
    assert [file["file_name"] for file in state["files"]] == ["good.png"]
    assert state["answers"][text]["value"] == "kept"
    assert list((server.data_dir / "tmp").glob("tmp*")) == []


def test_texts_of_a_form_are_bounded_together_and_in_number(
    participant: tuple[httpx.Client, str], scenario: Scenario
) -> None:
    browser, path = participant
    text, _ = fields_of(scenario)
    many = {f"a.{number}": "x" for number in range(20_001)}
    large = {f"a.{number}": "x" * (1 << 20) for number in range(5)}
    for multipart in ({}, {"files": {"f.x": ("", b"")}}):
        assert browser.post(f"{path}/1", data=many, **multipart).status_code == 400  # type: ignore[arg-type]
        assert browser.post(f"{path}/1", data=large, **multipart).status_code == 413  # type: ignore[arg-type]
    names = {f"{number}" + "n" * 3000: "" for number in range(2000)}
    assert browser.post(f"{path}/1", data=names, files={"f.x": ("", b"")}).status_code == 413
    for broken in (b"", b"--x\r\n", b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n", b"--y--"):
        answer = browser.post(
            f"{path}/1", content=broken, headers={"Content-Type": "multipart/form-data; boundary=x"}
        )
        assert answer.status_code in (303, 400), broken
    good = {f"a.{text}": "fine", f"r.{text}": "0", "go": "stay"}
    assert browser.post(f"{path}/1", data=good).status_code == 303


# connections


def test_one_address_is_counted_over_all_processes(small: Installation, held: contextlib.ExitStack) -> None:
    """Six may be silent, whichever process took them; others, and those who are known, come in all the same."""
    host = "127.0.0.2"
    get = f"GET /api/v1/users/me HTTP/1.1\r\nHost: x\r\nAuthorization: Token {small.token}\r\n\r\n".encode()
    known = []
    for _ in range(20):
        client = held.enter_context(connect(small, host))
        client.sendall(get)
        assert read_answer(client).startswith(b"HTTP/1.1 200")
        known.append(client)
    assert b"retry-after" in occupy(small, host, held)
    for other in ("127.0.0.1", "127.0.0.3"):
        assert ask(small, get.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), other)[0] == 200
    for client in known:
        client.sendall(get)
        assert read_answer(client).startswith(b"HTTP/1.1 200")


def test_what_a_killed_process_had_counted_is_forgotten(
    small: Installation, held: contextlib.ExitStack
) -> None:
    host = "127.0.0.4"
    occupy(small, host, held)
    for pid in small.children("web"):
        os.kill(pid, 9)
    deadline = time.monotonic() + 120
    while True:
        with contextlib.suppress(OSError):
            if ask(small, LIVE, host)[0] == 200:
                break
        assert time.monotonic() < deadline, small.log
        time.sleep(0.1)


# descriptors


def soft_limit(pid: int) -> str:
    """Of open files; what psutil asks is answered only about one's own processes."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line for line in lines if line.startswith("Max open files")).split()[3]


@pytest.mark.skipif(sys.platform != "linux", reason="limits of other processes are read from /proc")
def test_descriptors_are_raised_for_us_and_left_for_postgresql() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (600, before[1]))
        with installed() as server:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            assert server.process is not None
            for pid in (server.process.pid, *server.children("web"), *server.children("worker")):
                assert soft_limit(pid) == str(before[1])
            with (server.data_dir / "postgres" / "server.lock").open() as lock:
                postmaster, _ = find_processes(make_tag(lock.fileno()))
            assert postmaster is not None
            assert soft_limit(postmaster.pid) == "600"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_low_limit_is_named() -> None:
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (200, 900));"
        "from fieldpack.server.machine.descriptors import earlier_limit, most_connections, raise_limit;"
        "raise_limit(0); print(resource.getrlimit(resource.RLIMIT_NOFILE), earlier_limit(), most_connections())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "(900, 900) 200 644"
    assert "At most 900 files" in done.stderr


# the supervisor's folder


def test_folders_of_dead_supervisors_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with shared_folder.shared_folder() as living:
        dead = tmp_path / f"{shared_folder.PREFIX}dead"
        dead.mkdir()
        (dead / shared_folder.LOCK).touch()
        (dead / "counter_1.db").write_bytes(b"x")
        earlier = tmp_path / f"{shared_folder.PREFIX}earlier"  # of a version that made no lock
        earlier.mkdir()
        (earlier / "counter_99999999.db").touch()
        used = tmp_path / f"{shared_folder.PREFIX}used"
        used.mkdir()
        (used / f"counter_{os.getpid()}.db").touch()
        for folder in (earlier, used):
            os.utime(folder, (1, 1))
        young = tmp_path / f"{shared_folder.PREFIX}young"
        young.mkdir()
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / shared_folder.LOCK).touch()
        link = tmp_path / f"{shared_folder.PREFIX}link"
        link.symlink_to(elsewhere)
        assert shared_folder.sweep_folders() == 2
        assert {path.name for path in tmp_path.iterdir()} == {
            living.name, used.name, young.name, elsewhere.name, link.name
        }  # fmt: skip
        assert (elsewhere / shared_folder.LOCK).exists()
    assert not living.exists()


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/sign-in"])
def test_heads_are_those_of_what_is_there(server: Installation, path: str) -> None:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as nobody:
        whole, head = nobody.get(path), nobody.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert head.headers["content-length"] == whole.headers["content-length"]


# OPTIONS


def test_options_tells_the_truth(server: Installation, scenario: Scenario) -> None:
    """For every path there is: `Allow` names what is not 405, and nothing else; no token is asked for."""
    paths = list(httpx.get(f"{server.url}/api/v1/openapi.json", trust_env=False).json()["paths"])
    paths += ["/", "/sign-in", "/researcher", f"/participate/{scenario.study['id']}", "/api/v1/openapi.json"]
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as nobody:
        for path in paths:
            filled = re.sub(r"\{\w+\}", scenario.study["id"], path)
            answer = nobody.options(filled, headers={"Tus-Resumable": "1.0.0"})
            assert answer.status_code == 204, path
            assert answer.content == b""
            allowed = set(answer.headers["allow"].split(", "))
            assert "OPTIONS" in allowed
            assert ("tus-version" in answer.headers) == ("/uploads" in path)
            for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
                found = nobody.request(method, filled)
                # who has no token may not learn of a word where an id goes that it is none
                possible = found.status_code not in (401, 404, 405)
                assert method in allowed or not possible, (method, path)
                assert found.status_code != 405 or method not in allowed, (method, path)
                if found.status_code == 405:
                    assert set(found.headers["allow"].split(", ")) == allowed
        words = ("/api/v1/submissions/word", "/participate/submissions/word/1")
        for path in ("/nothing", "/api/v1/nothing", "/api/v1/studies/x/y/z", *words):
            assert nobody.options(path).status_code == 404
    status, got = ask(server, b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert status == 204
    assert b"allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" in got


def test_a_cookie_of_backslashes_holds_nobody_up(server: Installation, scenario: Scenario) -> None:
    """Read in proportion to its length, by whichever page; a quoted value is none of ours."""
    page = f"/participate/{scenario.study['id']}"
    for value in ('"' + "\\" * 60_000 + '"', '"' + '\\"' * 30_000 + '"', ";" * 60_000, "a=" * 30_000):
        for path in ("/sign-in", page, f"{page}?PROLIFIC_PID=p", "/researcher"):
            head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n"
            before = psutil.Process(server.children("web")[0]).cpu_times()
            status, _ = ask(server, f"{head}Cookie: fieldpack_device={value}\r\n\r\n".encode())
            after = psutil.Process(server.children("web")[0]).cpu_times()
            assert 200 <= status < 500
            assert after.user - before.user < 2.0, (path, value[:5])
