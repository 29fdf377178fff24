"""Files that PostgreSQL forgets when it dies: found, told from all others, removed. Real crashes of a real server."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import secrets
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fieldpack.server.db.embedded.keeper import find_processes, make_tag
from fieldpack.server.db.embedded.locks import FileLock
from fieldpack.server.db.embedded.server import EmbeddedPostgres, open_embedded
from fieldpack.server.db.leftovers import Removed, list_relation_files, remove_leftovers
from fieldpack.server.db.migrate import migrate
from fieldpack.server.db.parameters import cluster_folder
from fieldpack.server.db.scrubbing import Postponed, clear_leftovers, scrub
from tests.disk_order import watch_disk
from tests.files_there import iter_contents
from tests.gates import wait_for
from tests.lengths import length

CUTS = length(3, 20)
ROWS = 60_000
LARGE_BYTES = 50 << 20

Blocking = psycopg.Connection[Any]


class Server:
    """An embedded server, and ways to harm it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.data = cluster_folder(data_dir)
        self.handle: EmbeddedPostgres = open_embedded(data_dir, durable=False)

    def connect(self, kind: type[Blocking] = psycopg.Connection) -> Blocking:
        self.handle.ensure_running()
        deadline = time.monotonic() + 120
        while True:
            try:
                return kind.connect(self.handle.url, autocommit=True)
            except psycopg.OperationalError:  # it starts again after the death of one of its processes
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def restart(self) -> None:
        self.handle.close()
        assert self.handle.wait_stopped()
        self.handle = open_embedded(self.data_dir, durable=False)

    def kill(self) -> None:
        """kill -9 of the postmaster; its children end by themselves."""
        with FileLock(self.data.parent / "server.lock") as lock:
            postmaster, _ = find_processes(make_tag(lock.fd))
        if postmaster is not None:
            postmaster.kill()

    def folder_of(self, database: str = "fieldpack") -> Path:
        with self.connect() as connection:
            row = connection.execute("SELECT oid FROM pg_database WHERE datname = %s", [database]).fetchone()
        assert row is not None
        return self.data / "base" / str(row[0])

    def list_files(self) -> set[str]:
        return {
            str(path.relative_to(self.data))
            for folder in (self.data / "base").iterdir()
            if folder.is_dir()
            for path in list_relation_files(folder)
        }


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="fieldpack-test-"))
    started = Server(folder)
    with started.connect() as connection:
        connection.execute("ALTER SYSTEM SET max_prepared_transactions = 5")
    started.restart()
    try:
        yield started
    finally:
        started.handle.close()
        started.handle.wait_stopped()
        shutil.rmtree(folder, ignore_errors=True)


def wait_a_moment(reason: str) -> None:
    time.sleep(0.01)


def remove(server: Server) -> Removed:
    with server.connect() as connection:
        return remove_leftovers(connection, server.data, wait_a_moment)


def test_names_of_relations_files(tmp_path: Path) -> None:
    ours = ["7.10", "7.2", "7_fsm", "7_fsm.1", "7_init", "7_vm", "16384.1", "16384", "7"]
    for name in ours:
        (tmp_path / name).touch()
    for name in (
        "PG_VERSION",
        "pg_filenode.map",
        "pg_internal.init",
        "pg_internal.init.12",
        "t3_16384",
        "07",
    ):
        (tmp_path / name).touch()
    for name in ("7_main", "7.0", "7.", "7_fsm_vm", "7.1.1", "-7", "+7", "7 ", "٧", "7_FSM", "a7", ".7", "0"):
        (tmp_path / name).touch()
    (tmp_path / "8").mkdir()
    (tmp_path / "9").symlink_to(tmp_path / "7")
    found = [path.name for path in list_relation_files(tmp_path)]
    assert set(found) == set(ours)
    for number in ("7", "16384"):  # while that one is there, PostgreSQL gives the number to nobody
        assert found.index(number) == max(
            found.index(name) for name in ours if re.match(rf"{number}\b|{number}_", name)
        )


def test_files_of_no_relation_go_and_all_others_stay(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with server.connect() as connection:
        connection.execute("CREATE TABLE plain (n serial PRIMARY KEY, t text)")
        connection.execute(
            "INSERT INTO plain (t) SELECT repeat(md5(n::text), 300) FROM generate_series(1, 500) n"
        )
        connection.execute("ALTER TABLE plain ALTER t SET STORAGE EXTERNAL")
        connection.execute(
            "INSERT INTO plain (t) SELECT repeat(md5(n::text), 300) FROM generate_series(1, 50) n"
        )
        connection.execute("CREATE UNLOGGED TABLE unlogged AS SELECT * FROM plain")
        connection.execute("CREATE MATERIALIZED VIEW kept AS SELECT count(*) FROM plain")
        connection.execute("CREATE TABLE parted (n integer) PARTITION BY HASH (n)")
        connection.execute("CREATE TABLE part PARTITION OF parted FOR VALUES WITH (MODULUS 1, REMAINDER 0)")
        connection.execute("VACUUM FULL pg_class")  # a mapped relation, whose number is not in the catalog
        connection.execute("VACUUM FULL plain")
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    before = server.list_files()
    assert any(name.endswith("_init") for name in before)
    assert remove(server) == Removed()
    assert server.list_files() == before
    strange = []
    for folder, number in itertools.product(
        (server.folder_of(), server.folder_of("postgres")), ("987654", "4000000000")
    ):
        for suffix in ("", "_fsm", "_vm", "_init", ".1", ".12", "_fsm.1"):
            path = folder / (number + suffix)
            path.write_bytes(b"" if suffix == "_vm" else b"of someone erased")
            strange.append(str(path.relative_to(server.data)))
    others = [server.folder_of() / "note.txt", server.data / "base" / "987654"]
    for path in others:
        path.write_bytes(b"no relation's")
    held = (server.data / strange[0]).open("rb")
    with monkeypatch.context() as patched:
        steps = watch_disk(patched)
        removed = remove(server)
    assert set(removed.paths) == set(strange)
    for name in removed.paths:
        path = server.data.resolve() / name
        assert ("fsync", str(path.parent)) in steps[steps.index(("remove", str(path))) :]
    assert removed.size_bytes == sum(
        len(b"of someone erased") for name in strange if not name.endswith("_vm")
    )
    assert held.read() == b"", "an open file keeps nothing"
    held.close()
    assert server.list_files() == before
    for path in others:
        path.unlink()
    server.restart()
    with server.connect() as connection:
        for table in ("plain", "unlogged"):
            row = connection.execute(f"SELECT count(*), sum(length(t)) FROM {table}").fetchone()
            assert row == (550, 550 * 9600)
        connection.execute("REFRESH MATERIALIZED VIEW kept")
        connection.execute("DROP TABLE plain, unlogged, parted CASCADE")


@pytest.mark.parametrize("end", ["commit", "rollback", "prepare", "prepare before"])
def test_files_of_transactions_under_way_are_theirs(server: Server, end: str) -> None:
    waits = threading.Event()

    def wait(reason: str) -> None:
        waits.set()
        time.sleep(0.01)

    done: list[Removed] = []
    with server.connect() as other, server.connect() as connection:
        other.execute("BEGIN")
        other.execute("CREATE TABLE under_way AS SELECT generate_series(1, 1000) n")
        if end == "prepare before":
            other.execute("PREPARE TRANSACTION 'one'")
        thread = threading.Thread(target=lambda: done.append(remove_leftovers(connection, server.data, wait)))
        thread.start()
        assert waits.wait(120)
        if end == "prepare":
            other.execute("PREPARE TRANSACTION 'one'")
        for _ in range(3):  # it still waits, and that was no look from before
            waits.clear()
            assert waits.wait(120)
        assert not done
        if end in ("commit", "rollback"):
            other.execute(end)
        else:
            other.execute("COMMIT PREPARED 'one'")
        thread.join(120)
        if end != "rollback":  # else whoever comes first removes them, that transaction or we
            assert done == [Removed()]
            assert other.execute("SELECT count(*) FROM under_way").fetchone() == (1000,)
            other.execute("DROP TABLE under_way")


def test_it_gives_up_when_it_is_told_to(server: Server) -> None:
    stray = server.folder_of() / "987654"
    stray.write_bytes(b"stray")
    with server.connect() as other, server.connect() as connection, other.transaction():
        other.execute("SELECT 1")
        stop = threading.Event()
        stop.set()
        with pytest.raises(Postponed):
            clear_leftovers(connection, server.data, stop)

        def give_up(reason: str) -> None:
            raise Postponed(reason)

        with pytest.raises(Postponed, match="1 transaction that began earlier"):
            remove_leftovers(connection, server.data, give_up)
        assert stray.exists()
    assert remove(server).paths == [str(stray.relative_to(server.data))]


# The scrub, cut short


class Interrupted(psycopg.Connection[Any]):
    """A connection at whose n-th matching statement something happens: before it, during it, or after it."""

    moment = ("", 0, "before")
    strike: Callable[[int], None]

    def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
        pattern, count, when = self.moment
        if not re.match(pattern, str(query)):
            return super().execute(query, *arguments, **options)
        type(self).moment = (pattern, count - 1, when)
        if count:
            return super().execute(query, *arguments, **options)
        if when == "before":
            self.strike(self.info.backend_pid)
            time.sleep(0.2)
        elif when.startswith("during"):
            threading.Thread(target=self._await_phase, args=[when.removeprefix("during ")]).start()
        try:
            return super().execute(query, *arguments, **options)
        finally:
            if when == "after":
                self.strike(self.info.backend_pid)

    def _await_phase(self, phase: str) -> None:
        """Strike when PostgreSQL says that the statement has come to `phase`, or is over already."""
        victim = self.info.backend_pid
        with psycopg.connect(self.info.dsn, autocommit=True) as watching:
            while True:
                row = watching.execute(
                    "SELECT p.phase, a.state FROM pg_stat_activity a LEFT JOIN pg_stat_progress_cluster p USING (pid)"
                    " WHERE a.pid = %s",
                    [victim],
                ).fetchone()
                if row is None or row[0] == phase or row[1] == "idle":
                    break
        self.strike(victim)


_FULL = r"VACUUM \(FULL\)"
# What is cut, in which of the statements alike, when, and who dies. The first few are the worst.
MOMENTS: list[tuple[str, int, str, str]] = [
    (_FULL, 1, "during rebuilding index", "postmaster"),
    (_FULL, 0, "during rebuilding index", "backend"),
    (r"SELECT pg_switch_wal", 0, "after", "postmaster"),
    (_FULL, 1, "during seq scanning heap", "backend"),
    ("removal", 1, "during", "postmaster"),
    (_FULL, 0, "during seq scanning heap", "postmaster"),
    (_FULL, 0, "during swapping relation files", "postmaster"),
    (_FULL, 0, "during performing final cleanup", "postmaster"),
    (_FULL, 1, "during performing final cleanup", "backend"),
    (_FULL, 1, "after", "backend"),
    (_FULL, 5, "during rebuilding index", "backend"),
    (r"SELECT pg_current_xact_id", 0, "before", "postmaster"),
    (r"ANALYZE", 1, "during", "backend"),
    (r"SELECT pg_current_xact_id", 1, "after", "backend"),
    (r"SELECT pg_switch_wal", 0, "before", "backend"),
    (r"CHECKPOINT", 0, "before", "backend"),
    (r"CHECKPOINT", 0, "after", "postmaster"),
    (r"SELECT oid, datname", 0, "after", "backend"),
    (r"CHECKPOINT", 1, "before", "postmaster"),
    ("removal", 0, "during", "backend"),
]


@pytest.fixture(scope="module")
def large(server: Server) -> Server:
    """Tables of participants' data beyond 50 MB, without what they refer to."""
    migrate(server.handle.url)
    with server.connect() as connection:
        connection.execute("SET session_replication_role = replica")
        # enough to go wrong with; the text does not compress
        text = "array_to_string(ARRAY(SELECT md5(random()::text || n) FROM generate_series(1, 28)), '')"
        connection.execute(
            f"""
            INSERT INTO answers (submission_id, instruction_id, value)
            SELECT gen_random_uuid(), gen_random_uuid(), to_json({text}) FROM generate_series(1, {ROWS}) n
            """
        )
        connection.execute(
            """
            INSERT INTO submissions (id, study_id, collection_id, collection_version, participant_id, ordinal,
                                     review)
            SELECT submission_id, gen_random_uuid(), gen_random_uuid(), 1, instruction_id::text, 1, value
            FROM answers
            """
        )
        for table in ("answers", "submissions"):
            row = connection.execute("SELECT pg_table_size(%s)", [table]).fetchone()
            assert row is not None
            assert row[0] > LARGE_BYTES
    return server


def give(connection: Blocking, marker: str) -> None:
    connection.execute("SET session_replication_role = replica")
    connection.execute(
        "INSERT INTO submissions (id, study_id, collection_id, collection_version, participant_id, ordinal)"
        " VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, %s, 1)",
        [marker],
    )
    connection.execute(
        "INSERT INTO answers (submission_id, instruction_id, value)"
        " VALUES (gen_random_uuid(), gen_random_uuid(), to_json(%s::text))",
        [marker],
    )
    connection.execute("ANALYZE answers, submissions")
    connection.execute("CHECKPOINT")


def erase(connection: Blocking, marker: str) -> None:
    connection.execute("DELETE FROM submissions WHERE participant_id = %s", [marker])
    connection.execute("DELETE FROM answers WHERE value::text LIKE %s", [f"%{marker}%"])


def find_on_disk(folder: Path, markers: list[str]) -> set[tuple[str, str]]:
    found = set()
    for path, data in iter_contents(folder):
        found |= {(str(path.relative_to(folder)), marker) for marker in markers if marker.encode() in data}
    return found


def test_a_scrub_cut_short_leaves_nothing_of_those_erased_later(
    large: Server, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    first, second = secrets.token_hex(16), secrets.token_hex(16)
    with large.connect() as connection:
        give(connection, first)
        give(connection, second)
        erase(connection, first)
    harmful = 0
    for pattern, count, when, victim in MOMENTS[:CUTS]:
        left = cut(large, pattern, count, when, victim, monkeypatch)
        harmful += any(second.encode() in path.read_bytes() for path in left)
    assert harmful, "the moments are no good"
    with large.connect() as connection:
        erase(connection, second)
    with large.connect() as connection:
        assert scrub(connection, large.data, threading.Event()).too_large == []
    assert find_on_disk(large.data_dir, [first, second]) == set()
    with large.connect() as connection:
        assert connection.execute("SELECT count(*) FROM answers").fetchone() == (ROWS,)
        assert connection.execute("SELECT count(*) FROM submissions").fetchone() == (ROWS,)
    record_property("cuts", CUTS)
    record_property("cuts_that_left_answers", harmful)


def has_ended(connection: Blocking) -> bool:
    """Whether the server has ended it, as it does with all when one of its processes is killed."""
    with contextlib.suppress(psycopg.Error):
        connection.execute("SELECT 1")
    return connection.closed


def scrub_and_look(connection: Blocking, data: Path) -> None:
    scrub(connection, data, threading.Event())
    connection.execute("SELECT 1")  # where it was struck after the last statement of all


def cut(
    server: Server, pattern: str, count: int, when: str, victim: str, monkeypatch: pytest.MonkeyPatch
) -> list[Path]:
    """Begin a scrub, and let it be cut short at that moment; the forgotten files there are then."""

    def strike(pid: int) -> None:
        if victim == "postmaster":
            server.kill()
        else:
            os.kill(pid, signal.SIGKILL)

    witness, connection = server.connect(), server.connect(Interrupted)
    Interrupted.strike = staticmethod(strike)
    with monkeypatch.context() as patched:
        if pattern == "removal":
            # so that there is something to remove, whatever the cuts before have left
            (server.folder_of() / "987654").write_bytes(b"one")
            (server.folder_of() / "987655").write_bytes(b"another")
            Interrupted.moment = ("no statement", 0, "before")
            removing = os.truncate
            calls = itertools.count()

            def truncate(path: Path, size: int) -> None:
                if next(calls) == count:
                    strike(connection.info.backend_pid)
                    raise OSError("the worker ends here, too")
                removing(path, size)

            patched.setattr(os, "truncate", truncate)
        else:
            Interrupted.moment = (pattern, count, when)
        with pytest.raises((psycopg.Error, OSError)):
            scrub_and_look(connection, server.data)
    connection.close()
    wait_for(
        lambda: has_ended(witness)
    )  # until then the server may not know yet, and would take connections along
    with server.connect() as looking:
        numbers = {
            str(row[0])
            for row in looking.execute("SELECT pg_relation_filenode(oid) FROM pg_class").fetchall()
        }
    forgotten = [
        p for p in list_relation_files(server.folder_of()) if re.split(r"[_.]", p.name)[0] not in numbers
    ]
    return [path for path in forgotten if path.stat().st_size]
