"""Whose pages may write with a visitor's cookies: those of the very same scheme, host and port."""

from __future__ import annotations

import socket

import httpx
import pytest

from tests.installation import Installation

HTTPS = {"X-Forwarded-Proto": "https"}  # as a proxy on this machine says it


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"a b", 400),
        (b'evil"><script>', 400),
        (b"", 400),
        (b"a/b", 400),
        (b"user@a", 400),
        (b"a:99999", 400),
        (b"a:b", 400),
        (b"[::1", 400),
        (b"[1::2::3]", 400),
        (b"b\xfccher.example", 400),
        (b"127.0.0.1:1", 200),
        (b"[2001:DB8::1]", 200),
        (b"[::1]:8000", 200),
        (b"STUDY.Example.", 200),
        (b"my_service:8000", 200),
        (b"study.example:", 200),
        (b"xn--bcher-kva.example:00443", 200),
    ],
)
def test_what_is_no_host_is_refused(server: Installation, host: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nConnection: close\r\nHost: " + host + b"\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "study.example", "Origin": "http://study.example"}, 303),
        ({"Host": "study.example:80", "Origin": "http://study.example"}, 303),
        ({"Host": "study.example:8000", "Origin": "http://study.example:8000"}, 303),
        ({"Host": "Study.example", "Origin": "http://study.example"}, 303),
        ({"Host": "study.example", "Origin": "https://study.example"}, 403),
        ({"Host": "study.example", "Origin": "http://study.example:8000"}, 403),
        ({"Host": "study.example", "Origin": "http://study.example.evil.example"}, 403),
        ({"Host": "study.example", "Origin": "http://sub.study.example"}, 403),
        ({"Host": "study.example", "Origin": "study.example"}, 403),
        ({"Host": "study.example", "Origin": "//study.example"}, 403),
        ({"Host": "study.example", "Origin": "ftp://study.example"}, 403),
        ({"Host": "study.example", "Origin": "null"}, 403),
        ({"Host": "study.example", "Origin": ""}, 403),
        ({"Host": "study.example", "Origin": "http://["}, 403),
        ({"Host": "study.example", "Origin": "http://study.example:x"}, 403),
        ({"Host": "study.example"}, 403),
        ({**HTTPS, "Host": "study.example", "Origin": "https://study.example"}, 303),
        ({**HTTPS, "Host": "study.example", "Origin": "https://study.example:443"}, 303),
        ({**HTTPS, "Host": "study.example", "Origin": "http://study.example"}, 403),
        ({**HTTPS, "Host": "study.example", "Origin": "https://study.example:80"}, 403),
        ({"Host": "study.example", "Sec-Fetch-Site": "same-origin"}, 303),
        ({"Host": "study.example", "Sec-Fetch-Site": "same-site", "Origin": "http://study.example"}, 403),
        ({"Host": "study.example", "Sec-Fetch-Site": "none", "Origin": "http://study.example"}, 403),
    ],
)
def test_scheme_host_and_port_are_those_of_the_page(
    server: Installation, headers: dict[str, str], status: int
) -> None:
    answer = httpx.post(f"{server.url}/sign-out", headers=headers, trust_env=False)
    assert answer.status_code == status
