"""`…/export/{id}/conversions`: request, poll, list, delete; and what their links serve."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response

from fieldpack.archive.naming import safe_name
from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.exports.conversions import queries, service
from fieldpack.server.exports.conversions.formats import FORMATS
from fieldpack.server.exports.conversions.keys import converted_key, file_name
from fieldpack.server.exports.conversions.rows import ConversionRow
from fieldpack.server.exports.routes import POLL_AFTER_SECONDS, Prefer, wait_seconds
from fieldpack.server.exports.serve.currency import while_current
from fieldpack.server.exports.serve.linked import find_linked
from fieldpack.server.exports.serve.links import CONVERSION_PATH
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import CollectionId, ExportId
from fieldpack.server.http.origin import origin_of
from fieldpack.server.http.routing import discard_body, parse_id
from fieldpack.server.http.sending.ranges import select_range
from fieldpack.server.http.sending.stream import CONTAINED, ByteStream, content_disposition
from fieldpack.server.machine.metrics import BYTES_SERVED
from fieldpack.server.storage import Buffer, FileRange

__all__ = ["link_router", "router"]

router = APIRouter(
    prefix="/data-collection/collections/{collection_id}/export/{export_id}/conversions",
    route_class=ResearcherRoute,
    tags=["exports"],
)
link_router = APIRouter(tags=["exports"])

CONVERSION_ROUTE = CONVERSION_PATH.removeprefix("/api/v1")

Format = Annotated[str, Path(description=f"One of {', '.join(FORMATS)}.")]


async def _answer(
    request: Request,
    response: Response,
    context: CurrentContext,
    caller: CurrentCaller,
    row: ConversionRow,
    prefer: list[str] | None,
    *,
    accepted: bool,
) -> dict[str, Any]:
    """The conversion's state; with `accepted`, 202 while it is generating."""
    seconds = wait_seconds(prefer)
    if seconds:
        response.headers["Preference-Applied"] = f"wait={int(seconds)}"
        action = Action.EXPORTS_CREATE if accepted else Action.EXPORTS_READ
        row = await service.wait_while_converting(context, caller, row, seconds, action)
    answer = await service.describe_conversion(context, caller, row, origin_of(request, context))
    if answer["status"] == "generating":
        response.headers["Retry-After"] = str(POLL_AFTER_SECONDS)
        if accepted:
            response.status_code = 202
            path = (
                f"/api/v1/data-collection/collections/{row.collection_id}/export/{row.export_id}/conversions"
            )
            response.headers["Location"] = f"{origin_of(request, context)}{path}/{row.format}"
    return answer


@router.post(
    "/{format}", responses={202: {"description": "Generating"}}, dependencies=[Depends(discard_body)]
)
async def request_conversion(
    request: Request,
    response: Response,
    context: CurrentContext,
    caller: CurrentCaller,
    collection_id: CollectionId,
    export_id: ExportId,
    format: Format,
    prefer: Prefer = None,
) -> dict[str, Any]:
    """Have a complete export converted: 202 while it is made, 200 with a link when it is there."""
    row = await service.request_conversion(context, caller, collection_id, export_id, format)
    return await _answer(request, response, context, caller, row, prefer, accepted=True)


@router.get("")
async def list_conversions(
    context: CurrentContext, caller: CurrentCaller, collection_id: CollectionId, export_id: ExportId
) -> dict[str, Any]:
    """The conversions of an export, without links."""
    async with context.database.transaction() as connection:
        rows = await service.list_conversions(connection, caller, collection_id, export_id)
    results = [{"format": row.format, "status": row.status, **service.describe_facts(row)} for row in rows]
    return {"results": results, "meta": {"count": len(results)}}


@router.get("/{format}")
async def get_conversion(
    request: Request,
    response: Response,
    context: CurrentContext,
    caller: CurrentCaller,
    collection_id: CollectionId,
    export_id: ExportId,
    format: Format,
    prefer: Prefer = None,
) -> dict[str, Any]:
    """How a conversion stands; a complete one with a fresh link."""
    async with context.database.transaction() as connection:
        row = await service.get_conversion(connection, caller, collection_id, export_id, format)
    return await _answer(request, response, context, caller, row, prefer, accepted=False)


@router.delete("/{format}", status_code=204, dependencies=[Depends(discard_body)])
async def delete_conversion(
    context: CurrentContext,
    caller: CurrentCaller,
    collection_id: CollectionId,
    export_id: ExportId,
    format: Format,
) -> None:
    """Delete a conversion; its links answer 410 from then on, those of the archive go on."""
    async with context.database.transaction() as connection:
        await service.delete_conversion(connection, caller, collection_id, export_id, format)


@link_router.head(CONVERSION_ROUTE, response_class=Response, operation_id="describe_conversion")
@link_router.get(
    CONVERSION_ROUTE,
    response_class=Response,
    operation_id="download_conversion",
    responses={206: {"description": "The range asked for"}, 304: {"description": "Not modified"}},
)
async def download_conversion(
    request: Request, context: CurrentContext, export_id: str, conversion_id: str
) -> Response:
    """What an archive was converted to, behind a presigned link. No token: the link is the permission."""
    file = await find_linked(
        request,
        context,
        lambda connection: queries.find_file(
            connection, parse_id("Export", export_id), parse_id("Conversion", conversion_id)
        ),
        lambda found: {"object_id": found.export_id, "format": found.format},
    )
    etag = f'"{file.sha256.hex()}"'
    selected = select_range(request.headers, file.size_bytes, etag, method=request.method)
    headers = selected.headers(etag) | {
        "Content-Type": FORMATS[file.format].content_type,
        "Content-Disposition": content_disposition(safe_name(file_name(file))),
        "X-Accel-Buffering": "no",
        **CONTAINED,
    }
    key = converted_key(file.export_id, file.export_build, file.id, file.attempt)

    async def read() -> AsyncGenerator[Buffer | FileRange]:
        source = context.storage.iter_range(
            key, selected.start, selected.length_bytes, size_bytes=file.size_bytes
        )
        async with contextlib.aclosing(source) as chunks:
            async for chunk in chunks:
                yield chunk

    return ByteStream(
        lambda: while_current(context, file.export_id, file.export_build, read()),
        status=selected.status,
        headers=headers,
        on_sent=BYTES_SERVED.inc,
    )
