"""PostgreSQL's own programs `pg_dump` and `pg_restore`: found, chosen by version, run on one of our databases.

`pg_dump` refuses a server newer than itself, and `pg_restore` a file of a newer `pg_dump`. So the programs must be
at least as new as the server (pg_dump(1), *Notes*); of those that are, the oldest is taken, since it is the one that
knows the server best. Looked for on the path, in the wheel that brings the embedded PostgreSQL, and where packages
of Linux distributions and Homebrew put those of several versions.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fieldpack.errors import ConfigError, FieldpackError
from fieldpack.server.db.programs import find_programs

__all__ = ["Programs", "find_dump_programs", "is_readable_dump"]

CHUNK_BYTES = 1 << 20
VERSION_SECONDS = 10.0
LOCK_SECONDS = 60  # that a dump waits for a table
_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)


@dataclass(frozen=True)
class Programs:
    """One installation of PostgreSQL's client programs.

    Attributes:
        folder: where they are; None for whatever the path leads to.
        major: their major version.
    """

    folder: Path | None
    major: int

    def path(self, name: str) -> str:
        """The path of a program of PostgreSQL, or its name where the shell finds it."""
        return name if self.folder is None else str(self.folder / name)

    def iter_dump(self, url: str, snapshot: str, *, without_rows_of: list[str]) -> Iterator[bytes]:
        """A dump of the database in `pg_dump`'s custom format, in pieces, as it comes.

        Args:
            url: libpq conninfo.
            snapshot: what `pg_export_snapshot` said in a transaction that stays open meanwhile.
            without_rows_of: tables of which only the definition goes in.

        Raises:
            FieldpackError: `pg_dump` failed; in its own words.
        """
        arguments = ["--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}"]
        # Whoever waits for a table that the snapshot's transaction holds stands before pg_dump, which would wait for
        # ever.
        arguments.append(f"--lock-wait-timeout={LOCK_SECONDS}s")
        arguments += [f"--exclude-table-data={table}" for table in without_rows_of]
        connection, environment = _split_password(url)
        process = subprocess.Popen(
            [self.path("pg_dump"), *arguments, f"--dbname={connection}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        said = _Listener(process.stderr)
        try:
            while data := process.stdout.read(CHUNK_BYTES):
                yield data
            if process.wait() != 0:
                raise FieldpackError(f"The database could not be dumped: {said.last_words()}.")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdout.close()
            said.close()

    def restore(self, url: str, dump: Path) -> None:
        """Load a dump into an empty database: all of it, or nothing.

        Raises:
            FieldpackError: `pg_restore` failed, and nothing was changed; in its own words.
        """
        arguments = ["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]
        connection, environment = _split_password(url)
        # Through a pipe: should this process be killed, pg_restore meets the end too early, and undoes everything.
        process = subprocess.Popen(
            [self.path("pg_restore"), *arguments, f"--dbname={connection}"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stderr is not None
        said = _Listener(process.stderr)
        try:
            with dump.open("rb") as source, contextlib.suppress(BrokenPipeError):
                shutil.copyfileobj(source, process.stdin, CHUNK_BYTES)
                process.stdin.close()
            if process.wait() != 0:
                raise FieldpackError(f"The database could not be restored: {said.last_words()}.")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            said.close()


class _Listener:
    """Reads what a program complains of, so that it never waits for us to do so."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._said = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(ValueError, OSError):
            while data := self._stream.read(4096):
                self._said = (self._said + data)[-8192:]

    def last_words(self) -> str:
        self._thread.join(5)
        return _last_words(self._said)

    def close(self) -> None:
        self._thread.join(5)
        self._stream.close()


def _last_words(said: bytes) -> str:
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line]
    return " / ".join((errors or lines)[:3]).rstrip(".") or "it said nothing"


def _split_password(url: str) -> tuple[str, dict[str, str]]:
    """The conninfo without its password, which every user could read in the list of processes; and an environment
    that has it.
    """
    parts = conninfo_to_dict(url)
    environment = dict(os.environ)
    password = parts.pop("password", None)
    if password is not None:
        environment["PGPASSWORD"] = str(password)
    if parts.pop("sslpassword", None) is not None:
        raise ConfigError(
            "The database URL has an sslpassword, which pg_dump could only be given in sight of every user of this "
            "machine: use a key without one, in a file of mode 0600."
        )
    return make_conninfo("", **parts), environment


def find_dump_programs(at_least: int) -> Programs:
    """The programs for a server, or a dump, of this major version.

    Raises:
        ConfigError: there are none that are new enough.
    """
    found = [programs for programs in _iter_programs() if programs.major >= at_least]
    if not found:
        versions = sorted({str(programs.major) for programs in _iter_programs()}, key=int)
        have = f"only of version {', '.join(versions)}" if versions else "not at all"
        raise ConfigError(
            f"This needs PostgreSQL's pg_dump and pg_restore of version {at_least} or later, which are on this machine "
            f"{have}: install them (on Debian and Ubuntu the package postgresql-client-{at_least}) and see to it "
            "that they are on the PATH."
        )
    return min(found, key=lambda programs: programs.major)


def _iter_programs() -> Iterator[Programs]:
    folders: list[Path | None] = [None]
    with contextlib.suppress(ConfigError):
        folders.append(find_programs())
    for place in _PLACES:
        folders += sorted(Path("/").glob(place.removeprefix("/")))
    for folder in folders:
        major = _find_major(folder)
        if major is not None:
            yield Programs(folder, major)


def _find_major(folder: Path | None) -> int | None:
    """The version that both programs are of, None unless both are there."""
    versions = []
    for name in ("pg_dump", "pg_restore"):
        program = shutil.which(name, path=None if folder is None else str(folder))
        if program is None:
            return None
        try:
            said = subprocess.run(
                [program, "--version"], capture_output=True, text=True, check=False, timeout=VERSION_SECONDS
            ).stdout
        except subprocess.TimeoutExpired:  # of a network's disk that hangs, say
            return None
        match = re.search(r"\) (\d+)", said)
        if match is None:
            return None
        versions.append(int(match[1]))
    return min(versions)


def is_readable_dump(dump: IO[bytes]) -> bool | None:
    """Whether `pg_restore` can make sense of a dump, an open file; None where there is no program to ask."""
    found = list(_iter_programs())
    if not found:
        return None
    newest = max(found, key=lambda programs: programs.major)
    dump.flush()
    os.lseek(dump.fileno(), 0, os.SEEK_SET)
    done = subprocess.run(
        [newest.path("pg_restore"), "--list"],
        stdin=dump,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode == 0
