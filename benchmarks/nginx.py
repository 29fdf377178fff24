"""nginx as the peer, which serves the finished archive as a plain file with sendfile; and as the proxy in front."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from tests.installation import Installation, free_port

from fieldpack.server.run.tls import ensure_certificate

__all__ = ["find_nginx", "proxying", "serving_files"]

PROXY = Path(__file__).parents[1] / "deploy" / "nginx.conf"

CONFIG = """
daemon off;
worker_processes {processes};
pid {folder}/nginx.pid;
error_log {folder}/error.log;
{user}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    default_type application/zip;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location = /ping {{ return 200 "pong"; }}
        location / {{ root {root}; }}
    }}
}}
"""


def find_nginx() -> str | None:
    """The nginx program, also where ordinary users' paths don't lead."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def serving_files(root: Path, folder: Path, *, processes: int) -> Iterator[str]:
    """nginx serving the files in `root`; its base URL. `folder` is for its own files."""
    program = find_nginx()
    assert program is not None
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(CONFIG.format(processes=processes, folder=folder, root=root, port=port, user=user))
    process = subprocess.Popen(
        [program, "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log")]
    )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 10
        while True:
            try:
                httpx.get(f"{url}/ping", trust_env=False)
                break
            except httpx.HTTPError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@contextmanager
def proxying(server: Installation) -> Iterator[tuple[str, ssl.SSLContext]]:
    """nginx in front of a server, as `deploy/nginx.conf` has it, with TLS: its base URL, and whom to trust."""
    program = find_nginx()
    assert program is not None
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = ensure_certificate(folder / "tls", [])
        text = PROXY.read_text()
        for found, instead in (
            ("server api-1:8000;", f"server 127.0.0.1:{server.port};"),
            ("server api-2:8000;", ""),
            ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
            ("http2 on;", ""),  # clients here speak HTTP/1.1, and nginx knows the word from 1.25 on
            ("/etc/nginx/tls/fullchain.pem", str(files.cert_file)),
            ("/etc/nginx/tls/privkey.pem", str(files.key_file)),
            ("access_log /var/log/nginx/access.log plain", "access_log off"),
            ("http {", f"http {{ client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;"),
        ):
            assert found in text, found
            text = text.replace(found, instead)
        head = f"daemon off; pid {folder}/nginx.pid; {'user root;' if os.geteuid() == 0 else ''}"
        config = folder / "nginx.conf"
        config.write_text(head + text)
        process = subprocess.Popen(
            [program, "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log")]
        )
        try:
            trusted = ssl.create_default_context(cafile=files.ca_file)
            url = f"https://127.0.0.1:{port}"
            deadline = time.monotonic() + 10
            while True:
                try:
                    httpx.get(f"{url}/health/live", trust_env=False, verify=trusted).raise_for_status()
                    break
                except httpx.HTTPError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)
            yield url, trusted
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
