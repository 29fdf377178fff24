"""Researchers' sessions in the browser, and links that sign in once: what a cookie or a code is good for.

A cookie is `<token>.<key>.<signature>`: the token's hash is a row, which signing out ends, and the signature refuses
what nobody made before it is looked for.
"""

from __future__ import annotations

import re
import secrets
from datetime import timedelta
from uuid import UUID, uuid4

from fieldpack.errors import FieldpackError, UsageError
from fieldpack.server.accounts import queries
from fieldpack.server.accounts import session_queries as sessions
from fieldpack.server.accounts.keys import FIRST, KEY_ID, SESSION_LIFE, find_key, get_signing_key
from fieldpack.server.accounts.permissions.roles import Role
from fieldpack.server.accounts.rows import HolderRow
from fieldpack.server.accounts.service import Caller, hash_token
from fieldpack.server.db.pool import Connection

__all__ = [
    "LINK_LIFE",
    "SIGN_IN_ONCE",
    "begin_session",
    "end_session",
    "find_session",
    "make_sign_in_code",
    "peek_code",
    "use_code",
]

SIGN_IN_ONCE = "/sign-in/once"
LINK_LIFE = timedelta(minutes=15)
TOKEN_BYTES = 32
MOST_NAMED = 10
_COOKIE = re.compile(rf"([\w-]{{43}})\.({KEY_ID})\.([0-9a-f]{{64}})", re.ASCII)
# <id of the API token>.<Unix time of its end>.<signature>: until 12 hours after the upgrade that brought rows
_OLD_COOKIE = re.compile(r"(([0-9a-f-]{36})\.(\d{1,12}))\.([0-9a-f]{64})", re.ASCII)


def _signed(token: str) -> str:
    return f"session:{token}"


async def begin_session(connection: Connection, researcher_id: UUID, token_id: UUID | None) -> str:
    """Sign a researcher in for half a day: the cookie's value. It ends with the API token, if it was by one."""
    key = await get_signing_key(connection, "sessions")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    await sessions.insert_session(
        connection, uuid4(), hash_token(token), researcher_id, token_id, SESSION_LIFE
    )
    return f"{token}.{key.id}.{key.sign(_signed(token))}"


async def find_session(connection: Connection, cookie: str, *, of_before: bool = False) -> Caller | None:
    """Whoever is signed in; None for a cookie that is forged, expired or ended, or whose API token was revoked.

    With `of_before` only a cookie from before sessions were rows will do: a newer one never had the name that it came
    under, so somebody else put it there.
    """
    token = None if of_before else await _read(connection, cookie)
    if token is not None:
        holder = await sessions.find_session(connection, hash_token(token))
        if holder is not None and holder.stale:
            await sessions.note_use(connection, hash_token(token))
    else:
        holder = await _find_old(connection, cookie)
    return _caller(holder) if holder else None


async def end_session(connection: Connection, cookie: str) -> None:
    """Sign out: nobody gets in by this cookie any more, wherever a copy of it is."""
    token = await _read(connection, cookie)
    if token is not None:
        await sessions.end_session(connection, hash_token(token))
        return
    holder = await _find_old(connection, cookie)
    old = _OLD_COOKIE.fullmatch(cookie)
    if holder is not None and old is not None:
        await sessions.insert_ended(
            connection, uuid4(), hash_token(cookie), holder.id, UUID(old[2]), int(old[3])
        )


async def _read(connection: Connection, cookie: str) -> str | None:
    """The token of a cookie that we signed."""
    found = _COOKIE.fullmatch(cookie)
    key = await find_key(connection, "sessions", found[2]) if found else None
    return found[1] if found and key and key.has_signed(_signed(found[1]), found[3]) else None


async def _find_old(connection: Connection, cookie: str) -> HolderRow | None:
    """The holder of a cookie from before sessions were rows."""
    found = _OLD_COOKIE.fullmatch(cookie)
    key = await find_key(connection, "sessions", FIRST) if found else None
    if found is None or key is None or not key.has_signed(f"researcher:{found[1]}", found[4]):
        return None
    return await sessions.find_token_holder(connection, UUID(found[2]), int(found[3]), hash_token(cookie))


def _caller(holder: HolderRow) -> Caller:
    cap = Role(holder.cap) if holder.cap else None
    return Caller(holder.id, holder.email, holder.first_name, holder.last_name, holder.token_id, cap)


# links that sign in once


async def make_sign_in_code(connection: Connection, email: str | None) -> str:
    """A code that signs a researcher in, once, within a quarter of an hour.

    Args:
        email: of the researcher; None for the only one there is.

    Raises:
        UsageError: there are several, and none was named.
        FieldpackError: there is none, or none with this address.
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
    """Whom a code would sign in; looking doesn't use it up."""
    holder = await sessions.find_link(connection, hash_token(code))
    return _caller(holder) if holder else None


async def use_code(connection: Connection, code: str) -> str | None:
    """The cookie's value for a code, which is used up; None when it was already, or its time is over."""
    researcher_id = await sessions.use_link(connection, hash_token(code))
    return await begin_session(connection, researcher_id, None) if researcher_id else None
