"""The folder that a demonstration works in: held while it runs, and afterwards left with its archive alone.

A demonstration that was killed leaves its folder behind. The next to start removes those that nobody holds.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fieldpack.demo.signals import signals_held
from fieldpack.errors import FieldpackError
from fieldpack.files import lock

__all__ = ["ARCHIVE", "DemoFolder", "demo_folder"]

PREFIX = "fieldpack-demo-"
ARCHIVE = "export.zip"
LOCK = ".fieldpack-demo.lock"


class DemoFolder:
    """A folder in use.

    Attributes:
        path: where it is.
        lock_fd: descriptor of its lock, for programs that keep on using it when we are killed.
        is_kept: whether everything stays at the end, not the archive alone.
    """

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        self.lock_fd = lock_fd
        self.is_kept = False


@contextlib.contextmanager
def demo_folder(chosen: Path | None) -> Iterator[DemoFolder]:
    """`chosen`, or a new temporary folder, held until the end of the block.

    Raises:
        FieldpackError: `chosen` has something in it, other than what a killed demonstration left.
    """
    _sweep_temporary()
    is_new = chosen is None or not chosen.exists()
    path = Path(tempfile.mkdtemp(prefix=PREFIX)) if chosen is None else chosen.absolute()
    path.mkdir(parents=True, exist_ok=True)
    if (path / LOCK).exists():
        _sweep(path)
    if any(path.iterdir()):
        raise FieldpackError(f"{path} is not empty; choose a new folder for the demo.")
    lock_fd = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    folder = DemoFolder(path, lock_fd)
    try:
        lock(lock_fd)
        yield folder
    finally:
        with signals_held():
            if folder.is_kept:
                (path / LOCK).unlink()
            else:
                _clear(path)
                if is_new:
                    with contextlib.suppress(OSError):  # the archive is in it
                        path.rmdir()
            os.close(lock_fd)


def _sweep_temporary() -> None:
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if path.lstat().st_uid == os.geteuid() and path.is_dir() and not path.is_symlink():
                _sweep(path)
                path.rmdir()


def _sweep(path: Path) -> None:
    """Clear a folder whose demonstration was killed, unless some program of it still runs."""
    try:
        lock_fd = os.open(path / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        if lock(lock_fd):
            _clear(path)
    finally:
        os.close(lock_fd)


def _clear(path: Path) -> None:
    """Remove everything but the archive; the lock last, so that a half-cleared folder is still known to be ours."""
    for entry in path.iterdir():
        if entry.name in (ARCHIVE, LOCK):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    (path / LOCK).unlink(missing_ok=True)
