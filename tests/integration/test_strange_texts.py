"""What strangers send where we read a text of theirs before we know them: anything but a refusal is a fault of ours."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_from_bytes, urlencode
from uuid import uuid4

import cbor2
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.hosted_service import HostedService
from tests.installation import Installation, installed
from tests.integration.rows import connected
from tests.integration.test_signing_in import make_researcher
from tests.scenario import Scenario

FORM: dict[str, Any] = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
SERVICE = HostedService()
DEEP = 6_000  # of it and a bit around it an address can be made


def encode(text: str | bytes) -> str:
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


JSON = {
    "deep list": "[" * DEEP,
    "closed deep list": "[" * DEEP + "]" * DEEP,
    "deep object": '{"a":' * (DEEP // 4),
    "closed deep object": '{"a":' * 900 + "1" + "}" * 900,
    "text": '"alg"',
    "list": '["alg","kid","challenge","response"]',
    "lists": '[["alg","RS256"],["kid","key-1"]]',
    "null": "null",
    "true": "true",
    "number": "5",
    "huge number": "9" * 5_000,
    "minus": "-" + "9" * 5_000,
    "exponent": "1e999",
    "no number": "NaN",
    "object": "{}",
    "lone surrogate": '{"alg":"\\ud800","kid":"\\ud800","challenge":"\\ud800","response":"\\ud800"}',
    "NUL": '{"alg":"RS256","kid":"\\u0000","challenge":"\\u0000","response":"\\u0000"}',
    "nulls": '{"alg":null,"kid":null,"challenge":null,"response":null,"rawId":null}',
    "numbers": '{"alg":1,"kid":1,"challenge":1,"response":1,"rawId":1}',
    "lists within": '{"alg":["RS256"],"kid":["key-1"],"challenge":["a"],"response":["clientDataJSON"]}',
    "objects within": '{"alg":{},"kid":{},"challenge":{"a":1},"response":{"clientDataJSON":{}}}',
    "twice": '{"alg":"none","alg":"RS256","kid":"key-1"}',
    "their header": json.dumps({"alg": "RS256", "kid": SERVICE.kid}),
    "another key": '{"alg":"RS256","kid":"key-\\u0661"}',
    "UTF-16": '{"alg":"RS256"}'.encode("utf-16").decode("latin-1"),
    "cut off": '{"alg":"RS',
    "text in two": '{"challenge":"a","response":{"clientDataJSON":"e30"}}',
}
TEXTS = {
    "empty": "",
    "space": " ",
    "dots": "...",
    "more dots": "." * 100,
    "NUL": "a\0b",
    "Arabic digits": "\u0661\u0662\u0663",
    "superscript": "\u00b2",
    "digits": "9" * 5_000,
    "negative": "-1",
    "surrogate": "\ud800",
    "no character": "\uffff\ufdd0",
    "long": "x" * 12_000,
    "long and not ASCII": "\u00e4" * 5_000,
    "no base64": "!!!!",
    "half base64": "A",
    "padding": "====",
    "percent": "%00%ff%",
    "id": str(uuid4()),
    "id in Arabic digits": "\u0661" * 8 + "-1111-1111-1111-" + "\u0661" * 12,
    "quotes": "'\"\\;,=",
    "lines": "a\r\nb",
    "a path": "//evil.example/\\",
    "an address": "https://[::1",
}
PARTS = ("\0", "\u0661\u0662", "\u00b2", "9" * 4_301, "", "x" * 4_000, "\ud800", "first", "-1", "99999999999")
SHAPES = {
    # what we sign: sessions, states, challenges, links, and what cookies of participants hold
    **{
        f"{count} parts of {part[:9]!a}": ".".join([part] * count) for part in PARTS for count in (2, 3, 4, 5)
    },
    **{
        f"{part[:9]!a} for part {at}": ".".join([*["1"] * at, part, *["1"] * (3 - at)])
        for part in PARTS
        for at in range(4)
    },
    "a session": f"{'a' * 43}.first.{'0' * 64}",
    "an old session": f"{uuid4()}.{'9' * 12}.{'0' * 64}",
    "a link": f"first.{'9' * 11}.o.{'0' * 32}.{'0' * 64}",
    "a kept one": f"first.{'9' * 11}.h.{'0' * 32}.{'0' * 64}",
    "a submission": f"{uuid4()}.{'9' * 30}",
}
TOKENS = {
    f"token of {name}": f"{encode(text)}.{encode('{}')}.{encode('x')}" for name, text in JSON.items()
} | {
    f"token about {name}": f"{encode(JSON['their header'])}.{encode(text)}.{encode('x')}"
    for name, text in JSON.items()
}
EVERYTHING = {**{f"JSON {name}": text for name, text in JSON.items()}, **TEXTS, **SHAPES, **TOKENS}


@dataclass
class Door:
    """A server, a study that asks for signed links, and a passkey that it knows."""

    server: Installation
    study: str
    nobody: httpx.Client

    def get(self, path: str, headers: Any = None, **query: str) -> httpx.Response:
        return self.nobody.get(address(path, query), headers={**FORM, **(headers or {})})

    def post(self, path: str, headers: Any = None, **fields: str) -> httpx.Response:
        values = {key: text.encode("utf-8", "surrogatepass") for key, text in fields.items()}
        form = {**FORM, "Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return self.nobody.post(path, content=urlencode(values), headers=form)

    def send(self, path: str, body: Any) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.nobody.post(f"/api/v1{path}", content=content)

    def cookie(self, name: str, text: str, method: str = "GET", path: str = "/researcher") -> httpx.Response:
        headers = {**FORM, "Cookie": name.encode() + b"=" + header(text)}
        return self.nobody.request(method, path, headers=headers)


def address(path: str, query: dict[str, str]) -> str:
    """A path with a query, as much of it as stands in a line: connections refuse what is longer."""
    pairs = (
        (key, quote_from_bytes(text.encode("utf-8", "surrogatepass"), safe="")) for key, text in query.items()
    )
    return f"{path}?{'&'.join(f'{key}={value[:20_000]}' for key, value in pairs)}"


def header(text: str) -> bytes:
    """As much of a text as stands in a header: connections refuse the rest before anybody reads it."""
    data = text.encode("utf-8", "surrogatepass")
    return bytes(byte for byte in data if byte >= 32 and byte != 127)[:12_000].strip()


KEY = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
KNOWN = b"a passkey that is known"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    keys = tmp_path_factory.mktemp("keys") / "jwks.json"
    SERVICE.write_keys(keys)
    keys.parent.chmod(0o755)
    made = installed(
        FIELDPACK_HOSTED_KEYS=str(keys),
        FIELDPACK_OIDC_ISSUER="http://127.0.0.1:1",
        FIELDPACK_OIDC_CLIENT_ID="us",
        FIELDPACK_RATE_PER_ADDRESS="100000",
    )
    with made as server, server.client() as api:
        study = Scenario.create(api, resume="signed").study["id"]
        email = make_researcher(server)
        cose = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: KEY.x.to_bytes(32), -3: KEY.y.to_bytes(32)})
        with connected(server) as database:
            database.execute(
                "INSERT INTO passkeys (id, researcher_id, name, public_key, sign_count)"
                " SELECT %s, id, 'Known', %s, 0 FROM researchers WHERE email = %s",
                [KNOWN, cose, email],
            )
        with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as nobody:
            yield Door(server, study, nobody)


def passkey(door: Door, credential: Any) -> httpx.Response:
    return door.post("/sign-in/passkey", credential=json.dumps(credential))


def with_client_data(door: Door, text: str) -> httpx.Response:
    return passkey(door, {"rawId": encode(KNOWN), "response": {"clientDataJSON": encode(text)}})


def with_challenge(door: Door, text: str) -> httpx.Response:
    return with_client_data(door, json.dumps({"challenge": encode(text)}))


def answered(door: Door, text: str, *path: str) -> httpx.Response:
    """The answer of a browser to a challenge of ours, right in all but its signature, and this text at one place."""
    options = door.nobody.post("/sign-in/passkey/options", headers=FORM).json()
    data = {"type": "webauthn.get", "challenge": options["challenge"], "origin": door.server.url}
    place = hashlib.sha256(b"127.0.0.1").digest()
    credential: dict[str, Any] = {
        "id": encode(KNOWN),
        "rawId": encode(KNOWN),
        "type": "public-key",
        "response": {
            "authenticatorData": encode(place + b"\x05\0\0\0\1"),
            "signature": encode(b"no signature"),
        },
    }
    if path[0] == "clientDataJSON":
        data[path[1]] = text
    else:
        holder = credential if len(path) == 1 else credential["response"]
        holder[path[-1]] = text
    credential["response"]["clientDataJSON"] = encode(json.dumps(data))
    return passkey(door, credential)


def participate(door: Door, **body: Any) -> httpx.Response:
    return door.send(f"/participate/studies/{door.study}/submissions", {"participant_id": "p", **body})


def at_study(door: Door, **query: str) -> httpx.Response:
    return door.get(f"/participate/{door.study}", **query)


def within_study(door: Door, name: str, text: str) -> httpx.Response:
    given = {"PROLIFIC_PID": "p", "SESSION_ID": "s"}
    path = address(f"/participate/{door.study}", given)
    return door.cookie(f"{name}{door.study.replace('-', '')}", text, path=path)


ENTRANCES: dict[str, Callable[[Door, str], httpx.Response]] = {
    "next": lambda door, text: door.get("/sign-in", next=text),
    "address": lambda door, text: door.post("/sign-in", email=text, password="a wrong password"),
    "token": lambda door, text: door.post("/sign-in", token=text),
    "second factor, its step": lambda door, text: door.post("/sign-in/code", step=text, code="123456"),
    "second factor": lambda door, text: door.post("/sign-in/code", step="a", code=text),
    "link that signs in": lambda door, text: door.get("/sign-in/once", code=text),
    "link that signs in, used": lambda door, text: door.post("/sign-in/once", code=text),
    "invitation": lambda door, text: door.get("/join", code=text),
    "invitation, accepted": lambda door, text: door.post("/join", code=text),
    "invitation, of somebody new": lambda door, text: door.post("/join", code=text, email=text, name=text),
    "passkey": lambda door, text: door.post("/sign-in/passkey", credential=text),
    "passkey, its response": lambda door, text: passkey(door, {"response": text}),
    "passkey, its client data": with_client_data,
    "passkey, its challenge": with_challenge,
    "passkey, its id": lambda door, text: answered(door, text, "rawId"),
    "passkey, its type": lambda door, text: answered(door, text, "type"),
    "passkey, its authenticator": lambda door, text: answered(door, text, "response", "authenticatorData"),
    "passkey, its authenticator in bytes": lambda door, text: answered(
        door, encode(text), "response", "authenticatorData"
    ),
    "passkey, its signature": lambda door, text: answered(door, encode(text), "response", "signature"),
    "passkey, its user": lambda door, text: answered(door, text, "response", "userHandle"),
    "passkey, its origin": lambda door, text: answered(door, text, "clientDataJSON", "origin"),
    "passkey, its binding": lambda door, text: answered(door, text, "clientDataJSON", "tokenBinding"),
    "provider's answer": lambda door, text: door.get("/sign-in/provider/return", state=text, code=text),
    "provider's refusal": lambda door, text: door.get("/sign-in/provider/return", error=text),
    "provider's cookie": lambda door, text: door.cookie(
        "fieldpack_provider", text, path="/sign-in/provider/return?state=a&code=b"
    ),
    "session": lambda door, text: door.cookie("fieldpack_researcher", text),
    "session, ended": lambda door, text: door.cookie("fieldpack_researcher", text, "POST", "/sign-out"),
    "device": lambda door, text: door.post(
        "/sign-in",
        {"Cookie": b"fieldpack_device=" + header(text)},
        email="a@example.org",
        password="wrong one",
    ),
    "study's cookie": lambda door, text: within_study(door, "fieldpack_study_", text),
    "ticket's cookie": lambda door, text: within_study(door, "fieldpack_ticket_", text),
    "participant": lambda door, text: at_study(door, PROLIFIC_PID=text, SESSION_ID=text),
    "personal link": lambda door, text: at_study(door, PROLIFIC_PID="p", link=text),
    "hosted token": lambda door, text: at_study(door, PROLIFIC_PID="p", prolific_token=text),
    "hosted token and more": lambda door, text: at_study(door, prolific_token=text, SESSION_ID=text),
    "own id": lambda door, text: at_study(door, ids=text),
    "start on the page": lambda door, text: door.post(
        f"/participate/{door.study}", participant_id=text, session_id=text, link=text, resume_code=text
    ),
    "start": lambda door, text: door.send(
        f"/participate/studies/{door.study}/submissions", text.encode("utf-8", "surrogatepass")
    ),
    "start, participant": lambda door, text: participate(door, participant_id=text),
    "start, session": lambda door, text: participate(door, session_id=text),
    "start, link": lambda door, text: participate(door, link=text),
    "start, hosted token": lambda door, text: participate(door, prolific_token=text),
    "start, code": lambda door, text: participate(door, resume_code=text),
    "study": lambda door, text: door.get(f"/participate/{address('', {'a': text})[3:]}"),
    "researcher's token": lambda door, text: door.get(
        "/api/v1/users/me", {"Authorization": header(f"Token {text}")}
    ),
    "scheme": lambda door, text: door.get("/api/v1/users/me", {"Authorization": header(text)}),
    "participant's token": lambda door, text: door.get(
        f"/api/v1/participate/submissions/{door.study}", {"Authorization": header(f"Bearer {text}")}
    ),
    "archive's link": lambda door, text: door.get(
        f"/api/v1/data-collection/exports/{door.study}/archive", expires=text, key=text, signature=text
    ),
    "address of a proxy": lambda door, text: door.get("/sign-in", {"X-Forwarded-For": header(text)}),
    "origin": lambda door, text: door.post(
        "/sign-in", {"Sec-Fetch-Site": b"", "Origin": header(text)}, token="a"
    ),
    "languages": lambda door, text: door.get("/sign-in", {"Accept-Language": header(text)}),
    "types": lambda door, text: door.get("/nothing", {"Accept": header(text)}),
}


PROVING = ("passkey", "provider", "hosted token", "start, hosted token")  # what these take, nobody here has


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_strangers_are_refused_whatever_they_send(door: Door, entrance: str) -> None:
    found = {name: ENTRANCES[entrance](door, text).status_code for name, text in EVERYTHING.items()}
    assert {name: status for name, status in found.items() if status >= 500} == {}
    if entrance.startswith(PROVING):
        assert {name: status for name, status in found.items() if status not in (400, 403)} == {}
