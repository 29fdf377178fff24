"""Sending bytes with back-pressure: stopped when the client leaves, aborted (never padded) when bytes are missing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import quote
from uuid import UUID

import structlog
from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fieldpack.archive.naming import safe_name
from fieldpack.server.context import Context
from fieldpack.server.http.sending.ranges import select_range
from fieldpack.server.http.sending.zerocopy import EXTENSION
from fieldpack.server.storage import Buffer, FileRange, blob_key

__all__ = ["ByteStream", "DownloadAborted", "content_disposition", "send_blob", "send_whole"]

TOGETHER_BYTES = 64 * 1024
KERNEL_BYTES = 4 * 1024 * 1024  # the send itself waits until the socket has accepted it
COUNTED_BYTES = 4 * 1024 * 1024

CONTAINED = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    # kept, but asked about before every use: what was erased must not be shown
    "Cache-Control": "private, no-cache",
}
"""Headers of what strangers sent: nothing in it acts, and no cache that many share has it."""

log = structlog.get_logger()


class StoredFile(Protocol):
    """What is known of an uploaded file: its name, and the blob that it is."""

    @property
    def file_name(self) -> str:
        """The name that it is downloaded under."""

    @property
    def blob_id(self) -> UUID:
        """The id of its blob."""

    @property
    def size_bytes(self) -> int:
        """Its size, in bytes."""

    @property
    def content_type(self) -> str:
        """The content type on record."""

    @property
    def sha256(self) -> bytes:
        """The SHA-256 on record, 32 bytes."""


class DownloadAborted(Exception):
    """The announced bytes can't be sent: the connection is aborted, never padded."""


def content_disposition(file_name: str) -> str:
    """`attachment` with the name for old and new clients (RFC 6266, RFC 8187)."""
    plain = "".join(c if 0x20 <= ord(c) < 0x7F and c not in '"\\/%' else "_" for c in file_name) or "file"
    encoded = quote(file_name.encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


class ByteStream(Response):
    """A response whose body is exactly `Content-Length` bytes of an async iterator, or an aborted connection.

    A generator goes on at full speed after the client left unless someone watches `http.disconnect`; so this
    does, and stops reading the source at once.
    """

    def __init__(
        self,
        chunks: Callable[[], AsyncGenerator[Buffer | FileRange]],
        *,
        status: int,
        headers: dict[str, str],
        on_sent: Callable[[int], Any] = lambda size_bytes: None,
        on_abort: Callable[[BaseException], Any] | None = None,
    ) -> None:
        super().__init__(status_code=status, headers=headers)
        self.chunks = chunks
        self.on_sent = on_sent
        self.on_abort = on_abort

    def init_headers(self, headers: Any = None) -> None:
        self.raw_headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] == "HEAD" or self.status_code == 304:
            await send({"type": "http.response.body", "body": b""})
            return
        left = asyncio.Event()
        watcher = asyncio.create_task(_watch(receive, left))
        source = self.chunks()
        unsent, enough, uncounted = 0, TOGETHER_BYTES, 0
        try:
            async for chunk in source:
                if isinstance(chunk, FileRange):
                    enough = KERNEL_BYTES
                    await send(
                        {
                            "type": EXTENSION,
                            "file": chunk.descriptor,
                            "offset": chunk.offset,
                            "count": chunk.length,
                            "more_body": True,
                        }
                    )
                else:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                if left.is_set():
                    return
                unsent += len(chunk)
                uncounted += len(chunk)
                del chunk  # so that its buffer can be reused for the next one
                if uncounted >= COUNTED_BYTES:
                    self.on_sent(uncounted)
                    uncounted = 0
                if unsent < enough:  # a header goes out with what follows it, in one write
                    continue
                unsent, enough = 0, TOGETHER_BYTES
                # no reading ahead of a slow client: this waits until it has received nearly all of the last chunk
                await send({"type": "http.response.body", "body": b"", "more_body": True})
                # many small writes fit the socket's buffer, and then nothing would ever let others run
                await asyncio.sleep(0)
            await send({"type": "http.response.body", "body": b""})
        except Exception as error:
            if self.on_abort is not None:
                await self.on_abort(error)
            raise
        finally:
            self.on_sent(uncounted)
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher
            await source.aclose()


async def _watch(receive: Receive, left: asyncio.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    left.set()


def send_blob(request: Request, context: Context, file: StoredFile, *, inline: bool = False) -> Response:
    """An uploaded file, as an attachment that no browser runs; conditional and range requests work.

    Args:
        inline: let a page of ours show it; for types in which nothing can act.
    """
    etag = f'"{file.sha256.hex()}"'
    selected = select_range(request.headers, file.size_bytes, etag, method=request.method)
    headers = selected.headers(etag) | {
        "Content-Type": file.content_type,
        "Content-Disposition": "inline" if inline else content_disposition(safe_name(file.file_name)),
        **CONTAINED,
    }

    def chunks() -> AsyncGenerator[Buffer]:
        key = blob_key(file.blob_id)
        return context.storage.iter_range(
            key, selected.start, selected.length_bytes, size_bytes=file.size_bytes
        )

    return ByteStream(chunks, status=selected.status, headers=headers)


async def send_whole(
    request: Request, content_type: str, size_bytes: int, sha256: bytes, read: Callable[[], Awaitable[bytes]]
) -> Response:
    """Something small that was made of what a stranger sent; conditional and range requests work.

    Args:
        sha256: of the bytes, for the ETag.
        read: brings the bytes; it is not called when the client has them.
    """
    etag = f'"{sha256.hex()}"'
    selected = select_range(request.headers, size_bytes, etag, method=request.method)
    headers = selected.headers(etag) | {
        "Content-Type": content_type,
        "Content-Disposition": "inline",
        **CONTAINED,
    }
    if selected.status == 304:
        return Response(status_code=304, headers=headers)
    return Response((await read())[selected.start : selected.stop], selected.status, headers)
