"""The hosted service's secured links: a JSON Web Token (RFC 7519), `prolific_token`, signed by RS256 and nothing else.

Followed: the service's reference of its key set (`GET /.well-known/study/jwks.json`), which says what to check: the
signature, by the key that the token names; `exp`; `aud`; and that the claim `prolific` is what the URL says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import structlog
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError

from fieldpack.server.accounts.providers.signed_tokens import read_header
from fieldpack.server.problems import SIGNED_LINK_EXPIRED, SIGNED_LINK_INVALID, UNAVAILABLE, Problem
from fieldpack.server.tickets.hosted_keys import PAUSE_SECONDS, HostedKeys, KeysUnavailable
from fieldpack.server.tickets.personal import Ticket
from fieldpack.server.values.participant_ids import MAX_GIVEN, MAX_ID, normalise_participant_id

__all__ = ["MOST_CHARACTERS", "TOKEN", "is_same_page", "read_token"]

TOKEN = "prolific_token"
PARTICIPANT, SESSION = "PROLIFIC_PID", "SESSION_ID"
ALGORITHM = "RS256"
MOST_CHARACTERS = 4096
SKEW_SECONDS = 60
PORTS = {"http": 80, "https": 443}

log = structlog.get_logger()


class _Refused(Exception):
    """Why a token is refused, for the log."""


async def read_token(
    keys: HostedKeys, issuer: str, token: str, study_url: str, parameters: Iterable[tuple[str, str]]
) -> Ticket:
    """What a token proves for whoever opened this study's page with these parameters.

    Args:
        keys: of the hosted service.
        issuer: what `iss` must be.
        study_url: of the study's page; only scheme, host and path count.
        parameters: of the URL that was opened, the token's own aside. Each must be the same in the token.

    Raises:
        Problem: 403 for a token that is not good for this; 503 while there are no keys.
    """
    try:
        claims = await _check_signature(keys, token)
        _check_claims(claims, issuer, study_url)
        return _make_ticket(claims, token, list(parameters))
    except KeysUnavailable:
        raise Problem(
            UNAVAILABLE,
            "The keys of the service that sent you here can't be had just now. Try again in a minute.",
            headers={"Retry-After": str(int(PAUSE_SECONDS))},
        ) from None
    except ExpiredTokenError:
        raise Problem(
            SIGNED_LINK_EXPIRED,
            "This link has expired. Open the study again from the service that sent you here.",
        ) from None
    except (_Refused, JoseError, ValueError, OverflowError, OSError) as error:
        log.info("hosted_token.refused", reason=str(error) or type(error).__name__)
        raise Problem(
            SIGNED_LINK_INVALID,
            "This link is not whole, or not for this study and session. Open the study again from the service that sent"
            " you here.",
        ) from None


async def _check_signature(keys: HostedKeys, token: str) -> dict[str, Any]:
    """The claims of a token that a key of the service's has signed. What else a header says is not heeded."""
    if len(token) > MOST_CHARACTERS or not token.isascii():
        raise _Refused("too long, or no token")
    header = read_header(token)
    kid = header.get("kid")
    if header.get("alg") != ALGORITHM or not isinstance(kid, str) or "crit" in header or "b64" in header:
        raise _Refused("its header is not one of theirs")
    key = await keys.find(kid)
    if key is None:
        raise _Refused("its key is unknown")
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=[ALGORITHM]).claims
    return claims


def _check_claims(claims: dict[str, Any], issuer: str, study_url: str) -> None:
    registry = jwt.JWTClaimsRegistry(
        leeway=SKEW_SECONDS,
        iss={"essential": True, "value": issuer},
        aud={"essential": True},
        exp={"essential": True},
        sub={"essential": True},
    )
    registry.validate(claims)
    audience = claims["aud"]
    if not any(
        is_same_page(each, study_url) for each in ([audience] if isinstance(audience, str) else audience)
    ):
        raise _Refused("it is for another study, or another server")


def is_same_page(url: str, other: str) -> bool:
    """Whether two URLs have the same scheme, host (with its port) and path, whatever else they say."""
    first, second = _page_of(url), _page_of(other)
    return first is not None and first == second


def _page_of(url: str) -> tuple[str, str, int, str] | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in PORTS or not parts.hostname or parts.username is not None:
        return None
    return parts.scheme, parts.hostname, port or PORTS[parts.scheme], parts.path.removesuffix("/")


def _make_ticket(claims: dict[str, Any], token: str, parameters: list[tuple[str, str]]) -> Ticket:
    said = claims.get("prolific")
    if not isinstance(said, dict):
        raise _Refused("it says nothing of the participant")
    names = [name for name, _ in parameters]
    if len(set(names)) < len(names):
        raise _Refused("a parameter stands there twice")
    for name, value in parameters:
        if said.get(name) != value:
            raise _Refused(f"{name[:40]!r} is another in the link")
    given, session_id = said.get(PARTICIPANT), claims["sub"]
    participant_id = (
        normalise_participant_id(given) if isinstance(given, str) and len(given) <= MAX_GIVEN else ""
    )
    if not 0 < len(participant_id) <= MAX_ID or not 0 < len(session_id) <= MAX_ID or "\0" in session_id:
        raise _Refused("it names no participant, or no session")
    if said.get(SESSION, session_id) != session_id:
        raise _Refused("its sessions differ")
    # by what is signed, and not by all of the text: the last bits of a signature's base64 are nobody's
    id = hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()[:32]
    expires_at = datetime.fromtimestamp(claims["exp"], UTC) + timedelta(seconds=SKEW_SECONDS)
    return Ticket(id, participant_id, session_id, expires_at, once=True)
