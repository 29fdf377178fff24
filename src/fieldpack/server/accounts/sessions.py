"""Researchers' sessions in the browser, and links that sign in once.

A session's cookie is `<token>.<key>.<signature>`. The token's hash is a row, which signing out ends. The signature is
checked first, so that invented cookies cost no look into the database.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID, uuid4

from fieldpack.errors import FieldpackError, UsageError
from fieldpack.server.accounts import queries
from fieldpack.server.accounts import session_queries as sessions
from fieldpack.server.accounts.keys import FIRST, KEY_ID, SESSION_LIFE, find_key, get_signing_key
from fieldpack.server.accounts.permissions.roles import Role
from fieldpack.server.accounts.rows import HolderRow, SessionHolderRow
from fieldpack.server.accounts.service import Caller, hash_token
from fieldpack.server.audit.service import Actor, write_entry
from fieldpack.server.db.pool import Connection

__all__ = [
    "LINK_LIFE",
    "SIGN_IN_ONCE",
    "Method",
    "SignedIn",
    "Visitor",
    "begin_session",
    "end_session",
    "find_session",
    "make_sign_in_code",
    "peek_code",
    "use_code",
]

Method = Literal["token", "link", "invitation", "password", "passkey", "oidc"]
"""How somebody signed in."""

SIGN_IN_ONCE = "/sign-in/once"
LINK_LIFE = timedelta(minutes=15)
TOKEN_BYTES = 32
MOST_NAMED = 10
MOST_AGENT_CHARACTERS = 400
FRESH = timedelta(hours=1)
_COOKIE = re.compile(rf"([\w-]{{43}})\.({KEY_ID})\.([0-9a-f]{{64}})", re.ASCII)
# <id of the API token>.<Unix time of its end>.<signature>: accepted until 12 hours after the upgrade to rows
_OLD_COOKIE = re.compile(r"(([0-9a-f-]{36})\.(\d{1,12}))\.([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Where a request comes from.

    Attributes:
        address: of the client, as people read it.
        network: what limits count as one address: an IPv4 address, or the /64 of an IPv6 one.
        agent: the browser's name for itself; '' without one.
        device: value of the cookie that marks browsers in which somebody signed in before.
    """

    address: str
    network: bytes
    agent: str = ""
    device: str | None = None


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A researcher who is signed in, and their session.

    Attributes:
        session_id: None for a cookie from before sessions were rows.
        method: how they signed in.
        since: when they signed in; None where it isn't known.
    """

    caller: Caller
    session_id: UUID | None
    method: str
    since: datetime | None

    @property
    def may_change_credentials(self) -> bool:
        """Whether they signed in within the last hour, and not with an API token: what they set up now outlasts the
        session.

        Somebody who found an API token could otherwise keep access after the token is revoked.
        """
        return self.method != "token" and self.since is not None and self.since > datetime.now(UTC) - FRESH


def _signed(token: str) -> str:
    return f"session:{token}"


async def begin_session(
    connection: Connection,
    visitor: Visitor,
    researcher_id: UUID,
    method: Method,
    token_id: UUID | None = None,
) -> str:
    """Begin a session of twelve hours; returns the cookie's value. A session that began with an API token ends with
    it."""
    key = await get_signing_key(connection, "sessions")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    agent = visitor.agent.replace("\0", "")[:MOST_AGENT_CHARACTERS]
    session_id = uuid4()
    await sessions.insert_session(
        connection,
        session_id,
        hash_token(token),
        researcher_id,
        token_id,
        method,
        visitor.address,
        agent,
        SESSION_LIFE,
    )
    actor = Actor("researcher", researcher_id, "session", str(session_id), visitor.address)
    await write_entry(
        connection, actor, "session.begin", object_id=session_id, member_id=researcher_id, step=method
    )
    return f"{token}.{key.id}.{key.sign(_signed(token))}"


async def find_session(
    connection: Connection, cookie: str, address: str, *, of_before: bool = False
) -> SignedIn | None:
    """The researcher who is signed in; None for a cookie that is forged, expired or ended, or whose API token was
    revoked.

    Args:
        of_before: accept only a cookie from before sessions were rows. Newer ones never had the name that it came
            under, so one of them under that name was put there by somebody else.
    """
    token = None if of_before else await _read(connection, cookie)
    if token is None:
        holder = await _find_old(connection, cookie)
        return SignedIn(_caller(holder, address), None, "token", None) if holder else None
    found = await sessions.find_session(connection, hash_token(token))
    if found is None:
        return None
    if found.stale:
        await sessions.note_use(connection, hash_token(token), address)
    caller = _caller(found, address, found.session_id)
    return SignedIn(caller, found.session_id, found.method, found.created_at)


async def end_session(connection: Connection, cookie: str) -> None:
    """Sign out. The cookie is not accepted any more, wherever there is a copy of it."""
    token = await _read(connection, cookie)
    if token is not None:
        ended = await sessions.end_session(connection, hash_token(token))
        if ended is not None:
            actor = Actor("researcher", ended.researcher_id, "session", str(ended.id))
            await write_entry(
                connection, actor, "session.end", object_id=ended.id, member_id=ended.researcher_id
            )
        return
    holder = await _find_old(connection, cookie)
    old = _OLD_COOKIE.fullmatch(cookie)
    if holder is not None and old is not None:
        await sessions.insert_ended(
            connection, uuid4(), hash_token(cookie), holder.id, UUID(old[2]), int(old[3])
        )


async def _read(connection: Connection, cookie: str) -> str | None:
    """The token of a cookie; None when we did not sign it."""
    found = _COOKIE.fullmatch(cookie)
    key = await find_key(connection, "sessions", found[2]) if found else None
    return found[1] if found and key and key.has_signed(_signed(found[1]), found[3]) else None


async def _find_old(connection: Connection, cookie: str) -> HolderRow | None:
    """The researcher of a cookie from before sessions were rows."""
    found = _OLD_COOKIE.fullmatch(cookie)
    key = await find_key(connection, "sessions", FIRST) if found else None
    if found is None or key is None or not key.has_signed(f"researcher:{found[1]}", found[4]):
        return None
    return await sessions.find_token_holder(connection, UUID(found[2]), int(found[3]), hash_token(cookie))


def _caller(
    holder: HolderRow | SessionHolderRow, address: str | None = None, session_id: UUID | None = None
) -> Caller:
    cap = Role(holder.cap) if holder.cap else None
    return Caller(
        holder.id,
        holder.email,
        holder.first_name,
        holder.last_name,
        holder.token_id,
        cap,
        address,
        is_session=True,
        session_id=session_id,
    )


# links that sign in once


async def make_sign_in_code(connection: Connection, email: str | None) -> str:
    """A code that signs a researcher in once, within 15 minutes.

    Args:
        email: of the researcher; None for the only one there is.

    Raises:
        UsageError: there are several researchers, and none was named.
        FieldpackError: there is no researcher, or none with this address.
    """
    if email is not None:
        researcher_id = await queries.find_researcher_by_email(connection, email)
        if researcher_id is None:
            raise FieldpackError(
                f"There is no researcher {email}; `fieldpack token create --name NAME --researcher {email}` makes one."
            )
    else:
        found = await queries.list_researchers(connection, MOST_NAMED + 1)
        if not found:
            raise FieldpackError(
                "There is no researcher yet; `fieldpack token create --name NAME` makes one."
            )
        if len(found) > 1:
            names = ", ".join(row.email for row in found[:MOST_NAMED])
            more = " and more" if len(found) > MOST_NAMED else ""
            raise UsageError(f"There are several researchers: say which with --researcher ({names}{more}).")
        researcher_id = found[0].id
    code = secrets.token_urlsafe(TOKEN_BYTES)
    await sessions.insert_link(connection, hash_token(code), researcher_id, LINK_LIFE)
    return code


async def peek_code(connection: Connection, code: str) -> Caller | None:
    """The researcher whom a code would sign in. Looking does not use it."""
    holder = await sessions.find_link(connection, hash_token(code))
    return _caller(holder) if holder else None


async def use_code(connection: Connection, code: str) -> UUID | None:
    """The researcher whom a code signs in, once; None when it was used before or has expired."""
    return await sessions.use_link(connection, hash_token(code))
