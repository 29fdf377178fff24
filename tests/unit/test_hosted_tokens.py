"""The hosted service's secured links: what is taken for one, and how its keys are had."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import RSAKey

from fieldpack.server.problems import Problem
from fieldpack.server.tickets.hosted import is_same_page, read_token
from fieldpack.server.tickets.hosted_keys import MOST_BYTES, HostedKeys, KeysUnavailable, parse_keys
from fieldpack.server.tickets.personal import Ticket
from tests.hosted_service import ISSUER, HostedService

PAGE = "https://data.example.org/participate/5b2ff8d2-5f0d-4a0e-93a5-0b4e9d1c0f11"
URL = [("PROLIFIC_PID", "p"), ("STUDY_ID", "hosted-study"), ("SESSION_ID", "s")]
INVALID, EXPIRED = 140305, 140306

SERVICE = HostedService()
OTHER = HostedService()


@pytest.fixture
def keys(tmp_path: Path) -> HostedKeys:
    return HostedKeys(str(SERVICE.write_keys(tmp_path / "jwks.json")))


def read(keys: HostedKeys, token: str, url: list[tuple[str, str]] = URL, page: str = PAGE) -> Ticket:
    return asyncio.run(read_token(keys, ISSUER, token, page, url))


def claims(**other: Any) -> dict[str, Any]:
    return SERVICE.claims(PAGE, "p", "s", **other)


def encode(part: Any) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(header: dict[str, Any], signature: bytes = b"", body: dict[str, Any] | None = None) -> str:
    return f"{encode(header)}.{encode(body or claims())}.{encode(signature)}"


def by_public_key(text: bytes) -> str:
    """HS256 with the public key for a secret, as some libraries once took it."""
    head = f"{encode({'alg': 'HS256', 'kid': SERVICE.kid})}.{encode(claims())}"
    return f"{head}.{encode(hmac.digest(text, head.encode(), 'sha256'))}"


def test_a_good_one(keys: HostedKeys) -> None:
    ticket = read(keys, SERVICE.sign(claims()))
    assert (ticket.participant_id, ticket.session_id, ticket.once) == ("p", "s", True)
    assert read(keys, SERVICE.sign(claims()), []).session_id == "s"
    listed = SERVICE.sign(claims(aud=["https://other.example", PAGE]))
    assert read(keys, listed).participant_id == "p"
    late = SERVICE.sign(claims(exp=int(time.time()) - 50))
    assert read(keys, late).participant_id == "p"  # within the skew of clocks


def test_one_token_has_one_id_however_it_is_written(keys: HostedKeys) -> None:
    token = SERVICE.sign(claims())
    head, _, signature = token.rpartition(".")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = letters.index(signature[-1])
    same = f"{head}.{signature[:-1]}{letters[last ^ 1]}"  # the last bits of 256 bytes mean nothing
    ids = {read(keys, token).id}
    with contextlib.suppress(Problem):
        ids.add(read(keys, same).id)
    assert ids == {hashlib.sha256(head.encode()).hexdigest()[:32]}


PUBLIC_PEM = SERVICE.key.as_pem(private=False)
FORGED: dict[str, Callable[[], str]] = {
    "alg none": lambda: unsigned({"alg": "none", "kid": SERVICE.kid}),
    "alg None": lambda: unsigned({"alg": "None", "kid": SERVICE.kid}),
    "alg none without a kid": lambda: unsigned({"alg": "none"}),
    "no alg": lambda: unsigned({"kid": SERVICE.kid}),
    "HS256 with the public PEM": lambda: by_public_key(PUBLIC_PEM),
    "HS256 with the public modulus": lambda: by_public_key(
        str(SERVICE.key.as_dict(private=False)["n"]).encode()
    ),
    "HS256 with nothing": lambda: by_public_key(b""),
    "another key under the same kid": lambda: OTHER.sign(claims()),
    "RS512": lambda: jwt.encode(
        {"alg": "RS512", "kid": SERVICE.kid}, claims(), SERVICE.key, algorithms=["RS512"]
    ),
    "PS256": lambda: jwt.encode(
        {"alg": "PS256", "kid": SERVICE.kid}, claims(), SERVICE.key, algorithms=["PS256"]
    ),
    "no kid": lambda: jwt.encode({"alg": "RS256"}, claims(), SERVICE.key),
    "another kid": lambda: SERVICE.sign(claims(), kid="key-2"),
    "kid is a path": lambda: SERVICE.sign(claims(), kid="../../dev/null"),
    "kid is SQL": lambda: SERVICE.sign(claims(), kid="' OR 1=1 --"),
    "kid is empty": lambda: SERVICE.sign(claims(), kid=""),
    "kid is a number": lambda: unsigned({"alg": "RS256", "kid": 1}, b"x" * 256),
    "kid is long": lambda: unsigned({"alg": "RS256", "kid": "k" * 400}, b"x" * 256),
    "its own key in the header": lambda: OTHER.sign(claims(), jwk=OTHER.key.as_dict(private=False)),
    "a URL of keys in the header": lambda: OTHER.sign(claims(), jku="https://evil.example/jwks.json"),
    "critical extension": lambda: unsigned(
        {"alg": "RS256", "kid": SERVICE.kid, "crit": ["b64"], "b64": False}, b"x" * 256
    ),
    "claims changed": lambda: _with_body(claims(sub="other")),
    "signature cut off": lambda: SERVICE.sign(claims()).rpartition(".")[0] + ".",
    "another issuer": lambda: SERVICE.sign(claims(iss="https://www.prolific.com.evil.example")),
    "issuer is a list": lambda: SERVICE.sign(claims(iss=[ISSUER])),
    "no issuer": lambda: SERVICE.sign(_without("iss")),
    "another study": lambda: SERVICE.sign(claims(aud=PAGE[:-1] + "2")),
    "another server": lambda: SERVICE.sign(claims(aud=PAGE.replace("data.", "evil."))),
    "another scheme": lambda: SERVICE.sign(claims(aud=PAGE.replace("https", "http"))),
    "a server as user name": lambda: SERVICE.sign(claims(aud=PAGE.replace("data", "data.example.org@evil"))),
    "audience is the origin": lambda: SERVICE.sign(claims(aud="https://data.example.org")),
    "no audience": lambda: SERVICE.sign(_without("aud")),
    "audience is a number": lambda: SERVICE.sign(claims(aud=5)),
    "no expiry": lambda: SERVICE.sign(_without("exp")),
    "expiry is a text": lambda: SERVICE.sign(claims(exp="tomorrow")),
    "expiry beyond all times": lambda: SERVICE.sign(claims(exp=10**30)),
    "not yet": lambda: SERVICE.sign(claims(nbf=int(time.time()) + 120)),
    "issued in the future": lambda: SERVICE.sign(claims(iat=int(time.time()) + 120)),
    "no subject": lambda: SERVICE.sign(_without("sub")),
    "subject is a number": lambda: SERVICE.sign(claims(sub=5)),
    "subject is another session": lambda: SERVICE.sign(claims(sub="t")),
    "says nothing": lambda: SERVICE.sign(_without("prolific")),
    "says a text": lambda: SERVICE.sign(claims(prolific="p")),
    "another participant": lambda: SERVICE.sign(SERVICE.claims(PAGE, "q", "s")),
    "another session": lambda: SERVICE.sign(SERVICE.claims(PAGE, "p", "t")),
    "no participant": lambda: SERVICE.sign(claims(prolific={"STUDY_ID": "hosted-study", "SESSION_ID": "s"})),
    "huge": lambda: SERVICE.sign(claims(padding="x" * 100_000)),
    "huge without a signature": lambda: "x" * 10_000_000,
    "claims are a list": lambda: (
        f"{encode({'alg': 'RS256', 'kid': SERVICE.kid})}.{encode([1])}.{encode(b'x')}"
    ),
    "no JSON": lambda: f"{encode(b'{')}.{encode(b'{')}.{encode(b'x')}",
    "deep JSON": lambda: f"{encode(b'[' * 300)}.{encode(b'{}')}.{encode(b'x')}",
    "five parts": lambda: "a.b.c.d.e",
    "dots": lambda: "..",
    "letters": lambda: "ä.ö.ü",
    "empty": lambda: "",
}


def _with_body(body: dict[str, Any]) -> str:
    head, _, signature = SERVICE.sign(claims()).split(".")
    return f"{head}.{encode(body)}.{signature}"


def _without(name: str) -> dict[str, Any]:
    return {key: value for key, value in claims().items() if key != name}


@pytest.mark.parametrize("name", FORGED)
def test_forged(keys: HostedKeys, name: str) -> None:
    with pytest.raises(Problem) as refused:
        read(keys, FORGED[name]())
    assert refused.value.type.error_code == INVALID


@pytest.mark.parametrize("seconds", [61, 3600])
def test_expired(keys: HostedKeys, seconds: int) -> None:
    with pytest.raises(Problem) as refused:
        read(keys, SERVICE.sign(claims(exp=int(time.time()) - seconds)))
    assert refused.value.type.error_code == EXPIRED


@pytest.mark.parametrize(
    "url",
    [
        [("PROLIFIC_PID", "q")],
        [("SESSION_ID", "t")],
        [("STUDY_ID", "another")],
        [("PROLIFIC_PID", "p"), ("PROLIFIC_PID", "p")],
        [("PROLIFIC_PID", "p"), ("debug", "1")],
        [("prolific_pid", "p")],
        [("PROLIFIC_PID", "p ")],
        [("SESSION_ID", "")],
    ],
)
def test_every_parameter_of_the_url_stands_in_the_token(keys: HostedKeys, url: list[tuple[str, str]]) -> None:
    with pytest.raises(Problem) as refused:
        read(keys, SERVICE.sign(claims()), url)
    assert refused.value.type.error_code == INVALID


def test_pages_are_compared_by_scheme_host_and_path() -> None:
    for same in (f"{PAGE}/", f"{PAGE}?PROLIFIC_PID={{{{%PROLIFIC_PID%}}}}", PAGE.replace(".org", ".ORG:443")):
        assert is_same_page(same, PAGE), same
    for other in (
        f"{PAGE}/x",
        PAGE.replace(".org", ".org:8443"),
        "",
        "x",
        "https://[",
        PAGE.replace(":", ""),
    ):
        assert not is_same_page(other, PAGE), other


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class KeyServer:
    """Serves a key set, and counts who asks."""

    def __init__(self) -> None:
        self.body, self.status, self.asked = b"", 200, 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                self.send_response(outer.status)
                self.send_header("Location", "http://127.0.0.1:1/")
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def key_server() -> Iterator[KeyServer]:
    made = KeyServer()
    try:
        yield made
    finally:
        made.close()


def test_keys_are_fetched_daily_and_for_an_unknown_kid_once_a_minute(key_server: KeyServer) -> None:
    first, second = HostedService("first"), HostedService("second")
    key_server.body = json.dumps(first.jwks).encode()
    clock = Clock()
    keys = HostedKeys(key_server.url, clock)

    def find(kid: str) -> bool:
        return asyncio.run(_find(keys, kid)) is not None

    for _ in range(3):
        assert find("first")
    assert key_server.asked == 1
    assert not find("second")  # asked a moment ago
    assert key_server.asked == 1
    clock.now += 61
    key_server.body = json.dumps({"keys": [None, *first.jwks["keys"], *second.jwks["keys"]]}).encode()
    assert find("second")
    assert key_server.asked == 2
    for number in range(100):
        assert not find(f"guess {number}")
    assert key_server.asked == 2
    clock.now += 24 * 3600
    key_server.body = json.dumps(second.jwks).encode()
    assert not find("first")  # withdrawn
    assert find("second")
    assert key_server.asked == 3


async def _find(keys: HostedKeys, kid: str) -> RSAKey | None:
    return await keys.find(kid)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b""),
        (302, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"keys": []}'),
        (200, b'{"keys": 5}'),
        (200, b" " * (MOST_BYTES + 1)),
    ],
)
def test_keys_that_cannot_be_had(key_server: KeyServer, status: int, body: bytes) -> None:
    clock = Clock()
    keys = HostedKeys(key_server.url, clock)
    key_server.status, key_server.body = status, body
    with pytest.raises(KeysUnavailable):
        asyncio.run(_find(keys, SERVICE.kid))
    key_server.status, key_server.body = 200, json.dumps(SERVICE.jwks).encode()
    with pytest.raises(Problem) as refused:  # within the minute nobody asks again
        asyncio.run(read_token(keys, ISSUER, SERVICE.sign(claims()), PAGE, URL))
    assert refused.value.type.status == 503
    clock.now += 61
    assert asyncio.run(_find(keys, SERVICE.kid)) is not None
    # old ones are good for a while when the service is away, and not for ever
    key_server.status = 500
    clock.now += 2 * 24 * 3600
    assert asyncio.run(_find(keys, SERVICE.kid)) is not None
    clock.now += 6 * 24 * 3600
    with pytest.raises(KeysUnavailable):
        asyncio.run(_find(keys, SERVICE.kid))


def test_only_keys_for_signing_by_rs256_are_taken() -> None:
    good = SERVICE.key.as_dict(private=False)
    with pytest.warns(SecurityWarning):
        small = RSAKey.generate_key(1024, {"kid": "small"}).as_dict(private=False)
    for bad in (
        small,
        {**good, "use": "enc"},
        {**good, "alg": "PS256"},
        {**good, "kty": "oct", "k": "AA"},
        {**good, "n": "!"},
        {"kty": "RSA", "kid": "x"},
        {key: value for key, value in good.items() if key != "kid"},
    ):
        with pytest.raises(ValueError, match="holds no RSA key"):
            parse_keys(json.dumps({"keys": [bad]}).encode())
    assert list(parse_keys(json.dumps({"keys": [small, good]}).encode())) == [SERVICE.kid]
