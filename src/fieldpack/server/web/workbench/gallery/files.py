"""An uploaded file as pages show it, and the small pictures of it."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from fieldpack.server.collections.service import open_file
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import CollectionId, FileKey
from fieldpack.server.http.sending.stream import send_blob, send_whole
from fieldpack.server.problems import not_found
from fieldpack.server.thumbnails.formats import CONTENT_TYPE, LARGE, MOST_PAGES, SHOWN_TYPES, SMALL
from fieldpack.server.thumbnails.service import open_page, open_thumbnail, read_page, read_thumbnail
from fieldpack.server.values.whole_numbers import read_whole
from fieldpack.server.web.workbench.signed_in import SignedIn, WorkbenchRoute

router = APIRouter(route_class=WorkbenchRoute, include_in_schema=False)


@router.get("/workbench/collections/{collection_id}/files/{file_key}")
async def show_file(
    request: Request,
    context: CurrentContext,
    caller: SignedIn,
    collection_id: CollectionId,
    file_key: FileKey,
) -> Response:
    """One uploaded file: shown where browsers show its type and nothing in it can act, else saved."""
    async with context.database.statements() as connection:
        file = await open_file(connection, caller, collection_id, file_key)
    return send_blob(request, context, file, inline=file.content_type in SHOWN_TYPES)


@router.get("/workbench/collections/{collection_id}/files/{file_key}/thumbnail")
async def show_thumbnail(
    request: Request,
    context: CurrentContext,
    caller: SignedIn,
    collection_id: CollectionId,
    file_key: FileKey,
    size: Annotated[Literal["small", "large"], Query()] = "small",
) -> Response:
    """A small picture of an uploaded file. What is looked at is in the audit log with the page that shows it."""
    side = LARGE if size == "large" else SMALL
    async with context.database.transaction() as connection:
        row = await open_thumbnail(connection, caller, collection_id, file_key, side)
    return await send_whole(
        request, CONTENT_TYPE, row.size_bytes, row.sha256, partial(read_thumbnail, context, row)
    )


@router.get("/workbench/collections/{collection_id}/files/{file_key}/pages/{page}")
async def show_page(
    request: Request,
    context: CurrentContext,
    caller: SignedIn,
    collection_id: CollectionId,
    file_key: FileKey,
    page: str,
) -> Response:
    """The picture of a page of a document. What is looked at is in the audit log with the response that shows it."""
    number = read_whole(page)
    if number is None or not 1 <= number <= MOST_PAGES:
        raise not_found("Page", page)
    async with context.database.transaction() as connection:
        row = await open_page(connection, caller, collection_id, file_key, number)
    return await send_whole(
        request, CONTENT_TYPE, row.size_bytes, row.sha256, partial(read_page, context, row)
    )
