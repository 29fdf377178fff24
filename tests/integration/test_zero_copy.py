"""Files that were found right a moment ago are sent by the kernel: the same bytes, and the same refusals.

The first download reads and checks every file; those after it, within a minute, are the kernel's.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from fieldpack.server.storage.folders import Folders
from fieldpack.server.storage.proofs import SETTLED_SECONDS, FileRange, Proofs
from tests.installation import Installation, installed
from tests.integration.test_storage_faults import assert_cut_off, key_of_file
from tests.integration.waiting import PHOTO, TEXT, check, wait_for
from tests.scenario import PNG, Scenario

MIB = 1 << 20
LARGE = 24 * MIB  # more than a socket takes at once


@pytest.fixture(scope="module")
def local() -> Iterator[Installation]:
    """One web process, so that what one request proved holds for the next."""
    with installed("--workers", "1") as installation:
        yield installation


@pytest.fixture
def proven(local: Installation) -> Iterator[tuple[Scenario, dict[str, Any], bytes, Path]]:
    """An export with one large file and small ones, downloaded once; its bytes, and the large one's path."""
    with local.client() as client:
        scenario = Scenario.create(client, TEXT, {**PHOTO, "max_file_size_mb": 100})
        files = [("small.png", PNG), ("large.png", PNG + os.urandom(LARGE)), ("last.png", PNG)]
        scenario.take_part("p1", files=files)
        time.sleep(SETTLED_SECONDS + 0.2)
        export = scenario.export()
        whole = scenario.download(export)
        check(whole, export)
        yield scenario, export, whole, local.data_dir / "storage" / key_of_file(local, scenario, "large.png")


def test_the_same_bytes(proven: tuple[Scenario, dict[str, Any], bytes, Path]) -> None:
    _, export, whole, _ = proven
    with httpx.Client(trust_env=False) as plain:  # all on one connection
        for _ in range(2):
            assert plain.get(export["url"]).content == whole
        for start, stop in ((0, 10), (1000, 5 * MIB), (LARGE // 2, LARGE + 3), (len(whole) - 5, len(whole))):
            found = plain.get(export["url"], headers={"Range": f"bytes={start}-{stop - 1}"})
            assert found.status_code == 206
            assert found.content == whole[start:stop]


def test_slow_clients_get_them_too_and_those_who_leave_leave_nothing(
    proven: tuple[Scenario, dict[str, Any], bytes, Path], local: Installation
) -> None:
    _, export, whole, _ = proven
    (web,) = local.children("web")

    def open_files() -> int:
        return len(os.listdir(f"/proc/{web}/fd")) if Path("/proc").exists() else 0

    before = open_files()
    for _ in range(5):
        with httpx.Client(trust_env=False) as plain, plain.stream("GET", export["url"]) as response:
            next(response.iter_raw(1000))
    got = bytearray()
    with httpx.Client(trust_env=False) as plain, plain.stream("GET", export["url"]) as response:
        for chunk in response.iter_raw(512 * 1024):
            got += chunk
            time.sleep(0.005)
    assert got == whole
    # a connection of the pool's, or one that is kept alive
    wait_for(lambda: open_files() <= before + 2)


def test_a_file_that_rots_is_noticed(proven: tuple[Scenario, dict[str, Any], bytes, Path]) -> None:
    scenario, export, _, path = proven
    with path.open("r+b") as file:
        file.seek(LARGE // 2)
        file.write(b"rotten")
    assert_cut_off(scenario, export)


def test_a_file_that_rots_under_a_download_is_noticed(
    proven: tuple[Scenario, dict[str, Any], bytes, Path],
) -> None:
    _, export, whole, path = proven
    parts = urlsplit(export["url"])
    with socket.create_connection((parts.hostname, parts.port or 80)) as connection:
        request = f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n"
        connection.sendall(request.encode())
        got = len(connection.recv(65536))
        with path.open("r+b") as file:
            file.seek(LARGE)
            file.write(b"rotten")
        while data := connection.recv(MIB):
            got += len(data)
    assert got < len(whole)


def test_a_file_that_was_only_touched_is_not_damaged(
    proven: tuple[Scenario, dict[str, Any], bytes, Path],
) -> None:
    scenario, export, whole, path = proven
    os.utime(path)
    assert scenario.download(export) == whole


def test_what_proves_a_file(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b"0123456789")
    proofs = Proofs(Folders(tmp_path))
    assert proofs.look("blob") is None  # too fresh: another change could have the same time
    assert proofs.look("missing") is None
    time.sleep(SETTLED_SECONDS + 0.1)
    state = proofs.look("blob")
    assert state is not None
    proofs.note("blob", state)
    descriptor = proofs.open("blob")
    assert descriptor is not None
    assert proofs.holds("blob", descriptor)
    assert proofs.is_cached(descriptor, 9)
    assert not proofs.is_cached(descriptor, 10)
    os.chmod(path, 0o600)
    path.write_bytes(b"9876543210")
    assert not proofs.holds("blob", descriptor)
    assert proofs.open("blob") is None
    os.close(descriptor)
    assert len(FileRange(0, 5, 7)) == 7
