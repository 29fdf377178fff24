"""The system user that the embedded PostgreSQL runs as, and what it may reach.

PostgreSQL refuses to run as root. Started by root, it runs as the owner of the data folder if that is another
user, else as the system's user `fieldpack`, `postgres` or `nobody`, whichever exists first. That user must be
able to pass through the folders above. A folder it can't search gets the search bit of its own *group*, and
the server that group as a supplementary one: nothing is opened to the world, as `chmod o+x` would.
"""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass, field
from pathlib import Path

from fieldpack.errors import ConfigError

__all__ = ["Account", "choose_account"]

_READ, _SEARCH = 4, 1


@dataclass(frozen=True)
class Account:
    """Whom processes of the server run as.

    Attributes:
        uid: None for the user we are.
        gid: the primary group, None likewise.
        groups: supplementary groups; `reach` may add to them.
    """

    uid: int | None = None
    gid: int | None = None
    groups: list[int] = field(default_factory=list)

    @property
    def owner(self) -> tuple[int, int] | None:
        """(uid, gid) for files made on its behalf, None when it is us."""
        return None if self.uid is None or self.gid is None else (self.uid, self.gid)

    def reach(self, *paths: Path) -> None:
        """See to it that the account can pass through all folders above `paths`.

        Raises:
            ConfigError: one of them is closed to it, and its mode can't be changed.
        """
        if self.uid is None:
            return
        above = sorted({parent for path in paths for parent in path.parents})
        # A group gained for one folder may be the one that another folder shuts out: until nothing changes.
        while [folder for folder in above if self._grant(folder, _SEARCH)]:
            pass

    def reach_programs(self, programs: Path) -> None:
        """See to it that the account can run the PostgreSQL whose ``bin`` folder is `programs`."""
        self.reach(programs / "postgres")
        if self.uid is None or not self._missing((programs / "postgres").stat(), _READ | _SEARCH):
            return
        # Installed under a umask that leaves nothing to others. The wheel has libraries beside its package.
        package = programs.parents[1]
        for top in (programs.parent, package.with_name(f"{package.name}.libs"), package / ".dylibs"):
            for folder, _, names in os.walk(top):
                self._grant(Path(folder), _READ | _SEARCH)
                for name in names:
                    self._grant(Path(folder, name), _READ | _SEARCH if folder == str(programs) else _READ)

    def _missing(self, status: os.stat_result, bits: int) -> int:
        if status.st_uid == self.uid:
            held = status.st_mode >> 6
        elif status.st_gid in (self.gid, *self.groups):
            held = status.st_mode >> 3
        else:
            held = status.st_mode
        return bits & ~held

    def _grant(self, path: Path, bits: int) -> bool:
        """Give the account `bits` (of one octal digit) on `path`; True when that changed anything."""
        status = path.stat()
        if not self._missing(status, bits):
            return False
        mode = stat.S_IMODE(status.st_mode) | bits << (6 if status.st_uid == self.uid else 3)
        if status.st_uid != self.uid and status.st_gid not in (self.gid, *self.groups):
            self.groups.append(status.st_gid)
        try:
            path.chmod(mode)
        except OSError as error:
            raise ConfigError(
                f"PostgreSQL runs as user id {self.uid}, which may not enter {path}, and that can't be "
                f"changed ({error.strerror}): choose a data folder that this user can reach."
            ) from error
        return True


def choose_account(*folders: Path) -> Account:
    """The account for a cluster in the innermost existing of `folders` (given from the inside out).

    Raises:
        ConfigError: we are root and the system has no user to run PostgreSQL as.
    """
    if os.geteuid() != 0:
        return Account()
    for folder in folders:
        if not folder.exists() or (status := folder.stat()).st_uid == 0:
            continue
        # initdb refuses to work for a user id without a name; the server itself does not mind.
        if (folder / "PG_VERSION").exists() or _is_named(status.st_uid):
            return Account(status.st_uid, status.st_gid)
    for name in ("fieldpack", "postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise ConfigError(
        "PostgreSQL does not run as root, and this system has no user `fieldpack`, `postgres` or `nobody` "
        "for it: make one (useradd --system fieldpack), run as another user, or set FIELDPACK_DATABASE_URL."
    )


def _is_named(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
