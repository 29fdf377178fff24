"""What is in deploy/ says only what the program understands; what can be checked without a container is."""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from fieldpack.server.config import PREFIX, Settings, load_settings
from tests.installation import free_port

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
KNOWN_SECTIONS = {"Unit", "Service", "Install"}


def read_unit(path: Path) -> dict[str, dict[str, list[str]]]:
    """Sections of a unit file; a key may come several times."""
    found: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if head := re.fullmatch(r"\[(\w+)\]", line):
            section = found.setdefault(head[1], defaultdict(list))
            continue
        key, separator, value = line.partition("=")
        assert separator, line
        assert re.fullmatch(r"[A-Za-z0-9]+", key), line
        section[key].append(value)
    return found


def assert_options_exist(command: list[str]) -> None:
    """Every option of a `fieldpack …` command is one its help lists."""
    shown = subprocess.run(
        [sys.executable, "-m", "fieldpack", command[0], "--help"], capture_output=True, text=True, check=True
    ).stdout
    for option in command[1:]:
        if option.startswith("--"):
            assert option in shown, option


def assert_settings_exist(names: list[str]) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = [name for name in names if name.startswith(PREFIX) and name not in known]
    assert not unknown


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_run_what_there_is(path: Path) -> None:
    unit = read_unit(path)
    assert set(unit) == KNOWN_SECTIONS
    service = unit["Service"]
    assert_settings_exist([entry.split("=")[0] for entry in service["Environment"]])
    [start] = service["ExecStart"]
    program, *command = start.split()
    assert program.endswith("/fieldpack")
    assert_options_exist(command)
    assert service["Restart"] == ["always"]
    assert int(service["TimeoutStopSec"][0]) > 30  # longer than the supervisor waits for its children


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe", pure=True).load((DEPLOY / "compose.yaml").read_text())
    return found


def test_compose_has_all_roles(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert {"api-1", "api-2", "worker-1", "worker-2", "database", "objects", "proxy"} <= set(services)
    for name, service in services.items():
        for wanted in service.get("depends_on", ()):
            assert wanted in services, name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or source in ("./nginx.conf", "./tls"), name
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]


def test_compose_settings_are_understood(compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    example = dict(
        line.split("=", 1) for line in (DEPLOY / "compose.env.example").read_text().splitlines() if line
    )
    used = set(re.findall(r"\$\{(\w+)\}", (DEPLOY / "compose.yaml").read_text()))
    assert used == set(example)
    for name in ("api-1", "worker-1"):
        service = compose["services"][name]
        for key, value in service["environment"].items():
            monkeypatch.setenv(key, re.sub(r"\$\{(\w+)\}", lambda found: example[found[1]], str(value)))
        settings = load_settings()
        assert settings.resolved_storage_url.startswith("s3://")
        assert settings.public_url == "https://collect.example.org"
        assert_options_exist(list(service["command"]))


def test_the_image_is_made_of_what_is_there() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for source in sources.split():
            assert (DEPLOY.parent / source).exists(), source
    assert_settings_exist(re.findall(r"\b(FIELDPACK_\w+)=", text))
    assert "USER fieldpack" in text


class Echo(BaseHTTPRequestHandler):
    """Answers with the path and the headers it was asked with."""

    def do_GET(self) -> None:
        body = json.dumps({"path": self.path, **{k.lower(): v for k, v in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of nginx with our configuration, behind which is an echo."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("needs nginx")
    port = free_port()
    authority = certificate(tmp_path)
    text = (DEPLOY / "nginx.conf").read_text()
    text = text.replace("/etc/nginx/tls", str(tmp_path)).replace("/var/log/nginx", str(tmp_path))
    text = text.replace("http2 on;", "").replace("listen 443", f"listen 127.0.0.1:{port}")  # since 1.25.1
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as echo:
        text = re.sub(r"api-\d:8000", f"127.0.0.1:{echo.server_port}", text)
        path = tmp_path / "nginx.conf"
        path.write_text(f"daemon off;\npid {tmp_path}/nginx.pid;\nerror_log {tmp_path}/error.log;\n{text}")
        threading.Thread(target=echo.serve_forever, daemon=True).start()
        process = subprocess.Popen([nginx, "-c", str(path), "-p", str(tmp_path)], stderr=subprocess.PIPE)
        try:
            with httpx.Client(
                base_url=f"https://localhost:{port}", verify=authority, trust_env=False
            ) as client:
                wait_until_open(process, port)
                yield client
        finally:
            process.terminate()
            process.communicate(timeout=20)
            echo.shutdown()


def wait_until_open(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 120
    while True:
        assert process.poll() is None, process.communicate()[1]
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def certificate(folder: Path) -> ssl.SSLContext:
    """A certificate where nginx looks for it, and what trusts it."""
    import trustme

    authority = trustme.CA()
    made = authority.issue_cert("localhost")
    made.private_key_pem.write_to_path(folder / "privkey.pem")
    for number, blob in enumerate(made.cert_chain_pems):
        blob.write_to_path(folder / "fullchain.pem", append=bool(number))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return trusting


def test_nginx_believes_nothing_from_outside(proxied: httpx.Client) -> None:
    claimed = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "http", "Host": "collect.example.org"}
    heard = proxied.get("/api/v1/users/me?a=1", headers=claimed).json()
    assert heard["path"] == "/api/v1/users/me?a=1"
    assert heard["x-forwarded-for"] == "127.0.0.1"
    assert heard["x-forwarded-proto"] == "https"
    assert heard["host"] == "collect.example.org"


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/metrics//", "/%6detrics"])
def test_nginx_keeps_figures_inside(proxied: httpx.Client, path: str) -> None:
    assert proxied.get(path).status_code == 404


def test_nginx_keeps_queries_out_of_its_log(proxied: httpx.Client, tmp_path: Path) -> None:
    assert proxied.get("/participate/1?PROLIFIC_PID=somebody").status_code == 200
    deadline = time.monotonic() + 120
    while "/participate/1" not in (log := (tmp_path / "access.log").read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "somebody" not in log
