"""Receiving the bytes of one request: written as they arrive, the offset committed when they are on disk.

Invariants, whatever fails at whatever moment:

* the offset in PostgreSQL decides. Bytes are flushed before it is moved past them, and bytes beyond it are
  overwritten;
* after a broken connection the bytes that arrived count; only a request with a checksum counts completely or not
  at all;
* an upload is complete when its blob is on record, in the transaction that moves the offset to the end;
* an object is deleted only when no row can refer to it: a commit whose connection broke may have happened.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, Protocol
from uuid import UUID

import structlog

from fieldpack.errors import BlobDamaged
from fieldpack.server.cleanup.garbage import throw_away
from fieldpack.server.context import Context
from fieldpack.server.machine.metrics import UPLOAD_BYTES
from fieldpack.server.problems import (
    CHECKSUM_MISMATCH,
    CONFLICT,
    TOO_LARGE,
    UNSUPPORTED_TYPE,
    Problem,
    not_found,
)
from fieldpack.server.thumbnails.service import request_thumbnails
from fieldpack.server.uploads import queries
from fieldpack.server.uploads.content_types import HEAD_BYTES, Verdict, judge_content, judge_head
from fieldpack.server.uploads.receive.digests import LiveDigests
from fieldpack.server.uploads.receive.sinks import Sink
from fieldpack.server.uploads.receive.tus import Checksum
from fieldpack.server.uploads.receive.writing import WriteBehind
from fieldpack.server.uploads.rows import StoredSpanRow, UploadRow
from fieldpack.server.uploads.service import closed, fail_upload, find_accepted, gone

__all__ = ["DAMAGED", "Body", "Reception", "TakenOver", "too_much"]

TICK_SECONDS = 1.0
IDLE_SECONDS = (
    60.0  # without a byte; below the 75 s after which the connection is closed (`http/intake/connections`)
)
LOOK_SECONDS = 2.0  # between two looks at the clock's own, however steadily bytes come
PULSE_SECONDS = 2.0
DAMAGED = "The stored bytes of this file were damaged. Upload it again."

log = structlog.get_logger()


class Body(Protocol):
    """The body of a request."""

    async def read(self) -> bytes | None:
        """The next bytes; `b""` at the end; None when the connection broke before it."""


class ShutOut(Exception):
    """This request may not write any more: a newer one has the upload, or files can't change any more."""


class TakenOver(Problem):
    """A 409: a newer request brings the bytes of this upload."""

    def __init__(self) -> None:
        super().__init__(CONFLICT, "A newer request has taken this upload over.")


class Refused(Exception):
    """The content is not accepted; `str()` is a sentence that says why."""


def too_much(row: UploadRow) -> Problem:
    """A 413: more bytes arrived than were announced."""
    return Problem(TOO_LARGE, f"More bytes than the {row.length_bytes} that were announced.")


class Reception:
    """The handling of one request's bytes, by `run`. Each object is used once."""

    def __init__(
        self,
        context: Context,
        row: UploadRow,
        writer: UUID,
        item: dict[str, Any],
        spans: list[StoredSpanRow],
        sink: Sink,
        body: Body,
        checksum: Checksum | None,
    ) -> None:
        self.context = context
        self.row = row
        self.writer = writer
        self.accepted = find_accepted(item)
        self.spans = spans
        self.sink = sink
        self.body = body
        self.checksum = checksum
        self.upload_id: UUID = row.id
        self.length: int = row.length_bytes
        self.committed: int = row.offset_bytes
        self.content_type: str | None = row.content_type
        self.live_digests = context.caches.get(LiveDigests)
        self.digests = self.live_digests.resume(
            self.upload_id, self.committed, row.crc32, checksum.algorithm if checksum else None
        )
        self.bytes = WriteBehind(sink, self.digests, self.committed, self._look_at)
        self._clock = asyncio.get_running_loop().time
        self._committed_at = self._clock()
        self._heard_at = self._clock()
        self._looked_at = self._clock()
        self._head = bytearray()
        self._committing: asyncio.Task[None] | None = None
        self._waiting: asyncio.Timeout | None = None
        self._interrupted = False

    def interrupt(self) -> None:
        """Have this request check at once whether it may still write."""
        self._interrupted = True
        if self._waiting is not None:
            with contextlib.suppress(RuntimeError):
                self._waiting.reschedule(self._clock())

    async def run(self) -> int:
        """Receive the bytes of the request; the offset afterwards, in bytes."""
        try:
            if self.content_type is None and self.committed:
                self._head += await self.sink.read(0, min(self.committed, HEAD_BYTES), self.spans)
            return await self._settle(whole=await self._take_all())
        except asyncio.CancelledError:  # the server is stopping: keep what arrived
            with contextlib.suppress(Exception):
                await asyncio.shield(self._settle(whole=False))
            raise
        except (Refused, BlobDamaged) as error:
            await self._abandon()
            damaged = isinstance(error, BlobDamaged)
            if damaged:
                log.error("upload.damaged", upload_id=str(self.upload_id), error=str(error))
            await fail_upload(self.context, self.row, self.writer, DAMAGED if damaged else str(error))
            raise (gone(DAMAGED) if damaged else Problem(UNSUPPORTED_TYPE, str(error))) from None
        except ShutOut:
            await self._abandon()
            raise await self._explain_shut_out() from None
        except BaseException:
            await self._abandon()
            raise

    # taking

    async def _take_all(self) -> bool:
        """Read the body and hand it on; whether it arrived completely."""
        while True:
            if self._interrupted:
                await self._require_writer()
                self._interrupted = False
            try:
                async with asyncio.timeout(TICK_SECONDS) as self._waiting:
                    data = await self.body.read()
            except TimeoutError:
                if not await self._sit_idle():
                    return False
                continue
            if not data:
                return data is not None
            self._heard_at = self._clock()
            UPLOAD_BYTES.inc(len(data))
            if self.bytes.end + len(data) > self.length:
                raise too_much(self.row)
            if await self.bytes.add(data):
                await self._commit_if_due()
            if self._heard_at - max(self._looked_at, self._committed_at) >= LOOK_SECONDS:
                await self._look_up()
            elif self._committing is not None and self._committing.done():
                await self._finish_committing()

    async def _look_up(self) -> None:
        """Bytes come, but too slowly to fill a buffer: commit them when it is time, and see whether they are wanted."""
        self._looked_at = self._clock()
        await self._require_writer()
        if self._commits and self._clock() - self._committed_at >= self.sink.commit_seconds:
            await self.bytes.hand_on()
            await self._commit_if_due()

    async def _sit_idle(self) -> bool:
        """Nothing arrived for a while: commit what there is; whether to go on waiting."""
        await self._require_writer()
        await self.bytes.hand_on()
        await self._commit_if_due(idle=True)
        return self._clock() - self._heard_at < IDLE_SECONDS

    async def _require_writer(self) -> None:
        async with self.context.database.transaction() as connection:
            if not await queries.is_writer(connection, self.upload_id, self.writer):
                raise ShutOut

    def _look_at(self, data: memoryview, end: int) -> None:
        """Judge the content as soon as there is enough of it."""
        if self.content_type is not None:
            return
        self._head += data[: HEAD_BYTES - len(self._head)]
        self._judge(bytes(self._head), whole=end == self.length and end <= HEAD_BYTES)

    def _judge(self, head: bytes, *, whole: bool) -> None:
        verdict = judge_head(head, self.row.file_name, self.accepted, whole=whole)
        if verdict is not None:
            self._heed(verdict)

    def _heed(self, verdict: Verdict) -> None:
        if verdict.refusal is not None:
            raise Refused(verdict.refusal)
        self.content_type = verdict.content_type

    # committing

    @property
    def _commits(self) -> bool:
        """Whether bytes count before the request has ended."""
        return self.checksum is None and self.sink.commit_bytes > 0

    async def _commit_if_due(self, *, idle: bool = False) -> None:
        """Commit the offset after enough bytes or enough time; never the end, which completing commits."""
        if not self._commits or self.bytes.handed_on in (self.committed, self.length):
            return
        if self._committing is not None:
            if not self._committing.done():
                return
            await self._finish_committing()
        ahead = self.bytes.handed_on - self.committed
        since = self._clock() - self._committed_at
        if (
            ahead >= self.sink.commit_bytes
            or since >= self.sink.commit_seconds
            or (idle and self.sink.overlaps)
        ):
            await self.bytes.drain()
            self._committing = asyncio.create_task(self._commit(self.bytes.handed_on, self.digests.crc32))
            if not self.sink.overlaps:
                await self._finish_committing()

    async def _finish_committing(self) -> None:
        if self._committing is not None:
            committing, self._committing = self._committing, None
            await committing

    async def _commit(self, offset: int, crc32: int) -> None:
        """Flush everything up to `offset`, then move the offset there."""
        spans = await self.sink.flush()
        try:
            async with self.context.database.transaction() as connection:
                await queries.insert_spans(connection, self.upload_id, spans)
                if not await queries.move_offset(
                    connection, self.upload_id, self.writer, offset, crc32, self.content_type
                ):
                    raise ShutOut
        except ShutOut:
            await self.context.storage.delete([span.key for span in spans])
            raise
        self.spans += spans
        self.committed = offset
        self._committed_at = self._clock()

    # ending

    async def _settle(self, *, whole: bool) -> int:
        """Commit what there is, or complete the upload; the offset afterwards."""
        if self.checksum is not None and not whole:
            await self._abandon()
            return self.committed
        await self.bytes.hand_on()
        await self.bytes.drain()
        await self._finish_committing()
        if self.checksum is not None and self.digests.checksum() != self.checksum.expected:
            await self._abandon()
            raise Problem(
                CHECKSUM_MISMATCH, "The bytes that arrived are not those that were sent. Send them again."
            )
        if self.bytes.handed_on == self.length:
            await self._complete()
        elif self.bytes.handed_on > self.committed:
            await self._commit(self.bytes.handed_on, self.digests.crc32)
            self.live_digests.keep(self.upload_id, self.digests)
        return self.bytes.handed_on

    async def _complete(self) -> None:
        """Hash or join the stored spans, judge the complete content, and put the blob on record."""
        made = await self.sink.flush()
        spans = self.spans + made
        try:
            with self._pulsing():
                self._heed(await self._look_closely(spans))
                crc32, sha256 = await self.sink.finish(self.length, self.digests, spans)
        except BaseException:
            await self._delete_own(made)
            raise
        try:
            await self._record(made, crc32, sha256)
        except ShutOut:
            await self._delete_own(made)
            raise
        self.live_digests.forget(self.upload_id)

    async def _look_closely(self, spans: list[StoredSpanRow]) -> Verdict:
        """Judge the complete content, reading what is stored."""

        async def read(offset: int, size: int) -> bytes:
            return await self.sink.read(offset, size, spans)

        head = await read(0, min(self.length, HEAD_BYTES))
        return await judge_content(read, head, self.length, self.row.file_name, self.accepted)

    async def _delete_own(self, made: list[StoredSpanRow]) -> None:
        """Delete the objects that this request made and that no row refers to."""
        own = [span.key for span in made]
        if self.sink.blob_id != self.upload_id:
            own.append(self.sink.key)
        with contextlib.suppress(OSError):
            await self.context.storage.delete(own)

    async def _record(self, made: list[StoredSpanRow], crc32: int, sha256: bytes) -> None:
        async with self.context.database.transaction() as connection:
            submission = await queries.lock_submission(connection, self.row.submission_id)
            if submission is None or not await queries.complete_upload(
                connection,
                self.upload_id,
                self.writer,
                self.sink.blob_id,
                crc32,
                sha256,
                self.content_type or "application/octet-stream",
            ):
                raise ShutOut
            await request_thumbnails(connection, [(self.sink.blob_id, self.content_type or "")])
            if self.spans or made:
                keys = await queries.delete_spans(connection, self.upload_id)
                keys += [span.key for span in made]
                await throw_away(connection, [key for key in keys if key != self.sink.key])

    @contextlib.contextmanager
    def _pulsing(self) -> Iterator[None]:
        """Renew `finishing_at`, while it takes long, so that other processes know the upload is being completed."""

        async def pulse() -> None:
            while True:
                await asyncio.sleep(PULSE_SECONDS / 4)
                async with self.context.database.transaction() as connection:
                    await queries.show_finishing(connection, self.upload_id, self.writer)
                await asyncio.sleep(PULSE_SECONDS)

        task = asyncio.create_task(pulse())
        try:
            yield
        finally:
            task.cancel()

    async def _abandon(self) -> None:
        """Wait for running writes, and discard what was not committed."""
        with contextlib.suppress(Exception):
            await self.bytes.drain()
        with contextlib.suppress(Exception):
            await self._finish_committing()
        with contextlib.suppress(OSError):
            await self.sink.discard()

    async def _explain_shut_out(self) -> Problem:
        """Why this request may not write any more. Bytes of an upload that is gone are removed at once."""
        async with self.context.database.transaction() as connection:
            row = await queries.find_upload(connection, self.row.submission_id, self.upload_id)
        if row is None:
            await self.context.storage.delete([self.sink.key])
            return not_found("Upload", self.upload_id)
        if not row.open:
            return closed()
        if row.failure is not None:
            return Problem(UNSUPPORTED_TYPE, row.failure)
        return TakenOver()
