"""An answer that goes on for as long as its reader stays: server-sent events (HTML Living Standard §9.2)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fieldpack.server.http.sending.closing import when_closing

__all__ = ["EventStream", "Told", "Wake", "write_event"]

HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would keep events until its buffer is full
    "X-Content-Type-Options": "nosniff",
}


class Wake:
    """What a stream waits for: news of any kind, or its end."""

    def __init__(self) -> None:
        self.news = asyncio.Event()
        self.is_over = False

    def end(self) -> None:
        """The reader has left, or the server is about to end."""
        self.is_over = True
        self.news.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for news, at most so long; whether there were any."""
        try:
            await asyncio.wait_for(self.news.wait(), seconds)
        except TimeoutError:
            return False
        self.news.clear()
        return True


class Told(asyncio.Event):
    """An event that wakes a stream when it is set."""

    def __init__(self, wake: Wake) -> None:
        super().__init__()
        self._wake = wake

    def set(self) -> None:
        super().set()
        self._wake.news.set()


def write_event(name: str, data: Any) -> bytes:
    """One event with JSON, as it is sent."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(data))


class EventStream(Response):
    """Events until their source ends, the reader leaves, or the server is about to end.

    Args:
        source: gives what is sent, and ends soon after the `Wake` that it is given is over.
    """

    def __init__(self, source: Callable[[Wake], AsyncGenerator[bytes]]) -> None:
        super().__init__(status_code=200, headers=HEADERS)
        del self.headers["content-length"]
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        wake = Wake()
        when_closing(scope, wake.end)
        watcher = asyncio.create_task(_watch(receive, wake))
        source = self._source(wake)
        try:
            async for event in source:
                await send({"type": "http.response.body", "body": event, "more_body": True})
                if wake.is_over:
                    break
            await send({"type": "http.response.body", "body": b""})
        finally:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher
            await source.aclose()


async def _watch(receive: Receive, wake: Wake) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    wake.end()
