"""The embedded PostgreSQL: one server for each data folder, shared by all processes that use it.

It starts with the first process that opens it and stops when the last has ended, also by a crash. There is no
counter: each process holds a lock of the kernel, which ends with the process. In ``DATA_DIR/postgres``:

================  ========================================================================================
``holders.lock``  shared by every user of the server; the keeper waits for it exclusively
``start.lock``    held while somebody looks whether a server runs, and starts it
``server.lock``   inherited by PostgreSQL and all its children: free means that none of them lives
``keeper.lock``   held by the keeper on watch (`keeper.py`)
``data``, ``log`` PostgreSQL's files and logs
``socket-…``      its socket, where the path is short enough; else it is in a new folder among temporary files
================  ========================================================================================

Access: nothing listens on TCP, and every connection through the socket is trusted. The socket lies in a
folder that only the server's own user and root can enter; both can read the data files anyway.

Linux and macOS. On Windows fieldpack needs a PostgreSQL of the user's own.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg

from fieldpack.errors import ConfigError

if TYPE_CHECKING:
    from fieldpack.server.db.embedded.cluster import Cluster
    from fieldpack.server.db.embedded.locks import FileLock

__all__ = ["EmbeddedPostgres", "has_cluster", "open_embedded"]

_PAUSE_SECONDS = 0.02
_LOOKS = 5  # in a row that must find others, before they are believed to hold the server
_ORPHAN_SECONDS = 3.0  # what backends get to notice by themselves that their postmaster was killed


class EmbeddedPostgres:
    """A hold on the running server, which lives at least until `close` or the end of this process.

    A child made by `os.fork` alone shares the hold; a program started with `subprocess` does not and opens
    its own.

    Attributes:
        url: libpq URI of the database `fieldpack`.
    """

    def __init__(self, cluster: Cluster, holder: FileLock, *, durable: bool) -> None:
        self.url = ""
        self._cluster = cluster
        self._holder = holder
        self._durable = durable

    def ensure_running(self, timeout: float = 300.0) -> None:
        """Start the server again if it was killed; its URL stays the same.

        Raises ConfigError as `open_embedded`.
        """
        cluster, deadline = self._cluster, time.monotonic() + timeout
        try:
            with cluster.open_lock("start") as start:
                # The keeper holds the first one exclusively while it stops the server.
                if not (self._holder.lock(deadline, shared=True) and start.lock(deadline)):
                    raise ConfigError(
                        f"Another process has been starting or stopping the database in {cluster.base} for "
                        f"{timeout:.0f} s: see {cluster.log} for what holds it up."
                    )
                # The keeper first, so that there is one even if we are killed in the middle of the rest.
                with cluster.open_lock("keeper") as keeper:
                    if keeper.try_lock():
                        cluster.launch_keeper(keeper)
                self.url = _find_running(cluster) or _start(cluster, deadline, durable=self._durable)
        except OSError as error:
            raise ConfigError(
                f"The embedded PostgreSQL in {cluster.base} can't be started: {error}."
            ) from error

    def close(self) -> None:
        """Release the server. After the last release the keeper stops it, in the background. Idempotent."""
        self._holder.close()

    def wait_stopped(self, timeout: float = 60.0) -> bool:
        """After `close`: wait until the server is down; False if others hold it, or after `timeout` s.

        For a process whose end takes all others with it, such as the first one of a container.
        """
        deadline = time.monotonic() + timeout
        held = 0
        with self._cluster.open_lock("server") as server, self._cluster.open_lock("holders") as holders:
            while not server.try_lock():
                if holders.try_lock():  # nobody, and the keeper has yet to come
                    holders.unlock()
                    held = 0
                elif holders.try_lock(shared=True):
                    # Others, unless the keeper ended between the two attempts, or another process waits like us.
                    holders.unlock()
                    held += 1
                    if held == _LOOKS:
                        return False
                else:  # the keeper stops the server
                    held = 0
                if time.monotonic() > deadline:
                    return False
                time.sleep(_PAUSE_SECONDS)
        return True

    def __enter__(self) -> EmbeddedPostgres:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def has_cluster(data_dir: Path) -> bool:
    """Whether `data_dir` has a database; looking makes nothing. What this user may not look into counts as one."""
    try:
        return (data_dir / "postgres" / "data").exists()
    except PermissionError:
        return True


def open_embedded(data_dir: Path, *, durable: bool = True, timeout: float = 300.0) -> EmbeddedPostgres:
    """Join the server of `data_dir`; start it if none runs, make its database if there is none. Blocking.

    Args:
        data_dir: fieldpack's data folder; made if absent.
        durable: False trades safety against a crash of the machine for speed. For tests; whoever starts it
            decides.
        timeout: seconds to wait for others who start or stop it, and for its recovery after a crash.

    Raises:
        ConfigError: it can't start; the message says why, with PostgreSQL's own words.
    """
    if sys.platform == "win32":
        raise ConfigError(
            "The embedded PostgreSQL runs on Linux and macOS: on Windows set FIELDPACK_DATABASE_URL to a "
            "PostgreSQL of yours, or run fieldpack in WSL or a container."
        )
    from fieldpack.server.db.embedded.cluster import Cluster

    cluster = Cluster(data_dir)
    handle = EmbeddedPostgres(cluster, cluster.open_lock("holders"), durable=durable)
    try:
        handle.ensure_running(timeout)
    except BaseException:
        handle.close()
        raise
    return handle


def _find_running(cluster: Cluster) -> str | None:
    """The URL of the server that answers, None if none does. Makes the database, which initdb does not."""
    from fieldpack.server.db.embedded.cluster import PORT, ROLE
    from fieldpack.server.db.embedded.keeper import find_socket_folder, make_tag

    folder = find_socket_folder(cluster.data)
    if folder is None:
        return None
    url = f"postgresql://{ROLE}@/{ROLE}?host={quote(str(folder), safe='')}&port={PORT}"
    with cluster.open_lock("server") as server:
        tag = make_tag(server.fd)
    try:
        with psycopg.connect(url, dbname="postgres", autocommit=True, connect_timeout=5) as connection:
            # The pid file of a copied data folder names the server of the original.
            if connection.execute("SELECT current_setting('cluster_name')").fetchone() != (tag,):
                return None
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [ROLE]).fetchone() is None:
                connection.execute(f"CREATE DATABASE {ROLE}")
    except psycopg.OperationalError:
        return None
    return url


def _start(cluster: Cluster, deadline: float, *, durable: bool) -> str:
    """Wait for a server on its way up or down; start one once none lives; give its URL when it answers."""
    started = False
    orphaned_at: float | None = None
    while True:
        with cluster.open_lock("server") as server:
            if server.try_lock():
                if started:
                    raise ConfigError(
                        f"The embedded PostgreSQL in {cluster.base} does not start: {cluster.read_log()} "
                        f"(its log is in {cluster.log})."
                    )
                cluster.initialise(server, durable=durable)
                cluster.launch(server, durable=durable)
                started = True
        if url := _find_running(cluster):
            return url
        if not started:
            orphaned_at = _end_orphans(cluster, orphaned_at)
        if time.monotonic() > deadline:
            raise ConfigError(
                f"The embedded PostgreSQL in {cluster.base} runs but does not answer: {cluster.read_log()} "
                f"(its log is in {cluster.log})."
            )
        time.sleep(_PAUSE_SECONDS)


def _end_orphans(cluster: Cluster, since: float | None) -> float | None:
    """Kill backends that outlive their postmaster too long, in a query; say since when they do."""
    import psutil

    from fieldpack.server.db.embedded.keeper import find_processes, make_tag

    with cluster.open_lock("server") as server:
        postmaster, children = find_processes(make_tag(server.fd))
    if postmaster is not None or not children:
        return None
    if since is not None and time.monotonic() - since > _ORPHAN_SECONDS:
        for child in children:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue
    return time.monotonic() if since is None else since
