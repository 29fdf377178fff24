"""A whole installation for tests: `fieldpack serve` as its own process, on real parts, in its own folder."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

READY_SECONDS = 180.0
STOP_SECONDS = 120.0  # for what never ends; a server ends within 30
PORTS = range(12_000, 22_000)  # systems take 32,768 and up for connections; SeaweedFS adds 10,000
given_ports: set[int] = set()
FIELDPACK = [sys.executable, "-m", "fieldpack"]


def free_port() -> int:
    """A port nobody listens on at this moment.

    Never the same twice; not one that the kernel would give to a connection until the server under test has taken it,
    and hardly the one that another process of this run is about to take.
    """
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in given_ports:
                given_ports.add(port)
                return port


def environment(**settings: str) -> dict[str, str]:
    """The environment of a fieldpack program: nothing of the caller's settings, and `settings` on top."""
    prefixes = ("FIELDPACK_", "PROLIFIC_")
    return {**{k: v for k, v in os.environ.items() if not k.startswith(prefixes)}, **settings}


@dataclass
class Installation:
    """A server under test, of one web process unless its options say otherwise: every server more costs a run its time.

    Attributes:
        url: base URL, without `/api/v1`.
        token: the first researcher's token.
    """

    data_dir: Path
    options: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def scheme(self) -> str:
        return "https" if "--tls" in self.options else "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def credentials(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data_dir / "credentials.json").read_text())
        return found

    @property
    def token(self) -> str:
        token: str = self.credentials["token"]
        return token

    @property
    def log(self) -> str:
        """What the server printed."""
        return (self.data_dir.parent / f"{self.data_dir.name}.log").read_text(errors="replace")

    def start(self) -> Installation:
        """Start, and wait until it is ready."""
        log = (self.data_dir.parent / f"{self.data_dir.name}.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [
                    *FIELDPACK,
                    "serve",
                    "--data-dir",
                    str(self.data_dir),
                    "--port",
                    str(self.port),
                    *([] if "--workers" in self.options else ["--workers", "1"]),
                    *self.options,
                ],
                env=environment(**self.settings),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self.is_ready():
            assert self.process.poll() is None, f"serve ended: {self.log}"
            assert time.monotonic() < deadline, f"not ready: {self.log}"
            time.sleep(0.1)
        return self

    def is_ready(self) -> bool:
        """Whether it says that it serves."""
        try:
            answer = httpx.get(f"{self.url}/health/ready", verify=self.verify, trust_env=False, timeout=20)
        except (httpx.HTTPError, FileNotFoundError):
            return False
        return answer.status_code == 200

    @property
    def verify(self) -> Any:
        import ssl

        if self.scheme == "http":
            return True
        return ssl.create_default_context(cafile=self.credentials["ca_file"])

    def stop(self) -> None:
        """SIGTERM, and wait for the end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """kill -9 of the supervisor; its children end with it."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def children(self, role: str) -> list[int]:
        """Process ids of the supervisor's children of this role (`web` or `worker`)."""
        import psutil

        assert self.process is not None
        found = []
        for child in psutil.Process(self.process.pid).children():
            try:
                command = child.cmdline()
            except psutil.NoSuchProcess:  # a zombie is one, too
                continue
            if "fieldpack.server.run.supervisor" in command and command[command.index("-m") + 2] == role:
                found.append(child.pid)
        return found

    def client(self, token: str | None = None) -> httpx.Client:
        """A client of the API; relative URLs are below `/api/v1`."""
        return httpx.Client(
            base_url=f"{self.url}/api/v1",
            headers={"Authorization": f"Token {token or self.token}"},
            timeout=60,
            verify=self.verify,
            trust_env=False,
        )

    def run(self, *arguments: str, check: bool = True, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run the command line beside this server; that of another version (`PYTHONPATH`) in a program of its own."""
        from tests.forked import run_program

        if "PYTHONPATH" in self.settings:
            return subprocess.run(
                [*FIELDPACK, *arguments],
                env=environment(FIELDPACK_DATA_DIR=str(self.data_dir), **self.settings, **settings),
                capture_output=True,
                text=True,
                check=check,
                timeout=300,
            )
        done = run_program(arguments, {"FIELDPACK_DATA_DIR": str(self.data_dir), **self.settings, **settings})
        ended = subprocess.CompletedProcess(arguments, done.code, done.stdout.decode(), done.stderr)
        if check:
            ended.check_returncode()
        return ended


@contextmanager
def installed(*options: str, port: int | str | None = None, **settings: str) -> Iterator[Installation]:
    """A running installation in a temporary folder, gone with it afterwards; on a free port unless one is given.

    Not in pytest's own temporary folder: that is closed to the user PostgreSQL runs as under root.
    """
    folder = Path(tempfile.mkdtemp(prefix="fieldpack-test-"))
    installation = Installation(folder / "data", list(options), settings, int(port or free_port()))
    try:
        installation.start()
        yield installation
    finally:
        installation.stop()
        shutil.rmtree(folder, ignore_errors=True)
