"""Uploads by tus 1.0: `/participate/submissions/{submission_id}/uploads`."""

from __future__ import annotations

import contextlib
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from fieldpack.server.cleanup.garbage import collect_garbage
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import UploadId
from fieldpack.server.http.methods import allowed_methods
from fieldpack.server.http.routing import ApiRoute, Handler
from fieldpack.server.machine.metrics import UPLOADS
from fieldpack.server.problems import (
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    PRECONDITION_FAILED,
    TOO_LARGE,
    UNSUPPORTED_TYPE,
    Problem,
)
from fieldpack.server.submissions.access import (
    KnownRoute,
    ParticipantRoute,
    ParticipantSubmission,
    key_of,
    require_held,
)
from fieldpack.server.uploads import service
from fieldpack.server.uploads.receive import tus
from fieldpack.server.uploads.receive.receiving import (
    find_brought,
    receive,
    receive_first,
    wait_while_finishing,
)
from fieldpack.server.uploads.receive.reception import Body
from fieldpack.server.uploads.receive.whole import SMALL_BYTES, Replayed, read_small, store_whole
from fieldpack.server.uploads.rows import Claim, OpenerRow
from fieldpack.server.uploads.schemas import UploadState

__all__ = ["creating_router", "router", "tus_router"]

BYTES = "application/offset+octet-stream"
TUS = {"Tus-Resumable": tus.VERSION}
PATH = "/participate/submissions/{submission_id}/uploads"


class TusRoute(ParticipantRoute):
    """A route whose every answer, refusals included, names the protocol, and that wants it named too."""

    async def authenticate(self, request: Request) -> None:
        await super().authenticate(request)
        spoken = request.headers.get("tus-resumable")
        if request.method != "GET" and spoken != tus.VERSION:
            raise Problem(
                PRECONDITION_FAILED,
                f"Send the header `Tus-Resumable: {tus.VERSION}`.",
                headers={"Tus-Version": tus.VERSION},
            )

    def surround(self, handle: Handler) -> Handler:
        async def handle_and_name(request: Request) -> Response:
            try:
                response = await handle(request)
            except Problem as problem:
                problem.headers.update(TUS)
                raise
            response.headers.update(TUS)
            return response

        return handle_and_name


class CreatingRoute(TusRoute, KnownRoute):
    """The route of creation, which for most files is the only request there is."""


router = APIRouter(route_class=ApiRoute, tags=["uploads"])
creating_router = APIRouter(route_class=CreatingRoute)
tus_router = APIRouter(route_class=TusRoute)


class RequestBody:
    """The body of a request as `receive` takes it."""

    def __init__(self, request: Request) -> None:
        self._receive = request.receive
        self._ended = False

    async def read(self) -> bytes | None:
        """The next bytes; `b""` at the end; None when the connection broke before it."""
        while not self._ended:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return None
            self._ended = not message.get("more_body", False)
            data: bytes = message.get("body", b"")
            if data:
                return data
        return b""


def _location(request: Request, upload_id: UUID) -> str:
    return f"{request.scope.get('root_path', '')}{request.url.path}/{upload_id}"


def _content_length(request: Request) -> int | None:
    header = request.headers.get("content-length")
    return None if header is None else tus.parse_size(header, "Content-Length")


async def _receive(
    request: Request,
    context: CurrentContext,
    submission_id: UUID,
    upload_id: UUID,
    offset: int,
    body: Body,
    checksum: tus.Checksum | None,
) -> int:
    with UPLOADS.track_inprogress():
        return await receive(
            context, submission_id, upload_id, offset, _content_length(request), body, checksum
        )


async def _receive_first(
    request: Request, context: CurrentContext, claim: Claim, body: Body, checksum: tus.Checksum | None
) -> int:
    with UPLOADS.track_inprogress():
        return await receive_first(context, claim, _content_length(request), body, checksum)


@router.options(PATH, status_code=204, include_in_schema=False)
@router.options(PATH + "/{upload_id}", status_code=204, include_in_schema=False)
async def describe_protocol(request: Request, context: CurrentContext) -> Response:
    """What of tus is spoken here."""
    allowed = allowed_methods(request)
    if not allowed:
        raise Problem(NOT_FOUND, f"There is nothing at {request.url.path}.")
    return Response(
        status_code=204,
        headers={
            **TUS,
            "Allow": allowed,
            "Tus-Version": tus.VERSION,
            "Tus-Extension": tus.EXTENSIONS,
            "Tus-Checksum-Algorithm": ",".join(tus.ALGORITHMS),
            "Tus-Max-Size": str(service.max_upload_bytes(context.settings)),
        },
    )


@creating_router.post(PATH, status_code=201, response_class=Response)
async def create_upload(
    request: Request, context: CurrentContext, submission: ParticipantSubmission
) -> Response:
    """Begin an upload: `Upload-Length`, and `Upload-Metadata` with `instruction_id` and `filename`.

    A `key` there that was sent before in this submission answers with the upload it has begun: its `Location`, and the
    offset to go on from. Bytes that come along count if nothing of it is there yet.
    """
    if request.headers.get("upload-defer-length") is not None:
        tus.parse_size(None, "Upload-Length")
    length = tus.parse_size(request.headers.get("upload-length"), "Upload-Length")
    header = request.headers.get("upload-metadata")
    metadata = tus.parse_metadata(header)
    checksum = tus.parse_checksum(request.headers.get("upload-checksum"))
    with_bytes = request.headers.get("content-type", "").partition(";")[0].strip() == BYTES
    body: Body = RequestBody(request)
    if with_bytes and 0 < length <= SMALL_BYTES and _content_length(request) == length:
        with UPLOADS.track_inprogress():
            data, broke = await read_small(body, length)
            key = key_of(request)
            opener = OpenerRow(
                submission.id,
                submission.collection_id,
                submission.collection_version,
                key.token_sha256,
                key.made_before,
            )
            stored = None
            if len(data) == length:
                stored = await store_whole(context, opener, metadata, header, data, checksum)
        if stored is not None:
            return Response(
                status_code=201,
                headers={"Location": _location(request, stored), "Upload-Offset": str(length)},
            )
        body = Replayed(data, body, broke=broke)
    await require_held(request)
    created = await service.create_upload(
        context, submission.id, submission.study_id, metadata, length, header=header
    )
    offset = created.offset_bytes
    headers = {"Location": _location(request, created.id)}
    if (with_bytes or length == 0) and offset == 0 and not created.is_complete:
        try:
            if created.claim is not None:
                offset = await _receive_first(request, context, created.claim, body, checksum)
            else:
                offset = await _receive(request, context, submission.id, created.id, 0, body, checksum)
        except Problem as problem:
            has_key = "key" in metadata
            row = await find_brought(context, submission.id, created.id, problem) if has_key else None
            if row is None:
                # the answer names no upload: one that nobody could go on with or remove does not stay
                if not has_key or (created.claim is not None and problem.type is TOO_LARGE):
                    with contextlib.suppress(Problem):
                        await service.remove_upload(context, submission.id, submission.study_id, created.id)
                raise
            offset = row.offset_bytes
    if with_bytes or length == 0 or created.claim is None:
        headers["Upload-Offset"] = str(offset)
    return Response(status_code=201, headers=headers)


@tus_router.head(PATH + "/{upload_id}", response_class=Response)
async def get_offset(
    context: CurrentContext, submission: ParticipantSubmission, upload_id: UploadId
) -> Response:
    """Where to go on: `Upload-Offset` of `Upload-Length`."""
    row = await wait_while_finishing(context, submission.id, upload_id)
    if row.failure is not None:
        raise service.gone(row.failure)
    headers = {
        "Upload-Offset": str(row.offset_bytes),
        "Upload-Length": str(row.length_bytes),
        "Cache-Control": "no-store",
    }
    if row.metadata is not None:
        headers["Upload-Metadata"] = row.metadata
    return Response(status_code=200, headers=headers)


@tus_router.get(PATH + "/{upload_id}", response_model=UploadState)
async def get_upload(
    response: Response, context: CurrentContext, submission: ParticipantSubmission, upload_id: UploadId
) -> dict[str, Any]:
    """The state of an upload; with its SHA-256 once it is complete."""
    response.headers["Cache-Control"] = "no-store"
    async with context.database.transaction() as connection:
        row = await service.find_state(connection, submission.id, upload_id)
    return service.describe_upload(row)


@tus_router.patch(PATH + "/{upload_id}", status_code=204, response_class=Response)
async def append_bytes(
    request: Request, context: CurrentContext, submission: ParticipantSubmission, upload_id: UploadId
) -> Response:
    """Go on at `Upload-Offset`; under `Upload-Checksum` the bytes count all or not at all."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != BYTES:
        raise Problem(UNSUPPORTED_TYPE, f"Send the bytes as `Content-Type: {BYTES}`.")
    offset = tus.parse_size(request.headers.get("upload-offset"), "Upload-Offset")
    checksum = tus.parse_checksum(request.headers.get("upload-checksum"))
    now_at = await _receive(
        request, context, submission.id, upload_id, offset, RequestBody(request), checksum
    )
    return Response(status_code=204, headers={"Upload-Offset": str(now_at)})


@tus_router.delete(PATH + "/{upload_id}", status_code=204, response_class=Response)
async def remove_upload(
    context: CurrentContext, submission: ParticipantSubmission, upload_id: UploadId
) -> Response:
    """Remove an upload, finished or not."""
    await service.remove_upload(context, submission.id, submission.study_id, upload_id)
    await collect_garbage(context.database, context.storage)
    return Response(status_code=204)


@tus_router.post(PATH + "/{upload_id}", response_class=Response, include_in_schema=False)
async def override_method(
    request: Request, context: CurrentContext, submission: ParticipantSubmission, upload_id: UploadId
) -> Response:
    """`X-HTTP-Method-Override`, for clients that can't send PATCH or DELETE."""
    method = request.headers.get("x-http-method-override", "").upper()
    if method == "PATCH":
        return await append_bytes(request, context, submission, upload_id)
    if method == "DELETE":
        return await remove_upload(context, submission, upload_id)
    if method == "HEAD":
        return await get_offset(context, submission, upload_id)
    raise Problem(METHOD_NOT_ALLOWED, "POST is possible here only with `X-HTTP-Method-Override`.")


router.include_router(creating_router)
router.include_router(tus_router)
