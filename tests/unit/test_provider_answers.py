"""Answers of an identity provider that are not what they should be: each is the provider's fault, and said so."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from fieldpack.server.accounts.providers.oidc import Provider, ProviderError, State
from fieldpack.server.config import Settings

KEY = RSAKey.generate_key(2048, {"kid": "a"})
STATE = State("state", "nonce", "verifier", "/")
WRONG: tuple[Any, ...] = (None, 5, ["alg"], {"keys": ["a", None]}, "http://[", "\ud800")
BYTES = (
    b"",
    b"\xff",
    b"<html>",
    b"[" * 20_000,
    b'{"a":' * 20_000,
    b'{"a": 1' + b"0" * 5_000 + b"}",
    b'"alg"',
    b"NaN",
)
PATHS = ("/.well-known/openid-configuration", "/token", "/userinfo", "/keys")


class Answering:
    """A provider whose answers are given by path."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = outer.answers[self.path]
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def metadata(self) -> dict[str, Any]:
        names = {"authorization_endpoint": "auth", "token_endpoint": "token", "jwks_uri": "keys"}
        urls = {name: f"{self.url}/{path}" for name, path in names.items()}
        return {"issuer": self.url, "userinfo_endpoint": f"{self.url}/userinfo", **urls}

    def token(self, **changed: Any) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "aud": "us", "sub": "s", "exp": now + 300, "iat": now, "nonce": "nonce"}
        return jwt.encode({"alg": "RS256", "kid": "a"}, {**claims, **changed}, KEY)

    def put_right(self) -> None:
        token = {"access_token": "a", "token_type": "Bearer", "id_token": self.token()}
        bodies = (
            self.metadata(),
            token,
            {"sub": "s", "email": "a@example.org"},
            {"keys": [KEY.as_dict(private=False)]},
        )
        self.answers = {path: json.dumps(body).encode() for path, body in zip(PATHS, bodies, strict=True)}


@pytest.fixture(scope="module")
def provider() -> Iterator[Answering]:
    made = Answering()
    try:
        yield made
    finally:
        made.close()


def sign_in(provider: Answering) -> None:
    """All the way, by a process that has cached nothing."""
    ours = Provider(Settings(oidc_issuer=provider.url, oidc_client_id="us"))

    async def run() -> None:
        await ours.begin("http://us.example/return", "/")
        await ours.redeem("http://us.example/return", STATE, "code")

    asyncio.run(run())


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_a_right_one_is_taken(provider: Answering) -> None:
    provider.put_right()
    sign_in(provider)


@pytest.mark.parametrize("path", PATHS)
def test_a_wrong_answer_is_the_providers_fault(provider: Answering, path: str) -> None:
    for body in (*BYTES, *(json.dumps(wrong).encode() for wrong in WRONG)):
        provider.put_right()
        provider.answers[path] = body
        with pytest.raises(ProviderError):
            sign_in(provider)


def fails_or_not(provider: Answering, path: str, answer: dict[str, Any]) -> None:
    """It may be taken where what is wrong doesn't matter; anything else but a refusal is raised."""
    provider.put_right()
    provider.answers[path] = json.dumps(answer).encode()
    with contextlib.suppress(ProviderError):
        sign_in(provider)


@pytest.mark.parametrize(
    "name",
    [
        "authorization_endpoint",
        "token_endpoint",
        "userinfo_endpoint",
        "jwks_uri",
        "token_endpoint_auth_methods_supported",
        "issuer",
    ],
)
def test_wrong_metadata(provider: Answering, name: str) -> None:
    for wrong in WRONG:
        fails_or_not(provider, PATHS[0], {**provider.metadata(), name: wrong})


@pytest.mark.parametrize(
    "name", ["access_token", "token_type", "id_token", "expires_in", "expires_at", "error", "scope"]
)
def test_wrong_answers_to_a_code(provider: Answering, name: str) -> None:
    right = {"access_token": "a", "token_type": "Bearer", "id_token": provider.token()}
    for wrong in (*WRONG, float("1e300"), "9" * 5_000):
        fails_or_not(provider, PATHS[1], {**right, name: wrong})


@pytest.mark.parametrize(
    "name", ["sub", "aud", "azp", "nonce", "exp", "iat", "email", "groups", "given_name", "nbf"]
)
def test_wrong_claims(provider: Answering, name: str) -> None:
    for wrong in (*WRONG[:-1], "a\0b", 1e300, 10**4_000, True):
        token = provider.token(**{name: wrong})
        fails_or_not(provider, PATHS[1], {"access_token": "a", "token_type": "Bearer", "id_token": token})


def test_wrong_tokens(provider: Answering) -> None:
    header, claims, signature = provider.token().split(".")
    parts = [encode(body) for body in (*BYTES, b"[]", b"null", b'["alg"]', b'{"alg": 5, "kid": []}')]
    for token in (
        *(f"{part}.{claims}.{signature}" for part in parts),
        *(f"{header}.{part}.{signature}" for part in parts),
        *(f"{header}.{claims}.{part}" for part in parts),
        "..",
        "a.b.c.d.e",
        "\u0661.\u0661.\u0661",
    ):
        fails_or_not(provider, PATHS[1], {"access_token": "a", "token_type": "Bearer", "id_token": token})
