"""The process that stops the embedded PostgreSQL once nobody holds it any more.

Run as a script by `cluster.py`: ``python -P keeper.py BASE KEEPER_FD``. It imports nothing of fieldpack, so
it stays small and starts at once.

Every user of the server holds a shared lock on ``BASE/holders.lock``, which the kernel drops when the user
ends in whatever way. The keeper waits for the exclusive lock on that file: having it means that nobody is
left, and keeps newcomers waiting until the server is down. It holds ``BASE/keeper.lock`` (the inherited
KEEPER_FD) while it waits and lets it go *before* it stops anything, so whoever holds the server and sees that
lock taken knows that a keeper is on watch.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import time
from pathlib import Path

import psutil

__all__ = ["find_processes", "find_socket_folder", "make_tag"]

_PAUSE_SECONDS = 0.02
# A fast shutdown writes a checkpoint. Seconds to wait before the next, harder way.
_STEPS = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))


def make_tag(server_fd: int) -> str:
    """The cluster's name among the machine's processes: its ``server.lock``, while open, is no other file."""
    status = os.fstat(server_fd)
    return f"fieldpack-{status.st_dev:x}-{status.st_ino:x}"


def find_processes(tag: str) -> tuple[psutil.Process | None, list[psutil.Process]]:
    """The live postmaster of the cluster `tag` (None if there is none) and its other processes.

    By command line, which every user may read: the postmaster keeps its arguments, its children show the
    cluster's name. Process ids in files are not trusted, since another process may have got them.
    """
    postmaster = None
    children = []
    for process in psutil.process_iter(["cmdline"]):
        line: list[str] = process.info["cmdline"] or []
        if f"cluster_name={tag}" in line:
            postmaster = process
        elif line and line[0].startswith(f"postgres: {tag}: "):
            children.append(process)
    return postmaster, children


def find_socket_folder(data: Path) -> Path | None:
    """The folder of the server's socket: line 5 of its pid file (PostgreSQL's ``miscadmin.h``)."""
    try:
        lines = os.fsdecode((data / "postmaster.pid").read_bytes()).split("\n")
    except OSError:
        return None
    return Path(lines[4]) if len(lines) > 5 and lines[4].startswith("/") else None


def _remove_socket_folder(folder: Path, tag: str) -> None:
    """Remove a socket folder that was made among temporary files, and what a killed server left there."""
    if not folder.name.startswith(f"{tag}-"):
        return
    with contextlib.suppress(OSError):
        for path in folder.glob(".s.PGSQL.*"):
            path.unlink()
        folder.rmdir()


def _stop(base: Path, server_fd: int) -> None:
    socket_folder = find_socket_folder(base / "data")
    tag = make_tag(server_fd)
    for signum, seconds in _STEPS:
        deadline = time.monotonic() + seconds
        signalled = 0
        while not _is_free(server_fd):
            # A server whose starter was killed may be about to become one: looked for again and again.
            postmaster, children = find_processes(tag)
            if postmaster is not None and postmaster.pid != signalled:
                signalled = postmaster.pid
                with contextlib.suppress(psutil.NoSuchProcess):
                    postmaster.send_signal(signum)
            elif postmaster is None and signum != signal.SIGINT:
                for child in children:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        child.kill()
            if time.monotonic() > deadline:
                print(
                    f"PostgreSQL in {base} did not stop within {seconds:.0f} s of {signum.name}", flush=True
                )
                break
            time.sleep(_PAUSE_SECONDS)
        else:
            break
    if socket_folder is not None:
        _remove_socket_folder(socket_folder, tag)


def _is_free(server_fd: int) -> bool:
    try:
        fcntl.flock(server_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def main(base: Path, keeper_fd: int) -> None:
    """Wait until nobody holds the server in `base`, stop it, return."""
    # A terminal's or a service manager's signal to the whole group must not end the watch: users may live on.
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    # Opened now, so that they stay the same files if the folder is removed.
    holders_fd = os.open(base / "holders.lock", os.O_RDWR | os.O_CLOEXEC)
    server_fd = os.open(base / "server.lock", os.O_RDWR | os.O_CLOEXEC)
    # The starter waits for this on our output; what may follow belongs in the log, which is the error output.
    # If it was killed meanwhile, others who hold the server saw our lock taken, and count on the watch.
    with contextlib.suppress(BrokenPipeError):
        os.write(1, b"+")
    os.dup2(2, 1)
    fcntl.flock(holders_fd, fcntl.LOCK_EX)
    os.close(keeper_fd)
    _stop(base, server_fd)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
