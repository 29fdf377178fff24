"""Restores that break off, run beside others or begin where something starts: nobody comes back with them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from fieldpack.errors import ConfigError, FieldpackError
from fieldpack.server.backup import making, queries, restoring
from fieldpack.server.backup.sources import Intake
from fieldpack.server.config import Settings, load_settings
from fieldpack.server.db import dumps
from fieldpack.server.db.connecting import explain_failed
from fieldpack.server.db.embedded.server import has_cluster, open_embedded
from fieldpack.server.db.migrate import normalise_url
from fieldpack.server.erasures import queries as erasure_queries
from fieldpack.server.installation.restores import hold_database, hold_folder
from tests.files_there import iter_contents
from tests.foreign import foreign_postgres
from tests.forked import Done, run_program
from tests.gates import wait_for
from tests.installation import Installation, installed
from tests.refusals import refused
from tests.scenario import PNG, Scenario, expect

UNFINISHED = "has not come to its end"


class Stopped(BaseException):
    """Where a restore breaks off."""


@dataclass
class Kept:
    """Backups in a folder, and somebody who was erased after the last."""

    folder: Path
    token: str
    erased: str
    markers: list[bytes]

    def find_on_disk(self, folder: Path) -> list[str]:
        return [
            str(path) for path, data in iter_contents(folder) if any(each in data for each in self.markers)
        ]


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    folder = Path(tempfile.mkdtemp(prefix="fieldpack-test-"))
    folder.chmod(0o755)
    person, secret, content = (uuid4().hex for _ in range(3))
    with installed() as server, server.client() as api:
        scenario = Scenario.create(api)
        scenario.take_part("stays", "Stays", [("stays.png", PNG)])
        erased = scenario.take_part(person, secret, [("leaves.png", PNG + content.encode())])
        scenario.export()
        assert run_program(["backup", folder, "--keys", "--data-dir", server.data_dir]).code == 0
        expect(api.delete(f"/submissions/{erased}"), 204)
        wait_for(lambda: erased in (folder / "erasures.txt").read_text())
        token = server.token
    yield Kept(folder, token, erased, [text.encode() for text in (person, secret, content)])
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def target() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="fieldpack-test-"))
    folder.chmod(0o755)
    yield folder / "restored"
    shutil.rmtree(folder, ignore_errors=True)


def settings_of(target: Path, **more: Any) -> Settings:
    return load_settings(data_dir=target, **more)


def restore_here(kept: Kept, settings: Settings) -> restoring.Restored:
    """In this process."""
    return restoring.restore(
        settings,
        str(kept.folder),
        name=None,
        erasure_files=[],
        reuse_storage=False,
        tell=lambda step, done, total: None,
    )


def break_off(monkeypatch: pytest.MonkeyPatch, kept: Kept, settings: Settings, where: str) -> None:
    def stop(*arguments: Any, **options: Any) -> Any:
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(restoring, where, stop)
        with pytest.raises(Stopped):
            restore_here(kept, settings)


def restore(kept: Kept, target: Path, **settings: str) -> Done:
    return run_program(["restore", kept.folder, "--data-dir", target], settings)


@pytest.mark.parametrize("where", ["collect_garbage", "list_erasures", "scrub", "put_checkpoints"])
def test_who_was_erased_stays_erased_wherever_a_restore_breaks_off(
    monkeypatch: pytest.MonkeyPatch, kept: Kept, target: Path, where: str
) -> None:
    break_off(monkeypatch, kept, settings_of(target), where)
    done = restore(kept, target)
    assert done.code == 0, done.stderr
    assert kept.find_on_disk(target) == []
    # what is stored of an export is deflated: of this one there is nothing
    assert [path for path in (target / "storage" / "exports").rglob("*") if path.is_file()] == []
    if where == "scrub":
        restored = Installation(target)
        try:
            restored.start()
            with restored.client(kept.token) as api:
                refused(api.get(f"/submissions/{kept.erased}"), 404)
        finally:
            restored.stop()


def test_nothing_works_on_what_is_half_restored(
    monkeypatch: pytest.MonkeyPatch, kept: Kept, target: Path
) -> None:
    break_off(monkeypatch, kept, settings_of(target), "migrate")
    for command in (
        ["backup", target.parent / "other"],
        ["token", "create", "--name", "T"],
        ["token", "list"],
        ["workspace", "create", "--title", "T"],
        ["status"],
        ["import", "--list"],
        ["sweep"],
        ["worker"],
        ["serve", "--port", "0"],
    ):
        done = run_program([*command, "--data-dir", target])
        assert (done.code, UNFINISHED in done.stderr) == (1, True), (command, done.stderr)
    done = restore(kept, target)
    assert done.code == 0, done.stderr
    assert run_program(["token", "list", "--data-dir", target]).code == 0


def test_before_it_is_marked_nothing_is_made(
    monkeypatch: pytest.MonkeyPatch, kept: Kept, target: Path
) -> None:
    for where in ("find_dump_programs", "put_marker"):
        break_off(monkeypatch, kept, settings_of(target), where)
        assert not has_cluster(target)
    break_off(monkeypatch, kept, settings_of(target), "reach_database")
    assert not has_cluster(target)
    done = run_program(["serve", "--port", "0", "--data-dir", target])
    assert (done.code, UNFINISHED in done.stderr) == (1, True), done.stderr


def test_a_database_that_is_too_old_is_told_of_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch, kept: Kept, target: Path
) -> None:
    monkeypatch.setattr(restoring, "MAJOR_VERSION", 15)
    with pytest.raises(ConfigError, match=r"PostgreSQL 18.*is PostgreSQL 15"):
        restore_here(kept, settings_of(target))
    assert [path for path in target.rglob("*") if path.is_file()] == []


def test_a_restore_is_alone(kept: Kept, target: Path) -> None:
    """Beside another, and beside a server that starts; a folder of the other's is left to it."""
    settings = settings_of(target)
    with hold_folder(settings, for_restore=True, may_create=True):
        scratch = target / "tmp" / "restore-other"
        scratch.mkdir(parents=True)
        done = restore(kept, target)
        assert (done.code, "Another restore into" in done.stderr) == (1, True), done.stderr
        done = run_program(["serve", "--port", "0", "--data-dir", target])
        assert (done.code, "A restore into" in done.stderr) == (1, True), done.stderr
        assert scratch.is_dir()
        assert not has_cluster(target)
    with hold_folder(settings, for_restore=False, may_create=False):
        done = restore(kept, target)
    assert (done.code, "a server is starting" in done.stderr) == (1, True), done.stderr
    assert restore(kept, target).code == 0


def test_a_restore_into_a_database_of_ones_own_is_alone(kept: Kept, target: Path) -> None:
    """Though each has a data folder of its own."""
    with foreign_postgres() as postgres:
        url = postgres.create()
        settings = settings_of(target, database_url=url)
        with hold_database(settings, normalise_url(url), for_restore=True):
            done = restore(kept, target, FIELDPACK_DATABASE_URL=url)
            assert (done.code, "Another restore into" in done.stderr) == (1, True), done.stderr
            assert not target.exists()
            done = run_program(
                ["serve", "--port", "0", "--data-dir", target], {"FIELDPACK_DATABASE_URL": url}
            )
            assert (done.code, "A restore into" in done.stderr) == (1, True), done.stderr
        done = restore(kept, target, FIELDPACK_DATABASE_URL=url)
        assert done.code == 0, done.stderr


def test_a_missing_folder_of_our_own_is_no_damage_of_the_backup(
    monkeypatch: pytest.MonkeyPatch, kept: Kept, target: Path
) -> None:
    def take(*arguments: Any) -> bool:
        raise FileNotFoundError

    monkeypatch.setattr(Intake, "take", take)
    with pytest.raises(FileNotFoundError):
        restore_here(kept, settings_of(target))


# while a backup begins


def test_no_table_is_written_anew_and_no_erasure_is_missed_while_a_backup_begins(
    monkeypatch: pytest.MonkeyPatch, target: Path
) -> None:
    with installed() as server, ExitStack() as stack, server.client() as api:
        Scenario.create(api)
        url = stack.enter_context(open_embedded(server.data_dir)).url
        database = stack.enter_context(psycopg.connect(url, autocommit=True))
        database.execute("SET lock_timeout = '100ms'")
        seen: list[Any] = []
        count_rows = queries.count_rows
        list_tombstones = erasure_queries.list_tombstones

        async def count(connection: Any) -> Any:
            with pytest.raises(psycopg.errors.LockNotAvailable):
                database.execute("ALTER TABLE notes ALTER COLUMN text TYPE varchar USING text || ''")
            seen.append("locked")
            return await count_rows(connection)

        async def find(connection: Any) -> Any:
            seen.extend(database.execute("SELECT path FROM erasure_lists").fetchall())
            return await list_tombstones(connection)

        monkeypatch.setattr(queries, "count_rows", count)
        monkeypatch.setattr(erasure_queries, "list_tombstones", find)
        folder = target.parent / "backups"
        making.back_up_to_folder(
            load_settings(data_dir=server.data_dir),
            folder,
            keys=False,
            keep=None,
            keep_days=None,
            tell=lambda step, done, total: None,
        )
        assert seen == ["locked", (str(folder / "erasures.txt"),)]


def test_a_program_that_does_not_answer_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(dumps, "VERSION_SECONDS", 0.1)
    for name in ("pg_dump", "pg_restore"):
        (tmp_path / name).write_text("#!/bin/sh\nexec sleep 60\n")
        (tmp_path / name).chmod(0o755)
    assert dumps._find_major(tmp_path) is None


def test_what_the_database_says_is_not_taken_for_an_address() -> None:
    full = psycopg.errors.DiskFull("could not write to file: No space left on device")
    for is_embedded in (True, False):
        said = explain_failed(full, is_embedded=is_embedded)
        assert type(said) is FieldpackError
        assert "No space left on device" in str(said)
        assert "FIELDPACK_DATABASE_URL" not in str(said)
    assert "FIELDPACK_DATABASE_URL" in str(
        explain_failed(psycopg.OperationalError("gone"), is_embedded=False)
    )
