"""What an export's link serves: the archive, computed from its index, from any byte to any byte."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from datetime import datetime
from uuid import UUID
from weakref import WeakValueDictionary

import structlog
from fastapi import APIRouter, Request
from starlette.responses import Response

from fieldpack.archive.naming import safe_name
from fieldpack.errors import ArchiveError, BlobMissing
from fieldpack.server.audit.service import Actor, write_entry
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.exports import queries, transitions
from fieldpack.server.exports.keys import archive_name
from fieldpack.server.exports.rows import ArchiveRow
from fieldpack.server.exports.serve.links import ARCHIVE_PATH, read_link, ticks_of
from fieldpack.server.exports.serve.reading import Archive, open_archive
from fieldpack.server.http.authentication import address_of, mark_authenticated
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.routing import parse_id
from fieldpack.server.http.sending.ranges import Selected, select_range
from fieldpack.server.http.sending.stream import ByteStream, DownloadAborted, content_disposition
from fieldpack.server.http.sending.zerocopy import EXTENSION
from fieldpack.server.machine.metrics import BYTES_SERVED, DOWNLOADS, LINK_ERRORS
from fieldpack.server.problems import GONE, LINK_EXPIRED, Problem
from fieldpack.server.storage import Buffer, FileRange

__all__ = ["router"]

router = APIRouter(tags=["exports"])

ARCHIVE_ROUTE = ARCHIVE_PATH.removeprefix("/api/v1")
CHECK_SECONDS = 1.0

log = structlog.get_logger()


class _Currency:
    """Whether a build may still be sent: asked once a second for all downloads of it, however many."""

    def __init__(self) -> None:
        self.checked_at = time.monotonic()
        self._current = True
        self._lock = asyncio.Lock()

    async def check(self, archive: Archive, *, at_once: bool) -> bool:
        """The answer of a moment ago will do unless there was news."""
        async with self._lock:
            if at_once or time.monotonic() - self.checked_at > CHECK_SECONDS:
                export = archive.export
                async with archive.context.database.transaction() as connection:
                    self._current = await queries.is_current(connection, export.id, export.build)
                self.checked_at = time.monotonic()
            return self._current


class _Currencies(WeakValueDictionary[UUID, _Currency]):
    """Those of the builds that are sent right now."""


async def _watched(archive: Archive, selected: Selected) -> AsyncGenerator[Buffer | FileRange]:
    """The bytes, as long as the export may exist: an erasure or deletion ends the download."""
    export = archive.export
    currency = archive.context.caches.get(_Currencies).setdefault(export.build, _Currency())
    with DOWNLOADS.track_inprogress():
        async with (
            archive.context.notices.subscribed(str(export.id)) as news,
            contextlib.aclosing(archive.iter_bytes(selected.start, selected.stop)) as chunks,
        ):
            async for chunk in chunks:
                if news.is_set() or time.monotonic() - currency.checked_at > CHECK_SECONDS:
                    told = news.is_set()
                    news.clear()
                    if not await currency.check(archive, at_once=told):
                        LINK_ERRORS.labels("withdrawn").inc()
                        raise DownloadAborted("The export was withdrawn while it was being downloaded.")
                yield chunk
                del chunk  # its buffer is wanted for the next one


def _gone() -> Problem:
    LINK_ERRORS.labels("gone").inc()
    return Problem(
        GONE,
        "This export no longer exists: it was deleted, or data in it was erased. Request the export again.",
    )


async def _note_download(
    connection: Connection, request: Request, export: ArchiveRow, expires_at: datetime
) -> None:
    """Who has a link is not known, only from where it is used: noted once an hour, in however many pieces."""
    link = Actor("link", None, "link", str(ticks_of(expires_at)), address_of(request) or "")
    await write_entry(
        connection,
        link,
        "archive.download",
        object_id=export.id,
        collection_id=export.collection_id,
        expires_at=expires_at,
    )


async def _find_linked(request: Request, context: Context, export_id: str) -> ArchiveRow:
    """The export whose link was asked for, if the link holds."""
    raw_path = request.scope.get("raw_path") or request.scope["path"].encode()
    async with context.database.transaction() as connection:
        try:
            expires_at = await read_link(
                connection, raw_path.decode("latin-1"), request.scope["query_string"].decode("latin-1")
            )
        except Problem:
            LINK_ERRORS.labels("altered").inc()
            raise
        export = await queries.find_archive(connection, parse_id("Export", export_id))
        expired = await queries.has_passed(connection, expires_at)
        if request.method == "GET" and export is not None and not expired:
            await _note_download(connection, request, export, expires_at)
    if expired:
        LINK_ERRORS.labels("expired").inc()
        raise Problem(LINK_EXPIRED, "This link has expired. Ask for the export again to get a fresh link.")
    mark_authenticated(request)
    if export is None:
        raise _gone()
    return export


@router.head(ARCHIVE_ROUTE, response_class=Response, operation_id="describe_archive")
@router.get(
    ARCHIVE_ROUTE,
    response_class=Response,
    operation_id="download_archive",
    responses={206: {"description": "The range asked for"}, 304: {"description": "Not modified"}},
)
async def download_archive(request: Request, context: CurrentContext, export_id: str) -> Response:
    """The archive behind a presigned link. No token: the link is the permission."""
    structlog.contextvars.bind_contextvars(export_id=export_id)
    export = await _find_linked(request, context, export_id)
    selected = select_range(request.headers, export.size_bytes, export.etag, method=request.method)
    try:
        archive = await open_archive(
            context, export, by_kernel=EXTENSION in request.scope.get("extensions", {})
        )
    except (BlobMissing, ArchiveError) as error:  # deleted a moment ago, or damaged
        log.error("download.refused", error=str(error))
        await _withdraw_if_damaged(context, export, error)
        raise _gone() from None
    headers = selected.headers(export.etag) | {
        "Content-Type": "application/zip",
        "Content-Disposition": content_disposition(
            safe_name(archive_name(export.collection_id, export.created_at))
        ),
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
        "X-Accel-Buffering": "no",
    }

    async def on_abort(error: BaseException) -> None:
        if isinstance(error, asyncio.CancelledError):
            return
        log.error("download.aborted", export_id=str(export.id), error=str(error))
        await _withdraw_if_damaged(context, export, error)

    return ByteStream(
        lambda: _watched(archive, selected),
        status=selected.status,
        headers=headers,
        on_sent=BYTES_SERVED.inc,
        on_abort=on_abort,
    )


async def _withdraw_if_damaged(context: Context, export: ArchiveRow, error: BaseException) -> None:
    """Fail an export that holds what is not there as recorded: nobody is to take it for whole."""
    if not isinstance(error, BlobMissing | ArchiveError):
        return
    LINK_ERRORS.labels("damaged").inc()
    async with context.database.transaction() as connection:
        reason = f"A stored file is damaged or missing: {error}"
        await transitions.fail(connection, [export.id], "complete", reason, build=export.build)
