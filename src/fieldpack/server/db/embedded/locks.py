"""Advisory file locks that the kernel drops with the process, however it ends.

A lock belongs to the open file (flock(2)), so it is let go when the last descriptor of that file is closed:
by `close`, by a normal exit, by `kill -9`. Descriptors are close-on-exec unless handed on explicitly, so a
started program does not keep a lock by accident.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from fieldpack.errors import ConfigError
from fieldpack.files import try_lock, unlock

__all__ = ["FileLock"]

_PAUSE_SECONDS = 0.02


class FileLock:
    """One open lock file. Made unlocked; `close` unlocks it.

    Args:
        path: the lock file, made (mode 0600) if absent; a symbolic link is refused.
        owner: (uid, gid) a newly made file is given to, so that this user can take part later.
    """

    def __init__(self, path: Path, *, owner: tuple[int, int] | None = None) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if owner is not None and os.fstat(self.fd).st_uid != owner[0]:
            os.fchown(self.fd, *owner)

    def try_lock(self, *, shared: bool = False) -> bool:
        """Take the lock if that is possible at once. Raises ConfigError where the folder can't hold locks."""
        try:
            return try_lock(self.fd, shared=shared)
        except OSError as error:
            raise ConfigError(
                f"The folder {self.path.parent} is on a file system without file locks ({error.strerror}): "
                "put the data folder on a local disk, or set FIELDPACK_DATABASE_URL to a PostgreSQL of yours."
            ) from error

    def lock(self, deadline: float, *, shared: bool = False) -> bool:
        """Take the lock, waiting until `time.monotonic()` passes `deadline`; False when it did."""
        while not self.try_lock(shared=shared):
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE_SECONDS)
        return True

    def unlock(self) -> None:
        """Let the lock go and keep the file open."""
        unlock(self.fd)

    def close(self) -> None:
        """Let the lock go, unless another process was handed the same open file.

        Closing twice is harmless.
        """
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
