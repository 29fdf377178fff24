"""The embedded PostgreSQL: real servers, real processes, real kill -9."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

import fieldpack
from fieldpack.errors import ConfigError
from fieldpack.server.db.embedded.account import Account
from fieldpack.server.db.embedded.keeper import find_processes, make_tag
from fieldpack.server.db.embedded.locks import FileLock
from fieldpack.server.db.embedded.server import EmbeddedPostgres, open_embedded
from fieldpack.server.db.parameters import SETTINGS
from fieldpack.server.db.programs import find_programs, make_reachable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the embedded PostgreSQL is not for Windows")

needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to become another user"
)

# Opens the server, says its URL, and holds on until its input ends.
HOLDER = """
import sys
from pathlib import Path
from fieldpack.server.db.embedded.server import open_embedded
handle = open_embedded(Path(sys.argv[1]), durable=False)
print(handle.url, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    # Not pytest's own tmp_path: every pytest that starts on the machine closes the folders above it again.
    folder = Path(tempfile.mkdtemp())
    yield folder
    if (folder / "postgres" / "server.lock").exists():
        postmaster, children = find_processes_of(folder)
        for process in [postmaster, *children] if postmaster else children:
            process.kill()
    shutil.rmtree(folder, ignore_errors=True)


def _open_server_lock(folder: Path) -> FileLock | None:
    path = folder / "postgres" / "server.lock"
    return FileLock(path) if path.exists() else None


@pytest.fixture
def hold() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a process that holds the server of a folder. `await_url` on it for its URL."""
    started: list[subprocess.Popen[str]] = []

    def start(folder: Path, *, session: bool = False) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=session,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def await_url(holder: subprocess.Popen[str]) -> str:
    assert holder.stdout is not None
    url = holder.stdout.readline().strip()
    assert url.startswith("postgresql://"), "the holder could not open the server"
    return url


def answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=60) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def find_processes_of(folder: Path) -> tuple[psutil.Process | None, list[psutil.Process]]:
    lock = _open_server_lock(folder)
    assert lock is not None
    with lock:
        return find_processes(make_tag(lock.fd))


def is_down(folder: Path) -> bool:
    lock = _open_server_lock(folder)
    if lock is None:
        return True
    with lock:
        return lock.try_lock()


def wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def find_keepers(folder: Path) -> list[psutil.Process]:
    base = str(Path(os.path.realpath(folder)) / "postgres")
    lines = [(process, process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    return [process for process, line in lines if base in line and any("keeper.py" in part for part in line)]


def test_fresh_start_settings_and_end(data_dir: Path) -> None:
    expected = {
        "fsync": "on",
        "synchronous_commit": "on",
        "TimeZone": "UTC",
        "listen_addresses": "",
        "max_connections": SETTINGS["max_connections"],
        "data_checksums": "on",
        "wal_recycle": "off",
    }
    with open_embedded(data_dir / "new" / "folder") as handle, psycopg.connect(handle.url) as connection:
        settings: dict[str, str] = dict(
            connection.execute(
                "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)",
                [list(expected)],
            ).fetchall()
        )
        assert settings == expected
        assert connection.info.server_version // 10000 == 18
        assert connection.info.dbname == "fieldpack"
        assert connection.execute("SELECT lower('ÄÖ'), 'B' < 'a'").fetchone() == ("äö", True)
    assert handle.wait_stopped()
    assert not (data_dir / "new" / "folder" / "postgres" / "data" / "postmaster.pid").exists()
    handle.close()


def test_only_the_server_and_we_can_enter(data_dir: Path) -> None:
    data_dir.chmod(0o711)  # else, under root, the socket is elsewhere
    with open_embedded(data_dir, durable=False) as handle:
        base = data_dir / "postgres"
        assert base.stat().st_mode & 0o777 == 0o700
        assert [path.stat().st_mode & 0o777 for path in base.glob("socket-*")] == [0o700]
        assert (base / "data").stat().st_mode & 0o777 == 0o700
        assert [path for path in base.rglob("*.l*") if path.is_file() and path.stat().st_mode & 0o077] == []
    assert handle.wait_stopped()


def test_holds_of_one_process_are_separate(data_dir: Path) -> None:
    first = open_embedded(data_dir, durable=False)
    second = open_embedded(data_dir)
    assert first.url == second.url
    first.close()
    assert not first.wait_stopped()
    assert answers(second.url)
    second.close()
    assert second.wait_stopped()


def test_many_at_once_on_a_fresh_folder(data_dir: Path, hold: Callable[..., subprocess.Popen[str]]) -> None:
    holders = [hold(data_dir) for _ in range(8)]
    urls = {await_url(holder) for holder in holders}
    assert len(urls) == 1
    assert answers(urls.pop())
    assert len(find_keepers(data_dir)) == 1
    for holder in holders:
        holder.communicate()
    assert wait_until(lambda: is_down(data_dir))
    assert wait_until(lambda: find_keepers(data_dir) == [])


def test_the_starter_is_killed_and_another_lives(
    data_dir: Path, hold: Callable[..., subprocess.Popen[str]]
) -> None:
    starter = hold(data_dir)
    url = await_url(starter)
    other = hold(data_dir)
    assert await_url(other) == url
    with psycopg.connect(url) as connection:
        starter.kill()
        starter.wait()
        time.sleep(1)
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert answers(url)
    other.kill()
    assert wait_until(lambda: is_down(data_dir))


def test_all_are_killed(data_dir: Path, hold: Callable[..., subprocess.Popen[str]]) -> None:
    holders = [hold(data_dir) for _ in range(3)]
    url = {await_url(holder) for holder in holders}.pop()
    for holder in holders:
        holder.kill()
    assert wait_until(lambda: is_down(data_dir))
    assert not answers(url)
    # Stopped in good order, so nothing is recovered.
    with open_embedded(data_dir, durable=False) as handle:
        assert answers(handle.url)
    log = "".join(path.read_text() for path in (data_dir / "postgres" / "log").glob("postgresql-*.log"))
    assert "was not properly shut down" not in log
    assert handle.wait_stopped()


@pytest.mark.parametrize("moment", [0.05, 0.3, 0.6, 0.8])
def test_the_starter_is_killed_on_the_way(
    data_dir: Path, hold: Callable[..., subprocess.Popen[str]], moment: float
) -> None:
    """At any moment of initdb and start: nothing is left running, and the next one gets a sound server."""
    starter = hold(data_dir)
    wait_until(lambda: (data_dir / "postgres").exists())
    time.sleep(moment)
    starter.kill()
    with open_embedded(data_dir, durable=False) as handle:
        assert answers(handle.url)
    assert wait_until(lambda: is_down(data_dir))


def test_interrupt_from_the_terminal_spares_server_and_keeper(
    data_dir: Path, hold: Callable[..., subprocess.Popen[str]]
) -> None:
    first = hold(data_dir, session=True)
    url = await_url(first)
    with open_embedded(data_dir) as handle:
        os.killpg(first.pid, signal.SIGINT)
        first.wait()
        for process in find_keepers(data_dir):
            process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert answers(url)
        assert len(find_keepers(data_dir)) == 1
    assert handle.wait_stopped()


def _kill_postmaster(folder: Path) -> int:
    postmaster, _ = find_processes_of(folder)
    assert postmaster is not None
    postmaster.kill()
    return postmaster.pid


def test_server_killed_then_opened_again(data_dir: Path) -> None:
    handle = open_embedded(data_dir)
    with psycopg.connect(handle.url) as connection:
        connection.execute("CREATE TABLE kept (n integer)")
        connection.execute("INSERT INTO kept VALUES (7)")
    _kill_postmaster(data_dir)
    with open_embedded(data_dir) as again, psycopg.connect(again.url) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)
    assert answers(handle.url), "the first hold keeps the new server too"
    handle.close()
    assert handle.wait_stopped()


def test_ensure_running_keeps_the_url(data_dir: Path) -> None:
    with open_embedded(data_dir / ("long" * 30), durable=False) as handle:
        url = handle.url
        _kill_postmaster(data_dir / ("long" * 30))
        handle.ensure_running()
        assert handle.url == url
        assert answers(url)
    assert handle.wait_stopped()


def test_stale_pid_file_whose_number_is_ours(data_dir: Path) -> None:
    """After a crash of the machine: no process of the server, its pid file there, its number another's."""
    with open_embedded(data_dir, durable=False) as handle:
        pass
    assert handle.wait_stopped()
    data = data_dir / "postgres" / "data"
    stale = f"{os.getpid()}\n{data}\n1700000000\n5432\n{data_dir}/postgres/socket\n\n  123 456\nready\n"
    (data / "postmaster.pid").write_text(stale)
    with open_embedded(data_dir, durable=False) as handle:
        assert answers(handle.url)
    assert handle.wait_stopped()
    assert psutil.pid_exists(os.getpid())


def test_backend_that_outlives_its_postmaster(data_dir: Path) -> None:
    with open_embedded(data_dir, durable=False) as handle:
        loop = psycopg.connect(handle.url, autocommit=True)
        # Computes without ever waiting for anything, so it does not see that the postmaster is gone.
        loop.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1000000000)")
        time.sleep(0.2)
        _kill_postmaster(data_dir)
        handle.ensure_running()
        assert answers(handle.url)
        loop.close()
    assert handle.wait_stopped()


def test_keeper_killed(data_dir: Path, hold: Callable[..., subprocess.Popen[str]]) -> None:
    first = hold(data_dir)
    url = await_url(first)
    (keeper,) = find_keepers(data_dir)
    keeper.kill()
    assert wait_until(lambda: find_keepers(data_dir) == [])
    assert answers(url)
    # The next one who comes brings a new keeper.
    second = hold(data_dir)
    await_url(second)
    assert len(find_keepers(data_dir)) == 1
    first.kill()
    second.kill()
    assert wait_until(lambda: is_down(data_dir))


def test_copy_of_the_folder_is_another_server(data_dir: Path) -> None:
    """Even a copy made while the server ran, whose pid file names the original's process and socket."""
    with open_embedded(data_dir / "a" / ("long" * 30), durable=False) as handle:
        shutil.copytree(data_dir / "a", data_dir / "b", ignore=shutil.ignore_patterns(".s.PGSQL*"))
        for folder, _, names in os.walk(data_dir / "b"):
            for path in (Path(folder), *(Path(folder, name) for name in names)):
                status = Path(str(data_dir / "a") + str(path)[len(str(data_dir / "b")) :]).stat()
                os.chown(path, status.st_uid, status.st_gid)
        with open_embedded(data_dir / "b" / ("long" * 30), durable=False) as copy:
            assert copy.url != handle.url
            with psycopg.connect(copy.url) as connection:
                connection.execute("CREATE TABLE only_in_the_copy ()")
        assert copy.wait_stopped()
        with psycopg.connect(handle.url) as connection:
            assert connection.execute("SELECT to_regclass('only_in_the_copy')").fetchone() == (None,)
    assert handle.wait_stopped()


def test_folder_removed_under_the_server(data_dir: Path) -> None:
    handle = open_embedded(data_dir, durable=False)
    postmaster, _ = find_processes_of(data_dir)
    assert postmaster is not None
    shutil.rmtree(data_dir / "postgres")
    # A new one in the same place is another server.
    with open_embedded(data_dir, durable=False) as other:
        handle.close()
        assert wait_until(lambda: not postmaster.is_running() or postmaster.status() == psutil.STATUS_ZOMBIE)
        assert answers(other.url)
    assert other.wait_stopped()


@pytest.mark.parametrize(
    "name",
    ["with space, comma; \"quotes\" '$HOME' `x` 100%", "Ünïcödé ☃ 日本", "a" * 200, "deep/" * 30 + "end"],
    ids=["special", "unicode", "long", "deep"],
)
def test_odd_paths(data_dir: Path, name: str) -> None:
    folder = data_dir / name
    with open_embedded(folder, durable=False) as handle:
        assert answers(handle.url)
        socket_folder = Path(psycopg.conninfo.conninfo_to_dict(handle.url)["host"])  # type: ignore[arg-type]
        assert len(os.fsencode(socket_folder / ".s.PGSQL.5432")) < 104
        assert socket_folder.stat().st_mode & 0o777 == 0o700
    assert handle.wait_stopped()
    if socket_folder.parent.name != "postgres":
        # The keeper leaves nothing among temporary files.
        assert wait_until(lambda: not socket_folder.exists())


def test_two_folders_and_a_hostile_environment(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGPORT", "PGDATA", "PGHOST", "PGUSER", "PGDATABASE", "LC_ALL"):
        monkeypatch.setenv(name, "6543")
    a = open_embedded(data_dir / "a", durable=False)
    b = open_embedded(data_dir / "b", durable=False)
    assert a.url != b.url
    with psycopg.connect(a.url) as connection:
        connection.execute("CREATE TABLE only_in_a ()")
    with psycopg.connect(b.url) as connection:
        assert connection.execute("SELECT to_regclass('only_in_a')").fetchone() == (None,)
    a.close()
    assert a.wait_stopped()
    assert answers(b.url)
    b.close()
    assert b.wait_stopped()


def test_another_major_version(data_dir: Path) -> None:
    data = data_dir / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("16\n")
    with pytest.raises(
        ConfigError, match="was made by PostgreSQL 16, and this fieldpack brings PostgreSQL 18"
    ):
        open_embedded(data_dir)
    assert wait_until(lambda: find_keepers(data_dir) == [])


def test_data_folder_that_is_a_file(data_dir: Path) -> None:
    (data_dir / "file").touch()
    with pytest.raises(ConfigError, match="can't be made or used by this user"):
        open_embedded(data_dir / "file")


def test_damaged_cluster_says_what_postgres_says(data_dir: Path) -> None:
    with open_embedded(data_dir, durable=False) as handle:
        pass
    assert handle.wait_stopped()
    (data_dir / "postgres" / "data" / "global" / "pg_control").unlink()
    with pytest.raises(ConfigError, match=r"does not start: .*could not (open|find).*pg_control"):
        open_embedded(data_dir)
    assert wait_until(lambda: is_down(data_dir))


def test_disk_full(data_dir: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m,mode=755", "tmpfs", str(data_dir)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a small tmpfs (root, CAP_SYS_ADMIN)")
    try:
        with pytest.raises(ConfigError, match="No space left on device"):
            open_embedded(data_dir)
        assert wait_until(lambda: find_keepers(data_dir) == [])
    finally:
        subprocess.run(["umount", "-l", str(data_dir)], check=True)


def _find_python_for(uid: int) -> list[str]:
    """A Python of our version that the user `uid` may run; skips where there is none."""
    for program in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        try:
            found = subprocess.run(
                [program, "-c", "import sys; print(sys.version_info[:2])"],
                user=uid,
                group=uid,
                extra_groups=[],
                cwd="/",
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError:
            continue
        if found.stdout.strip() == str(sys.version_info[:2]):
            return [program]
    pytest.skip(f"no Python {sys.version_info[0]}.{sys.version_info[1]} that user id {uid} may run")


def _user_environment() -> dict[str, str]:
    packages = [str(Path(fieldpack.__file__).parents[1]), str(Path(psycopg.__file__).parents[1])]
    path = os.pathsep.join(packages)
    return {"PATH": os.environ["PATH"], "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


@needs_root
def test_as_an_ordinary_user_and_then_as_root(data_dir: Path) -> None:
    uid = 65534
    program = _find_python_for(uid)
    os.chown(data_dir, uid, uid)
    data_dir.chmod(0o700)
    holder = subprocess.Popen(
        [*program, "-c", HOLDER, str(data_dir)],
        user=uid,
        group=uid,
        extra_groups=[],
        cwd="/",
        env=_user_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    url = await_url(holder)
    # Root joins, and what it makes stays usable to the user.
    with open_embedded(data_dir) as handle:
        assert handle.url == url
        assert answers(url)
        holder.communicate()
        assert answers(url)
    assert handle.wait_stopped()
    with open_embedded(data_dir, durable=False) as handle:
        assert answers(handle.url)
    assert handle.wait_stopped()
    again = subprocess.run(
        [*program, "-c", HOLDER, str(data_dir)],
        user=uid,
        group=uid,
        extra_groups=[],
        cwd="/",
        env=_user_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.stdout.strip() == url, again.stderr
    assert wait_until(lambda: is_down(data_dir))


@needs_root
def test_another_users_folder_is_refused_with_a_sentence(data_dir: Path) -> None:
    uid = 65534
    program = _find_python_for(uid)
    with open_embedded(data_dir / "data", durable=False) as handle:
        data_dir.chmod(0o755)
        code = (
            "import sys; from pathlib import Path; from fieldpack.errors import ConfigError\n"
            "from fieldpack.server.db.embedded.server import open_embedded\n"
            "try: open_embedded(Path(sys.argv[1]))\n"
            "except ConfigError as error: print(error)"
        )
        refused = subprocess.run(
            [*program, "-c", code, str(data_dir / "data")],
            user=uid,
            group=uid,
            extra_groups=[],
            cwd="/",
            env=_user_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert "can't be made or used by this user" in refused.stdout, refused.stderr
    assert handle.wait_stopped()


def _groups_of(folder: Path) -> set[int]:
    """All groups that PostgreSQL's processes of this folder have, in whatever way."""
    postmaster, children = find_processes_of(folder)
    assert postmaster is not None
    found: set[int] = set()
    for process in (postmaster, *children):
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except FileNotFoundError:
            continue
        for line in status.splitlines():
            name, _, values = line.partition(":")
            if name in ("Gid", "Groups"):
                found |= {int(value) for value in values.split()}
    return found


@needs_root
@pytest.mark.parametrize("mode", [0o700, 0o710], ids=["closed", "as an older version left it"])
def test_root_changes_no_mode_and_hands_on_none_of_its_groups(data_dir: Path, mode: int) -> None:
    """In folders that PostgreSQL's user may not enter: first start, a crash, another start."""
    closed = data_dir / "closed"
    closed.mkdir()
    closed.chmod(mode)
    data_dir.chmod(0o701)
    folder = closed / "data"
    with open_embedded(folder) as handle:
        with psycopg.connect(handle.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
        assert 0 not in _groups_of(folder)
        _kill_postmaster(folder)
        handle.ensure_running()
        with psycopg.connect(handle.url, autocommit=True) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1000,)
            connection.execute("CREATE DATABASE another")
    assert handle.wait_stopped()
    with open_embedded(folder, durable=False) as handle, psycopg.connect(handle.url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1000,)
        connection.execute("SELECT pg_reload_conf(), pg_rotate_logfile()")
        assert 0 not in _groups_of(folder)
    assert handle.wait_stopped()
    assert [path.stat().st_mode & 0o777 for path in (closed, data_dir)] == [mode, 0o701]


@needs_root
def test_a_folder_of_a_user_with_roots_group(data_dir: Path) -> None:
    os.chown(data_dir, 65534, 0)
    with open_embedded(data_dir, durable=False) as handle:
        assert answers(handle.url)
        assert 0 not in _groups_of(data_dir)
    assert handle.wait_stopped()


@needs_root
@pytest.mark.parametrize("starter", ["itself", "root"])
def test_a_user_without_a_name(data_dir: Path, starter: str) -> None:
    uid = 1_000_660_000
    with pytest.raises(KeyError):
        pwd.getpwuid(uid)
    os.chown(data_dir, uid, 0)
    data_dir.chmod(0o700)
    options: dict[str, Any] = {}
    program = [sys.executable]
    if starter == "itself":
        program = _find_python_for(uid)
        # as a container without a passwd entry runs it: with the group 0, and no home
        options = {"user": uid, "group": 0, "extra_groups": [], "cwd": "/", "env": _user_environment()}
    code = HOLDER.replace("sys.stdin.read()", "import psycopg; psycopg.connect(handle.url).close()")
    done = subprocess.run(
        [*program, "-c", code, str(data_dir)], capture_output=True, text=True, check=False, **options
    )
    assert done.stdout.startswith("postgresql://"), done.stderr
    assert wait_until(lambda: is_down(data_dir))
    data = data_dir / "postgres" / "data"
    assert data.stat().st_uid == uid
    assert not (data_dir / "postgres" / "programs.new").exists()


@needs_root
def test_programs_that_postgresqls_user_may_not_run_are_copied(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `python -m venv /root/venv`: the wheel is where only root can go, under a umask of 077."""
    uid = 65534
    data_dir.chmod(0o755)
    closed, cache = data_dir / "closed", data_dir / "cache"
    closed.mkdir(mode=0o700)
    package = find_programs().parents[1]
    for source in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(source, closed / source.name, symlinks=True)
    for folder, _, names in os.walk(closed):
        Path(folder).chmod(0o700)
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & 0o700)
    programs = closed / find_programs().relative_to(package.parent)
    monkeypatch.setattr("fieldpack.server.db.programs.CACHE", cache)
    account = Account(uid, uid)
    copies = make_reachable(programs, account)
    assert cache in copies.parents
    assert make_reachable(programs, account) == copies, "and not again"
    assert [path.name for path in cache.iterdir()] == [copies.relative_to(cache).parts[0]]
    (data_dir / "cluster").mkdir()
    os.chown(data_dir / "cluster", uid, uid)
    subprocess.run(
        [copies / "initdb", "-D", data_dir / "cluster", "-U", "fieldpack", "--no-sync"],
        user=uid,
        group=uid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        check=True,
    )
    assert closed.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr("fieldpack.server.db.programs.CACHE", data_dir / "cluster" / "PG_VERSION")
    with pytest.raises(ConfigError, match=r"may not run .*install fieldpack where every user can run it"):
        make_reachable(programs, account)


def test_no_warnings_and_no_children_left(data_dir: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from fieldpack.server.db.embedded.server import open_embedded\n"
        "import psutil\n"
        "with open_embedded(Path(sys.argv[1]), durable=False): assert psutil.Process().children() == []\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", code, str(data_dir)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert wait_until(lambda: is_down(data_dir))


def test_the_keeper_ends_while_it_is_looked_for(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two attempts at a lock: who waits takes its end for nobody else's presence."""
    handle = open_embedded(data_dir, durable=False)
    attempt = FileLock.try_lock

    def try_lock(lock: FileLock, *, shared: bool = False) -> bool:
        taken = attempt(lock, shared=shared)
        if lock.path.name == "holders.lock" and not shared and not taken:
            while not attempt(lock):
                time.sleep(0.01)
            lock.unlock()
        return taken

    handle.close()
    monkeypatch.setattr(FileLock, "try_lock", try_lock)
    assert handle.wait_stopped()


def test_a_handle_is_usable_without_with(data_dir: Path) -> None:
    handle: EmbeddedPostgres = open_embedded(data_dir, durable=False)
    handle.close()
    handle.close()
    assert handle.wait_stopped()
