"""What an export's link serves: the archive, computed from its index, from any byte to any byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import structlog
from fastapi import APIRouter, Request
from starlette.responses import Response

from fieldpack.archive.naming import safe_name
from fieldpack.errors import ArchiveError, BlobMissing
from fieldpack.server.context import Context
from fieldpack.server.exports import queries, transitions
from fieldpack.server.exports.keys import archive_name
from fieldpack.server.exports.rows import ArchiveRow
from fieldpack.server.exports.serve.currency import while_current
from fieldpack.server.exports.serve.linked import find_linked, gone
from fieldpack.server.exports.serve.links import ARCHIVE_PATH
from fieldpack.server.exports.serve.reading import open_archive
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.routing import parse_id
from fieldpack.server.http.sending.ranges import select_range
from fieldpack.server.http.sending.stream import ByteStream, content_disposition
from fieldpack.server.http.sending.zerocopy import EXTENSION
from fieldpack.server.machine.metrics import BYTES_SERVED, LINK_ERRORS
from fieldpack.server.storage import Buffer, FileRange

__all__ = ["router"]

router = APIRouter(tags=["exports"])

ARCHIVE_ROUTE = ARCHIVE_PATH.removeprefix("/api/v1")

log = structlog.get_logger()


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
    export = await find_linked(
        request,
        context,
        lambda connection: queries.find_archive(connection, parse_id("Export", export_id)),
        lambda found: {"object_id": found.id},
    )
    selected = select_range(request.headers, export.size_bytes, export.etag, method=request.method)
    try:
        archive = await open_archive(
            context, export, by_kernel=EXTENSION in request.scope.get("extensions", {})
        )
    except (BlobMissing, ArchiveError) as error:  # deleted a moment ago, or damaged
        log.error("download.refused", error=str(error))
        await _withdraw_if_damaged(context, export, error)
        raise gone() from None
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

    def chunks() -> AsyncGenerator[Buffer | FileRange]:
        source = archive.iter_bytes(selected.start, selected.stop)
        return while_current(context, export.id, export.build, source)

    return ByteStream(
        chunks,
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
