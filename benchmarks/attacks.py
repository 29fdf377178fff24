"""What strangers cost who are silent, half-sent or endless: memory, disk, and what others feel of them.

From several addresses of the loopback, which the server under test trusts none of, with and without TLS.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import resource
import select
import socket
import ssl
import statistics
import subprocess
import sys
import time
from typing import Any

from tests.installation import Installation, installed

from .machine import keep, resident_mib, show

ADDRESSES = [f"127.0.0.{number}" for number in range(2, 10)]
CONNECTIONS = 1000
SILENT = 2000
PROCESSES = 2
POLLERS = 20
SECONDS = 12.0
POLL_SECONDS = 0.1
ROUNDS = 3
HEAD = b"GET /health/live HTTP/1.1\r\nHost: bench\r\n"
FORM = (
    b"POST /sign-in HTTP/1.1\r\nHost: bench\r\nSec-Fetch-Site: same-origin\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 65000\r\n\r\n"
)
MULTIPART = (
    b"POST /sign-in HTTP/1.1\r\nHost: bench\r\nSec-Fetch-Site: same-origin\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 20000000000\r\n\r\n"
    b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
)
KINDS = {
    "silent": b"",
    "half a head": HEAD + b"X: " + b"a" * 60_000,
    "half a form": FORM + b"token=" + b"a" * 60_000,
    "a form of 20 GB": MULTIPART + b"a" * 1_000_000,
    "requests sent ahead": (HEAD + b"\r\n") * 5000,
}


def connect(port: int, number: int, *, tls: bool, shake: bool = True) -> socket.socket:
    """A connection from one of the addresses; with TLS hands are shaken, unless it is to be silent there."""
    host = ADDRESSES[number % len(ADDRESSES)]
    made = socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(host, 0))
    if not tls or not shake:
        return made
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(made)


def send_some(client: socket.socket, data: bytes) -> None:
    """Send what the server takes, without waiting for more than a moment."""
    client.settimeout(0.05)
    with contextlib.suppress(OSError):
        client.sendall(data)


def hold(port: int, count: int, tls: bool) -> None:
    """Keep `count` connections open, silent and half-sent in turn, anew when they are closed; until killed."""
    held: dict[int, socket.socket] = {}
    number = 0
    poller = select.poll()
    told = False
    while True:
        while len(held) < count:
            with contextlib.suppress(OSError):
                client = connect(port, number, tls=tls, shake=number % 2 == 0)
                if number % 4 == 0:
                    send_some(client, HEAD + b"X: " + b"a" * 1000)
                held[client.fileno()] = client
                poller.register(client, select.POLLIN)
            number += 1
            if number % 50 == 0:
                time.sleep(0.01)  # anew, but not in a storm
        if not told:
            print("connected", flush=True)
            told = True
        for descriptor, _ in poller.poll(100):
            poller.unregister(descriptor)
            held.pop(descriptor).close()


def read_answer(client: socket.socket) -> bytes:
    """An answer with a Content-Length, whole: its head and its body may come one after the other."""
    answer = client.recv(65536)
    while True:
        head, end, body = answer.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if end and len(body) >= (int(length[1]) if length else 0):
            return answer
        more = client.recv(65536)
        if not more:
            return answer
        answer += more


def poll(port: int, token: str, tls: bool) -> None:
    """What known clients feel: the time of a request, on connections that stay."""
    clients = [connect(port, number, tls=tls) for number in range(POLLERS)]
    request = f"GET /api/v1/users/me HTTP/1.1\r\nHost: bench\r\nAuthorization: Token {token}\r\n\r\n".encode()
    waits: list[float] = []
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        for client in clients:
            started = time.perf_counter()
            client.sendall(request)
            answer = read_answer(client)
            waits.append(time.perf_counter() - started)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"a known client was refused: {answer[:200]!r}")
            time.sleep(POLL_SECONDS / POLLERS)
    waits.sort()
    print(json.dumps({"p95_ms": waits[len(waits) * 95 // 100] * 1000, "count": len(waits)}), flush=True)


def run_self(*arguments: Any) -> subprocess.Popen[str]:
    # a token may begin with a dash
    command = [sys.executable, "-m", "benchmarks.attacks", "--", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def free_bytes(server: Installation) -> int:
    status = os.statvfs(server.data_dir)
    return status.f_bavail * status.f_frsize


def measure_cost(server: Installation, data: bytes, *, tls: bool) -> dict[str, float]:
    """Memory of the web processes, and disk, for each of 1,000 connections that sent this and wait."""
    webs = server.children("web")
    before, free = resident_mib(webs), free_bytes(server)
    clients = []
    for number in range(CONNECTIONS):
        client = connect(server.port, number, tls=tls)
        send_some(client, data)
        clients.append(client)
    memory = (resident_mib(webs) - before) * 1024 / CONNECTIONS
    disk = (free - free_bytes(server)) / 1024 / CONNECTIONS
    for client in clients:
        client.close()
    time.sleep(1)
    return {"memory_kib": round(memory, 1), "disk_kib": round(max(disk, 0), 1)}


def measure_head(server: Installation, *, tls: bool) -> float:
    """Milliseconds from the first byte of a head of 64 MB to its refusal."""
    head = HEAD + b"X: " + b"a" * (64 << 20)
    with connect(server.port, 0, tls=tls) as client:
        started = time.perf_counter()
        with contextlib.suppress(OSError):
            client.sendall(head)
        try:
            answer = client.recv(4096)
        except OSError as error:  # over TLS the answer may be lost with the connection
            answer = str(error).encode()
        ms = (time.perf_counter() - started) * 1000
    if not tls and not answer.startswith(b"HTTP/1.1 431"):
        raise SystemExit(f"not refused: {answer[:200]!r}")
    return ms


def measure_others(server: Installation, *, tls: bool) -> dict[str, float]:
    """95th percentile of known clients' requests: alone, and beside 2,000 that are silent or half-sent."""

    def polled() -> float:
        out, _ = run_self("poll", server.port, server.token, int(tls)).communicate()
        p95: float = json.loads(out)["p95_ms"]
        return p95

    alone = polled()
    holder = run_self("hold", server.port, SILENT, int(tls))
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        beside = polled()
    finally:
        holder.kill()
        holder.communicate()
    time.sleep(2)
    return {"alone_ms": round(alone, 2), "beside_ms": round(beside, 2), "ratio": round(beside / alone, 2)}


def run() -> dict[str, Any]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    results: dict[str, Any] = {}
    for tls in (False, True):
        options = ["--workers", str(PROCESSES), *(["--tls"] if tls else [])]
        with installed(*options, FIELDPACK_TRUSTED_PROXIES="127.0.0.1") as server:
            measure_cost(server, HEAD, tls=tls)  # what a process keeps once, whoever comes
            found: dict[str, Any] = {"cost": {k: measure_cost(server, v, tls=tls) for k, v in KINDS.items()}}
            found["head_of_64_mb_ms"] = round(
                statistics.median(measure_head(server, tls=tls) for _ in range(5)), 1
            )
            found["others"] = [measure_others(server, tls=tls) for _ in range(ROUNDS)]
            found["ratio"] = statistics.median(each["ratio"] for each in found["others"])
        results["https" if tls else "http"] = found
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    show(
        f"{CONNECTIONS} connections of nobody we know, {PROCESSES} web processes: each costs",
        ["sent", *(f"{scheme} {what} KiB" for scheme in results for what in ("memory", "disk"))],
        [
            [
                kind,
                *(
                    f"{found['cost'][kind][f'{what}_kib']:.0f}"
                    for found in results.values()
                    for what in ("memory", "disk")
                ),
            ]
            for kind in KINDS
        ],
    )
    show(
        f"others beside {SILENT} silent and half-sent ones, and a head of 64 MB",
        ["", "p95 alone ms", "p95 beside ms", "ratio", "64 MB refused after ms"],
        [
            [
                scheme,
                f"{statistics.median(each['alone_ms'] for each in found['others']):.1f}",
                f"{statistics.median(each['beside_ms'] for each in found['others']):.1f}",
                f"{found['ratio']:.2f}×",
                f"{found['head_of_64_mb_ms']:.0f}",
            ]
            for scheme, found in results.items()
        ],
    )
    keep("attacks", results)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "part", nargs="*", help="hold PORT COUNT TLS, or poll PORT TOKEN TLS: for its own use"
    )
    match parser.parse_args().part:
        case ["hold", port, count, tls]:
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            hold(int(port), int(count), tls == "1")
        case ["poll", port, token, tls]:
            poll(int(port), token, tls == "1")
        case _:
            run()


if __name__ == "__main__":
    main()
