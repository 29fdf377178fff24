"""How a request is read: measured before the parser gets it, which joins a header anew with every chunk of it.

The first half of a connection: how much is read. `connections.py` is the other half: how long it may take, and how
it ends. Both use attributes of uvicorn's protocol that are not documented; `tests/unit/test_connections.py` lists
them, and fails when they change.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from fieldpack.server.problems import HEAD_TOO_LARGE, MALFORMED, URI_TOO_LONG, ProblemType
from fieldpack.server.values.urls import is_host

__all__ = ["MAX_HEAD_BYTES", "MAX_PIPELINED", "Reading"]

MAX_HEAD_BYTES = 64 * 1024
MAX_HEAD_LINES = 100
MAX_PIPELINED = 8
MAX_HELD_BYTES = 1 << 20
# of a chunked body, what is no content: sizes, extensions, trailers; each chunk brings an allowance
MAX_EXCESS_BYTES = 64 * 1024
CHUNK_ALLOWANCE_BYTES = 32
EMPTY_LINE = b"\r\n\r\n"  # what a head ends with, and a chunked body


class _Refused(Exception):
    """Raised in a callback of the parser, which ends its work."""


class Reading(HttpToolsProtocol):
    """Gives the parser heads and bodies, within limits of size and number."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state)
        self._in_head = True
        self._tail = b""  # of what came of the head, or of a chunked body
        self._line_bytes = 0  # of the request line, once it has ended
        self._excess_bytes = 0
        self._begin_head()
        self._held = b""
        self._is_deaf = False  # whether nothing more is read

    # implemented in `connections`

    @abstractmethod
    def head_begun(self) -> None:
        """The first byte of a head came."""

    @abstractmethod
    def body_begun(self) -> None:
        """A head was read, and the application has the request."""

    @abstractmethod
    def extensions_of_request(self) -> dict[str, Any]:
        """ASGI extensions for the request whose head was read."""

    @abstractmethod
    def refuse(self, type: ProblemType, detail: str) -> None:
        """Answer in the application's place, once, and end the connection."""

    # reading

    def _feed(self, data: bytes) -> None:
        """Give the parser heads and bodies, each by itself as far as their ends are known beforehand."""
        self._unset_keepalive_if_required()
        view = memoryview(data)
        start, size = 0, len(data)
        while start < size and not self._is_deaf:
            if self._in_head:
                if len(self.pipeline) >= MAX_PIPELINED:
                    self._hold(data[start:])
                    return
                stop = self._measure_head(data, start)
                if self._head_bytes > MAX_HEAD_BYTES:
                    self._refuse_head(line_bytes=self._line_bytes or self._head_bytes)
                    return
            else:
                stop = self._measure_body(data, start)
            if not self._give(view[start:stop]):
                return
            start = stop

    def _give(self, chunk: memoryview) -> bool:
        """Feed the parser; whether it can go on."""
        within = not self._in_head and self._chunked
        if within:
            self._excess_bytes += len(chunk)  # beforehand: the parser may find the end of the body in it
        try:
            self.parser.feed_data(chunk)
        except httptools.HttpParserUpgrade:
            # what follows would be of another protocol, which is not spoken here
            self.cycle.keep_alive = False
            self._is_deaf = True
            self.flow.pause_reading()
            return False
        except httptools.HttpParserError as error:
            if not self._is_deaf:
                reason = str(error) if error.__context__ is None else "it can't be understood"
                self.refuse(MALFORMED, f"This is no valid HTTP request: {reason}.")
            return False
        if within and not self._in_head:
            self._excess_bytes = max(self._excess_bytes, 0)  # what is saved here can't be used later
            return not self._refuse_excess()
        return True

    def _measure_head(self, data: bytes, start: int) -> int:
        """Count what belongs to this head, and say where it ends, at the latest with `data`."""
        if not self._head_bytes:
            self.head_begun()
        stop = self._find_empty_line(data, start)
        if not self._line_bytes:
            found = data.find(b"\n", start, stop)
            if found >= 0:
                self._line_bytes = self._head_bytes + found - start + 1
        self._head_bytes += stop - start
        return stop

    def _measure_body(self, data: bytes, start: int) -> int:
        """Where this body ends, or may end, at the latest with `data`."""
        if not self._chunked:
            return min(len(data), start + (self._remaining or len(data)))
        return self._find_empty_line(data, start)

    def _find_empty_line(self, data: bytes, start: int) -> int:
        """Where the next empty line ends, at the latest with `data`; it may have begun in what came before."""
        stop = -1
        if self._tail:
            found = (self._tail + data[start : start + 3]).find(EMPTY_LINE)
            stop = start + found + len(EMPTY_LINE) - len(self._tail) if found >= 0 else -1
        if stop < 0:
            found = data.find(EMPTY_LINE, start)
            stop = found + len(EMPTY_LINE) if found >= 0 else len(data)
        self._tail = (self._tail + data[max(start, stop - 3) : stop])[-3:]
        return stop

    def _hold(self, data: bytes) -> None:
        """Leave requests unread that came before the answers to many others."""
        self._held = data
        self.flow.pause_reading()
        if len(data) > MAX_HELD_BYTES:
            self.transport.abort()

    def _go_on(self) -> None:
        held, self._held = self._held, b""
        if held and not self._is_deaf and not self.transport.is_closing():
            self.flow.resume_reading()
            self._feed(held)

    def _begin_head(self) -> None:
        self._head_bytes = 0
        self._line_bytes = 0
        self._tail = b""
        self._hosts = 0
        self._is_host = True
        self._remaining = 0
        self._chunked = False
        self._coded = False  # in a way that is not spoken here
        self._excess_bytes = 0
        self._body_bytes = 0

    # the parser's calls

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer, which nobody here asks for; the scope is in use already
        if len(self.headers) >= MAX_HEAD_LINES:
            self._refuse_head(line_bytes=len(self.url))
            raise _Refused
        super().on_header(name, value)
        name = self.headers[-1][0]
        if name == b"host":
            self._hosts += 1
            # a port of no digits is that of the scheme (RFC 3986 §3.2.3)
            host = value.strip().removesuffix(b":")
            self._is_host = is_host(host.decode("latin-1"))
            self.headers[-1] = (name, host)
        elif name == b"content-length":
            self._remaining = int(value)
        elif name == b"transfer-encoding":
            self._coded = self._coded or self._chunked or value.strip().lower() != b"chunked"
            self._chunked = True

    def on_headers_complete(self) -> None:
        if self._hosts > 1 or (not self._hosts and self.parser.get_http_version() == "1.1"):
            self.refuse(MALFORMED, "A request has the header `Host` once.")
            raise _Refused
        if not self._is_host:  # links would begin with another that nobody asked for
            self.refuse(MALFORMED, "The header `Host` is no host, with or without a port.")
            raise _Refused
        if (
            self.parser.get_http_version() == "0.9"
        ):  # without a version, so that its answer would have no head
            self.refuse(MALFORMED, "A request line names the version of HTTP.")
            raise _Refused
        if self._coded:
            self.refuse(MALFORMED, "A body comes in chunks or as it is: no other coding is known here.")
            raise _Refused
        if len(self.pipeline) > MAX_PIPELINED * 2:
            self.refuse(MALFORMED, "Too many requests were sent without waiting for an answer.")
            raise _Refused
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > MAX_HEAD_BYTES:  # it arrived in the same chunk as what was before it
            self._refuse_head(line_bytes=len(self.url))
            raise _Refused
        everywhere = self.url == b"*" and self.parser.get_method() == b"OPTIONS"
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]  # uvicorn types it as one scope
        scope["extensions"] = self.extensions_of_request()
        if everywhere:
            self.url = b"/*"
        super().on_headers_complete()
        if everywhere:
            scope["path"] = "*"
        self._in_head = False
        self.body_begun()

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        size = len(body)
        self._body_bytes += size
        if self._chunked:
            self._excess_bytes -= size
        else:
            self._remaining -= size

    def on_chunk_header(self) -> None:
        self._excess_bytes -= CHUNK_ALLOWANCE_BYTES

    def on_message_complete(self) -> None:
        if self._refuse_excess():
            raise _Refused
        super().on_message_complete()
        self._in_head = True
        self._begin_head()

    def _refuse_excess(self) -> bool:
        """Whether there was too much that is no content; it is refused then."""
        if self._excess_bytes <= MAX_EXCESS_BYTES:
            return False
        self.refuse(MALFORMED, "The body has too much between its chunks, or after them.")
        return True

    def _refuse_head(self, *, line_bytes: int) -> None:
        if line_bytes > MAX_HEAD_BYTES:
            self.refuse(URI_TOO_LONG, f"A request line has at most {MAX_HEAD_BYTES:,} bytes.")
        else:
            self.refuse(
                HEAD_TOO_LARGE,
                f"The head of a request has at most {MAX_HEAD_LINES} lines and {MAX_HEAD_BYTES:,} bytes.",
            )
