"""The local certificate authority: real handshakes with uvicorn, httpx and curl."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
import uvicorn
from cryptography import x509

from fieldpack.errors import ConfigError
from fieldpack.server.run.tls import TlsFiles, ensure_certificate, trust_line


async def app(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"secret enough"})


@pytest.fixture
def serve() -> Iterator[Callable[[TlsFiles], int]]:
    """Serves `app` with the files given; returns the port."""
    stops: list[Callable[[], None]] = []

    def start(files: TlsFiles) -> int:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app,
            ssl_certfile=files.cert_file,
            ssl_keyfile=files.key_file,
            lifespan="off",
            ws="none",
            log_config=None,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()

        def stop() -> None:
            server.should_exit = True
            thread.join()
            listener.close()

        stops.append(stop)
        while not server.started:
            time.sleep(0.01)
        return int(listener.getsockname()[1])

    yield start
    for stop in stops:
        stop()


def fetch(files: TlsFiles, url: str) -> str:
    context = ssl.create_default_context(cafile=str(files.ca_file))
    with httpx.Client(verify=context, trust_env=False) as client:
        return client.get(url).text


def read_certificate(files: TlsFiles) -> x509.Certificate:
    return x509.load_pem_x509_certificate(files.cert_file.read_bytes())


def read_names(files: TlsFiles) -> set[str]:
    extension = read_certificate(files).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return {str(name.value) for name in extension.value}


def test_a_client_that_trusts_the_authority(tmp_path: Path, serve: Callable[[TlsFiles], int]) -> None:
    files = ensure_certificate(tmp_path, [])
    port = serve(files)
    assert fetch(files, f"https://127.0.0.1:{port}/") == "secret enough"
    assert fetch(files, f"https://localhost:{port}/") == "secret enough"


def test_another_authority_is_refused(tmp_path: Path, serve: Callable[[TlsFiles], int]) -> None:
    port = serve(ensure_certificate(tmp_path / "a", []))
    other = ensure_certificate(tmp_path / "b", [])
    with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        fetch(other, f"https://127.0.0.1:{port}/")
    with (
        pytest.raises(httpx.ConnectError, match="certificate verify failed"),
        httpx.Client(trust_env=False) as client,
    ):
        client.get(f"https://127.0.0.1:{port}/")


def test_the_trust_line_in_a_shell(tmp_path: Path, serve: Callable[[TlsFiles], int]) -> None:
    files = ensure_certificate(tmp_path / "it's a folder", [])
    port = serve(files)
    line = trust_line(files.ca_file)
    assert "\n" not in line
    get = f"{sys.executable} -c 'import httpx; print(httpx.get(\"https://127.0.0.1:{port}/\").text)'"
    shell = ["/bin/sh", "-c"]
    done = subprocess.run([*shell, f"{line}; {get}"], capture_output=True, text=True, check=False)
    assert done.stdout == "secret enough\n", done.stderr
    refused = subprocess.run([*shell, get], capture_output=True, text=True, check=False)
    assert "certificate verify failed" in refused.stderr


def test_the_trust_line_for_curl(tmp_path: Path, serve: Callable[[TlsFiles], int]) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    files = ensure_certificate(tmp_path, [])
    get = f"curl --noproxy '*' -sS https://127.0.0.1:{serve(files)}/"
    done = subprocess.run(
        ["/bin/sh", "-c", f"{trust_line(files.ca_file)}; {get}"], capture_output=True, text=True, check=False
    )
    assert done.stdout == "secret enough", done.stderr
    refused = subprocess.run(["/bin/sh", "-c", get], capture_output=True, text=True, check=False)
    assert refused.returncode == 60


def test_nobody_else_can_read_the_keys(tmp_path: Path) -> None:
    files = ensure_certificate(tmp_path, [])
    with_keys = [path for path in (tmp_path / "tls").iterdir() if b"PRIVATE KEY" in path.read_bytes()]
    assert sorted(path.name for path in with_keys) == ["ca.key", "server.pem"]
    assert {path.stat().st_mode & 0o777 for path in with_keys} == {0o600}
    assert files.ca_file.stat().st_mode & 0o777 == 0o644


def test_kept_until_a_host_is_missing(tmp_path: Path) -> None:
    first = ensure_certificate(tmp_path, ["Data.Example.org", "[2001:DB8::1]", "0.0.0.0", "bücher.example"])
    authority, before = first.ca_file.read_bytes(), first.cert_file.read_bytes()
    assert read_names(first) == {
        "localhost",
        "127.0.0.1",
        "::1",
        "data.example.org",
        "2001:db8::1",
        "xn--bcher-kva.example",
    }
    same = ensure_certificate(tmp_path, ["data.example.org", "bücher.example", "::"])
    assert same.cert_file.read_bytes() == before
    more = ensure_certificate(tmp_path, ["10.1.2.3"])
    assert read_names(more) == read_names(same) | {"10.1.2.3"}
    assert "data.example.org" in read_names(more), "a server with other names keeps its own"
    assert more.ca_file.read_bytes() == authority


@pytest.mark.parametrize("days", [29, -1])
def test_renewed_when_it_ends_soon_or_has_ended(
    tmp_path: Path, serve: Callable[[TlsFiles], int], days: int
) -> None:
    files = ensure_certificate(tmp_path, [])
    authority = files.ca_file.read_bytes()
    ca = trustme.CA.from_pem(authority, (tmp_path / "tls" / "ca.key").read_bytes())
    now = datetime.now(UTC)
    old = ca.issue_cert(
        "localhost",
        "127.0.0.1",
        "::1",
        not_before=now - timedelta(days=300),
        not_after=now + timedelta(days=days),
    )
    files.cert_file.write_bytes(old.private_key_and_cert_chain_pem.bytes())
    renewed = ensure_certificate(tmp_path, [])
    assert read_certificate(renewed).not_valid_after_utc > now + timedelta(days=300)
    assert renewed.ca_file.read_bytes() == authority
    assert fetch(renewed, f"https://127.0.0.1:{serve(renewed)}/") == "secret enough"


@pytest.mark.parametrize("content", [b"", b"not a certificate", None])
def test_a_damaged_certificate_is_replaced(tmp_path: Path, content: bytes | None) -> None:
    files = ensure_certificate(tmp_path, [])
    files.cert_file.unlink()
    if content is not None:
        files.cert_file.write_bytes(content)
    assert "localhost" in read_names(ensure_certificate(tmp_path, []))


def test_a_certificate_of_another_authority_is_replaced(tmp_path: Path) -> None:
    files = ensure_certificate(tmp_path / "a", [])
    shutil.copy(ensure_certificate(tmp_path / "b", []).cert_file, files.cert_file)
    ensure_certificate(tmp_path / "a", [])
    authority = x509.load_pem_x509_certificate(files.ca_file.read_bytes())
    read_certificate(files).verify_directly_issued_by(authority)


@pytest.mark.parametrize("damage", ["key gone", "key of another", "not a certificate"])
def test_a_broken_authority_is_a_sentence(tmp_path: Path, damage: str) -> None:
    ensure_certificate(tmp_path / "a", [])
    ensure_certificate(tmp_path / "b", [])
    folder = tmp_path / "a" / "tls"
    if damage == "key gone":
        (folder / "ca.key").unlink()
    elif damage == "key of another":
        shutil.copy(tmp_path / "b" / "tls" / "ca.key", folder)
    else:
        (folder / "ca.pem").write_text("nonsense")
    with pytest.raises(ConfigError, match="is damaged or not whole"):
        ensure_certificate(tmp_path / "a", ["new.example"])


@pytest.mark.parametrize("host", ["", "a b", "10.0.0.0/8", "someone@example.org", "a..b", "x" * 64])
def test_what_is_no_host_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="is no host name or address"):
        ensure_certificate(tmp_path, [host])


def test_many_first_starts_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from fieldpack.server.run.tls import ensure_certificate\n"
        "files = ensure_certificate(Path(sys.argv[1]), [f'host{sys.argv[2]}.example'])\n"
        "sys.stdout.write(files.ca_file.read_text())\n"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, str(tmp_path), str(number)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(6)
    ]
    ends = [process.communicate() for process in running]
    assert [errors for _, errors in ends] == [""] * 6
    assert len({authority for authority, _ in ends}) == 1
    files = ensure_certificate(tmp_path, [])
    assert {f"host{number}.example" for number in range(6)} <= read_names(files)
    assert {path.name for path in (tmp_path / "tls").iterdir()} == {
        "ca.key",
        "ca.pem",
        "server.pem",
        "tls.lock",
    }
