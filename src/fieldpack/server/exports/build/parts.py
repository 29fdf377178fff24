"""`store` delivery: an archive becomes an object of the bucket, made of parts that any worker can make.

Each part is a range of the archive, computed like a download's, kept on the local disk until it is whole, and
sent as one part of a multipart upload. Nothing of it is seen in the bucket until the last step, which makes
the object of its parts. A part that is made twice is the same twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import uuid
from collections.abc import AsyncGenerator, Iterable
from itertools import groupby
from typing import Any, BinaryIO
from uuid import UUID

import psycopg
import structlog

from fieldpack.errors import BlobDamaged, BlobMissing, StorageError, UploadGone
from fieldpack.server.context import Context
from fieldpack.server.exports import transitions
from fieldpack.server.exports.build import part_queries as queries
from fieldpack.server.exports.build.checksums import combine_crc32
from fieldpack.server.exports.build.ends import Interrupted, Superseded
from fieldpack.server.exports.keys import archive_name, build_prefix, object_key
from fieldpack.server.exports.rows import BuildRow, Facts, MemberSpan, ObjectRow, PartRow, SentPartRow
from fieldpack.server.exports.serve.reading import Archive, open_archive
from fieldpack.server.storage import Buffer, FileRange, Multipart

__all__ = ["begin_object", "finish_object", "plan_parts", "send_part"]

MIB = 1 << 20
MOST_PARTS = 10_000
INDEX_SHARE = 0.1
WRITE_BYTES = 4 * MIB
BEAT_SECONDS = 1.0
WHOLE = "whole"

log = structlog.get_logger()


def plan_parts(size_bytes: int, part_bytes: int) -> list[tuple[int, int]]:
    """Ranges `[start, stop)` of `part_bytes` each, or as much more as keeps them 10,000 at most."""
    part_bytes = max(part_bytes, -(-size_bytes // MOST_PARTS))
    part_bytes = -(-part_bytes // MIB) * MIB
    return [(start, min(start + part_bytes, size_bytes)) for start in range(0, size_bytes, part_bytes)]


def begin_object(
    context: Context, connection: psycopg.Connection[Any], export: BuildRow, facts: Facts
) -> bool:
    """Begin the object of an archive whose index is stored: parts noted, a job for each. Blocks.

    False when the build was superseded.
    """
    if not context.storage.can_sign:
        raise StorageError("This export is to be delivered from a bucket, but files are kept on a disk now.")
    multipart = context.storage.open_multipart()
    key = object_key(export)
    upload_id = None
    ranges = [(0, facts.size_bytes)]
    if multipart is not None:
        name = archive_name(export.collection_id, export.created_at)
        upload_id = multipart.begin(key, file_name=name, content_type="application/zip")
        ranges = plan_parts(facts.size_bytes, context.settings.archive_part_mb * MIB)
    try:
        begun = queries.begin_parts(connection, export, facts, upload_id, ranges, INDEX_SHARE)
    except BaseException:
        if multipart is not None and upload_id is not None:
            multipart.abort(key, upload_id)
        raise
    if not begun and multipart is not None and upload_id is not None:
        multipart.abort(key, upload_id)
    return begun


async def send_part(
    context: Context, export_id: UUID, build: UUID, number: int, stop: threading.Event
) -> None:
    """Make one part, unless it is there or its build is not wanted any more.

    Raises:
        Interrupted: `stop` was set.
        BlobDamaged, BlobMissing: a file is not what was recorded; trying again won't help.
        OSError, StorageError, psycopg.Error: a fault that may pass.
    """
    async with context.database.transaction() as connection:
        part = await queries.find_part(connection, export_id, build, number)
    if part is None:
        await discard_abandoned(context, export_id, build)
        return
    if part.part_etag is not None:
        return
    member_spans: list[MemberSpan] = []
    archive = await open_archive(context, part, member_spans=member_spans)
    try:
        etag = await _send(context, archive, part, number, stop)
        async with context.database.transaction() as connection:
            if not await queries.finish_part(
                connection, export_id, build, number, etag, member_spans, INDEX_SHARE
            ):
                raise Superseded
    except (Superseded, BlobMissing, UploadGone):
        async with context.database.transaction() as connection:
            wanted = await queries.find_part(connection, export_id, build, number)
        if wanted is not None and wanted.part_etag is None:
            raise
        await discard_abandoned(context, export_id, build)


async def _send(context: Context, archive: Archive, part: PartRow, number: int, stop: threading.Event) -> str:
    """The tag of the part, which is in the bucket now."""
    start, end = part.start_offset, part.stop_offset
    multipart = context.storage.open_multipart()
    key = object_key(part)
    chunks = _watched(context, archive, part, number, stop)
    async with contextlib.aclosing(chunks):
        if multipart is None or part.multipart_id is None:
            await context.storage.put_stream(key, chunks, size_hint=end - start)
            return WHOLE
        return await _send_file(context, chunks, multipart, key, part.multipart_id, number)


async def _send_file(
    context: Context,
    chunks: AsyncGenerator[Buffer],
    multipart: Multipart,
    key: str,
    upload_id: str,
    number: int,
) -> str:
    """Gather a part on the local disk and send it from there, so that memory is the same for any size."""
    path = context.storage.scratch / f"part-{uuid.uuid4().hex}"
    try:
        with path.open("wb", buffering=0) as out:
            gathered: list[Buffer] = []
            size = 0
            async for chunk in chunks:
                gathered.append(bytes(chunk))
                size += len(chunk)
                if size >= WRITE_BYTES:
                    await context.storage.run(_write, out, gathered)
                    gathered, size = [], 0
            await context.storage.run(_write, out, gathered)
        return await asyncio.to_thread(multipart.put_part, key, upload_id, number, path)
    finally:
        path.unlink(missing_ok=True)


def _write(out: BinaryIO, buffers: list[Buffer]) -> None:
    view = memoryview(b"".join(buffers))
    while view:
        view = view[out.write(view) :]


async def _watched(
    context: Context, archive: Archive, part: PartRow, number: int, stop: threading.Event
) -> AsyncGenerator[Buffer]:
    """The part's bytes, as long as they are wanted; progress is reported every second."""
    sent = 0
    reported_at = time.monotonic()
    async with contextlib.aclosing(archive.iter_bytes(part.start_offset, part.stop_offset)) as chunks:
        async for chunk in chunks:
            if stop.is_set():
                raise Interrupted
            assert not isinstance(chunk, FileRange)  # those are for sockets
            yield chunk
            sent += len(chunk)
            if time.monotonic() - reported_at >= BEAT_SECONDS:
                async with context.database.transaction() as connection:
                    if not await queries.report_sent(
                        connection, part.id, part.build, number, sent, INDEX_SHARE
                    ):
                        raise Superseded
                reported_at = time.monotonic()
    if sent != part.stop_offset - part.start_offset:
        raise StorageError(f"Part {number} came out with {sent:,} bytes.")


async def finish_object(context: Context, export_id: UUID, build: UUID) -> None:
    """Make the object of its parts, and the export complete. Doing it twice is doing it once.

    Raises:
        BlobDamaged: a file is not what was recorded.
        OSError, StorageError, psycopg.Error: a fault that may pass.
    """
    async with context.database.transaction() as connection:
        # held until the object is there: an erasure waits, and then removes it before it is answered
        export = await queries.lock_object(connection, export_id, build)
        if export is not None:
            await _join(context, export, await queries.list_parts(connection, export_id, build))
    if export is None or not await asyncio.to_thread(_complete, context, export):
        async with context.database.transaction() as connection:
            await transitions.start_over(connection, [export_id], build=build)
        await discard_abandoned(context, export_id, build)
        return
    log.info("export.stored", size_bytes=export.size_bytes)


async def _join(context: Context, export: ObjectRow, parts: list[SentPartRow]) -> None:
    _check_member_spans(span for part in parts for span in part.member_spans)
    key = object_key(export)
    multipart = context.storage.open_multipart()
    if multipart is not None and export.multipart_id is not None:
        etags = [part.etag for part in parts]
        with contextlib.suppress(UploadGone):  # done before, by a worker that died: its size tells
            await asyncio.to_thread(multipart.finish, key, export.multipart_id, etags)
    found = await context.storage.size(key)
    if found != export.size_bytes:
        raise BlobDamaged(f"The archive in the bucket has {found:,} bytes instead of {export.size_bytes:,}.")


def _complete(context: Context, export: ObjectRow) -> bool:
    with context.database.connect() as connection:
        return transitions.complete(connection, export, export.facts, context.settings)


def _check_member_spans(spans: Iterable[MemberSpan]) -> None:
    """Check the members that two or more parts share: their spans, in order, have the CRC-32 of the member.

    Raises:
        BlobDamaged: one has another.
    """
    for _, group in groupby(spans, key=lambda span: span.member_no):
        found = list(group)
        if combine_crc32((span.crc32, span.length) for span in found) != found[0].member_crc32:
            raise BlobDamaged(f"The stored bytes of {found[0].name} are not those on record.")


async def discard_abandoned(context: Context, export_id: UUID, build: UUID) -> None:
    """Remove what a build left, also what was sent after others cleared it away; never of a complete one."""
    async with context.database.transaction() as connection:
        abandoned = await queries.is_abandoned(connection, export_id, build)
    if abandoned:
        log.info("export.discarded", build=str(build))
        await context.storage.delete_prefix(build_prefix(export_id, build))
