"""`fieldpack serve` and `fieldpack worker`: start, say where everything is, run until stopped."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

import httpx

from fieldpack.errors import ConfigError
from fieldpack.example import find_example
from fieldpack.server.config import Settings
from fieldpack.server.db.embedded.server import EmbeddedPostgres
from fieldpack.server.db.parameters import count_web_processes
from fieldpack.server.installation.marker import claim_storage
from fieldpack.server.installation.opening import open_database
from fieldpack.server.machine.cores import choose_web_processes
from fieldpack.server.machine.descriptors import raise_limit
from fieldpack.server.machine.logs import configure_logs
from fieldpack.server.run.administration import CREDENTIALS, create_first_token, keep_credentials
from fieldpack.server.run.signing_in import Welcome, link_of, prepare_welcome
from fieldpack.server.run.supervisor import Supervisor, TlsPaths
from fieldpack.server.run.tls import TlsFiles, ensure_certificate, trust_line

__all__ = ["serve_until_stopped", "work_until_stopped"]

# where this machine reaches a server that listens everywhere
LOCAL = {"0.0.0.0": "127.0.0.1", "::": "::1"}
BIND_SECONDS = 5.0
BACKLOG = 2048
READY_SECONDS = 60.0
STOP_SECONDS = 10.0


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; a port that was in use until a moment ago is waited for.

    Raises:
        ConfigError: the address can't be taken.
    """
    deadline = time.monotonic() + BIND_SECONDS
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(BACKLOG)
            return listener
        except OSError as error:
            listener.close()
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"Can't listen on {host}:{port}: {error.strerror}. Choose another with --port."
                ) from None
            time.sleep(0.1)


def serve_until_stopped(
    settings: Settings,
    *,
    host: str,
    port: int,
    tls: bool,
    worker: bool,
    web: int | None,
    researcher: str | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        web: number of web processes; None for one a processor.

    At a terminal a link is printed that signs `researcher` in (the only one there is, when None): never into a
    file, which may be a log.
    """
    with serving(
        settings, host=host, port=port, tls=tls, worker=worker, web=web, researcher=researcher
    ) as supervisor:
        supervisor.run()


@contextmanager
def serving(
    settings: Settings,
    *,
    host: str,
    port: int,
    tls: bool,
    worker: bool,
    web: int | None,
    researcher: str | None = None,
) -> Iterator[Supervisor]:
    """A supervisor ready to run: database up and migrated, first token made, address bound."""
    web = web or choose_web_processes()
    if settings.database_url is None and web > count_web_processes():
        raise ConfigError(
            f"The embedded PostgreSQL has connections for {count_web_processes()} web processes on this machine, "
            f"and --workers asks for {web}: ask for fewer, or use a PostgreSQL of your own (FIELDPACK_DATABASE_URL)."
        )
    configure_logs(settings, process="serve")
    raise_limit(settings.connections_per_address * 2)
    listener = bind(host, port)
    embedded: EmbeddedPostgres | None = None
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        files = ensure_certificate(settings.data_dir, [host]) if tls else None
        named = LOCAL.get(host, host)
        shown = f"[{named}]" if ":" in named else named
        url = f"{'https' if tls else 'http'}://{shown}:{listener.getsockname()[1]}"
        database_url, embedded = open_database(settings, may_create=True)
        asyncio.run(claim_storage(settings, database_url))
        made = create_first_token(settings)
        keep_credentials(settings, url=url, made=made, ca_file=files.ca_file if files else None)
        if made is not None:
            kept = settings.data_dir / CREDENTIALS
            print(f"Workspace {made.workspace_id}; its first token, shown this once and stored in {kept}:")
            print(f"\n    {made.token}\n", flush=True)
        welcome = prepare_welcome(settings, researcher) if sys.stdout.isatty() or researcher else None
        paths = TlsPaths(files.cert_file, files.key_file) if files else None
        supervisor = Supervisor(settings, listener, web, worker, paths, embedded)
        threading.Thread(target=_announce, args=(url, files, settings, welcome), daemon=True).start()
        yield supervisor
    finally:
        listener.close()
        _close(embedded)


def _announce(url: str, files: TlsFiles | None, settings: Settings, welcome: Welcome | None) -> None:
    """Say where the server is, once it answers."""
    verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=str(files.ca_file)) if files else True
    deadline = time.monotonic() + READY_SECONDS
    with httpx.Client(verify=verify, trust_env=False) as client:
        while time.monotonic() < deadline:
            try:
                if client.get(f"{url}/health/ready").status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        else:
            print("The server does not answer yet; its log above says why.", file=sys.stderr)
            return
    places = f"data in {settings.data_dir}, files in {settings.storage_place}"
    print(f"fieldpack serves {url} ({places}). Ctrl-C ends it.", flush=True)
    if files is not None:
        print(f"To make a client trust it:\n\n    {trust_line(files.ca_file)}\n", flush=True)
    if welcome is not None and sys.stdout.isatty():
        print(_describe(welcome, settings.public_url or url, settings), flush=True)


def _describe(welcome: Welcome, origin: str, settings: Settings) -> str:
    """Where to go from here, in lines that can be followed or pasted."""
    folder = settings.data_dir
    prefix = (
        "" if folder == Path("fieldpack-data").absolute() else f"FIELDPACK_DATA_DIR={quote(str(folder))} "
    )
    command = "collection list" if welcome.has_collections else f"collection create -t {_example()}"
    link = link_of(origin, welcome.code) if welcome.code else f"{prefix}fieldpack open --researcher EMAIL"
    return (
        f"\nSign in, once, within 15 minutes:   {link}"
        f"\nParticipants' links begin with:     {origin}/participate/"
        f"\nNext, in another terminal:          {prefix}fieldpack {command}\n"
    )


def _example() -> str:
    """The example's path, short where it lies below this folder."""
    path, here = find_example(), Path.cwd()
    return quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def work_until_stopped(settings: Settings) -> None:
    """Run a worker until SIGTERM or SIGINT."""
    configure_logs(settings, process="worker")
    raise_limit(0)
    database_url, embedded = open_database(settings)
    try:
        asyncio.run(claim_storage(settings, database_url))
        print(f"fieldpack worker runs (files in {settings.storage_place}). Ctrl-C ends it.", flush=True)
        Supervisor(settings, embedded=embedded).run()
    finally:
        _close(embedded)


def _close(embedded: EmbeddedPostgres | None) -> None:
    """Release the embedded database, and wait until it has stopped unless other processes use it.

    So its folder can be copied as soon as this program has ended; and a container's end is its clean end.
    """
    if embedded is not None:
        embedded.close()
        embedded.wait_stopped(STOP_SECONDS)
