"""The embedded PostgreSQL's folder and programs: making a cluster, launching a server and its keeper."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fieldpack.errors import ConfigError
from fieldpack.server.db.embedded.account import Account, choose_account
from fieldpack.server.db.embedded.keeper import find_socket_folder, make_tag
from fieldpack.server.db.embedded.locks import FileLock
from fieldpack.server.db.parameters import PORT, SETTINGS, UNSAFE_SETTINGS, cluster_folder
from fieldpack.server.db.programs import MAJOR_VERSION, copy_without_names, find_programs, make_reachable
from fieldpack.server.machine.descriptors import earlier_limit

__all__ = ["PORT", "ROLE", "Cluster"]

ROLE = "fieldpack"
_MAX_SOCKET_PATH_BYTES = 100  # sun_path holds 108 bytes on Linux, 104 on macOS, the final NUL included
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH")  # the last two for the keeper

_NAMELESS = (
    ". The system has no name for user id {uid}, and initdb wants one: give it one, as root "
    "(echo 'fieldpack:x:{uid}:{uid}::/:/bin/false' >> /etc/passwd), or set FIELDPACK_DATABASE_URL."
)


class Cluster:
    """The database cluster of a data folder, in its subfolder ``postgres``.

    Attributes:
        base: that folder, closed to all but the user whom the server runs as.
        data: PostgreSQL's own data folder.
        log: the folder of its logs.

    Raises:
        ConfigError: the folder can't be made or used by us, or there is no PostgreSQL to run.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data = cluster_folder(data_dir)
        self.base = self.data.parent
        self.log = self.base / "log"
        programs = find_programs()
        if "\n" in str(self.base):
            raise ConfigError(
                "The path of the data folder has a line break in it: choose another with --data-dir."
            )
        try:
            self.base.parent.mkdir(parents=True, exist_ok=True)
            self._account = choose_account(self.data, self.base, self.base.parent)
            self._make_private(self.base)
            self._make_private(self.log)
            self._programs = make_reachable(programs, self._account)
        except OSError as error:
            raise ConfigError(
                f"The database folder {self.base} can't be made or used by this user ({error.strerror}): run "
                "as the user who owns the data folder, give it to this one (chown -R), or choose another "
                "with --data-dir."
            ) from error

    def _make_private(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = self._account.owner
        if owner is not None and folder.stat().st_uid != owner[0]:
            os.chown(folder, *owner)
        elif owner is None and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(13, f"it belongs to user id {folder.stat().st_uid}")

    def open_lock(self, name: str) -> FileLock:
        """Open the lock file ``name.lock``, unlocked. Raises ConfigError when this user may not."""
        path = self.base / f"{name}.lock"
        try:
            return FileLock(path, owner=self._account.owner)
        except OSError as error:
            raise ConfigError(
                f"The file {path} can't be opened ({error.strerror}): run as the user who owns the data "
                "folder, or give all of it to this one (chown -R)."
            ) from error

    def initialise(self, server: FileLock, *, durable: bool) -> None:
        """Make the cluster unless it is there. `server` must be locked; initdb shares it.

        Raises:
            ConfigError: it is of another major version, or initdb fails.
        """
        version = self.data / "PG_VERSION"
        if version.exists():
            if (found := version.read_text().strip()) != str(MAJOR_VERSION):
                raise ConfigError(
                    f"The database in {self.data} was made by PostgreSQL {found}, and this fieldpack brings "
                    f"PostgreSQL {MAJOR_VERSION}: dump it with the fieldpack that made it (pg_dump), and "
                    "load it into a new data folder."
                )
            return
        if self.data.exists() and any(self.data.iterdir()):
            raise ConfigError(
                f"The database in {self.data} is damaged: it has no PG_VERSION. Bring it back from a backup "
                "(`fieldpack restore`, into a new data folder), or put back what was taken out of it."
            )
        # Made beside and renamed, so that a crash in the middle leaves nothing that looks like a cluster.
        fresh = self.base / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        with self._choose_initdb() as programs, self._seen(self.base) as (base, descriptors):
            # fmt: off
            command = [
                str(programs / "initdb"), "-D", f"{base}/{fresh.name}", "-U", ROLE, "--no-instructions",
                "--auth-local=trust", "--auth-host=reject",
                # The same order of strings on every machine, whatever its C library.
                "--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
            ]
            # fmt: on
            if not durable:
                command.append("--no-sync")
            handed = (server.fd, *descriptors)
            done = self._run(command, self._account, handed, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise ConfigError(
                f"The embedded PostgreSQL could not make its database in {self.base}: {_explain(done.stdout)}"
                + ("" if self._account.is_named else _NAMELESS.format(uid=self._uid))
            )
        fresh.rename(self.data)

    @contextmanager
    def _choose_initdb(self) -> Iterator[Path]:
        if self._account.is_named:
            yield self._programs
        else:
            with copy_without_names(self._programs, self.base / "programs.new") as programs:
                yield programs

    @contextmanager
    def _seen(self, folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The path of `folder` for the account, and what it must inherit for that.

        Below a folder that is closed to it, it is handed `folder` itself, open. Linux lets a process go on from
        there, whatever lies above.
        """
        if self._account.can_reach(folder / "file"):
            yield str(folder), ()
            return
        if not Path("/proc/self/fd").is_dir():
            raise ConfigError(
                f"PostgreSQL runs as user id {self._uid}, which may not enter every folder above {folder}: choose "
                "a data folder that it can reach."
            )
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{descriptor}", (descriptor,)
        finally:
            os.close(descriptor)

    @property
    def _uid(self) -> int:
        return os.geteuid() if self._account.uid is None else self._account.uid

    def launch(self, server: FileLock, *, durable: bool) -> None:
        """Start the server, detached, without waiting for it.

        `server` must be locked; PostgreSQL inherits it.
        """
        tag = make_tag(server.fd)
        socket_folder = self._choose_socket_folder(tag)
        # Stale, whoever has their numbers now: every process of the server would have the lock.
        for path in (self.data / "postmaster.pid", *socket_folder.glob(".s.PGSQL.*")):
            path.unlink(missing_ok=True)
        quoted = '"' + str(socket_folder).replace('"', '""') + '"'
        settings = {
            **SETTINGS,
            **({} if durable else UNSAFE_SETTINGS),
            "unix_socket_directories": quoted,
            "cluster_name": tag,
        }
        with self._seen(self.data) as (data, descriptors):
            command = [str(self._programs / "postgres"), "-D", data]
            for name, value in settings.items():
                command += ["-c", f"{name}={value}"]
            self._detach(command, "start.log", os.O_TRUNC, self._account, (server.fd, *descriptors))

    def launch_keeper(self, keeper: FileLock) -> None:
        """Start a keeper, detached, and wait until it is on watch. `keeper` must be locked; it inherits that.

        Raises:
            ConfigError: it could not start.
        """
        self.open_lock("server").close()  # it opens this file, so it must exist
        script = Path(__file__).with_name("keeper.py")
        command = [sys.executable, "-P", str(script), str(self.base), str(keeper.fd)]
        reading, writing = os.pipe()
        with open(reading, "rb") as ready:
            try:
                self._detach(command, "keeper.log", os.O_TRUNC, Account(), (keeper.fd,), stdout=writing)
            finally:
                os.close(writing)
            if not ready.read(1):
                lines = (self.log / "keeper.log").read_text(errors="replace").strip().splitlines()
                raise ConfigError(
                    "The process that stops the embedded PostgreSQL when it is not needed any more can't be "
                    f"started: {lines[-1] if lines else 'it gave no reason'}."
                )

    def read_log(self) -> str:
        """The end of what the server wrote most recently, as one line."""
        logs = sorted(self.log.glob("postgresql-*.log"), key=lambda path: path.stat().st_mtime)[-1:]
        start = self.log / "start.log"
        # The server goes on in its own log only once it has begun to collect it.
        if logs and start.exists() and start.stat().st_mtime > logs[0].stat().st_mtime:
            logs = [start]
        return _explain("".join(path.read_text(errors="replace")[-4000:] for path in logs or [start]))

    def _choose_socket_folder(self, tag: str) -> Path:
        """A private folder that no other cluster uses, not even a copy of this one or its successor here.

        It is in `base` where that makes a usable address, in a folder that the account can reach. Else it is a new
        one among temporary files, or the one of the server before, so that the URL stays.
        """
        own = self.base / f"socket{tag.removeprefix('fieldpack')}"
        if _is_address(own) and self._account.can_reach(own):
            self._make_private(own)
            return own
        before = find_socket_folder(self.data)
        if before is not None and before.name.startswith(f"{tag}-") and self._is_private(before):
            return before
        for parent in (Path(tempfile.gettempdir()).resolve(), Path("/tmp").resolve()):
            if _is_address(parent / f"{tag}-12345678"):  # as mkdtemp will call it
                folder = Path(tempfile.mkdtemp(prefix=f"{tag}-", dir=parent))
                self._make_private(folder)
                return folder
        raise ConfigError(f"The path of {self.base} is too long for a socket: choose a shorter --data-dir.")

    def _is_private(self, folder: Path) -> bool:
        try:
            status = folder.lstat()
        except OSError:
            return False
        return (
            stat.S_ISDIR(status.st_mode)
            and status.st_uid == self._uid
            and stat.S_IMODE(status.st_mode) == 0o700
        )

    def _detach(
        self,
        command: list[str],
        log_name: str,
        how: int,
        account: Account,
        handed: tuple[int, ...],
        stdout: int | None = None,
    ) -> None:
        log = os.open(self.log / log_name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | how, 0o600)
        try:
            # The shell ends at once. So the program is no child of ours (no zombie, no warning at exit), and
            # in a session of its own it gets none of the terminal's signals.
            # A core file of a process that crashes would hold what it had in memory. The limit of open files is the
            # one that this program found, not the one that it raised for itself.
            before = earlier_limit()
            limits = "ulimit -c 0; " + (f"ulimit -S -n {before}; " if before is not None else "")
            shell = ["/bin/sh", "-c", f'{limits}"$@" &', "sh", *command]
            out = log if stdout is None else stdout
            self._run(
                shell, account, handed, stdout=out, stderr=log, start_new_session=True
            ).check_returncode()
        finally:
            os.close(log)

    def _run(
        self, command: list[str], account: Account, handed: tuple[int, ...], **options: Any
    ) -> subprocess.CompletedProcess[str]:
        if account.uid is not None:
            options |= {"user": account.uid, "group": account.gid, "extra_groups": []}
        # Nothing of ours: PG* variables would change the server, a locale that does not exist would stop it.
        kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        try:
            return subprocess.run(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                text=True,
                errors="replace",
                cwd="/",
                env=kept | {"LC_ALL": "C", "TZ": "UTC"},
                umask=0o077,
                pass_fds=handed,
                **options,
            )
        except PermissionError as error:
            if account.uid is None:
                raise
            raise ConfigError(
                f"PostgreSQL does not run as root, and this root may not become user id {account.uid} "
                f"({error.strerror}): run as an ordinary user, or let the container set user ids (CAP_SETUID "
                "and CAP_SETGID)."
            ) from error


def _is_address(folder: Path) -> bool:
    """Whether a socket can be in `folder`, and a connection string can name it."""
    size = len(os.fsencode(folder / f".s.PGSQL.{PORT}"))
    # A comma would part the path into several hosts.
    return size <= _MAX_SOCKET_PATH_BYTES and str(folder).isprintable() and "," not in str(folder)


def _explain(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    # Of what a program says, the errors; if it names none, the end.
    errors = [
        line for line in lines if any(mark in line for mark in ("FATAL:", "PANIC:", "ERROR:", "error:"))
    ]
    return " / ".join((errors or lines)[-3:]) or "it said nothing"
