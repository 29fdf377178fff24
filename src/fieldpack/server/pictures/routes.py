"""`/workspaces/{workspace_id}/pictures`, and the pictures themselves, which need no token."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import UploadFile

from fieldpack.pictures import MOST_BYTES
from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute
from fieldpack.server.accounts.permissions.authorization import require_somewhere
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.context import Context
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import PictureId, WorkspaceId
from fieldpack.server.http.intake.forms import MULTIPART, type_of
from fieldpack.server.http.origin import origin_of
from fieldpack.server.http.routing import ApiRoute, read_limited
from fieldpack.server.http.sending.ranges import select_range
from fieldpack.server.http.sending.stream import ByteStream
from fieldpack.server.pictures import queries
from fieldpack.server.pictures.forms import read_picture, read_picture_form
from fieldpack.server.pictures.references import picture_path
from fieldpack.server.pictures.service import FIELD, keep_picture
from fieldpack.server.problems import invalid, not_found
from fieldpack.server.storage import Buffer, blob_key

__all__ = ["router"]

FORM_BYTES = 64 * 1024  # what a form around the picture may take
CONTENT = {
    kind: {"schema": {"type": "string", "format": "binary"}}
    for kind in ("image/jpeg", "image/png", "image/webp", "image/gif")
} | {
    MULTIPART: {"schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}}
}

router = APIRouter(tags=["pictures"])
uploading = APIRouter(route_class=ResearcherRoute)
showing = APIRouter(route_class=ApiRoute)


@uploading.post(
    "/workspaces/{workspace_id}/pictures",
    status_code=201,
    responses={200: {"description": "The workspace has this picture"}},
    openapi_extra={"requestBody": {"required": True, "content": CONTENT}},
)
async def upload_picture(
    request: Request,
    response: Response,
    context: CurrentContext,
    caller: CurrentCaller,
    workspace_id: WorkspaceId,
) -> dict[str, Any]:
    """A picture for instructions: JPEG, PNG, WebP or GIF, as the body or as the one file of a form."""
    async with context.database.transaction() as connection:
        await require_somewhere(connection, caller, Action.PICTURES_WRITE, workspace_id)
    data = await _read(request, context)
    picture_id, is_new = await keep_picture(context, caller, workspace_id, data)
    response.status_code = 201 if is_new else 200
    return {"id": picture_id, "url": origin_of(request, context) + picture_path(picture_id)}


async def _read(request: Request, context: Context) -> bytes:
    """The picture that was sent.

    Raises:
        Problem: 400 for a form without one file; 413.
    """
    if type_of(request) != MULTIPART:
        return await read_limited(request, MOST_BYTES)
    form = await read_picture_form(request, context.settings, FORM_BYTES)
    try:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        if len(files) != 1:
            raise invalid(FIELD, f"Send one picture as a file of the form; it has {len(files)}.")
        return await read_picture(files[0])
    finally:
        await form.close()


@showing.head("/pictures/{picture_id}", response_class=Response, operation_id="describe_picture")
@showing.get(
    "/pictures/{picture_id}",
    response_class=Response,
    operation_id="get_picture",
    responses={
        200: {"description": "The picture", "content": {"image/*": {}}},
        206: {"description": "The range asked for", "content": {"image/*": {}}},
        304: {"description": "Not modified"},
    },
)
async def get_picture(request: Request, context: CurrentContext, picture_id: PictureId) -> Response:
    """A picture, to whoever knows its id; it never changes."""
    async with context.database.transaction() as connection:
        found = await queries.find_picture(connection, picture_id)
    if found is None:
        raise not_found("Picture", picture_id)
    etag = f'"{found.sha256.hex()}"'
    selected = select_range(request.headers, found.size_bytes, etag, method=request.method)
    headers = selected.headers(etag) | {
        "Content-Type": found.content_type,
        "Content-Disposition": "inline",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        # `private`: what a researcher removed must not live on in caches that many share
        "Cache-Control": "private, max-age=31536000, immutable",
    }

    def chunks() -> AsyncGenerator[Buffer]:
        return context.storage.iter_range(
            blob_key(found.id), selected.start, selected.length_bytes, size_bytes=found.size_bytes
        )

    return ByteStream(chunks, status=selected.status, headers=headers)


router.include_router(uploading)
router.include_router(showing)
