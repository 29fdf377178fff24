"""Signing in at an OpenID Connect provider: a real one, run beside the server (oidc-provider-mock)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from uuid import uuid4

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from fieldpack.errors import ConfigError
from fieldpack.server.accounts.permissions.roles import Role
from fieldpack.server.accounts.providers.identities import role_of
from fieldpack.server.accounts.providers.oidc import Provider, ProviderError
from fieldpack.server.config import Settings, load_settings
from tests.installation import Installation, free_port, installed
from tests.integration.rows import connected
from tests.integration.test_invitations import code_of, invite, is_proven, roles_of
from tests.integration.test_signing_in import PASSWORD, Browser, make_researcher, make_token, sha256
from tests.refusals import refused

RETURN = "/sign-in/provider/return"
LATER = "2100-01-01"
ROLES = {"lab-leads": "owner", "lab": "editor", "students": "viewer"}


@dataclass
class Idp:
    """A provider, and the people that it knows."""

    url: str
    client_id: str = ""
    client_secret: str = ""

    def put(self, sub: str, **claims: Any) -> None:
        """Somebody, as the provider knows them from now on."""
        httpx.put(f"{self.url}/users/{quote(sub)}", json=claims, trust_env=False).raise_for_status()

    def authorise(self, url: str, sub: str | None) -> str:
        """Sign in at the provider, or cancel; where it sends the browser back to."""
        data = {"sub": sub} if sub else {"action": "deny"}
        answer = httpx.post(url, data=data, trust_env=False)
        assert answer.status_code == 302, answer.text
        return str(answer.headers["location"])


@pytest.fixture(scope="module")
def idp() -> Iterator[Idp]:
    port = free_port()
    process = subprocess.Popen(
        [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "oidc_provider_mock",
            "-p",
            str(port),
            "-r",
            "true",
            "-n",
            "true",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    made = Idp(f"http://localhost:{port}")
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                httpx.get(f"{made.url}/.well-known/openid-configuration", trust_env=False).raise_for_status()
                break
            except httpx.HTTPError:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.2)
        yield made
    finally:
        process.terminate()
        process.wait(120)


@pytest.fixture(scope="module")
def own(idp: Idp) -> Iterator[Installation]:
    """An installation of two web processes, registered with the provider as a client with a secret."""
    port = free_port()
    client = {
        "redirect_uris": [f"http://127.0.0.1:{port}{RETURN}"],
        "token_endpoint_auth_method": "client_secret_basic",
    }
    made = httpx.post(f"{idp.url}/oauth2/clients", json=client, trust_env=False).raise_for_status().json()
    with installed(
        *("--workers", "2"),
        port=port,
        FIELDPACK_OIDC_ISSUER=idp.url,
        FIELDPACK_OIDC_CLIENT_ID=made["client_id"],
        FIELDPACK_OIDC_CLIENT_SECRET=made["client_secret"],
        FIELDPACK_OIDC_NAME="Example University",
        FIELDPACK_OIDC_ROLES=json.dumps(ROLES),
    ) as installation:
        yield installation


def person(idp: Idp, *groups: str, **claims: Any) -> tuple[str, str]:
    """Somebody new at the provider: subject and address."""
    sub, email = f"sub-{uuid4().hex[:8]}", f"p-{uuid4().hex[:8]}@uni.example"
    known = {"email": email, "email_verified": True, "given_name": "Ada", "family_name": "Byron"}
    idp.put(sub, **{**known, "groups": list(groups), **claims})
    return sub, email


def go(
    server: Installation, idp: Idp, sub: str | None, browser: Browser | None = None
) -> tuple[Browser, httpx.Response]:
    """Press the button, sign in at the provider, come back."""
    browser = browser or Browser(server)
    there = browser.get("/sign-in/provider?next=/researcher/account")
    assert there.status_code == 303, there.text
    back = idp.authorise(there.headers["location"], sub)
    return browser, browser.get(urlsplit(back)._replace(scheme="", netloc="").geturl())


def test_somebody_new_gets_the_role_of_their_groups(own: Installation, idp: Idp) -> None:
    assert "Sign in with Example University" in Browser(own).get("/sign-in").text
    sub, email = person(idp, "lab", "students", "others")
    browser, answer = go(own, idp, sub)
    assert (answer.status_code, answer.headers["location"]) == (303, "/researcher/account"), answer.text
    assert browser.is_in
    assert roles_of(own, email) == (["editor"], [])
    page = browser.get("/researcher/account").text
    assert "Ada Byron" in page
    assert "Signed in at your institution" in page
    assert 'name="password"' in page


def test_what_is_asked_of_the_provider(own: Installation, idp: Idp) -> None:
    there = Browser(own).get("/sign-in/provider")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(there.headers["location"]).query).items()}
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["code_challenge"]) == 43
    assert {"state", "nonce"} < set(asked)
    assert set(asked["scope"].split()) == {"openid", "email", "profile"}
    assert asked["redirect_uri"] == f"{own.url}{RETURN}"


def test_roles_follow_the_groups_each_time(own: Installation, idp: Idp) -> None:
    sub, email = person(idp, "students")
    for groups, held in (
        (["students"], ["viewer"]),
        (["lab"], ["editor"]),
        (["students"], ["viewer"]),
        ([], []),
    ):
        idp.put(sub, email=email, email_verified=True, groups=groups)
        go(own, idp, sub)
        assert roles_of(own, email) == (held, []), groups


def test_who_has_no_group_is_not_let_in(own: Installation, idp: Idp) -> None:
    sub, email = person(idp, "others")
    browser, answer = go(own, idp, sub)
    assert answer.status_code == 403
    assert "You have no account here" in answer.text
    assert not browser.is_in
    with connected(own) as database:
        assert database.execute("SELECT 1 FROM researchers WHERE email = %s", [email]).fetchall() == []


def test_a_verified_address_is_whose_account_it_is(own: Installation, idp: Idp) -> None:
    email = make_researcher(own)
    sub, _ = person(idp, email=email.upper())
    browser, answer = go(own, idp, sub)
    assert answer.status_code == 303, answer.text
    assert email in browser.get("/researcher/account").text
    # known by their subject from now on, whatever the address becomes
    idp.put(sub, email="other@uni.example", email_verified=False, groups=[])
    again, answer = go(own, idp, sub)
    assert answer.status_code == 303
    assert email in again.get("/researcher/account").text


def test_an_address_that_nobody_verified_opens_no_account(own: Installation, idp: Idp) -> None:
    email = make_researcher(own)
    for verified in (False, "true", None):
        sub, _ = person(idp, "lab", email=email, email_verified=verified)
        browser, answer = go(own, idp, sub)
        assert answer.status_code == 403, verified
        assert not browser.is_in


def test_an_account_that_somebody_made_under_the_address_is_handed_over(own: Installation, idp: Idp) -> None:
    sub, email = person(idp)
    squatter = Browser(own)
    assert squatter.post("/join", code=code_of(invite(own)["url"]), name="x", email=email).status_code == 303
    assert squatter.post("/researcher/account/password", password=PASSWORD, again=PASSWORD).status_code == 303
    token, _ = make_token(own, email, "kept")
    link = secrets.token_urlsafe(32)
    with connected(own) as database:
        [id] = database.execute("SELECT id FROM researchers WHERE email = %s", [email]).fetchone() or []
        for statement, values in (
            ("sign_in_links (code_sha256, expires_at, researcher_id)", [sha256(link), LATER]),
            ("sign_in_steps (code_sha256, expires_at, researcher_id)", [sha256("step"), LATER]),
            ("passkeys (id, name, public_key, sign_count, researcher_id)", [b"key", "k", b"x", 0]),
            ("second_factors (secret, researcher_id)", [b"x" * 20]),
            ("recovery_codes (code_sha256, researcher_id)", [b"x" * 32]),
            ("external_identities (issuer, subject, researcher_id)", ["https://idp.example", sub]),
        ):
            marks = ", ".join(["%s"] * (len(values) + 1))
            database.execute(f"INSERT INTO {statement} VALUES ({marks})", [*values, id])
    browser, answer = go(own, idp, sub)
    assert answer.status_code == 303, answer.text
    assert email in browser.get("/researcher/account").text
    assert not squatter.is_in
    assert Browser(own).sign_in(email, PASSWORD).status_code != 303
    assert Browser(own).post("/sign-in/once", code=link).status_code != 303
    with own.client(token) as api:
        refused(api.get("/users/me"), 401)
    assert roles_of(own, email) == (["reviewer"], [])
    with connected(own) as database:
        left = {
            table: database.execute(f"SELECT count(*) FROM {table} WHERE researcher_id = %s", [id]).fetchone()
            for table in (
                "sign_in_links",
                "sign_in_steps",
                "passwords",
                "passkeys",
                "second_factors",
                "recovery_codes",
                "external_identities",
                "known_devices",
            )
        }
        assert {table for table, found in left.items() if found != (0,)} == {
            "external_identities",
            "known_devices",
        }
        assert left["external_identities"] == left["known_devices"] == (1,)
        noted = database.execute(
            "SELECT count(*) FROM audit_entries WHERE details->>'step' = 'address taken over'"
        ).fetchone()
        assert noted == (1,)
    # it is theirs now: signing in again, by whatever the provider calls them, takes nothing away
    assert browser.post("/researcher/account/password", password=PASSWORD, again=PASSWORD).status_code == 303
    go(own, idp, sub)
    other, _ = person(idp, email=email)
    go(own, idp, other)
    assert browser.is_in
    assert Browser(own).sign_in(email, PASSWORD).status_code == 303


def test_an_account_by_an_address_that_nobody_verified_is_proven_once_it_is(
    own: Installation, idp: Idp
) -> None:
    sub, email = person(idp, "lab", email_verified=False)
    browser, _ = go(own, idp, sub)
    assert not is_proven(own, email)
    idp.put(sub, email=email, email_verified=True, groups=["lab"])
    go(own, idp, sub)
    assert is_proven(own, email)
    assert browser.is_in


def test_a_role_that_an_owner_gave_is_not_lowered(own: Installation, idp: Idp) -> None:
    email = make_researcher(own)
    with connected(own) as database:
        database.execute(
            "INSERT INTO memberships (workspace_id, researcher_id, role)"
            " SELECT w.id, r.id, 'editor' FROM workspaces w, researchers r WHERE r.email = %s",
            [email],
        )
    sub, _ = person(idp, "students", email=email)
    go(own, idp, sub)
    assert roles_of(own, email) == (["editor"], [])
    idp.put(sub, email=email, email_verified=True, groups=[])
    go(own, idp, sub)
    assert roles_of(own, email) == (["editor"], [])


def test_answers_that_are_not_to_this_browsers_question(own: Installation, idp: Idp) -> None:
    sub, _ = person(idp, "lab")
    mine, other = Browser(own), Browser(own)
    back = idp.authorise(mine.get("/sign-in/provider").headers["location"], sub)
    path = urlsplit(back)._replace(scheme="", netloc="").geturl()
    assert other.get(path).status_code == 403  # without having asked
    other.get("/sign-in/provider")
    assert other.get(path).status_code == 403  # having asked something else
    assert mine.get(path.replace("state=", "state=x")).status_code == 403
    assert not mine.is_in
    assert not other.is_in
    back = idp.authorise(mine.get("/sign-in/provider").headers["location"], sub)
    path = urlsplit(back)._replace(scheme="", netloc="").geturl()
    kept = dict(mine.cookies)
    assert mine.get(path).status_code == 303
    assert Browser(own, cookies=kept).get(path).status_code == 403  # the code was used
    forged = Browser(own, cookies={"fieldpack_provider": kept["fieldpack_provider"][:-1] + "x"})
    assert forged.get(path).status_code == 403


def test_who_cancels_there_is_told_so(own: Installation, idp: Idp) -> None:
    _, answer = go(own, idp, None)
    assert answer.status_code == 403
    assert "did not work" in answer.text


def test_next_leads_to_no_other_site(own: Installation, idp: Idp) -> None:
    sub, _ = person(idp, "lab")
    browser = Browser(own)
    there = browser.get("/sign-in/provider?next=https://evil.example/")
    back = idp.authorise(there.headers["location"], sub)
    answer = browser.get(urlsplit(back)._replace(scheme="", netloc="").geturl())
    assert answer.headers["location"] == "/researcher"


def test_without_the_setting_there_is_no_such_page(server: Installation) -> None:
    assert httpx.get(f"{server.url}/sign-in/provider", trust_env=False).status_code == 404


# what a provider says, and who says it

KEY, OTHER = RSAKey.generate_key(2048, {"kid": "a"}), RSAKey.generate_key(2048, {"kid": "a"})
ISSUER = "https://login.example.org"


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    whole = {"iss": ISSUER, "aud": "us", "sub": "s", "exp": now + 300, "iat": now, "nonce": "n", **changed}
    return {name: value for name, value in whole.items() if value is not None}


def signed(key: Any = KEY, *, alg: str = "RS256", kid: str = "a", **changed: Any) -> str:
    return jwt.encode({"alg": alg, "kid": kid}, claims(**changed), key, algorithms=[alg])


def put_together(head: dict[str, str], key: bytes | None) -> str:
    """A token made by hand: no library makes these."""
    parts = [json.dumps(part).encode() for part in (head, claims())]
    text = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    signature = hmac.new(key, text.encode(), hashlib.sha256).digest() if key is not None else b""
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def unsigned() -> str:
    return put_together({"alg": "none"}, None)


def with_public_key() -> str:
    return put_together({"alg": "HS256", "kid": "a"}, KEY.as_pem(private=False))


def check(token: str) -> dict[str, Any]:
    settings = Settings(oidc_issuer=ISSUER, oidc_client_id="us")
    provider = Provider(settings)
    provider._keys, provider._keys_at = (
        KeySet([RSAKey.import_key(KEY.as_dict(private=False))]),
        time.monotonic(),
    )
    return asyncio.run(provider._check(token, "n"))


def test_a_token_of_the_provider_is_taken() -> None:
    assert check(signed())["sub"] == "s"
    assert check(signed(aud=["us"]))["sub"] == "s"
    assert check(signed(aud=["us", "them"], azp="us"))["sub"] == "s"
    assert check(signed(exp=int(time.time()) - 30))["sub"] == "s"  # clocks differ


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(lambda: signed(OTHER), id="another key"),
        pytest.param(lambda: signed(OTHER, kid="b"), id="a key nobody has heard of"),
        pytest.param(unsigned, id="alg none"),
        pytest.param(with_public_key, id="HS256 with the public key"),
        pytest.param(lambda: signed(iss="https://login.example.org/"), id="issuer"),
        pytest.param(lambda: signed(aud="them"), id="audience"),
        pytest.param(lambda: signed(aud=["us", "them"]), id="for several, from none"),
        pytest.param(lambda: signed(aud=["us", "them"], azp="them"), id="for several, from another"),
        pytest.param(lambda: signed(exp=int(time.time()) - 90), id="expired"),
        pytest.param(lambda: signed(exp=None), id="without an end"),
        pytest.param(lambda: signed(nonce="x"), id="another try"),
        pytest.param(lambda: signed(nonce=None), id="no nonce"),
        pytest.param(lambda: signed(sub=None), id="nobody"),
        pytest.param(lambda: signed()[:-4] + "AAAA", id="signature"),
        pytest.param(lambda: "", id="nothing"),
        pytest.param(lambda: "a.b", id="nonsense"),
        pytest.param(lambda: "x" * 100_000, id="huge"),
    ],
)
def test_any_other_is_refused(token: Any) -> None:
    made = token()
    with pytest.raises(ProviderError):
        check(made)


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["lab"], Role.EDITOR),
        (["students", "lab"], Role.EDITOR),
        (["lab-leads", "lab"], Role.OWNER),
        (["x"], None),
        ([], None),
    ],
)
def test_the_highest_role_of_the_groups(groups: list[str], role: Role | None) -> None:
    assert role_of(frozenset(groups), ROLES) is role
    assert role_of(frozenset(groups), {**ROLES, "*": "viewer"}) is (role or Role.VIEWER)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ISSUER": "http://login.example.org"}, "must begin with https://"),
        ({"ISSUER": "login.example.org"}, "issuer"),
        ({"ISSUER": ISSUER}, "FIELDPACK_OIDC_CLIENT_ID"),
        ({"ISSUER": ISSUER, "CLIENT_ID": "us", "ROLES": "lab=owner"}, "must be JSON"),
        ({"ISSUER": ISSUER, "CLIENT_ID": "us", "ROLES": '{"lab": "king"}'}, "owner"),
        ({"ISSUER": ISSUER, "CLIENT_ID": "us", "CLIENT_SECRET_FILE": "/nowhere/x"}, "no such file"),
        ({"ISSUER": ISSUER, "CLIENT_ID": "us", "SCOPES": "email"}, "openid"),
    ],
)
def test_settings_that_cannot_work_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], said: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"FIELDPACK_OIDC_{name}", value)
    with pytest.raises(ConfigError, match=said):
        load_settings()
