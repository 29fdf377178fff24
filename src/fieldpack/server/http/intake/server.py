"""Accepting connections: counted by address before any other work, and limited by the file descriptors there are.

uvicorn leaves this to the event loop, which has no such limits. The TLS handshake is limited as well: a client that
never ends it occupies a connection like one that sends no head.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE

from fieldpack.server.http.intake.addresses import Admission, Ticket
from fieldpack.server.http.intake.connections import Connection, refusal
from fieldpack.server.machine.metrics import CONNECTIONS_REFUSED
from fieldpack.server.problems import TOO_MANY_REQUESTS, Problem

__all__ = ["Listener", "Server"]

HANDSHAKE_SECONDS = 15.0
SHUTDOWN_SECONDS = 5.0
TOGETHER = 16  # connections accepted in a row, before other processes and connections have their turn
TICKS = 5  # of 0.1 s
PAUSE_SECONDS = 0.2
RETRY_SECONDS = 15
SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
# an error of the one connection that was to be taken (accept(2))
PASSING = (errno.ECONNABORTED, errno.EPROTO, errno.EINTR, errno.EPERM, errno.ENETDOWN, errno.EHOSTUNREACH)

log = structlog.get_logger()


class Server(uvicorn.Server):
    """uvicorn's server, with connections of ours.

    Args:
        config: its `http` is not used.
        admission: who may come in.
        most: connections at a time; beyond, they wait in the system's queue.
    """

    def __init__(self, config: uvicorn.Config, admission: Admission, most: int) -> None:
        super().__init__(config)
        self.admission = admission
        self.most = most

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            raise SystemExit(STARTUP_FAILURE)
        # what uvicorn asks of these is to be closed, and waited for
        self.servers = [Listener(self, each) for each in sockets or ()]  # type: ignore[misc]  # not of asyncio's class
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in tuple(self.server_state.connections):
                if isinstance(connection, Connection) and connection.deadline <= now:
                    try:
                        connection.expire(now)
                    except Exception as error:  # one connection's fault is not the end of all
                        log.error("connections.expire", exc_info=error)
                        connection.transport.abort()
        return await super().on_tick(counter)


class Listener:
    """One listening socket: takes connections until it is closed."""

    def __init__(self, server: Server, listening: socket.socket) -> None:
        self._server = server
        self._socket = listening
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._paused: asyncio.TimerHandle | None = None
        self._is_closed = False
        listening.setblocking(False)
        self._resume()

    def close(self) -> None:
        """Take no more; the socket is its owner's to close."""
        if not self._is_closed:
            self._is_closed = True
            self._pause()
            assert self._paused is not None
            self._paused.cancel()

    async def wait_closed(self) -> None:
        """As `asyncio.Server` has it; there is nothing to wait for."""

    def _pause(self) -> None:
        """Stop accepting for a moment, so that other processes do; otherwise the event loop would wake up at once."""
        if self._paused is None:
            self._loop.remove_reader(self._socket.fileno())
            self._paused = self._loop.call_later(PAUSE_SECONDS, self._resume)

    def _resume(self) -> None:
        self._paused = None
        if not self._is_closed:
            self._loop.add_reader(self._socket.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(TOGETHER):
            if len(self._server.server_state.connections) + len(self._opening) >= self._server.most:
                self._pause()
                return
            try:
                connection, peer = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in SCARCE:
                    log.warning("connections.no_descriptors", error=error.strerror)
                    self._pause()
                elif error.errno not in PASSING:
                    log.error("connections.accept", error=str(error))
                    self._pause()
                return
            self._admit(connection, peer)

    def _admit(self, connection: socket.socket, peer: Any) -> None:
        connection.setblocking(False)
        host = peer[0] if isinstance(peer, tuple) and peer else ""
        ticket = self._server.admission.admit(host)
        if ticket is None:
            CONNECTIONS_REFUSED.labels("address").inc()
            self._turn_away(connection)
            return
        task = self._loop.create_task(self._open(connection, ticket))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def _turn_away(self, connection: socket.socket) -> None:
        """Close it; where that can be said in plain words, with the reason."""
        if self._server.config.ssl is None:
            problem = Problem(
                TOO_MANY_REQUESTS,
                "Too many connections from this address have sent no request with a valid token, cookie or link.",
                headers={"Retry-After": str(RETRY_SECONDS)},
            )
            try:
                connection.send(refusal(problem, self._server.server_state.default_headers))
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        connection.close()

    async def _open(self, connection: socket.socket, ticket: Ticket) -> None:
        """Start the protocol on a socket; over TLS after the handshake."""
        server = self._server
        secure = server.config.ssl

        def make() -> Connection:
            return Connection(server.config, server.server_state, server.lifespan.state, ticket)

        try:
            await self._loop.connect_accepted_socket(
                make,
                connection,
                ssl=secure,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if secure else None,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS if secure else None,
            )
        except OSError:  # the client left, or the handshake failed: TLS errors and timeouts are OSErrors
            ticket.release()
        except BaseException:
            ticket.release()
            connection.close()
            raise
