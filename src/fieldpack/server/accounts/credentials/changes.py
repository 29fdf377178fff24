"""How somebody who is signed in changes the ways they sign in: password and second factor. No HTTP, no SQL."""

from __future__ import annotations

from fieldpack.server.accounts import session_queries
from fieldpack.server.accounts.credentials import passwords, queries, second_factor
from fieldpack.server.accounts.sessions import SignedIn
from fieldpack.server.audit.service import write_entry
from fieldpack.server.context import Context
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import FORBIDDEN, Problem

__all__ = [
    "confirm_second_factor",
    "note_change",
    "remove_password",
    "remove_second_factor",
    "renew_recovery_codes",
    "require_fresh",
    "set_password",
]


def require_fresh(signed_in: SignedIn) -> None:
    """Only who signed in within the last hour, and not with an API token, changes how they sign in.

    Raises:
        Problem: 403.
    """
    if not signed_in.may_change_credentials:
        raise Problem(
            FORBIDDEN,
            "What you set up here outlasts this session: sign in again first, and not with an API token.",
        )


async def set_password(context: Context, signed_in: SignedIn, password: str) -> str | None:
    """A password, in the place of the one before; every other session of theirs ends.

    Returns:
        What is wrong with it (`passwords.find_fault`); None when it is set.

    Raises:
        Problem: 403, see `require_fresh`.
    """
    require_fresh(signed_in)
    fault = passwords.find_fault(password, signed_in.caller.email)
    if fault is not None:
        return fault
    hash = await passwords.hash_password(context.caches, password)
    async with context.database.transaction() as connection:
        await queries.write_password(connection, signed_in.caller.id, hash)
        await session_queries.end_sessions(connection, signed_in.caller.id, signed_in.session_id)
        await note_change(connection, signed_in, "password set")
    return None


async def note_change(connection: Connection, signed_in: SignedIn, step: str) -> None:
    """Have the audit log say what somebody changed about how they sign in."""
    caller = signed_in.caller
    await write_entry(connection, caller.actor, "credential.update", member_id=caller.id, step=step)


async def remove_password(connection: Connection, signed_in: SignedIn) -> None:
    """No password any more, and no second factor, which is asked for after it.

    Raises:
        Problem: 403, see `require_fresh`.
    """
    require_fresh(signed_in)
    await queries.delete_factor(connection, signed_in.caller.id)
    await queries.delete_password(connection, signed_in.caller.id)
    await note_change(connection, signed_in, "password removed")


async def confirm_second_factor(connection: Connection, signed_in: SignedIn, code: str) -> list[str] | None:
    """From now on the app's codes are asked for after the password; the recovery codes. None for a wrong code.

    Raises:
        Problem: 403, see `require_fresh`.
    """
    require_fresh(signed_in)
    if not await second_factor.use_code(connection, signed_in.caller.id, code):
        return None
    await note_change(connection, signed_in, "second factor set")
    return await second_factor.make_codes(connection, signed_in.caller.id)


async def renew_recovery_codes(connection: Connection, signed_in: SignedIn) -> list[str] | None:
    """Other recovery codes than before; None without a second factor.

    Raises:
        Problem: 403, see `require_fresh`.
    """
    require_fresh(signed_in)
    factor = await queries.find_factor(connection, signed_in.caller.id)
    if factor is None or factor.confirmed_at is None:
        return None
    await note_change(connection, signed_in, "recovery codes renewed")
    return await second_factor.make_codes(connection, signed_in.caller.id)


async def remove_second_factor(connection: Connection, signed_in: SignedIn) -> None:
    """The password is enough again.

    Raises:
        Problem: 403, see `require_fresh`.
    """
    require_fresh(signed_in)
    await queries.delete_factor(connection, signed_in.caller.id)
    await note_change(connection, signed_in, "second factor removed")
