"""A folder whose contents are reached by relative names, and nothing outside it by any of them.

Names come from archives and from notes on disk, so they are not believed. Every step on the way to a file is
taken from the folder before it (`dir_fd`), and a symbolic link on that way is never followed, not even one
that leads to a place within: whoever put it there did not mean us.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from fieldpack.errors import InTheWay
from fieldpack.files import rename_new, rename_over, sync_folder
from fieldpack.text import is_kept_by_windows

__all__ = ["ContainedFolder", "name_kind"]

_STEPS = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
"""Whether this system opens a file from a folder's descriptor. Windows does not: there the way is resolved,
and compared with the folder, before it is gone."""

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_TO_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _NOFOLLOW | getattr(os, "O_CLOEXEC", 0)
_TO_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | _NOFOLLOW | getattr(os, "O_NONBLOCK", 0)
_TO_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | _NOFOLLOW
_NO_NAME = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ})


class ContainedFolder:
    """One folder, which is there already. A context manager; every name is relative, with `/` between its steps.

    Every method raises `InTheWay` when a link, or anything but a folder, is on the way, when a name is none
    that can stand below a folder, or when the file system takes no such name; and `OSError` as usual.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)) if _STEPS else -1
        self._resolved = path.resolve()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def fileno(self) -> int:
        """The folder's descriptor, or -1 on a system that gives none."""
        return self._fd

    def find(self, name: str) -> os.stat_result | None:
        """What is at `name`, a link itself and not where it leads; None when nothing is."""
        try:
            with self._reach(name) as (leaf, fd):
                return os.stat(leaf, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def open(self, name: str) -> BinaryIO:
        """Open a regular file for reading. Raises `FileNotFoundError`."""
        with self._reach(name) as (leaf, fd):
            try:
                opened = os.open(leaf, _TO_READ, dir_fd=fd)
            except OSError:
                # a link, where links are not followed; or a socket, which can't be opened
                self._refuse_odd(name, os.stat(leaf, dir_fd=fd, follow_symlinks=False))
                raise
        try:
            self._refuse_odd(name, os.fstat(opened))
            return os.fdopen(opened, "rb")
        except BaseException:
            os.close(opened)
            raise

    def create(self, name: str) -> BinaryIO:
        """Make a new file for writing, and the folders it is in. Raises `FileExistsError`."""
        with self._reach(name, making=True) as (leaf, fd):
            return os.fdopen(os.open(leaf, _TO_MAKE, 0o666, dir_fd=fd), "wb")

    def move(self, name: str, target: str, *, replacing: bool) -> None:
        """Give a file another name, and make the folders that one is in.

        Args:
            replacing: take the place of the file that is there; otherwise `InTheWay` is raised.
        """
        with self._reach(name) as (leaf, fd), self._reach(target, making=True) as (to, to_fd):
            try:
                if replacing:
                    rename_over(leaf, to, source_fd=fd, target_fd=to_fd)
                else:
                    rename_new(leaf, to, source_fd=fd, target_fd=to_fd)
            except (FileExistsError, IsADirectoryError, PermissionError):
                found = self.find(target)
                if found is None or (replacing and stat.S_ISREG(found.st_mode)):
                    raise
                raise InTheWay(target, f"is {name_kind(found)} that is there already") from None

    def remove(self, name: str) -> bool:
        """Remove a file or a link; whether there was one."""
        try:
            with self._reach(name) as (leaf, fd):
                os.unlink(leaf, dir_fd=fd)
        except FileNotFoundError:
            return False
        except (IsADirectoryError, PermissionError):
            found = self.find(name)
            if found is None or not stat.S_ISDIR(found.st_mode):
                raise
            raise InTheWay(name, "is a folder where a file should be") from None
        return True

    def remove_empty(self, name: str) -> bool:
        """Remove a folder if nothing is in it; whether it is gone now."""
        try:
            with self._reach(name) as (leaf, fd):
                os.rmdir(leaf, dir_fd=fd)
        except FileNotFoundError:
            return True
        except OSError:  # something is in it, or it is somebody's mount point or current folder
            return False
        return True

    def list(self, name: str = "") -> list[str]:
        """What is in a folder below this one, or in this one itself; nothing when it is not there."""
        if not _STEPS:
            with suppress(FileNotFoundError):
                return os.listdir(self._check(name))
            return []
        try:
            with self._open_folder(name) as fd:
                return os.listdir(fd)
        except FileNotFoundError:
            return []

    def sync(self, name: str = "") -> None:
        """Have the disk take what a folder below this one, or this one itself, lists."""
        if _STEPS:
            with self._open_folder(name) as fd:
                sync_folder(fd)

    @contextmanager
    def _open_folder(self, name: str) -> Iterator[int]:
        with self._reach(f"{name}/." if name else ".", is_folder=True) as (_, fd):
            assert fd is not None
            yield fd

    @contextmanager
    def _reach(
        self, name: str, *, making: bool = False, is_folder: bool = False
    ) -> Iterator[tuple[str, int | None]]:
        """The last step of a name, and the descriptor of the folder it is in; or its full path, and None."""
        *folders, leaf = name.split("/") if is_folder else _split(name)
        if not _STEPS:
            yield str(self._check("/".join(folders), making=making) / leaf), None
            return
        fd = os.dup(self._fd)
        try:
            for depth, step in enumerate(folders, 1):
                here = "/".join(folders[:depth])
                with _explain_names(here):
                    if making:
                        with suppress(FileExistsError):
                            os.mkdir(step, 0o777, dir_fd=fd)
                    try:
                        inner = os.open(step, _TO_FOLDER, dir_fd=fd)
                    except OSError as error:
                        if error.errno not in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
                            raise
                        found = os.stat(step, dir_fd=fd, follow_symlinks=False)
                        raise InTheWay(here, f"is {name_kind(found)} where a folder should be") from None
                os.close(fd)
                fd = inner
            with _explain_names(name):
                yield leaf, fd
        finally:
            os.close(fd)

    def _check(self, folders: str, *, making: bool = False) -> Path:
        """The path of a folder below this one, where no descriptor of it can be had."""
        at = self.path
        steps = folders.split("/") if folders else []
        for depth, step in enumerate(steps, 1):
            at = at / step
            with _explain_names("/".join(steps[:depth])):
                if making:
                    with suppress(FileExistsError):
                        at.mkdir()
                found = os.lstat(at)
            is_led_away = at.resolve() != self._resolved.joinpath(*steps[:depth])  # links and junctions alike
            if is_led_away or not stat.S_ISDIR(found.st_mode):
                kind = "a link" if is_led_away else name_kind(found)
                raise InTheWay("/".join(steps[:depth]), f"is {kind} where a folder should be")
        return at

    def _refuse_odd(self, name: str, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise InTheWay(name, f"is {name_kind(found)} and no file")


def _split(name: str) -> list[str]:
    steps = name.split("/")
    if any(step in ("", ".", "..") or "\0" in step for step in steps):
        raise InTheWay(name, "is no name that can stand below a folder")
    if os.name == "nt" and any("\\" in step or is_kept_by_windows(step) for step in steps):
        raise InTheWay(name, "is a name that means something else to Windows")
    return steps


@contextmanager
def _explain_names(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_NAME:
            raise InTheWay(name, "is no name that this file system takes") from None
        raise
    except UnicodeEncodeError:
        raise InTheWay(name, "is no name that this file system takes") from None


def name_kind(found: os.stat_result) -> str:
    """What kind of thing it is, in words."""
    mode = found.st_mode
    if stat.S_ISREG(mode):
        return "a file"
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "a pipe, socket or device"
