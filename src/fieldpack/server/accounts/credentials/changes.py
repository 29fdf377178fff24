"""How somebody who is signed in changes the ways they sign in: password and second factor. No HTTP, no SQL."""

from __future__ import annotations

from uuid import UUID

from fieldpack.server.accounts import session_queries
from fieldpack.server.accounts.credentials import passwords, queries, second_factor
from fieldpack.server.accounts.queries import lock_researcher, prove_address
from fieldpack.server.accounts.service import require_still
from fieldpack.server.accounts.sessions import SignedIn
from fieldpack.server.audit.service import Actor, write_entry
from fieldpack.server.caches import Caches
from fieldpack.server.db.pool import Connection, Database
from fieldpack.server.problems import FORBIDDEN, Problem

__all__ = [
    "confirm_second_factor",
    "hand_over",
    "note_change",
    "remove_password",
    "remove_second_factor",
    "renew_recovery_codes",
    "require_fresh",
    "set_password",
]


def require_fresh(signed_in: SignedIn) -> None:
    """Refuse a session that is older than an hour, or that began with an API token: it may not change how one signs in.

    Raises:
        Problem: 403.
    """
    if not signed_in.may_change_credentials:
        raise Problem(
            FORBIDDEN,
            "What you set up here outlasts this session: sign in again first, and not with an API token.",
        )


async def set_password(database: Database, caches: Caches, signed_in: SignedIn, password: str) -> str | None:
    """Set or replace the password; every other session of this researcher ends.

    Returns:
        What is wrong with the password (see `passwords.find_fault`); None when it was set.

    Raises:
        Problem: 403, see `require_fresh`.
    """
    require_fresh(signed_in)
    fault = passwords.find_fault(password, signed_in.caller.email)
    if fault is not None:
        return fault
    hash = await passwords.hash_password(caches, password)
    async with database.transaction() as connection:
        await queries.write_password(connection, signed_in.caller.id, hash)
        await session_queries.end_sessions(connection, signed_in.caller.id, signed_in.session_id)
        await note_change(connection, signed_in, "password set")
    return None


async def note_change(connection: Connection, signed_in: SignedIn, step: str) -> None:
    """Write the audit entry of a change to how somebody signs in.

    Raises:
        Problem: 401 where the session has ended meanwhile: what it would leave behind would outlast its end.
    """
    caller = signed_in.caller
    await require_still(connection, caller)
    await write_entry(connection, caller.actor, "credential.update", member_id=caller.id, step=step)


async def hand_over(connection: Connection, researcher_id: UUID) -> None:
    """Leave an account to whoever has its address: all that signed in as it before is over.

    Who signs in locks first what they sign in with, and then the account. So what is there goes before the account is
    locked, which waits for them, and what they have made meanwhile goes after.
    """
    await queries.delete_ways(connection, researcher_id)
    await lock_researcher(connection, researcher_id)
    await queries.delete_ways(connection, researcher_id)
    await prove_address(connection, researcher_id)
    await write_entry(
        connection,
        Actor("researcher", researcher_id),
        "credential.update",
        member_id=researcher_id,
        step="address taken over",
    )


async def remove_password(connection: Connection, signed_in: SignedIn) -> None:
    """Remove the password, and the second factor with it, which is only asked for after a password.

    Raises:
        Problem: 403, see `require_fresh`.
    """
    require_fresh(signed_in)
    await queries.delete_factor(connection, signed_in.caller.id)
    await queries.delete_password(connection, signed_in.caller.id)
    await note_change(connection, signed_in, "password removed")


async def confirm_second_factor(connection: Connection, signed_in: SignedIn, code: str) -> list[str] | None:
    """Turn the second factor on, so that its codes are asked for after the password.

    Returns:
        The recovery codes; None for a wrong code.

    Raises:
        Problem: 403, see `require_fresh`.
    """
    require_fresh(signed_in)
    if not await second_factor.use_code(connection, signed_in.caller.id, code):
        return None
    codes = await second_factor.make_codes(connection, signed_in.caller.id)
    await note_change(connection, signed_in, "second factor set")
    return codes


async def renew_recovery_codes(connection: Connection, signed_in: SignedIn) -> list[str] | None:
    """Replace the recovery codes.

    Returns:
        The new ones; None where there is no second factor.

    Raises:
        Problem: 403, see `require_fresh`.
    """
    require_fresh(signed_in)
    factor = await queries.find_factor(connection, signed_in.caller.id)
    if factor is None or factor.confirmed_at is None:
        return None
    codes = await second_factor.make_codes(connection, signed_in.caller.id)
    await note_change(connection, signed_in, "recovery codes renewed")
    return codes


async def remove_second_factor(connection: Connection, signed_in: SignedIn) -> None:
    """Turn the second factor off.

    Raises:
        Problem: 403, see `require_fresh`.
    """
    require_fresh(signed_in)
    await queries.delete_factor(connection, signed_in.caller.id)
    await note_change(connection, signed_in, "second factor removed")
