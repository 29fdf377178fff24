"""A TCP proxy on loopback that a test makes slow, refusing or short: a network between us and the storage."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType

CHUNK_BYTES = 64 * 1024


class Proxy:
    """Forwards connections to `host:port`; change its attributes while it runs.

    Attributes:
        refusing: new connections are closed at once, and those there are are cut.
        bytes_per_second: the most that passes in each direction of each connection; None for no limit.
        cut_after: cut a connection when so many bytes of answers have passed; None for never.
        delay_seconds: held back before each answer's piece.
        reply: given to whoever asks anything, instead of passing it on; None to pass it on.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.target = (host, port)
        self.refusing = False
        self.bytes_per_second: float | None = None
        self.cut_after: int | None = None
        self.delay_seconds = 0.0
        self.reply: bytes | None = None
        self.connections = 0
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def refuse(self) -> None:
        """Cut everything, and let nothing new through."""
        self.refusing = True
        for open in list(self._open):
            _cut(open)

    def reply_with(self, answer: bytes) -> None:
        """Cut everything, and give this answer to whatever is asked from now on."""
        self.reply = answer
        for open in list(self._open):
            _cut(open)

    def heal(self) -> None:
        """Behave again."""
        self.refusing = False
        self.bytes_per_second = self.cut_after = self.reply = None
        self.delay_seconds = 0.0

    def close(self) -> None:
        self.refuse()
        _cut(self._listener)
        self._listener.close()
        self._thread.join(5)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self.refusing:
                client.close()
                continue
            if self.reply is not None:
                threading.Thread(target=_reply, args=(client, self.reply), daemon=True).start()
                continue
            try:
                server = socket.create_connection(self.target, timeout=10)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            self._open |= {client, server}
            for source, target, answers in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pump, args=(source, target, answers), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        passed = 0
        try:
            while data := source.recv(CHUNK_BYTES):
                if answers and self.delay_seconds:
                    time.sleep(self.delay_seconds)
                if self.bytes_per_second is not None:
                    time.sleep(len(data) / self.bytes_per_second)
                if answers and self.cut_after is not None and passed + len(data) > self.cut_after:
                    target.sendall(data[: max(self.cut_after - passed, 0)])
                    break
                target.sendall(data)
                passed += len(data)
        except OSError:
            pass
        finally:
            for end in (source, target):
                _cut(end)
                self._open.discard(end)
                end.close()


def _reply(client: socket.socket, answer: bytes) -> None:
    """Hear a request to its end, which is where nothing more comes, then answer."""
    with client:
        client.settimeout(0.2)
        with contextlib.suppress(OSError):
            while client.recv(CHUNK_BYTES):
                pass
        with contextlib.suppress(OSError):
            client.sendall(answer)


def _cut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
