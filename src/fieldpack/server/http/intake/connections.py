"""One connection of a client: uvicorn's protocol with limits on the memory and time that a stranger can take.

`reading.py` limits what of a request is read; here is how long it may take, and how a connection ends. There are no
timers: each connection has a deadline, and the server compares them with the clock twice a second (`expire`).
Refusals have the error body of the API, and the connection ends after them.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import orjson
import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle
from uvicorn.server import ServerState

from fieldpack.server.http.authentication import EXTENSION
from fieldpack.server.http.intake.addresses import Ticket, plain_address
from fieldpack.server.http.intake.reading import MAX_PIPELINED, Reading
from fieldpack.server.http.sending.closing import CLOSING
from fieldpack.server.machine.metrics import CONNECTIONS_REFUSED
from fieldpack.server.problems import MALFORMED, REQUEST_TIMEOUT, Problem, ProblemType, problem_body

__all__ = ["Connection", "refusal"]

HEAD_SECONDS = 15.0
BODY_SECONDS = 20.0
BODY_RATE = 500  # bytes per second that a stranger's body comes with after that
IDLE_SECONDS = 75.0  # between bytes of an authenticated request's body; an upload commits before that
STALL_SECONDS = 60.0  # in which an unauthenticated client receives no byte of an answer
LINGER_SECONDS = 30.0  # for the rest of a body whose answer was sent
PARTING_SECONDS = 2.0
PARTING_BYTES = 1 << 20
AGAIN_SECONDS = 1.0

log = structlog.get_logger()


def refusal(problem: Problem, headers: list[tuple[bytes, bytes]]) -> bytes:
    """A whole answer: the one error body, after which the connection ends."""
    body = orjson.dumps(problem_body(problem.type, problem.detail))
    lines = [*headers, *((k.lower().encode(), v.encode()) for k, v in problem.headers.items())]
    lines += [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    head = b"".join(name + b": " + value + b"\r\n" for name, value in lines)
    return STATUS_LINE[problem.type.status] + head + b"\r\n" + body


class _Caller:
    """The ASGI extension of one request, which is called when the request is authenticated."""

    __slots__ = ("connection", "known")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.known = False

    def __call__(self) -> None:
        if not self.known:
            self.known = True
            self.connection.become_known()


class Connection(Reading):
    """A connection. `deadline` is when `expire` wants to be called (the loop's clock).

    Args:
        ticket: its place among those of its address.
    """

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], ticket: Ticket
    ) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state)
        self.ticket = ticket
        self.deadline = math.inf
        self._caller: _Caller | None = None
        self._running: RequestResponseCycle | None = None  # `cycle` is the last one that was read
        self._begun_at = self._heard_at = 0.0
        self._is_ending = False
        self._parting = b""  # a refusal that waits for the answers before it
        self._parted_bytes = -1  # how many bytes arrived after a refusal was sent; -1: none was sent
        self._unsent_bytes = 0
        self._on_closing: Callable[[], None] | None = None

    # the transport's calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        super().connection_made(transport)
        if self.client is not None:
            self.client = (plain_address(self.client[0]), self.client[1])
        self.deadline = self.loop.time() + HEAD_SECONDS

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline = math.inf
        self._held = b""
        self.ticket.release()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        if self._parted_bytes >= 0:
            self._parted_bytes += len(data)
            if self._parted_bytes > PARTING_BYTES:
                self.transport.abort()
        elif self.transport.is_closing():
            return
        elif self._is_deaf:
            self.flow.pause_reading()
        elif self._held:
            self._hold(self._held + data)
        else:
            self.ticket.wake()
            self._feed(data)

    # as a request is read

    def head_begun(self) -> None:
        self.deadline = self.loop.time() + HEAD_SECONDS

    def extensions_of_request(self) -> dict[str, Any]:
        self._caller = _Caller(self)
        return {EXTENSION: self._caller, CLOSING: self._tell_when_closing}

    def body_begun(self) -> None:
        self._begun_at = self._heard_at = self.loop.time()
        self.deadline = self._begun_at + BODY_SECONDS

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._heard_at = self.loop.time()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.deadline = self.loop.time() + STALL_SECONDS if self._is_answering() else math.inf

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _tell_when_closing(self, tell: Callable[[], None]) -> None:
        self._on_closing = tell

    def shutdown(self) -> None:
        if self._on_closing is not None:
            self._on_closing()
        super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self.deadline = self.loop.time() + LINGER_SECONDS

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._on_closing = None
        now = self.loop.time()
        if self.transport.is_closing():
            self.deadline = now + LINGER_SECONDS
            return
        if self._parting and not self._is_answering():
            self._part()
            return
        if not self._in_head:
            if not self._is_answering():
                self.deadline = now + LINGER_SECONDS
        elif not self._head_bytes and not self._is_answering():
            self.deadline = math.inf  # uvicorn closes what is idle
            self.ticket.rest(self._close_if_idle)
        if self._held and self.ticket.is_held:
            self.refuse(MALFORMED, f"More than {MAX_PIPELINED} requests were sent ahead of their answers.")
        elif self._held:
            self.loop.call_soon(self._go_on)

    # authentication

    def become_known(self) -> None:
        """A request on this connection was authenticated: it counts no longer for its address."""
        self.ticket.release()

    def _is_answering(self) -> bool:
        """Whether a request was read whose answer is not complete."""
        return bool(self.pipeline) or (self._running is not None and not self._running.response_complete)

    def _close_if_idle(self) -> None:
        if not self._is_answering() and not self._head_bytes:
            self.transport.close()

    # ending

    def expire(self, now: float) -> None:
        """The deadline has passed: end the connection, or set the next deadline."""
        self.deadline = math.inf
        if self._parted_bytes >= 0 or self.transport.is_closing():
            if self._has_stalled() or self._is_ending:
                self.transport.abort()
                return
            if not self._unsent_bytes:
                self.transport.close()
                self._is_ending = True
            self.deadline = now + LINGER_SECONDS
        elif self._in_head:
            self._expire_head(now)
        elif not self._is_answering():
            self.transport.abort()  # the client got its answer and goes on sending
        else:
            self._expire_body(now)

    def _expire_head(self, now: float) -> None:
        if self._is_answering():
            if self.ticket.is_held and self._has_stalled():
                self.transport.abort()
            elif self.ticket.is_held:
                self.deadline = now + STALL_SECONDS
        elif self._head_bytes:
            self.refuse(REQUEST_TIMEOUT, f"The head of a request comes within {HEAD_SECONDS:.0f} s.")
        elif self.cycle is None:
            CONNECTIONS_REFUSED.labels("silent").inc()
            self.transport.close()
            self.deadline = now + LINGER_SECONDS

    def _expire_body(self, now: float) -> None:
        """Measured from when it could come: not while we don't read, or answer the request before it."""
        if self.flow.read_paused or self.cycle is not self._running:
            self._begun_at += AGAIN_SECONDS
            self._heard_at = now
            self.deadline = now + AGAIN_SECONDS
            return
        if self._caller is not None and self._caller.known:
            due = self._heard_at + IDLE_SECONDS
            detail = f"Nothing of the body came for {IDLE_SECONDS:.0f} s."
        else:
            due = self._begun_at + BODY_SECONDS + self._body_bytes / BODY_RATE
            detail = f"The body comes too slowly: less than {BODY_RATE:,} bytes a second."
        if now < due:
            self.deadline = due
        else:
            self.refuse(REQUEST_TIMEOUT, detail)

    def _has_stalled(self) -> bool:
        """Whether nothing of an answer was taken since this was asked last."""
        before, self._unsent_bytes = self._unsent_bytes, self.transport.get_write_buffer_size()
        return 0 < before == self._unsent_bytes

    def refuse(self, type: ProblemType, detail: str) -> None:
        if self._is_deaf:
            return
        self._is_deaf = True
        self._held = b""
        CONNECTIONS_REFUSED.labels(str(type.status)).inc()
        log.debug("connection.refused", status=type.status, detail=detail)
        self._parting = refusal(Problem(type, detail), self.server_state.default_headers)
        cycle: RequestResponseCycle | None = self.cycle
        if not self._in_head and cycle is not None and not cycle.response_complete:
            # what is wrong is the body of a request that was begun
            if cycle is not self._running:
                self.pipeline.popleft()
            else:
                cycle.disconnected = True
                cycle.message_event.set()
                self._running = None
                if cycle.response_started:
                    self._parting = b""
                    self.transport.close()
                    self.deadline = self.loop.time() + PARTING_SECONDS
                    return
        if self._is_answering():  # those before it are answered first
            self.flow.pause_reading()
        else:
            self._part()

    def _part(self) -> None:
        """Send the refusal. What still arrives is discarded for a while: closing at once could lose it (RST)."""
        self._unset_keepalive_if_required()
        answer, self._parting = self._parting, b""
        self.transport.write(answer)
        self._parted_bytes = 0
        self.deadline = self.loop.time() + PARTING_SECONDS
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()
