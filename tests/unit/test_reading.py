"""Archives put together from stored files: what downloads of one build that run at the same time share."""

from __future__ import annotations

import asyncio
import gc
import io
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from uuid import UUID, uuid4

import pytest
from isal import isal_zlib

from fieldpack.archive.index import FOOTER_BYTES, Index
from fieldpack.archive.layout import DEFLATED, STORED, IndexWriter
from fieldpack.archive.members import HEADS
from fieldpack.errors import BlobDamaged
from fieldpack.server.caches import Caches
from fieldpack.server.context import Context
from fieldpack.server.exports.keys import INDEX, head_id, stored_key
from fieldpack.server.exports.rows import BuildRow, MemberSpan
from fieldpack.server.exports.serve.reading import Archive, ArchiveCaches
from fieldpack.server.storage import FileRange, blob_key
from fieldpack.server.storage.local import LocalStorage

MEMBERS = 1200  # over two pages of the index
SIZE = 3000


class Counting(LocalStorage):
    """Local storage that counts the small members that are read."""

    read = 0

    async def fill_cached(self, objects: Sequence[tuple[str, memoryview, int]]) -> list[int]:
        self.read += len(objects)
        return await super().fill_cached(objects)


class Stored:
    """An export's build in a storage of its own."""

    def __init__(self, folder: Path) -> None:
        self.storage = Counting(folder / "storage", folder / "tmp")
        self.caches = Caches()
        self.export = BuildRow(uuid4(), uuid4(), uuid4(), datetime.now(UTC))
        out = io.BytesIO()
        writer = IndexWriter(out)
        for name in HEADS:
            data = name.encode() * 10
            crc32 = isal_zlib.crc32(data)
            self.storage.put_blocking(stored_key(self.export.id, self.export.build, name), data)
            blob = head_id(self.export.build, name, crc32)
            writer.add(
                name,
                method=DEFLATED,
                compressed_bytes=len(data),
                size_bytes=len(data),
                crc32=crc32,
                modified_at=0,
                blob=blob,
            )
        self.blobs = [UUID(int=number << 96 | number) for number in range(1, MEMBERS + 1)]
        for blob_id in self.blobs:
            data = blob_id.bytes * (SIZE // 16)
            path = self.storage.root / blob_key(blob_id)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            crc32 = isal_zlib.crc32(data)
            writer.add_all([(f"files/{blob_id}.bin", STORED, len(data), len(data), crc32, 0, blob_id.bytes)])
        writer.finish()
        stored = out.getvalue()
        self.storage.put_blocking(stored_key(self.export.id, self.export.build, INDEX), stored)
        self.index = Index.open(stored[-Index.bytes_needed(stored[-FOOTER_BYTES:]) :])

    def archive(self, member_spans: list[MemberSpan] | None = None) -> Archive:
        return Archive(
            cast(Context, SimpleNamespace(storage=self.storage, caches=self.caches)),
            self.export,
            self.index,
            member_spans=member_spans,
        )

    async def take(self, archive: Archive) -> bytes:
        taken = bytearray()
        async for chunk in self.pieces(archive):
            taken += chunk
        return bytes(taken)

    async def pieces(self, archive: Archive) -> AsyncIterator[bytes]:
        async for chunk in archive.iter_bytes(0, self.index.size_bytes):
            assert not isinstance(chunk, FileRange)
            yield bytes(chunk)
            await asyncio.sleep(0)


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Stored]:
    stored = Stored(tmp_path)
    yield stored
    stored.storage.close()


def test_downloads_in_step_read_once(stored: Stored) -> None:
    async def several() -> list[bytes]:
        return await asyncio.gather(*(stored.take(stored.archive()) for _ in range(5)))

    alone = asyncio.run(stored.take(stored.archive()))
    read_alone, stored.storage.read = stored.storage.read, 0
    assert set(asyncio.run(several())) == {alone}
    assert stored.storage.read < 2 * read_alone


def test_who_leaves_in_the_middle_takes_nothing_from_who_stays(stored: Stored) -> None:
    alone = asyncio.run(stored.take(stored.archive()))

    async def one_leaves() -> bytes:
        staying = asyncio.create_task(stored.take(stored.archive()))
        for pauses in range(1, 40):
            leaving = asyncio.create_task(stored.take(stored.archive()))
            for _ in range(pauses):
                await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
        return await staying

    assert asyncio.run(one_leaves()) == alone


def test_a_damaged_file_ends_them_all_and_what_is_mended_is_read_again(stored: Stored) -> None:
    path = stored.storage.root / blob_key(stored.blobs[700])
    data = path.read_bytes()

    async def two_and_two() -> None:
        path.write_bytes(b"x" + data[1:])
        archive = stored.archive()  # keeps what is shared
        ended = await asyncio.gather(
            *(stored.take(stored.archive()) for _ in range(2)), return_exceptions=True
        )
        assert [type(error) for error in ended] == [BlobDamaged, BlobDamaged]
        path.write_bytes(data)
        first, second = await asyncio.gather(*(stored.take(stored.archive()) for _ in range(2)))
        assert first == second == await stored.take(archive)

    asyncio.run(two_and_two())


def test_nothing_is_kept_when_the_last_has_ended(stored: Stored) -> None:
    async def two() -> None:
        archives = [stored.archive(), stored.archive()]
        await asyncio.gather(*map(stored.take, archives))
        assert stored.export.build in stored.caches.get(ArchiveCaches)._shared

    asyncio.run(two())
    gc.collect()
    assert stored.export.build not in stored.caches.get(ArchiveCaches)._shared


def test_parts_of_a_stored_archive_share_nothing(stored: Stored) -> None:
    async def both() -> None:
        archives = [stored.archive([]), stored.archive([])]
        await asyncio.gather(*map(stored.take, archives))

    asyncio.run(both())
    assert stored.storage.read == 2 * (MEMBERS + len(HEADS))
