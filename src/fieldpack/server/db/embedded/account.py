"""The system user that the embedded PostgreSQL runs as.

PostgreSQL refuses to run as root. Started by root, it runs as the owner of the data folder if that is another
user, else as the system's user `fieldpack`, `postgres` or `nobody`, whichever exists first; with that user's own
group and no other, never with one of root's. No folder is opened to it: what it can't reach is handed to it as an
open folder (`cluster.py`), or copied (`programs.py`).
"""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from fieldpack.errors import ConfigError

__all__ = ["Account", "choose_account"]

_READ, _SEARCH = 4, 1


@dataclass(frozen=True)
class Account:
    """Whom processes of the server run as.

    Attributes:
        uid: None for the user we are.
        gid: its only group, None likewise.
    """

    uid: int | None = None
    gid: int | None = None

    @property
    def owner(self) -> tuple[int, int] | None:
        """(uid, gid) for files made on its behalf, None when it is us."""
        return None if self.uid is None or self.gid is None else (self.uid, self.gid)

    @property
    def is_named(self) -> bool:
        """Whether the system has a name for it."""
        try:
            pwd.getpwuid(os.geteuid() if self.uid is None else self.uid)
        except KeyError:
            return False
        return True

    def can_reach(self, path: Path) -> bool:
        """Whether it can pass through all folders above `path`, by their modes."""
        return self.uid is None or all(self._may(parent, _SEARCH) for parent in path.parents)

    def can_run(self, program: Path) -> bool:
        """Whether it can run `program`, which is there."""
        if self.uid is None:
            return True
        return self.can_reach(program) and self._may(program, _READ | _SEARCH)

    def _may(self, path: Path, bits: int) -> bool:
        status = path.stat()
        if status.st_uid == self.uid:
            held = status.st_mode >> 6
        elif status.st_gid == self.gid:
            held = status.st_mode >> 3
        else:
            held = status.st_mode
        return stat.S_IMODE(held) & bits == bits


def choose_account(*folders: Path) -> Account:
    """The account for a cluster in the innermost existing of `folders` (given from the inside out).

    Raises:
        ConfigError: we are root and the system has no user to run PostgreSQL as.
    """
    if os.geteuid() != 0:
        return Account()
    for folder in folders:
        if folder.exists() and (status := folder.stat()).st_uid != 0:
            return Account(status.st_uid, status.st_gid or status.st_uid)
    for name in ("fieldpack", "postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid or entry.pw_uid)
    raise ConfigError(
        "PostgreSQL does not run as root, and this system has no user `fieldpack`, `postgres` or `nobody` "
        "for it: make one (useradd --system fieldpack), run as another user, or set FIELDPACK_DATABASE_URL."
    )
