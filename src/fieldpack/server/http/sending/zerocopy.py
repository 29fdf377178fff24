"""Bytes of files sent by the kernel: the ASGI extension `http.response.zerocopysend`, which uvicorn lacks.

https://asgi.readthedocs.io/en/latest/extensions.html#zero-copy-send. Offered where it can work: over plain
HTTP, by uvicorn's httptools protocol, on a system with `sendfile`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

__all__ = ["EXTENSION", "ZeroCopy"]

EXTENSION = "http.response.zerocopysend"
_MORE: int = getattr(socket, "MSG_MORE", 0)


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
        outlet = _Outlet(cycle)

        async def send_or_copy(message: Message) -> None:
            if message["type"] == EXTENSION:
                await outlet.send_file(message["file"], message["offset"], message["count"])
            elif outlet.is_open and message.get("body"):
                await outlet.send(message["body"])
            else:
                await send(message)
                return
            if not message.get("more_body", False):
                await send({"type": "http.response.body", "body": b""})

        try:
            extensions = {**scope.get("extensions", {}), EXTENSION: {}}
            await self.app({**scope, "extensions": extensions}, receive, send_or_copy)
        finally:
            outlet.close()


class _Outlet:
    """Sends to one connection's socket directly, bypassing its transport, from the first file on.

    The transport is drained first; afterwards it gets only the end of the answer.
    """

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._socket: socket.socket | None = None

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    async def send_file(self, file: int, offset: int, count: int) -> None:
        """Send exactly `count` bytes of an open file; less only when the client has left.

        Raises:
            EOFError: the file ends before.
            OSError: it can't be read.
        """
        out = self._socket or await self._open()
        descriptor = out.fileno()
        stop = offset + count

        def some() -> int:
            sent = os.sendfile(descriptor, file, offset, stop - offset)
            if not sent:
                raise EOFError("The file is shorter than it was.")
            return sent

        while offset < stop and not self._cycle.disconnected:
            offset += await self._send_some(some)

    async def send(self, data: bytes | memoryview) -> None:
        """Send bytes that come before those of a file."""
        out = self._socket or await self._open()
        view = memoryview(data)
        while view and not self._cycle.disconnected:
            view = view[await self._send_some(partial(out.send, view, _MORE)) :]

    async def _send_some(self, some: Callable[[], int]) -> int:
        """What one call sends, once the socket takes any."""
        while not self._cycle.disconnected:
            try:
                sent = some()
            except BlockingIOError:
                await self._until_writable()
                continue
            except (BrokenPipeError, ConnectionResetError):
                self._cycle.transport.abort()
                self._cycle.disconnected = True
                break
            self._cycle.expected_content_length -= sent
            return sent
        return 0

    async def _open(self) -> socket.socket:
        transport: Any = self._cycle.transport
        # of our own: the transport's may be closed, and its number be another connection's, at any await
        self._socket = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        self._socket.setblocking(False)
        transport.set_write_buffer_limits(high=0)  # writing is paused until all has left
        while transport.get_write_buffer_size() and not self._cycle.disconnected:
            await self._cycle.flow.drain()
            await asyncio.sleep(0)
        return self._socket

    async def _until_writable(self) -> None:
        """Wait for room in the socket, or for the connection to be lost, which makes it writable too."""
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        writable = loop.create_future()
        loop.add_writer(self._socket, _set, writable)
        try:
            await writable
        finally:
            loop.remove_writer(self._socket)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
