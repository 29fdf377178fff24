"""Receiving a large file: memory and speed, beside nginx storing the same body, and sinks that drop it or keep it."""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from tests.installation import Installation, free_port, installed
from tests.scenario import Participant, Scenario

from .machine import MIB, PeakMemory, keep, show
from .nginx import find_nginx

SIZE_MIB = 2048
ROUNDS = 3
CHUNK_MIB = 8
READY_SECONDS = 20.0
FILMS = {
    "type": "file_upload",
    "description": "A film",
    "accepted_file_types": [".mp4"],
    "max_file_size_mb": 10_000,
    "max_file_count": 50,
    "required": False,
}
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}
HEAD = b"\0\0\0\x18ftypisom\0\0\2\0isomavc1"
BLOCK = HEAD + os.urandom(4 * MIB - len(HEAD))
SINK = """
import sys, uvicorn
async def app(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), lifespan="off", log_level="error")
"""
KEEPING_SINK = """
import hashlib, os, sys, tempfile, uvicorn
from isal import isal_zlib
async def app(scope, receive, send):
    sha256, crc32 = hashlib.sha256(), 0
    with tempfile.TemporaryFile(buffering=0, dir=sys.argv[2]) as file:
        while True:
            message = await receive()
            body = message.get("body", b"")
            sha256.update(body)
            crc32 = isal_zlib.crc32(body, crc32)
            file.write(body)
            if not message.get("more_body"):
                break
        os.fsync(file)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), lifespan="off", log_level="error")
"""
NGINX = """
daemon off; pid {folder}/pid; worker_processes 2; error_log {folder}/error.log; user {user};
events {{}}
http {{
  access_log off; client_max_body_size 0; client_body_temp_path {folder}/bodies;
  client_body_in_file_only on; client_body_buffer_size 1m; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{behind}; proxy_pass_request_body off;
                  proxy_set_header Content-Length ""; }} }}
  server {{ listen 127.0.0.1:{behind}; location / {{ return 204; }} }}
}}
"""


def send(method: str, url: str, headers: dict[str, str], size_bytes: int) -> float:
    """Send a body as fast as it is taken; seconds until the answer, which must be 204."""
    parsed = httpx.URL(url)
    given = {"Host": f"{parsed.host}:{parsed.port}", "Content-Length": str(size_bytes), **headers}
    lines = [f"{method} {parsed.raw_path.decode()} HTTP/1.1", *(f"{k}: {v}" for k, v in given.items())]
    with socket.create_connection((parsed.host, parsed.port or 80), timeout=300) as connection:
        started = time.perf_counter()
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        for _ in range(size_bytes // len(BLOCK)):
            connection.sendall(BLOCK)
        answer = connection.recv(4096)
        seconds = time.perf_counter() - started
    if not answer.startswith(b"HTTP/1.1 204"):
        raise RuntimeError(f"{url}: {answer[:300]!r}")
    return seconds


def send_to_nginx(url: str, bodies: Path, size_bytes: int, *, durable: bool) -> float:
    """`send`; with `durable`, until the file it made is on the disk, which nginx does not wait for."""
    seconds = send("PUT", url, {}, size_bytes)
    started = time.perf_counter()
    for path in [path for path in bodies.rglob("*") if path.is_file()]:
        if durable:
            with path.open("rb") as file:
                os.fsync(file)
            seconds += time.perf_counter() - started
        path.unlink()
    return seconds


def create(participant: Participant, size_bytes: int) -> str:
    """A new upload; its URL."""
    pairs = {"instruction_id": participant.item(0), "filename": "film.mp4"}
    metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items())
    headers = {**participant.headers, **TUS, "Upload-Length": str(size_bytes), "Upload-Metadata": metadata}
    created = participant.http.post(f"{participant.path}/uploads", headers=headers)
    created.raise_for_status()
    return str(created.url.join(created.headers["Location"]))


def finish(participant: Participant, url: str, size_bytes: int) -> None:
    """Check that it is complete, and remove it."""
    state = participant.http.get(url, headers=participant.headers).json()
    if state["status"] != "complete" or state["size_bytes"] != size_bytes:
        raise RuntimeError(str(state))
    participant.http.delete(url, headers={**participant.headers, **TUS}).raise_for_status()


def measure_whole(participant: Participant, size_bytes: int) -> float:
    """Seconds for one request with everything; hashed, on the disk, and on record."""
    url = create(participant, size_bytes)
    seconds = send("PATCH", url, {**participant.headers, **BYTES, "Upload-Offset": "0"}, size_bytes)
    finish(participant, url, size_bytes)
    return seconds


def measure_chunks(participant: Participant, size_bytes: int) -> float:
    """Seconds for requests of `CHUNK_MIB`, each with its checksum, as the participants' page sends them."""
    url = create(participant, size_bytes)
    chunk = BLOCK * (CHUNK_MIB * MIB // len(BLOCK))
    checksum = f"sha256 {base64.b64encode(hashlib.sha256(chunk).digest()).decode()}"
    started = time.perf_counter()
    for offset in range(0, size_bytes, len(chunk)):
        headers = {**participant.headers, **BYTES, "Upload-Offset": str(offset), "Upload-Checksum": checksum}
        participant.http.patch(url, content=chunk, headers=headers).raise_for_status()
    seconds = time.perf_counter() - started
    finish(participant, url, size_bytes)
    return seconds


def wait_until_open(port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@contextmanager
def sink(program: str, folder: Path) -> Iterator[str]:
    """A bare ASGI application under uvicorn that reads a body, and drops it or keeps it in `folder`."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", program, str(port), str(folder)])
    try:
        wait_until_open(port)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def nginx(folder: Path) -> Iterator[str | None]:
    """nginx that stores a body in a file before it answers; None where there is no nginx."""
    program = find_nginx()
    if program is None:
        yield None
        return
    port = free_port()
    user = "root" if os.geteuid() == 0 else "nobody"
    configuration = NGINX.format(folder=folder, port=port, behind=free_port(), user=user)
    (folder / "nginx.conf").write_text(configuration)
    process = subprocess.Popen([program, "-c", str(folder / "nginx.conf"), "-p", str(folder)])
    try:
        wait_until_open(port)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


def run_rounds(installation: Installation, size_bytes: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Every contender in turn, `rounds` times, so that none has the better moment."""
    with (
        installation.client() as client,
        sink(SINK, folder) as sink_url,
        sink(KEEPING_SINK, installation.data_dir) as keeping_url,
        nginx(folder) as nginx_url,
    ):
        client.timeout = httpx.Timeout(300)
        participant = Scenario.create(client, FILMS).start("p1")
        contenders: dict[str, Callable[[], float]] = {
            "fieldpack, one request": lambda: measure_whole(participant, size_bytes),
            f"fieldpack, {CHUNK_MIB} MiB with checksums": lambda: measure_chunks(participant, size_bytes),
            "uvicorn, bytes dropped": lambda: send("PUT", sink_url, {}, size_bytes),
            "uvicorn, SHA-256, CRC-32, written, flushed": lambda: send("PUT", keeping_url, {}, size_bytes),
        }
        if nginx_url is None:
            print("  nginx: skipped, the program is not installed")
        else:
            for name, durable in (("client_body to a file", False), ("and then on the disk", True)):
                contenders[f"nginx, {name}"] = partial(
                    send_to_nginx, nginx_url, folder / "bodies", size_bytes, durable=durable
                )
        measure_whole(participant, 64 * MIB)
        taken: dict[str, list[float]] = {name: [] for name in contenders}
        growth: dict[str, float] = {}
        for _ in range(rounds):
            for name, measure in contenders.items():
                with PeakMemory(installation.children("web")) as peak:
                    taken[name].append(measure())
                growth[name] = max(growth.get(name, 0.0), peak.largest_mib - peak.before_mib)
    return {
        name: {
            "seconds": round(statistics.median(seconds), 3),
            "all_seconds": [round(each, 3) for each in seconds],
            "mib_per_second": round(size_bytes / MIB / statistics.median(seconds)),
            **({"memory_growth_mib": round(growth[name], 1)} if name.startswith("fieldpack") else {}),
        }
        for name, seconds in taken.items()
    }


def run(size_mib: int = SIZE_MIB, rounds: int = ROUNDS) -> dict[str, Any]:
    with installed("--no-worker") as installation, tempfile.TemporaryDirectory() as folder:
        results = run_rounds(installation, size_mib * MIB, rounds, Path(folder))
    whole = results["fieldpack, one request"]["mib_per_second"]
    show(
        f"Upload of {size_mib:,} MiB (fieldpack hashes it and has it on the disk before it answers)",
        ["", "MiB/s", "fieldpack is", "memory grew by MiB"],
        [
            [
                name,
                f"{r['mib_per_second']:,}",
                f"{whole / r['mib_per_second']:.2f}×",
                r.get("memory_growth_mib", ""),
            ]
            for name, r in results.items()
        ],
    )
    figures = {"size_mib": size_mib, "uploads": results}
    keep("uploads", figures)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=SIZE_MIB, help="MiB of the file")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    run(arguments.size, arguments.rounds)


if __name__ == "__main__":
    main()
