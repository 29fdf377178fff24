"""A restore that runs, or has not come to its end: nothing else opens what it works on.

That one runs, a lock says, which goes with its process: on the data folder, and in a database of one's own, which
several folders may name. Whoever opens an installation holds the same lock, shared, for as long as that takes. That
one has not come to its end, a table in the database says; and where there is no database yet, storage's marker does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from fieldpack.errors import ConfigError, FieldpackError
from fieldpack.files import lock, unlock
from fieldpack.server.config import Settings
from fieldpack.server.db.connecting import connect
from fieldpack.server.installation import queries
from fieldpack.server.installation.marker import explain_unfinished

__all__ = ["hold_database", "hold_folder", "require_restored"]

PATIENCE_SECONDS = 3.0  # for those who hold it for a moment
PAUSE_SECONDS = 0.05


@contextmanager
def hold_folder(settings: Settings, *, for_restore: bool, may_create: bool) -> Iterator[None]:
    """Keep restores out of the data folder, or for a restore everybody. Where folders can't be locked, nobody is.

    Raises:
        FieldpackError: it is held by others.
    """
    folder = settings.data_dir
    is_new = may_create and not folder.exists()
    if is_new:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | os.O_CLOEXEC)
    except OSError:  # it isn't there, or this system opens no folders
        yield
        return
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not lock(descriptor, shared=not for_restore):
            if time.monotonic() > deadline:
                raise _explain_held(str(folder), for_restore=for_restore)
            time.sleep(PAUSE_SECONDS)
        try:
            yield
        finally:
            with suppress(OSError):  # a file system without locks
                unlock(descriptor)
    finally:
        os.close(descriptor)
        if is_new:
            with suppress(OSError):  # unless something was made in it
                folder.rmdir()


@contextmanager
def hold_database(settings: Settings, url: str, *, for_restore: bool) -> Iterator[None]:
    """The same for a database; and who opens it is told if a restore into it has not come to its end. Blocking.

    Raises:
        ConfigError: it has not.
        FieldpackError: the database is held by others.
    """
    with connect(url) as connection:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not queries.lock_restores(connection, shared=not for_restore):
            if time.monotonic() > deadline:
                raise _explain_held("the database", for_restore=for_restore)
            time.sleep(PAUSE_SECONDS)
        if not for_restore and queries.is_half_restored(connection):
            raise explain_unfinished(settings)
        try:
            yield
        finally:
            with suppress(psycopg.Error):  # the database is gone, and the lock with it
                queries.unlock_restores(connection)


def require_restored(settings: Settings, url: str) -> None:
    """Raises as `hold_database`, for those who only look at an installation."""
    with hold_database(settings, url, for_restore=False):
        pass


def _explain_held(place: str, *, for_restore: bool) -> FieldpackError:
    if for_restore:
        return FieldpackError(
            f"Another restore into {place} is running, or a server is starting there: wait for its end."
        )
    return ConfigError(f"A restore into {place} is running: wait until it has come to its end.")
