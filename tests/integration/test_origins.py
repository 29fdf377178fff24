"""Whose pages may write with a visitor's cookies: those of the very same scheme, host and port."""

from __future__ import annotations

import httpx
import pytest

from tests.installation import Installation

HTTPS = {"X-Forwarded-Proto": "https"}  # as a proxy on this machine says it


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
