"""Passkeys (WebAuthn Level 3): made by somebody who is signed in, and then enough to sign in. No HTTP, no SQL.

The authenticator verifies its user (by PIN, fingerprint …), so a passkey needs no second factor. A challenge is signed
and valid for five minutes, so nothing is stored for visitors who only look; an answered one is stored until then, so
that an answer works once.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

import webauthn
from webauthn.helpers import base64url_to_bytes
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from fieldpack.server.accounts.credentials import passkey_queries as queries
from fieldpack.server.accounts.credentials.changes import note_change, require_fresh
from fieldpack.server.accounts.credentials.signing_in import Entry, WrongCredentials, enter
from fieldpack.server.accounts.keys import find_key, get_signing_key
from fieldpack.server.accounts.sessions import SignedIn, Visitor
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import not_found
from fieldpack.server.values.json_types import parse_object

__all__ = ["ask_for_new", "ask_to_sign_in", "enter_with_passkey", "keep_new", "remove"]

CHALLENGE_SECONDS = 300
MOST_PASSKEYS = 20
MOST_NAME_CHARACTERS = 100
MOST_CREDENTIAL_CHARACTERS = 20_000
P = ParamSpec("P")
T = TypeVar("T")
VERIFIED = UserVerificationRequirement.REQUIRED


async def _make_challenge(connection: Connection, purpose: str) -> bytes:
    key = await get_signing_key(connection, "sessions")
    content = f"{secrets.token_urlsafe(24)}.{int(time.time()) + CHALLENGE_SECONDS}"
    return f"{content}.{key.id}.{key.sign(f'passkey {purpose}:{content}')}".encode()


async def _use_challenge(connection: Connection, purpose: str, challenge: bytes) -> bool:
    """Return whether we made this challenge for this purpose within five minutes and nobody has answered it; store
    that it is answered."""
    parts = challenge.decode("ascii", "replace").split(".")
    if len(parts) != 4 or not parts[1].isascii() or not parts[1].isdecimal():
        return False
    content = f"{parts[0]}.{parts[1]}"
    key = await find_key(connection, "sessions", parts[2])
    if key is None or not key.has_signed(f"passkey {purpose}:{content}", parts[3]):
        return False
    return int(parts[1][:12]) > time.time() and await queries.spend_challenge(
        connection, hashlib.sha256(challenge).digest(), timedelta(seconds=CHALLENGE_SECONDS)
    )


def _read(text: str) -> tuple[dict[str, Any], bytes]:
    """A browser's answer, and the challenge that it names.

    Raises:
        WrongCredentials: it is no answer of a browser.
    """
    try:
        credential = parse_object(text[: MOST_CREDENTIAL_CHARACTERS + 1])
        client_data = parse_object(base64url_to_bytes(credential["response"]["clientDataJSON"]))
        return credential, base64url_to_bytes(client_data["challenge"])
    except (ValueError, KeyError, TypeError):
        raise WrongCredentials from None


def _verify(check: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What the library makes of a browser's answer.

    Raises:
        WrongCredentials: it refuses it, or fails on it: it reads many formats, and says of few what they raise.
    """
    try:
        return check(*args, **kwargs)
    except Exception as error:
        raise WrongCredentials from error


def _host(origin: str) -> str:
    return urlsplit(origin).hostname or ""


async def ask_for_new(connection: Connection, signed_in: SignedIn, origin: str) -> str:
    """The options with which a browser makes a passkey (`PublicKeyCredentialCreationOptions`), as JSON.

    Raises:
        Problem: 403, see `changes.require_fresh`.
    """
    require_fresh(signed_in)
    caller = signed_in.caller
    rows = await queries.list_passkeys(connection, caller.id)
    options = webauthn.generate_registration_options(
        rp_id=_host(origin),
        rp_name="fieldpack",
        user_id=caller.id.bytes,
        user_name=caller.email,
        user_display_name=caller.name,
        challenge=await _make_challenge(connection, f"new {caller.id}"),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=VERIFIED
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=row.id) for row in rows],
    )
    return webauthn.options_to_json(options)


async def keep_new(connection: Connection, signed_in: SignedIn, origin: str, text: str, name: str) -> None:
    """Store a passkey that a browser has made.

    Args:
        origin: scheme and host of our pages.
        text: the browser's answer, as JSON.
        name: what its researcher calls it.

    Raises:
        WrongCredentials: this is no answer to our challenge, there is such a passkey already, or there are 20.
        Problem: 403, see `changes.require_fresh`.
    """
    require_fresh(signed_in)
    credential, challenge = _read(text)
    if not await _use_challenge(connection, f"new {signed_in.caller.id}", challenge):
        raise WrongCredentials
    made = _verify(
        webauthn.verify_registration_response,
        credential=credential,
        expected_challenge=challenge,
        expected_rp_id=_host(origin),
        expected_origin=origin,
        require_user_verification=True,
    )
    if len(await queries.list_passkeys(connection, signed_in.caller.id)) >= MOST_PASSKEYS:
        raise WrongCredentials
    if not await queries.insert_passkey(
        connection,
        made.credential_id,
        signed_in.caller.id,
        name.strip()[:MOST_NAME_CHARACTERS] or "Passkey",
        made.credential_public_key,
        made.sign_count,
    ):
        raise WrongCredentials
    await note_change(connection, signed_in, "passkey added")


async def ask_to_sign_in(connection: Connection, origin: str) -> str:
    """The options with which a browser signs in by any passkey of this server, as JSON."""
    options = webauthn.generate_authentication_options(
        rp_id=_host(origin),
        challenge=await _make_challenge(connection, "sign in"),
        user_verification=VERIFIED,
    )
    return webauthn.options_to_json(options)


async def enter_with_passkey(connection: Connection, visitor: Visitor, origin: str, text: str) -> Entry:
    """Sign in the researcher whose passkey answered our challenge.

    Args:
        origin: scheme and host of our pages.
        text: the browser's answer, as JSON.

    Raises:
        WrongCredentials: the passkey is unknown, or this is no answer to our challenge.
    """
    credential, challenge = _read(text)
    if not await _use_challenge(connection, "sign in", challenge):
        raise WrongCredentials
    row = await queries.find_passkey(
        connection, _verify(base64url_to_bytes, str(credential.get("rawId", "")))
    )
    if row is None:
        raise WrongCredentials
    verified = _verify(
        webauthn.verify_authentication_response,
        credential=credential,
        expected_challenge=challenge,
        expected_rp_id=_host(origin),
        expected_origin=origin,
        credential_public_key=row.public_key,
        credential_current_sign_count=row.sign_count,
        require_user_verification=True,
    )
    # a copied passkey has a counter of its own: a count that does not rise shows that there are two
    if not await queries.note_use(connection, row.id, row.sign_count, verified.new_sign_count):
        raise WrongCredentials
    return await enter(connection, visitor, row.researcher_id, "passkey")


async def remove(connection: Connection, signed_in: SignedIn, id: str) -> None:
    """Delete a passkey of one's own.

    Args:
        id: in base64url.

    Raises:
        Problem: 404 for an unknown one; 403, see `changes.require_fresh`.
    """
    require_fresh(signed_in)
    try:
        found = await queries.delete_passkey(connection, signed_in.caller.id, base64url_to_bytes(id))
    except ValueError:
        found = False
    if not found:
        raise not_found("Passkey", id)
    await note_change(connection, signed_in, "passkey removed")
