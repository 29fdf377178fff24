"""Which request may write to an upload: one at a time, the newest.

`uploads.writer` is the id of that request, and every commit of an offset checks it. A newer request sets its own
id, after which the older one, whose connection may hang after a network failure, can't commit any more.
"""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

from fieldpack.errors import BlobMissing
from fieldpack.server.context import Context
from fieldpack.server.problems import CONFLICT, UNSUPPORTED_TYPE, Problem, conflict, not_found
from fieldpack.server.uploads import queries
from fieldpack.server.uploads.receive.reception import DAMAGED, Body, Reception, TakenOver, too_much
from fieldpack.server.uploads.receive.sinks import open_sink
from fieldpack.server.uploads.receive.tus import Checksum
from fieldpack.server.uploads.rows import Claim, UploadRow
from fieldpack.server.uploads.service import fail_upload, find_state, get_rules, gone, require_open

__all__ = ["find_brought", "receive", "receive_first", "wait_while_finishing"]

FINISHING_WAIT_SECONDS = 25.0
FINISHING_POLL_SECONDS = 0.25
STILL_SECONDS = 12.0  # another process adds to what it receives at least so often (`Sink.commit_seconds`)


class _Receptions(dict[UUID, Reception]):
    """What is received right now, by upload."""


async def wait_while_finishing(
    context: Context, submission_id: UUID, upload_id: UUID, until: float | None = None
) -> UploadRow:
    """The state of an upload, once no process is completing it any more.

    Args:
        until: the loop's time at which waiting ends in any case; `FINISHING_WAIT_SECONDS` from now unless given.

    Raises:
        Problem: 404.
    """
    loop = asyncio.get_running_loop()
    if until is None:
        until = loop.time() + FINISHING_WAIT_SECONDS
    while True:
        async with context.database.transaction() as connection:
            row = await find_state(connection, submission_id, upload_id)
        if not row.finishing or loop.time() > until:
            return row
        await asyncio.sleep(FINISHING_POLL_SECONDS)


async def find_brought(
    context: Context, submission_id: UUID, upload_id: UUID, refusal: Problem
) -> UploadRow | None:
    """How far other requests of one key have brought an upload to which this one was refused to write; None where the
    refusal stands, because it is of more than that.

    What a newer request brings is waited for, as long as it does.

    Raises:
        Problem: 404.
    """
    loop = asyncio.get_running_loop()
    receptions = context.caches.get(_Receptions)
    heard_at = loop.time()
    until = heard_at + FINISHING_WAIT_SECONDS
    row = await wait_while_finishing(context, submission_id, upload_id, until)
    while (
        isinstance(refusal, TakenOver)
        and row.blob_id is None
        and row.failure is None
        and loop.time() < until
        and (upload_id in receptions or loop.time() < heard_at + STILL_SECONDS)
    ):
        await asyncio.sleep(FINISHING_POLL_SECONDS)
        before = row.offset_bytes
        row = await wait_while_finishing(context, submission_id, upload_id, until)
        if row.offset_bytes != before:
            heard_at = loop.time()
    if row.blob_id is not None:
        return row
    return row if refusal.type is CONFLICT and row.open and row.failure is None else None


async def receive(
    context: Context,
    submission_id: UUID,
    upload_id: UUID,
    offset: int,
    body_bytes: int | None,
    body: Body,
    checksum: Checksum | None,
) -> int:
    """Receive one request's bytes from `offset` on; the offset afterwards.

    Args:
        body_bytes: the request's Content-Length, if it has one.

    Raises:
        Problem: 404, 409, 410, 413, 415, 460.
        StorageError: see `Storage`.
    """
    row = await wait_while_finishing(context, submission_id, upload_id)
    if row.blob_id is not None and row.open and offset == row.length_bytes and not body_bytes:
        if await body.read():
            raise too_much(row)
        return offset  # the client repeats its last request, because it did not get the answer
    claim = await _claim(context, submission_id, upload_id, offset, body_bytes)
    return await _write(context, claim, body_bytes, body, checksum)


async def receive_first(
    context: Context, claim: Claim, body_bytes: int | None, body: Body, checksum: Checksum | None
) -> int:
    """The same for the first bytes of an upload that this request has begun, which nobody else knows of yet."""
    if body_bytes is not None and body_bytes > claim.row.length_bytes:
        raise too_much(claim.row)
    return await _write(context, claim, body_bytes, body, checksum)


async def _write(
    context: Context, claim: Claim, body_bytes: int | None, body: Body, checksum: Checksum | None
) -> int:
    row, writer, upload_id, offset = claim.row, claim.writer, claim.row.id, claim.row.offset_bytes
    receptions = context.caches.get(_Receptions)
    older = receptions.get(upload_id)
    if older is not None:
        older.interrupt()
    try:
        sink = await open_sink(context.storage, upload_id, writer, offset, row.length_bytes, body_bytes)
    except BlobMissing:
        await fail_upload(context, row, writer, DAMAGED)
        raise gone(DAMAGED) from None
    reception = Reception(context, row, writer, claim.item, claim.spans, sink, body, checksum)
    receptions[upload_id] = reception
    try:
        return await reception.run()
    finally:
        if receptions.get(upload_id) is reception:
            del receptions[upload_id]
        reception.bytes.close()
        await sink.close()


async def _claim(
    context: Context, submission_id: UUID, upload_id: UUID, offset: int, body_bytes: int | None
) -> Claim:
    """Become the request that may write.

    Locks the upload until its own commit.
    """
    writer = uuid4()
    async with context.saving() as connection:
        row = await queries.find_upload(connection, submission_id, upload_id, lock=True)
        if row is None:
            raise not_found("Upload", upload_id)
        require_open(row.open)
        if row.failure is not None:
            raise Problem(UNSUPPORTED_TYPE, row.failure)
        if row.blob_id is not None:
            raise conflict("This upload is complete already.")
        if row.finishing:
            raise conflict("This upload is being put together. Ask for its offset in a moment.")
        if offset != row.offset_bytes:
            raise conflict(f"The upload is at byte {row.offset_bytes}, not {offset}: go on from there.")
        if body_bytes is not None and offset + body_bytes > row.length_bytes:
            raise too_much(row)
        item = await get_rules(connection, context, row)
        spans = await queries.list_spans(connection, upload_id)
        await queries.set_writer(connection, upload_id, writer)
    return Claim(row, writer, item, spans)
