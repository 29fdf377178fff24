"""What is cleared away in time, and what never is."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4

import pytest

from fieldpack.server.cleanup.garbage import collect_garbage
from fieldpack.server.config import Settings
from fieldpack.server.context import Context
from fieldpack.server.http.intake import connections
from fieldpack.server.installation.opening import open_context
from fieldpack.server.operations.orphans import find_orphans, remove_orphans
from fieldpack.server.run.administration import opened_database
from fieldpack.server.uploads.receive import reception
from fieldpack.server.uploads.receive.receiving import receive
from fieldpack.server.uploads.rows import FileRow
from fieldpack.server.uploads.service import list_files
from fieldpack.server.uploads.sweeps import sweep_abandoned
from tests.installation import Installation
from tests.scenario import PNG, Participant, Scenario

T = TypeVar("T")
DAY = 24 * 3600


def inside(server: Installation, work: Callable[[Context], Awaitable[T]]) -> T:
    """Run `work` as another process of the same installation."""
    settings = Settings(data_dir=server.data_dir)

    async def run(url: str) -> T:
        async with open_context(settings, url) as context:
            return await work(context)

    with opened_database(settings) as url:
        return asyncio.run(run(url))


def begin(participant: Participant, name: str = "a.png") -> UUID:
    """An upload without its bytes; its id."""
    pairs = {"instruction_id": participant.item(1), "filename": name}
    metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items())
    headers = {
        **participant.headers,
        "Tus-Resumable": "1.0.0",
        "Upload-Length": "70",
        "Upload-Metadata": metadata,
    }
    created = participant.http.post(f"{participant.path}/uploads", headers=headers)
    assert created.status_code == 201, created.text
    return UUID(created.headers["Location"].rpartition("/")[2])


@pytest.fixture
def scenario(server: Installation) -> Iterator[Scenario]:
    with server.client() as client:
        yield Scenario.create(client)


def path_of(server: Installation, upload_id: UUID) -> Path:
    return server.data_dir / "storage" / "blobs" / str(upload_id)[:2] / str(upload_id)


def test_abandoned_uploads_go_and_others_stay(server: Installation, scenario: Scenario) -> None:
    participant = scenario.start("p1")
    finished = UUID(participant.upload(participant.item(1), "done.png", PNG).rpartition("/")[2])
    fresh, old = begin(participant), begin(participant)
    returned = scenario.start("p2")
    left = begin(returned)
    participant.http.post(f"{returned.path}/return", headers=returned.headers)

    async def work(context: Context) -> tuple[list[UUID], list[UUID], list[FileRow]]:
        async with context.database.transaction() as connection:
            for upload_id, age in ((old, "8 days"), (finished, "80 days"), (left, "2 hours")):
                await connection.execute(
                    "UPDATE uploads SET updated_at = now() - %s::interval WHERE id = %s", [age, upload_id]
                )
        planned = await sweep_abandoned(context.database, 7, dry_run=True)
        swept = await sweep_abandoned(context.database, 7)
        await collect_garbage(context.database, context.storage)
        async with context.database.transaction() as connection:
            files = await list_files(connection, UUID(participant.submission_id))
            cursor = await connection.execute(
                "SELECT upload_bytes FROM submissions WHERE id = %s", [UUID(participant.submission_id)]
            )
            (row,) = await cursor.fetchall()
            assert row["upload_bytes"] == 2 * len(PNG)
        return planned, swept, files

    planned, swept, files = inside(server, work)
    assert {old, left} <= set(planned)
    assert set(planned) == set(swept)
    assert not {fresh, finished} & set(swept)
    assert [file.id for file in files] == [finished, fresh]
    assert path_of(server, finished).exists()


class SilentBody:
    """A body of which these bytes come, and then nothing, on a connection that stays open."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.asked = 0

    async def read(self) -> bytes | None:
        self.asked += 1
        if self._data:
            data, self._data = self._data, b""
            return data
        await asyncio.Event().wait()
        raise AssertionError("nothing comes any more")


@pytest.mark.parametrize("sent", [PNG[:20], b""])
def test_of_a_client_that_falls_silent_what_came_is_kept(
    server: Installation, scenario: Scenario, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    """The upload lets go of it by itself, before its connection is closed, and is gone on with from there."""
    assert reception.IDLE_SECONDS == 60.0 < connections.IDLE_SECONDS
    monkeypatch.setattr(reception, "IDLE_SECONDS", 0.3)
    monkeypatch.setattr(reception, "TICK_SECONDS", 0.1)
    participant = scenario.start("p1")
    upload_id = begin(participant)
    body = SilentBody(sent)

    async def work(context: Context) -> int:
        submission_id = UUID(participant.submission_id)
        async with asyncio.timeout(120):  # for ever, if it waited for the body
            return await receive(context, submission_id, upload_id, 0, len(PNG), body, None)

    assert inside(server, work) == len(sent)
    assert body.asked > 1
    path = f"{participant.path}/uploads/{upload_id}"
    headers = {**participant.headers, "Tus-Resumable": "1.0.0"}
    assert participant.http.head(path, headers=headers).headers["Upload-Offset"] == str(len(sent))
    headers |= {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(len(sent))}
    answer = participant.http.patch(path, headers=headers, content=PNG[len(sent) :])
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, str(len(PNG)))
    assert path_of(server, upload_id).read_bytes() == PNG


def test_orphans_are_found_and_what_rows_need_never_is(server: Installation, scenario: Scenario) -> None:
    participant = scenario.start("p1")
    kept = UUID(participant.upload(participant.item(1), "kept.png", PNG).rpartition("/")[2])
    begun = begin(participant)
    storage = server.data_dir / "storage"
    orphan, young = uuid4(), uuid4()
    chunk = storage / "uploads" / str(uuid4()) / "0000000000000000-x"
    index = storage / "exports" / str(uuid4()) / str(uuid4()) / "index"
    foreign = storage / "blobs" / "00" / "README"
    for path in (
        path_of(server, orphan),
        path_of(server, young),
        path_of(server, begun),
        chunk,
        index,
        foreign,
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"orphan")
        if path != path_of(server, young):
            os.utime(path, (time.time() - 2 * DAY,) * 2)
    os.utime(path_of(server, kept), (time.time() - 2 * DAY,) * 2)

    async def work(context: Context) -> tuple[set[str], int]:
        found = {entry.key async for page in find_orphans(context, 24) for entry in page}
        return found, await remove_orphans(context, 24)

    found, removed = inside(server, work)
    expected = {path.relative_to(storage).as_posix() for path in (path_of(server, orphan), chunk, index)}
    assert found == expected
    assert removed == 3
    assert not path_of(server, orphan).exists()
    for path in (path_of(server, kept), path_of(server, young), path_of(server, begun), foreign):
        assert path.exists()
    foreign.unlink()
    path_of(server, young).unlink()
