"""Signing in at an identity provider: OpenID Connect's code flow, with PKCE. No SQL.

Followed: OpenID Connect Core 1.0 §3.1, Discovery 1.0 §4, RFC 7636 (PKCE, S256), RFC 9700 for what it forbids. The state
of a sign-in is in a signed cookie of the browser; nothing is stored before the browser has come back with a code.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import json
import secrets
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from fieldpack.server.accounts.keys import find_key, get_signing_key
from fieldpack.server.accounts.providers.signed_tokens import read_header
from fieldpack.server.config import Settings
from fieldpack.server.db.pool import Connection
from fieldpack.server.values.json_types import parse_object

__all__ = ["STATE_SECONDS", "Identity", "Provider", "ProviderError", "open_state", "seal_state"]

# only signatures by private keys: never `none`, nor HMAC, whose key could be the public key that everybody knows
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
METADATA_SECONDS = 3600.0
KEYS_PAUSE_SECONDS = 60.0  # between two fetches of the keys, whatever keys tokens name
TIMEOUT_SECONDS = 10.0
STATE_SECONDS = 600
SKEW_SECONDS = 60
RANDOM_BYTES = 32


class ProviderError(Exception):
    """Signing in at the provider did not work; `str()` says why, for the log and an operator."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is, as a provider says.

    Attributes:
        issuer, subject: identify the person; they never change.
        email: '' where the provider gives none.
        is_verified: whether the provider says that it has verified the address.
        groups: names of the provider's groups that the person is in.
    """

    issuer: str
    subject: str
    email: str
    is_verified: bool
    first_name: str
    last_name: str
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class State:
    """A sign-in under way: what the provider's answer must contain, and what is needed to redeem its code."""

    state: str
    nonce: str
    verifier: str
    next: str


async def seal_state(connection: Connection, state: State) -> str:
    """The value of the cookie that holds a sign-in under way: signed, and valid for ten minutes."""
    key = await get_signing_key(connection, "sessions")
    content = [state.state, state.nonce, state.verifier, state.next, int(time.time()) + STATE_SECONDS]
    text = base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")
    return f"{text}.{key.id}.{key.sign(f'oidc:{text}')}"


async def open_state(connection: Connection, cookie: str) -> State | None:
    """The sign-in that a cookie holds; None when we did not sign it, or it has expired."""
    text, _, rest = cookie.partition(".")
    key_id, _, signature = rest.partition(".")
    key = await find_key(connection, "sessions", key_id)
    if key is None or not key.has_signed(f"oidc:{text}", signature):
        return None
    *fields, until = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return State(*fields) if until > time.time() else None


@contextlib.contextmanager
def _blaming() -> Iterator[None]:
    """Whatever goes wrong with a provider's answers is the provider's fault.

    Of what they raise for answers that are not what they should be, libraries say little; and authlib brings an HTTP
    client of its own, whose errors are not those of ours.

    Raises:
        ProviderError: something was raised, of whatever type.
    """
    try:
        yield
    except ProviderError:
        raise
    except Exception as error:
        raise ProviderError(f"The provider refused: {type(error).__name__}: {error}") from None


@functools.cache
def _authorities() -> ssl.SSLContext:
    """Whose certificates are believed. Everybody waits for as long as it takes to read them: once in a process."""
    return httpx.create_ssl_context()


def _random() -> str:
    return secrets.token_urlsafe(RANDOM_BYTES)


@dataclass(slots=True)
class Provider:
    """The provider of the settings, with its metadata, which is fetched again after an hour."""

    settings: Settings
    _metadata: dict[str, Any] = field(default_factory=dict)
    _metadata_until: float = 0.0
    _keys: KeySet | None = None
    _keys_at: float = float("-inf")
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def issuer(self) -> str:
        """The issuer that the settings name."""
        assert self.settings.oidc_issuer is not None
        return self.settings.oidc_issuer

    def _client(self, redirect_uri: str) -> Any:
        methods = self._metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        secret = self.settings.oidc_secret
        method = "client_secret_basic" if "client_secret_basic" in methods else "client_secret_post"
        return AsyncOAuth2Client(
            self.settings.oidc_client_id,
            secret,
            token_endpoint_auth_method=method if secret else "none",
            scope=self.settings.oidc_scopes,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            timeout=TIMEOUT_SECONDS,
            verify=_authorities(),
        )

    async def begin(self, redirect_uri: str, next: str) -> tuple[str, State]:
        """The address at the provider to send the browser to, and the sign-in to keep in its cookie.

        Raises:
            ProviderError: the provider can't be reached, or its metadata is not to be trusted.
        """
        metadata = await self._discover()
        state = State(_random(), _random(), _random(), next)
        with _blaming():
            async with self._client(redirect_uri) as client:
                url, _ = client.create_authorization_url(
                    metadata["authorization_endpoint"],
                    state=state.state,
                    nonce=state.nonce,
                    code_verifier=state.verifier,
                )
        return url, state

    async def redeem(self, redirect_uri: str, state: State, code: str) -> Identity:
        """The identity that a code stands for.

        Raises:
            ProviderError: the provider refuses the code, or its answer is not to be trusted.
        """
        metadata = await self._discover()
        with _blaming():
            async with self._client(redirect_uri) as client:
                token = await client.fetch_token(
                    metadata["token_endpoint"],
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=state.verifier,
                )
                claims = await self._check(str(token.get("id_token") or ""), state.nonce)
                endpoint = metadata.get("userinfo_endpoint")
                if endpoint and not {"email", self.settings.oidc_groups_claim} <= set(claims):
                    claims = self._merge(
                        claims, parse_object((await client.get(endpoint)).raise_for_status().content)
                    )
        return self._identify(claims)

    @staticmethod
    def _merge(claims: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
        """The claims of the ID token with those of the userinfo endpoint, which must be of the same subject (Core
        §5.3.2)."""
        if more.get("sub") != claims["sub"]:
            raise ProviderError("The provider's userinfo is about somebody else.")
        return {**more, **claims}

    async def _check(self, id_token: str, nonce: str) -> dict[str, Any]:
        """The claims of an ID token, after every check of Core §3.1.3.7."""
        try:
            token = jwt.decode(id_token, await self._find_keys(id_token), algorithms=list(ALGORITHMS))
            jwt.JWTClaimsRegistry(
                leeway=SKEW_SECONDS,
                iss={"essential": True, "value": self.issuer},
                aud={"essential": True, "value": self.settings.oidc_client_id},
                sub={"essential": True},
                exp={"essential": True},
                iat={"essential": True},
            ).validate(token.claims)
        except (JoseError, ValueError) as error:
            raise ProviderError(f"The provider's ID token is not valid: {error}") from None
        claims = token.claims
        if "\0" in claims["sub"]:
            raise ProviderError("The provider's ID token is of nobody that could be kept.")
        audience = claims["aud"]
        client_id = self.settings.oidc_client_id
        if isinstance(audience, list) and len(audience) > 1 and claims.get("azp") != client_id:
            raise ProviderError("The provider's ID token is for several, and not issued to us.")
        if not secrets.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise ProviderError("The provider's ID token belongs to another try.")
        return claims

    async def _find_keys(self, id_token: str) -> KeySet:
        """The provider's keys. They are fetched again when a token names one that is not among them."""
        wanted = read_header(id_token).get("kid")
        async with self._turn:
            known = self._keys is not None and (
                wanted is None or any(key.kid == wanted for key in self._keys.keys)
            )
            if not known and time.monotonic() > self._keys_at + KEYS_PAUSE_SECONDS:
                self._keys_at = time.monotonic()
                found = await self._fetch((await self._discover())["jwks_uri"])
                self._keys = KeySet.import_key_set(found)
        if self._keys is None:
            raise ProviderError("The provider's keys could not be had.")
        return self._keys

    async def _discover(self) -> dict[str, Any]:
        if time.monotonic() > self._metadata_until:
            url = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
            metadata = await self._fetch(url)
            if metadata.get("issuer") != self.issuer:
                raise ProviderError(
                    f"{url} says it is {metadata.get('issuer')!r}, not FIELDPACK_OIDC_ISSUER."
                )
            wanted = ("authorization_endpoint", "token_endpoint", "jwks_uri")
            missing = [name for name in wanted if not isinstance(metadata.get(name), str)]
            if missing:
                raise ProviderError(f"{url} lacks {', '.join(missing)}.")
            self._metadata, self._metadata_until = metadata, time.monotonic() + METADATA_SECONDS
        return self._metadata

    @staticmethod
    async def _fetch(url: str) -> Any:
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, verify=_authorities()) as client:
                return parse_object((await client.get(url)).raise_for_status().content)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise ProviderError(f"{url} could not be read: {type(error).__name__}: {error}") from None

    def _identify(self, claims: dict[str, Any]) -> Identity:
        def text(name: str) -> str:
            value = claims.get(name)
            return value.replace("\0", "").strip()[:200] if isinstance(value, str) else ""

        groups = claims.get(self.settings.oidc_groups_claim, [])
        groups = [groups] if isinstance(groups, str) else groups
        first, last = text("given_name"), text("family_name")
        return Identity(
            issuer=self.issuer,
            subject=str(claims["sub"]),
            email=text("email"),
            is_verified=claims.get("email_verified") is True,
            first_name=first or ("" if last else text("name")),
            last_name=last,
            groups=frozenset(group for group in groups if isinstance(group, str))
            if isinstance(groups, list)
            else frozenset(),
        )
