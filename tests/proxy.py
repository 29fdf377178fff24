"""A TCP proxy on loopback that a test makes slow, refusing or short: a network between us and the storage."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from types import TracebackType

CHUNK_BYTES = 64 * 1024
SHORT_BYTES = 8 * 1024
"""A piece smaller than this is a request or a short answer, not the middle of a file."""


class Proxy:
    """Forwards connections to `host:port`; change its attributes while it runs.

    Attributes:
        refusing: new connections are closed at once, and those there are are cut.
        bytes_per_second: the most that passes in each direction of each connection; None for no limit.
        cut_after: cut a connection when so many bytes of answers have passed; None for never.
        delay_seconds: held back before each answer's piece.
        reply: given to whoever asks anything, instead of passing it on; None to pass it on.
        held: set once something waits at the gate that `hold` closed.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.target = (host, port)
        self.refusing = False
        self.bytes_per_second: float | None = None
        self.cut_after: int | None = None
        self.delay_seconds = 0.0
        self.reply: bytes | None = None
        self.connections = 0
        self.held = threading.Event()
        self._left: dict[bool, int | None] = {True: None, False: None}
        self._gate = threading.Condition()
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
        self.release()

    def reply_with(self, answer: bytes) -> None:
        """Cut everything, and give this answer to whatever is asked from now on."""
        self.reply = answer
        for open in list(self._open):
            _cut(open)

    def hold(self, after_bytes: int, *, answers: bool) -> None:
        """Close a gate: so many bytes more pass in this direction, all connections together, then files wait.

        What is shorter than `SHORT_BYTES` goes on passing, so that others can still ask and be answered.

        Args:
            answers: hold what comes from the server; else what goes to it.
        """
        with self._gate:
            self._left[answers] = after_bytes
            self.held.clear()

    def release(self) -> None:
        """Open the gates."""
        with self._gate:
            self._left = {True: None, False: None}
            self._gate.notify_all()

    def wait_until_held(self, seconds: float = 120) -> None:
        """Until as much has passed as may, and more waits."""
        assert self.held.wait(seconds), "nothing came as far as the gate"

    def cut(self) -> None:
        """Cut the connections there are, with what waits at the gate; new ones are let through."""
        self.refuse()
        self.heal()

    def heal(self) -> None:
        """Behave again."""
        self.release()
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
                server = socket.create_connection(self.target, timeout=60)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            self._open |= {client, server}
            for source, target, answers in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pump, args=(source, target, answers), daemon=True).start()

    def _take(self, size: int, answers: bool) -> int:
        """How many of so many bytes may pass now, at least one; waits as long as it is none."""
        with self._gate:
            while (left := self._left[answers]) == 0 and size >= SHORT_BYTES:
                self.held.set()
                self._gate.wait()
            if not left:
                return size
            taken = min(size, left)
            self._left[answers] = left - taken
            return taken

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
                passed += len(data)
                while data:
                    taken = self._take(len(data), answers)
                    target.sendall(data[:taken])
                    data = data[taken:]
        except OSError:
            pass
        finally:
            for end in (source, target):
                _cut(end)
                self._open.discard(end)
                end.close()


def _reply(client: socket.socket, answer: bytes) -> None:
    """Hear a request to its end, by the length it names, then answer."""
    with client, contextlib.suppress(OSError):
        client.settimeout(60)
        heard = b""
        while b"\r\n\r\n" not in heard and (data := client.recv(CHUNK_BYTES)):
            heard += data
        head, _, body = heard.partition(b"\r\n\r\n")
        named = re.search(rb"(?i)\ncontent-length: *(\d+)", head)
        left = int(named[1]) - len(body) if named else 0
        while left > 0 and (data := client.recv(CHUNK_BYTES)):
            left -= len(data)
        client.sendall(answer)


def _cut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
