"""A small file that comes whole with the request that creates it: its bytes are stored, then it is on record at once.

One transaction makes the upload, complete. Whatever is not as it should be is left to the way that every upload can go,
which says what is wrong and keeps the bytes that count.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from uuid import UUID, uuid4

from fieldpack.server.context import Context
from fieldpack.server.machine.metrics import UPLOAD_BYTES
from fieldpack.server.problems import Problem
from fieldpack.server.storage import blob_key
from fieldpack.server.uploads import queries
from fieldpack.server.uploads.content_types import HEAD_BYTES, judge_content
from fieldpack.server.uploads.receive.digests import Digests, LiveDigests
from fieldpack.server.uploads.receive.reception import Body
from fieldpack.server.uploads.receive.tus import Checksum
from fieldpack.server.uploads.rows import OpenerRow, WholeUpload
from fieldpack.server.uploads.service import check_file, find_accepted, find_known_item, name_of, read_key

__all__ = ["SMALL_BYTES", "Replayed", "read_small", "store_whole"]

SMALL_BYTES = 1 << 20
"""What fits into one of the buffers that larger ones go through."""
SMALL_SECONDS = 5.0
"""In which it comes. What takes longer goes the way of larger ones, on which it counts as it comes."""
HASHED_HERE_BYTES = 64 << 10  # less than a tenth of a millisecond


class Replayed:
    """A body of which some was read before, as `Body`.

    Args:
        data: that.
        rest: the body itself.
    """

    def __init__(self, data: bytes, rest: Body, *, broke: bool) -> None:
        self._data = data
        self._rest = rest
        self._broke = broke

    async def read(self) -> bytes | None:
        """The next bytes; `b""` at the end; None when the connection broke before it."""
        if self._data:
            data, self._data = self._data, b""
            return data
        return None if self._broke else await self._rest.read()


async def read_small(body: Body, length: int) -> tuple[bytes, bool]:
    """A body of a small file, or what of it came in `SMALL_SECONDS`; and whether the connection broke before its end.
    More than `length` stays unread."""
    data = bytearray()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SMALL_SECONDS):
            while len(data) < length:
                chunk = await body.read()
                if chunk is None:
                    return bytes(data), True
                if not chunk:
                    break
                data += chunk
    return bytes(data), False


async def store_whole(
    context: Context,
    opener: OpenerRow,
    metadata: dict[str, str],
    header: str | None,
    data: bytes,
    checksum: Checksum | None,
) -> UUID | None:
    """Store a file and put it on record; its id. None, and nothing stored, where there may be something to refuse.

    Args:
        opener: the submission, and the token that must open it.
        header: `metadata` as it came.
        data: the whole file; at least one byte.

    Raises:
        Problem: 503 when too many come.
        StorageError: see `Storage`.
    """
    try:
        key = read_key(metadata)
        item = find_known_item(context, opener, metadata.get("instruction_id", ""))
        if item is None:
            return None
        file_name = name_of(metadata)
        check_file(item, file_name, len(data), context.settings)
    except Problem:
        return None

    async def read(offset: int, size: int) -> bytes:
        return data[offset : offset + size]

    verdict = await judge_content(read, data[:HEAD_BYTES], len(data), file_name, find_accepted(item))
    if verdict.refusal is not None:
        return None
    upload_id = uuid4()
    digests = context.caches.get(LiveDigests).resume(
        upload_id, 0, 0, checksum.algorithm if checksum is not None else None
    )
    await _hash(context, digests, data)
    if checksum is not None and digests.checksum() != checksum.expected:
        return None
    assert digests.sha256 is not None
    await context.storage.put(blob_key(upload_id), data)
    UPLOAD_BYTES.inc(len(data))
    upload = WholeUpload(
        upload_id,
        UUID(metadata["instruction_id"]),
        file_name,
        header,
        key,
        len(data),
        digests.crc32,
        digests.sha256.digest(),
        verdict.content_type,
    )
    try:
        if await _record(context, opener, item, upload):
            return upload_id
    except Problem:  # it did not come to its turn
        await context.storage.delete([blob_key(upload_id)])
        raise
    await context.storage.delete([blob_key(upload_id)])
    return None


async def _hash(context: Context, digests: Digests, data: bytes) -> None:
    if len(data) <= HASHED_HERE_BYTES:
        digests.update(data)
    else:
        await context.storage.run(digests.update, data)


async def _record(context: Context, opener: OpenerRow, item: dict[str, Any], upload: WholeUpload) -> bool:
    settings = context.settings
    async with context.turns.saving(), context.database.statements() as connection:
        return await queries.insert_whole(
            connection,
            opener,
            upload,
            most_files=item["max_file_count"],
            submission_cap_bytes=settings.max_submission_mb << 20,
            study_cap_bytes=settings.max_study_mb << 20,
        )
