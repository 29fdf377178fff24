"""Files and folders of a file system: locked, renamed without replacing, and made to last."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

__all__ = ["lock", "rename_new", "sync_folder"]

_LOCK_BYTE = 1 << 62  # Windows locks byte ranges, and keeps others from reading them: lock where nothing is


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
            os.replace(source, target, src_dir_fd=source_fd, dst_dir_fd=target_fd)
        except OSError:
            os.unlink(target, dir_fd=target_fd)
            raise
    else:
        os.unlink(source, dir_fd=source_fd)


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


if sys.platform == "win32":
    import msvcrt

    def lock(fd: int) -> bool:
        """Lock a file for this process alone; False when another holds it."""
        os.lseek(fd, _LOCK_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def lock(fd: int) -> bool:
        """Lock a file or folder for this process alone; False when another holds it."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # some network file systems have no locks; better an unlocked download than none
            return True
        return True
