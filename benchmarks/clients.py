"""Clients that cost little, so that what is measured is the server: plain sockets, each in its own process.

Each waits for a line on standard input before it begins, and prints one JSON line when it is done. Only the
standard library is imported, so that one starts in a few hundredths of a second.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from itertools import cycle
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Worker", "run_together"]

BUFFER_BYTES = 1 << 20


def connect(url: str) -> tuple[socket.socket, str]:
    """A connection to the server of `url`, and what to ask it for."""
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname or "", parts.port or 80))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection, f"{parts.path}?{parts.query}" if parts.query else parts.path


def head_of(path: str, headers: dict[str, str] | None = None, *, close: bool = False) -> bytes:
    """A GET request."""
    lines = [f"GET {path} HTTP/1.1", "Host: bench", *(f"{k}: {v}" for k, v in (headers or {}).items())]
    if close:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def read_head(connection: socket.socket) -> tuple[int, int, bytes]:
    """Status, Content-Length and what of the body came along."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError("the server closed the connection")
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return int(head.split(None, 2)[1]), length, rest


def download(url: str, first: int = -1, last: int = -1) -> dict[str, Any]:
    """Take a whole file, or a range of it, and throw it away."""
    # copying to an address that is the source's modulo a page takes twice as long on many processors; which
    # server that would hit is chance, so the bytes go to several places in turn
    whole = memoryview(bytearray(BUFFER_BYTES + 4096))
    buffers = cycle([whole[at : at + BUFFER_BYTES] for at in range(0, 4096, 512)])
    started = time.perf_counter()
    connection, path = connect(url)
    connection.sendall(head_of(path, {"Range": f"bytes={first}-{last}"} if first >= 0 else None, close=True))
    status, length, rest = read_head(connection)
    got = len(rest)
    if not got and length:
        got = connection.recv_into(next(buffers))
    first_byte = time.perf_counter() - started
    while got < length:
        count = connection.recv_into(next(buffers))
        if not count:
            break
        got += count
    seconds = time.perf_counter() - started
    connection.close()
    if got != length or status not in (200, 206):
        raise ConnectionError(f"status {status}, {got} of {length} bytes")
    cpu = sum(os.times()[:2])
    return {"seconds": seconds, "first_byte": first_byte, "bytes": got, "cpu": cpu}


def ping(url: str, seconds: float, every: float = 0.005, connections: int = 4) -> dict[str, Any]:
    """Ask for a small thing over and over; the longest wait. Several connections reach several processes."""
    opened = [connect(url) for _ in range(connections)]
    waits = []
    end = time.perf_counter() + seconds
    number = 0
    while time.perf_counter() < end:
        connection, path = opened[number % connections]
        number += 1
        started = time.perf_counter()
        connection.sendall(head_of(path))
        _, length, rest = read_head(connection)
        while len(rest) < length:
            rest += connection.recv(65536)
        waits.append(time.perf_counter() - started)
        time.sleep(every)
    waits.sort()
    return {"longest": waits[-1], "p50": waits[len(waits) // 2], "p99": waits[int(len(waits) * 0.99)]}


def take_slowly(url: str, count: int, rate: int, seconds: float) -> dict[str, Any]:
    """So many downloads at once, each taking `rate` bytes a second; how many bytes came in all."""
    opened = []
    for _ in range(count):
        parts = urlsplit(url)
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.connect((parts.hostname or "", parts.port or 80))
        connection.sendall(head_of(f"{parts.path}?{parts.query}"))
        connection.setblocking(False)
        opened.append(connection)
    print("connected", flush=True)
    total = 0
    every = 0.2
    started = time.perf_counter()
    rounds = 0
    while time.perf_counter() - started < seconds:
        for connection in opened:
            try:
                data = connection.recv(int(rate * every))
            except BlockingIOError:
                continue
            if not data:
                raise ConnectionError("a slow download was cut off")
            total += len(data)
        rounds += 1
        time.sleep(max(started + rounds * every - time.perf_counter(), 0))
    return {"bytes": total, "seconds": time.perf_counter() - started}


def poll(url: str, token: str, pollers: int, every: float, seconds: float) -> dict[str, Any]:
    """So many pollers, each on a connection of its own, each asking every so many seconds; their waits."""
    waits: list[float] = []
    lock = threading.Lock()

    def one(number: int) -> None:
        connection, path = connect(url)
        request = head_of(path, {"Authorization": f"Token {token}"})
        time.sleep(every * number / pollers)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            started = time.perf_counter()
            connection.sendall(request)
            status, length, rest = read_head(connection)
            while len(rest) < length:
                rest += connection.recv(65536)
            took = time.perf_counter() - started
            if status != 200:
                raise ConnectionError(f"a poll was answered {status}")
            with lock:
                waits.append(took)
            time.sleep(max(every - took, 0))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(pollers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    waits.sort()
    return {
        "polls": len(waits),
        "p50": waits[len(waits) // 2],
        "p95": waits[int(len(waits) * 0.95)],
        "longest": waits[-1],
    }


class Worker:
    """One of the functions above in a process of its own."""

    def __init__(self, name: str, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-E", __file__, name, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        if self.process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"{name} did not start")

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()

    def wait_until(self, line: bytes) -> None:
        """Until the client says so."""
        assert self.process.stdout is not None
        if self.process.stdout.readline() != line + b"\n":
            raise RuntimeError("A measuring client failed.")

    def result(self) -> dict[str, Any]:
        output, _ = self.process.communicate()
        if self.process.returncode:
            raise RuntimeError(f"A measuring client failed with {self.process.returncode}.")
        found: dict[str, Any] = json.loads(output)
        return found


def run_together(workers: Sequence[Worker]) -> tuple[float, list[dict[str, Any]]]:
    """Let all begin at once; seconds until the last is done, and what each found."""
    started = time.perf_counter()
    for worker in workers:
        worker.go()
    results = [worker.result() for worker in workers]
    return time.perf_counter() - started, results


def main() -> None:
    name, arguments = sys.argv[1], json.loads(sys.argv[2])
    print("ready", flush=True)
    sys.stdin.readline()
    match name:
        case "download":
            found = download(*arguments)
        case "ping":
            found = ping(*arguments)
        case "poll":
            found = poll(*arguments)
        case _:
            found = take_slowly(*arguments)
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
