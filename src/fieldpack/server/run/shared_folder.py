"""The folder that a supervisor shares with its children: figures for `/metrics`, counts of connections.

It is a temporary one, which a killed supervisor leaves behind. Each is locked for as long as its supervisor
lives; the next to start removes those that nobody holds.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from fieldpack.files import try_lock, wait_for_lock

__all__ = ["shared_folder", "sweep_folders"]

PREFIX = "fieldpack-metrics-"
LOCK = "lock"
UNLOCKED_SECONDS = 3600.0  # one without a lock is of an earlier version, or just being made
_FIGURES = re.compile(r"_(\d+)\.db")


@contextlib.contextmanager
def shared_folder() -> Iterator[Path]:
    """A new folder, ours until the end of the block; those of dead supervisors are removed first."""
    sweep_folders()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        wait_for_lock(lock)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep_folders() -> int:
    """Remove the folders that dead supervisors of this user left; how many."""
    removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            status = folder.lstat()
            if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and _is_dead(folder, status):
                shutil.rmtree(folder)
                removed += 1
    return removed


def _is_dead(folder: Path, status: os.stat_result) -> bool:
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return time.time() - status.st_mtime > UNLOCKED_SECONDS and not _has_writers(folder)
    try:
        return try_lock(lock)
    finally:
        os.close(lock)


def _has_writers(folder: Path) -> bool:
    """Whether a process that wrote figures there lives, or another has its number now."""
    for path in folder.iterdir():
        match = _FIGURES.search(path.name)
        if match is not None and _is_alive(int(match[1])):
            return True
    return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
