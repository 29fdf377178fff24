"""Files and folders of a file system: written whole or not at all, made to last, renamed, locked.

What is to be there after a power cut takes three steps: its bytes (`sync_file`), its name (a rename), and the folder
that lists the name (`sync_folder`).
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = [
    "lock",
    "rename_new",
    "rename_over",
    "replace_file",
    "sync_bytes",
    "sync_file",
    "sync_folder",
    "try_lock",
    "unlock",
    "wait_for_lock",
    "write_all",
    "write_whole",
]

_HELD = (errno.EAGAIN, errno.EACCES)
Buffer = bytes | bytearray | memoryview

_LOCK_BYTE = 1 << 62  # Windows locks byte ranges, and keeps others from reading them: lock where nothing is
_PAUSE_SECONDS = 0.02
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def write_all(fd: int, data: Buffer) -> None:
    """Write all of `data`, which may take several steps."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_whole(path: Path, content: Buffer, *, mode: int = 0o666, lasting: bool = False) -> None:
    """Put a file in place that holds `content`, or leave what is there.

    Args:
        mode: of the file, less the umask; it is never seen with another.
        lasting: whether it is still there after a power cut that follows.
    """
    with replace_file(path, lasting=lasting) as draft:
        fd = os.open(draft, _NEW, mode)
        try:
            write_all(fd, content)
        finally:
            os.close(fd)


@contextmanager
def replace_file(path: Path, *, lasting: bool = False) -> Iterator[Path]:
    """Give a temporary name beside `path`; the file that was made there takes its place at the end, and only then.

    Args:
        lasting: whether it is still there after a power cut that follows.
    """
    draft = path.with_name(f".{path.name[:80]}.{os.getpid()}.part{path.suffix}")
    draft.unlink(missing_ok=True)  # of a process that had this number before
    try:
        yield draft
        if lasting:
            with draft.open("rb") as file:
                sync_file(file.fileno())
        rename_over(draft, path)
        if lasting:
            sync_folder(path.parent)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def rename_over(
    source: str | Path, target: str | Path, *, source_fd: int | None = None, target_fd: int | None = None
) -> None:
    """Rename a file, taking the place of the one that is there.

    Args:
        source, target: paths; relative to `source_fd` and `target_fd`, descriptors of folders, where given.
    """
    os.replace(source, target, src_dir_fd=source_fd, dst_dir_fd=target_fd)


def rename_new(
    source: str | Path, target: str | Path, *, source_fd: int | None = None, target_fd: int | None = None
) -> None:
    """Rename a file, failing with `FileExistsError` when there is anything at `target`.

    Args:
        source, target: paths; relative to `source_fd` and `target_fd`, descriptors of folders, where given.
    """
    if sys.platform == "win32":
        os.rename(source, target)
        return
    try:
        os.link(source, target, src_dir_fd=source_fd, dst_dir_fd=target_fd)
    except (FileExistsError, FileNotFoundError, NotADirectoryError):
        raise
    except OSError:
        # No hard links on this file system: claim the name with an empty file, then take its place.
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666, dir_fd=target_fd))
        try:
            rename_over(source, target, source_fd=source_fd, target_fd=target_fd)
        except OSError:
            os.unlink(target, dir_fd=target_fd)
            raise
    else:
        os.unlink(source, dir_fd=source_fd)


def sync_file(fd: int) -> None:
    """Have the disk take a file: its bytes, and what is known of it."""
    os.fsync(fd)


def sync_bytes(fd: int) -> None:
    """Have the disk take a file's bytes, and no more of what is known of it than reading them needs."""
    getattr(os, "fdatasync", os.fsync)(fd)


def sync_folder(folder: Path | int) -> None:
    """Have the disk take what a folder lists: what was renamed into it is found there after a power cut.

    Args:
        folder: its path, or a descriptor of it.
    """
    if sys.platform == "win32":
        return  # nothing of the kind there
    fd = folder if isinstance(folder, int) else os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems have it for files only
            raise
    finally:
        if fd != folder:
            os.close(fd)


def lock(fd: int, *, shared: bool = False) -> bool:
    """As `try_lock`, for work that is better done unlocked than not at all: True on a file system without locks."""
    try:
        return try_lock(fd, shared=shared)
    except OSError:
        return True


if sys.platform == "win32":
    import msvcrt

    def try_lock(fd: int, *, shared: bool = False) -> bool:
        """Lock a file; False when another holds it. `shared` is not to be had here."""
        os.lseek(fd, _LOCK_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def wait_for_lock(fd: int) -> None:
        """Lock a file, once nobody else holds it."""
        while not try_lock(fd):
            time.sleep(_PAUSE_SECONDS)

    def unlock(fd: int) -> None:
        """Let a lock go, and keep the file open."""
        os.lseek(fd, _LOCK_BYTE, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def try_lock(fd: int, *, shared: bool = False) -> bool:
        """Lock a file or folder until its last descriptor is closed, however the process ends.

        Args:
            shared: with others who lock it so.

        Returns:
            False when another holds it.

        Raises:
            OSError: the file system has no locks.
        """
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD:
                return False
            raise
        return True

    def wait_for_lock(fd: int) -> None:
        """Lock a file for this process alone, once nobody else holds it. Raises as `try_lock`."""
        fcntl.flock(fd, fcntl.LOCK_EX)

    def unlock(fd: int) -> None:
        """Let a lock go, and keep the file open."""
        fcntl.flock(fd, fcntl.LOCK_UN)
