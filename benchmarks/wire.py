"""A client that costs little, for many requests at a time: what is measured is the server, on the same machine.

HTTP/1.1 with lengths, over TLS or not; each connection has one request at a time.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import orjson

__all__ = ["Answer", "Wire"]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read whole."""

    status: int
    head: bytes
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)

    def header(self, name: str) -> str:
        """The value of a header that is there."""
        lower = self.head.lower()
        start = lower.index(b"\r\n" + name.lower().encode() + b":") + len(name) + 3
        return self.head[start : self.head.index(b"\r\n", start)].strip().decode()

    def require(self, *statuses: int) -> Answer:
        """This answer, if its status is one of these. Raises `RuntimeError`."""
        if self.status not in statuses:
            raise RuntimeError(f"{self.status}: {self.body[:300]!r}")
        return self


class _Line(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._waiting: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is of no class of asyncio's

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0 or self._waiting is None or self._waiting.done():
            return
        head = bytes(self._data[: end + 2])
        status = int(head[9:12])
        length = 0
        if status not in (204, 304):
            at = head.lower().index(b"\r\ncontent-length:") + 17
            length = int(head[at : head.index(b"\r\n", at)])
        if len(self._data) >= end + 4 + length:
            body = bytes(self._data[end + 4 :])
            self._data.clear()
            self._waiting.set_result(Answer(status, head, body))

    async def ask(self, request: bytes, body: bytes) -> Answer:
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.writelines([request, body])
        return await self._waiting

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Wire:
    """Connections to one server, opened when all there are have a request under way.

    Args:
        url: its base URL, without `/api/v1`.
        trusted: who is trusted to say that it is the server, for https.
    """

    def __init__(self, url: str, trusted: ssl.SSLContext | None = None) -> None:
        self._parts = urlsplit(url)
        self._ssl = trusted if self._parts.scheme == "https" else None
        self._idle: list[_Line] = []
        self._host = f" HTTP/1.1\r\nHost: {self._parts.netloc}\r\nContent-Length: ".encode()

    async def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """Send a request, and read its answer.

        Raises:
            ConnectionError: the connection was closed before.
        """
        lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        request = b"".join(
            (f"{method} {path}".encode(), self._host, b"%d\r\n" % len(body), lines.encode(), b"\r\n")
        )
        line = self._idle.pop() if self._idle else None
        if line is None or not line.is_open:
            line = await self._open()
        answer = await line.ask(request, body)
        self._idle.append(line)
        return answer

    async def _open(self) -> _Line:
        host, port = self._parts.hostname or "", self._parts.port or 443
        _, line = await asyncio.get_running_loop().create_connection(_Line, host, port, ssl=self._ssl)
        return line

    def close(self) -> None:
        """Close all connections."""
        for line in self._idle:
            line.close()
        self._idle.clear()
