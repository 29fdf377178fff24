"""A full disk: nothing grows any more, and everything can still be erased. On a small file system of its own."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from fieldpack.errors import StorageFull
from fieldpack.server.machine.reserve import Reserve
from fieldpack.server.storage import LocalStorage
from tests.gates import wait_for
from tests.installation import Installation
from tests.integration.rows import connected, insert_submissions
from tests.integration.test_scrubbing import find_on_disk
from tests.scenario import PNG, Scenario, expect

MB = 1 << 20
ROWS = 50_000  # some 100 MB, with what is kept for searching


@pytest.fixture
def disk() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="fieldpack-test-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1600m,mode=755", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip("needs the right to mount a small tmpfs (root, CAP_SYS_ADMIN)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


def fill(disk: Path, leave_bytes: int) -> Path:
    """As some other program does: all of the disk but so much."""
    path = disk / f"filler-{secrets.token_hex(4)}"
    status = os.statvfs(disk)
    with path.open("wb") as file:
        with suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - leave_bytes)
        if not leave_bytes:
            for size in (MB, 4096):
                with suppress(OSError):
                    while True:
                        file.seek(0, os.SEEK_END)
                        os.posix_fallocate(file.fileno(), file.tell(), size)
    return path


def readiness(server: Installation) -> httpx.Response:
    return httpx.get(f"{server.url}/health/ready", trust_env=False, timeout=60)


def is_said_full(server: Installation, disk: Path) -> bool:
    """Whether readiness says so; if not, what the database has freed meanwhile is taken, too."""
    said = any("full" in words for words in expect(readiness(server), 200).get("waiting", []))
    if not said:
        fill(disk, 0)
    return said


def test_everything_can_be_erased_on_a_full_disk(disk: Path) -> None:
    server = Installation(disk / "data")
    server.start()
    reserve = server.data_dir / "reserve"
    try:
        with server.client() as api:
            assert reserve.stat().st_blocks * 512 >= 64 * MB, "not sparse"
            scenario = Scenario.create(api, places=10 * ROWS)
            person = secrets.token_hex(16)
            erased = scenario.take_part(person, "Fine", [("photo.png", PNG + person.encode())])
            other = scenario.start("another")
            link = scenario.export()["url"]
            insert_submissions(server, scenario.study["id"], ROWS)
            with connected(server) as database:
                database.execute("VACUUM ANALYZE")  # what it would do by itself, and write much log for
                database.execute(
                    "SELECT pg_switch_wal()"
                )  # a segment of the log that has room for what reading logs
                database.execute("CHECKPOINT")

            fill(disk, 0)
            assert reserve.exists()
            refused = [
                other.answer(other.item(0), {"value": "no room"}),
                api.post(
                    f"/participate/studies/{scenario.study['id']}/submissions", json={"participant_id": "new"}
                ),
                api.post(scenario.export_path),
                api.post(
                    f"/participate/submissions/{other.submission_id}/uploads",
                    headers={
                        "Authorization": f"Bearer {other.token}",
                        "Tus-Resumable": "1.0.0",
                        "Upload-Length": "9",
                    },
                ),
            ]
            assert [answer.status_code for answer in refused] == [507] * 4, [
                answer.text for answer in refused
            ]
            page = f"{server.url}/participate/{scenario.study['id']}?PROLIFIC_PID=new&SESSION_ID=one"
            assert httpx.get(page, trust_env=False).status_code == 200
            assert reserve.exists(), "none of these has touched it"
            wait_for(lambda: is_said_full(server, disk))

            expect(api.delete(f"/submissions/{erased}"), 204)
            assert not reserve.exists()
            assert httpx.get(link, trust_env=False).status_code == 410
            assert find_on_disk(server, {"file": PNG + person.encode()}) == {}
            wait_for(
                lambda: any("anew takes" in words for words in readiness(server).json().get("waiting", []))
            )

            for filler in disk.glob("filler-*"):
                filler.unlink()
            wait_for(lambda: find_on_disk(server, {"person": person.encode()}) == {})
            wait_for(lambda: "waiting" not in readiness(server).json())
            wait_for(reserve.exists)
            expect(other.answer(other.item(0), {"value": "room"}), 200)
    except BaseException:
        print(server.log[-6000:])
        raise
    finally:
        server.stop()


def test_the_database_starts_on_a_full_disk(disk: Path) -> None:
    """It was killed, or gave up, when there was no room: what it needs to start is in the reserve."""
    server = Installation(disk / "data")
    server.start()
    try:
        with server.client() as api:
            scenario = Scenario.create(api)
            erased = scenario.take_part("one", "Fine", [("photo.png", PNG)])
        server.kill()
        wait_for(lambda: not (server.data_dir / "postgres" / "data" / "postmaster.pid").exists())
        filler = fill(disk, 0)
        server.start()
        with server.client() as api:
            expect(api.delete(f"/submissions/{erased}"), 204)
        filler.unlink()
    finally:
        server.stop()


def test_a_reserve_is_made_only_where_there_is_room(disk: Path) -> None:
    reserve = Reserve(disk, 64 * MB)
    assert not reserve.is_low()
    assert not reserve.give_up()
    filler = fill(disk, 100 * MB)
    reserve.keep()
    assert not reserve.path.exists()
    assert not reserve.is_low()
    filler.unlink()
    filler = fill(disk, 140 * MB)
    reserve.keep()
    assert reserve.path.stat().st_blocks * 512 == 64 * MB
    before = reserve.path.stat().st_ino
    reserve.keep()
    assert reserve.path.stat().st_ino == before
    fill(disk, 31 * MB)
    assert reserve.is_low()
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        (disk / "another").write_bytes(bytes(40 * MB))
    (disk / "another").unlink()
    reserve.make_room()
    assert not reserve.path.exists()
    assert not reserve.is_low()
    Reserve(disk, 0).keep()
    assert not Reserve(disk, 0).is_low()
    assert [path.name for path in disk.iterdir() if "reserve" in path.name] == []


async def write_part(storage: LocalStorage) -> None:
    part = await storage.open_unfinished("uploads/one/two", fresh=True)
    assert part is not None
    try:
        part.write(b"more", 0)
    finally:
        part.close()


def test_files_leave_the_database_its_last_room(tmp_path: Path) -> None:
    """Also in the middle of an upload; what is there can be read and removed, and storage is there."""
    LocalStorage(tmp_path / "files", tmp_path / "scratch").put_blocking("blobs/aa/before", b"before")
    storage = LocalStorage(tmp_path / "files", tmp_path / "scratch", spare_bytes=1 << 60)
    with pytest.raises(StorageFull):
        storage.put_blocking("blobs/aa/after", b"after")
    with pytest.raises(StorageFull):
        asyncio.run(write_part(storage))
    assert storage.read_range_blocking("blobs/aa/before", 0, 6) == b"before"
    asyncio.run(storage.probe())
    storage.delete_blocking(["blobs/aa/before"])
    assert [path for path in (tmp_path / "files" / "blobs").rglob("*") if path.is_file()] == []
    storage.close()
