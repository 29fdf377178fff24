"""The folders of local storage, opened from its root one by one, so that no symbolic link leads out of it.

Otherwise anybody who can write to the storage folder could make the server read `/etc` or overwrite somebody's
files, by replacing `blobs/3f` with a link.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fieldpack.errors import StorageError
from fieldpack.files import sync_folder

__all__ = ["STAGING", "Folders", "refuse_links", "split_key"]

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAYBE_LINK = (errno.ELOOP, errno.ENOTDIR, errno.EMLINK)  # what systems say of a link where none may be
STAGING = ".staging"
_SHARED = ("blobs", STAGING)  # their folders are few, used all the time and never removed, so they stay open


def split_key(key: str) -> list[str]:
    """The names in a key, the last of which is the file's.

    Raises:
        StorageError: it is none, or would lead out of the root.
    """
    parts = key.split("/")
    if not key or any(step in ("", ".", "..") for step in parts):
        raise StorageError(f"{key!r} is no storage key.")
    return parts


def refuse_links(root: Path) -> None:
    """Check the entries directly below the root when the server starts, so that its operator sees the error.

    Raises:
        StorageError: one of them is a symbolic link.
    """
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.is_symlink():
                raise _refuse(Path(entry.path))


def _refuse(path: Path) -> StorageError:
    return StorageError(
        f"{path} is a symbolic link, which storage does not follow. Put the folder itself there (or mount it there),"
        " or name the place of the whole storage in FIELDPACK_STORAGE_URL."
    )


class Folders:
    """Descriptors of the folders below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._open: dict[str, int] = {}

    def close(self) -> None:
        """Close those that stayed open."""
        while self._open:
            os.close(self._open.popitem()[1])

    @contextmanager
    def at(self, key: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """The folder of a key, and the file's name in it; with `make` the folder is created and flushed.

        Raises:
            StorageError: it is no key, or a link is on the way.
            OSError: the folder is missing, or can't be opened.
        """
        *folders, name = split_key(key)
        path = "/".join(folders)
        found = self._open.get(path)
        if found is not None:
            yield found, name
            return
        descriptor = self._walk(folders, make=make)
        if folders and folders[0] not in _SHARED:
            try:
                yield descriptor, name
            finally:
                os.close(descriptor)
            return
        kept = self._open.setdefault(path, descriptor)
        if kept != descriptor:  # another thread has opened it meanwhile
            os.close(descriptor)
        yield kept, name

    def _walk(self, folders: list[str], *, make: bool) -> int:
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        way = self._root
        for step in folders:
            way = way / step
            try:
                deeper = self._step(descriptor, step, make=make)
            except OSError as error:
                if error.errno in _MAYBE_LINK and way.is_symlink():
                    raise _refuse(way) from None
                raise
            finally:
                os.close(descriptor)
            descriptor = deeper
        return descriptor

    @staticmethod
    def _step(descriptor: int, step: str, *, make: bool) -> int:
        try:
            return os.open(step, _FLAGS, dir_fd=descriptor)
        except FileNotFoundError:
            if not make:
                raise
        with contextlib.suppress(FileExistsError):
            os.mkdir(step, 0o700, dir_fd=descriptor)
        sync_folder(descriptor)  # the new name is durable before anything is put there
        return os.open(step, _FLAGS, dir_fd=descriptor)

    def open(self, key: str, flags: int, mode: int = 0o600, *, make: bool = False) -> int:
        """Open the file of a key.

        Raises:
            StorageError: it is no key, or it or a folder on the way is a link.
            OSError: as `os.open`.
        """
        above, _, name = key.rpartition("/")
        found = self._open.get(above)
        if found is not None and name not in ("", ".", ".."):  # the way of nearly all reads
            return self._open_in(found, key, name, flags, mode)
        with self.at(key, make=make) as (folder, name):
            return self._open_in(folder, key, name, flags, mode)

    def _open_in(self, folder: int, key: str, name: str, flags: int, mode: int) -> int:
        try:
            return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=folder)
        except OSError as error:
            if error.errno in _MAYBE_LINK and (self._root / key).is_symlink():
                raise _refuse(self._root / key) from None
            raise

    def stat(self, key: str) -> os.stat_result:
        """What is known of the file of a key.

        Raises:
            StorageError: it is no key, or it or a folder on the way is a link.
            OSError: as `os.stat`.
        """
        with self.at(key) as (folder, name):
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            raise _refuse(self._root / key)
        return found
