"""The processes of `fieldpack serve` and `fieldpack worker`: one supervisor, its web and worker children.

The supervisor holds the listening socket and one end of a pipe. A child that dies is started again; children
end with the supervisor however that ends, because the pipe does.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from fieldpack.server.config import PREFIX, Settings, load_settings
from fieldpack.server.db.embedded.server import EmbeddedPostgres
from fieldpack.server.http.intake.addresses import AddressTable, Admission, clear_region, create_table
from fieldpack.server.installation.opening import open_database
from fieldpack.server.machine.descriptors import most_connections
from fieldpack.server.machine.logs import configure_logs
from fieldpack.server.machine.metrics import FOLDER_VARIABLE
from fieldpack.server.machine.reserve import reserve_of
from fieldpack.server.run.shared_folder import shared_folder

__all__ = ["Supervisor", "TlsPaths"]

GRACE_SECONDS = 25.0
WEB_GRACE_SECONDS = 15
RESTART_SECONDS = 1.0
POLL_SECONDS = 0.2
DATABASE_CHECK_SECONDS = 5.0
KEEP_ALIVE_SECONDS = 75
ADDRESSES = "addresses"  # file of the shared folder

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TlsPaths:
    """Certificate and key that a web process serves HTTPS with."""

    cert_file: Path
    key_file: Path


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment that gives a child these same settings, but the role that owns the schema: it needs none."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    given = {
        PREFIX + name.upper(): str(value)
        for name, value in settings.model_dump(exclude={"database_owner_url"}).items()
        if name in settings.model_fields_set and value is not None
    }
    return {**kept, **given, PREFIX + "DATA_DIR": str(settings.data_dir)}


@dataclass
class Child:
    """One child process and how to start it again.

    Attributes:
        region: a web process's part of what they share about addresses.
    """

    name: str
    arguments: list[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    region: int | None = None


@dataclass
class Supervisor:
    """Starts the children, restarts those that die, and ends them all on SIGTERM or SIGINT.

    `run` closes the listener when it ends.

    Args:
        settings: what the children are given.
        listener: the socket that web children serve, already bound; None for none.
        web: number of web processes.
        worker: whether to run a worker.
    """

    settings: Settings
    listener: socket.socket | None = None
    web: int = 0
    worker: bool = True
    tls: TlsPaths | None = None
    embedded: EmbeddedPostgres | None = None
    children: list[Child] = field(default_factory=list)
    _asked: tuple[socket.socket, socket.socket] = field(default_factory=socket.socketpair)
    """What is read from one was sent to the other by who asks to stop. A signal's handler runs in the middle of
    whatever waits: an `Event` would be set by the lock that its waiting holds, and both stand still for ever."""
    _folder: Path = Path()

    def run(self) -> None:
        """Until asked to stop. Returns when every child has ended."""
        with shared_folder() as self._folder:
            self._run()

    def _run(self) -> None:
        reserve_of(self.settings).keep()
        read_end, write_end = os.pipe()
        try:
            self._plan(read_end)
            for signum in (signal.SIGTERM, signal.SIGINT):
                signal.signal(signum, lambda *_: self.stop())
            for child in self.children:
                self._start(child, read_end)
            self._watch(read_end)
        finally:
            self._end()
            os.close(read_end)
            os.close(write_end)

    def stop(self) -> None:
        """Ask `run` to end."""
        self._asked[1].setblocking(False)
        with contextlib.suppress(BlockingIOError):  # so often asked that nobody can have missed it
            self._asked[1].send(b".")

    def is_asked_to_stop(self, seconds: float) -> bool:
        """Whether somebody asks within so long; once for each time that somebody did."""
        self._asked[0].settimeout(seconds)
        try:
            self._asked[0].recv(1)
        except TimeoutError:
            return False
        return True

    def _plan(self, pipe: int) -> None:
        if self.listener is not None:
            create_table(self._folder / ADDRESSES, self.web)
            files = [str(self.tls.cert_file), str(self.tls.key_file)] if self.tls is not None else []
            for number in range(self.web):
                arguments = ["web", str(pipe), str(self.listener.fileno()), str(number), *files]
                self.children.append(Child(f"web-{number + 1}", arguments, region=number))
        if self.worker:
            self.children.append(Child("worker", ["worker", str(pipe)]))

    def _start(self, child: Child, pipe: int) -> None:
        inherited = [pipe] if self.listener is None else [pipe, self.listener.fileno()]
        child.started_at = time.monotonic()
        child.process = subprocess.Popen(
            [sys.executable, "-m", "fieldpack.server.run.supervisor", *child.arguments],
            pass_fds=inherited,
            env=environment_of(self.settings) | {FOLDER_VARIABLE: str(self._folder)},
            start_new_session=True,
        )

    def _watch(self, pipe: int) -> None:
        checked_at = time.monotonic()
        reserve = reserve_of(self.settings)
        while not self.is_asked_to_stop(POLL_SECONDS):
            for child in self.children:
                assert child.process is not None
                status = child.process.poll()
                if status is not None and time.monotonic() - child.started_at > RESTART_SECONDS:
                    log.warning("child.restarted", child=child.name, status=status)
                    for left in self._folder.glob(f"gauge_live*_{child.process.pid}.db"):
                        left.unlink(missing_ok=True)  # the uploads that it counted as running have ended
                    if child.region is not None:
                        clear_region(self._folder / ADDRESSES, child.region)
                    self._start(child, pipe)
            if time.monotonic() - checked_at < DATABASE_CHECK_SECONDS:
                continue
            checked_at = time.monotonic()
            reserve.keep()
            try:
                if self.embedded is not None:
                    self.embedded.ensure_running(DATABASE_CHECK_SECONDS)
            except Exception as error:
                log.error("database.down", error=str(error))
                reserve.make_room()  # it may not start without

    def _end(self) -> None:
        running = [child.process for child in self.children if child.process is not None]
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        if self.listener is not None:
            # together with the children's: a new connection is then refused at once, so that clients try elsewhere
            self.listener.close()
        deadline = time.monotonic() + GRACE_SECONDS
        for process in running:
            try:
                process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _end_with(pipe: int) -> None:
    """End this process as soon as the supervisor's end of the pipe is closed."""

    def wait() -> None:
        while os.read(pipe, 1):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True, name="supervisor-watch").start()


def _run_web(
    settings: Settings, url: str, listener: socket.socket, region: int, tls: TlsPaths | None
) -> None:
    import uvicorn
    from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

    from fieldpack.server.app import create_app
    from fieldpack.server.http.intake.server import Server
    from fieldpack.server.http.sending.zerocopy import ZeroCopy

    config = uvicorn.Config(
        ZeroCopy(create_app(settings, url)),
        http="httptools",
        ws="none",
        proxy_headers=True,
        forwarded_allow_ips=settings.trusted_proxies,
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=WEB_GRACE_SECONDS,
        ssl_certfile=tls.cert_file if tls else None,
        ssl_keyfile=tls.key_file if tls else None,
    )
    # what was made so far stays: looking at all of it again would hold up requests for a tenth of a second each time
    gc.collect()
    gc.freeze()
    table = AddressTable(Path(os.environ[FOLDER_VARIABLE]) / ADDRESSES, region)
    middleware = ProxyHeadersMiddleware(config.app, settings.trusted_proxies)  # type: ignore[arg-type]  # never called
    proxies = middleware.trusted_hosts
    admission = Admission(settings.connections_per_address, proxies.__contains__, table)
    Server(config, admission, most_connections()).run(sockets=[listener])


def main(arguments: list[str]) -> None:
    """What a child runs: `web PIPE SOCKET REGION [CERT KEY]` or `worker PIPE`."""
    role, pipe = arguments[0], int(arguments[1])
    _end_with(pipe)
    settings = load_settings()
    configure_logs(settings, process=role)
    url, embedded = open_database(settings)
    try:
        if role == "web":
            listener = socket.socket(fileno=int(arguments[2]))
            tls = TlsPaths(Path(arguments[4]), Path(arguments[5])) if len(arguments) > 4 else None
            _run_web(settings, url, listener, int(arguments[3]), tls)
        else:
            from fieldpack.server.run.worker import run_worker

            asyncio.run(run_worker(settings, url))
    finally:
        if embedded is not None:
            embedded.close()


if __name__ == "__main__":
    main(sys.argv[1:])
