"""Bytes of files sent by the kernel: the ASGI extension `http.response.zerocopysend`, which uvicorn lacks.

https://asgi.readthedocs.io/en/latest/extensions.html#zero-copy-send. Offered where it can work: over plain
HTTP, by uvicorn's httptools protocol, on a system with `sendfile`.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

__all__ = ["EXTENSION", "ZeroCopy"]

EXTENSION = "http.response.zerocopysend"


class ZeroCopy:
    """Outermost layer: offers the extension and carries it out."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cycle = getattr(send, "__self__", None)
        if (
            not hasattr(os, "sendfile")
            or not isinstance(cycle, RequestResponseCycle)
            or cycle.transport.get_extra_info("sslcontext") is not None
        ):
            await self.app(scope, receive, send)
            return
        copying = _Copying(cycle)

        async def send_or_copy(message: Message) -> None:
            if message["type"] != EXTENSION:
                await send(message)
                return
            await copying.copy(message["file"], message["offset"], message["count"])
            if not message.get("more_body", False):
                await send({"type": "http.response.body", "body": b""})

        try:
            await self.app({**scope, "extensions": {EXTENSION: {}}}, receive, send_or_copy)
        finally:
            copying.close()


class _Copying:
    """From files into one connection's socket, around the transport that owns it."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._transport: Any = cycle.transport
        self._socket: int | None = None

    async def copy(self, file: int, offset: int, count: int) -> None:
        """Send exactly `count` bytes, after all that was sent before; returns early if the client left.

        Raises:
            EOFError: the file ends before.
            OSError: it can't be read.
        """
        cycle = self._cycle
        if count > cycle.expected_content_length:
            raise RuntimeError("Response content longer than Content-Length")
        if self._socket is None:
            # of our own: the transport's may be closed, and its number another connection's, at any await
            self._socket = os.dup(self._transport.get_extra_info("socket").fileno())
            self._transport.set_write_buffer_limits(high=0)  # writing is paused until all has left
        while self._transport.get_write_buffer_size() and not cycle.disconnected:
            await cycle.flow.drain()
            await asyncio.sleep(0)
        while count and not cycle.disconnected:
            try:
                sent = os.sendfile(self._socket, file, offset, count)
            except BlockingIOError:
                await self._until_writable(self._socket)
                continue
            except (BrokenPipeError, ConnectionResetError):
                self._transport.abort()
                return
            if not sent:
                raise EOFError("The file is shorter than it was.")
            offset += sent
            count -= sent
            cycle.expected_content_length -= sent

    async def _until_writable(self, descriptor: int) -> None:
        """Wait for room in the socket, or for the connection to be lost, which makes it writable too."""
        loop = asyncio.get_running_loop()
        writable = asyncio.Event()
        loop.add_writer(descriptor, writable.set)
        try:
            await writable.wait()
        finally:
            loop.remove_writer(descriptor)

    def close(self) -> None:
        if self._socket is not None:
            os.close(self._socket)
