"""Signing in: what is asked for, in which order, and what a browser gets for it. No HTTP, no SQL."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from fieldpack.server.accounts.addresses import fold
from fieldpack.server.accounts.credentials import budgets, devices, passwords, queries, second_factor
from fieldpack.server.accounts.credentials.budgets import ACCOUNT, ADDRESS, DEVICE, Claim, Throttled
from fieldpack.server.accounts.service import hash_token
from fieldpack.server.accounts.sessions import Method, Visitor, begin_session
from fieldpack.server.caches import Caches
from fieldpack.server.db.pool import Connection, Database

__all__ = ["Entry", "Step", "WrongCredentials", "enter", "prove_second_factor", "sign_in_with_password"]

STEP_LIFE = timedelta(minutes=10)
TOKEN_BYTES = 32
MOST_EMAIL_CHARACTERS = 320


class WrongCredentials(Exception):
    """The address, the password or the code is wrong. The answer never says which."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a browser gets when it has signed in: the values of two cookies."""

    session: str
    device: str


@dataclass(frozen=True, slots=True)
class Step:
    """The password was right, and the second factor is asked for now.

    Attributes:
        code: identifies this sign-in, for ten minutes.
    """

    code: str


async def enter(connection: Connection, visitor: Visitor, researcher_id: UUID, method: Method) -> Entry:
    """Begin a session for somebody who has proved who they are, and remember their device."""
    session = await begin_session(connection, visitor, researcher_id, method)
    return Entry(session, await devices.remember(connection, visitor.device, researcher_id))


def _claims(visitor: Visitor, account: str, *, is_known: bool) -> list[Claim]:
    """The budgets that a try is counted on. A known device has a budget of its own, and is counted on no other."""
    key = account.encode("utf-8", "surrogatepass")
    if is_known:
        return [Claim(DEVICE, devices.hash_device(visitor.device or "") + key)]
    return [Claim(ADDRESS, visitor.network), Claim(ACCOUNT, key)]


async def sign_in_with_password(
    database: Database, caches: Caches, visitor: Visitor, email: str, password: str
) -> Entry | Step:
    """Sign in with an address and a password.

    Takes as long, and answers the same, whether or not there is such an account, and whether or not it has a password.
    The hash is computed between two transactions, so that no connection of the pool waits for it.

    Returns:
        `Step` where a second factor is asked for.

    Raises:
        WrongCredentials: they are not right.
        Throttled: too many tries were wrong before.
    """
    given = email.strip()[:MOST_EMAIL_CHARACTERS]
    async with database.transaction() as connection:
        account = await queries.find_account(connection, given)
        is_known = account is not None and await devices.is_known(
            connection, visitor.device, account.researcher_id
        )
        claims = _claims(visitor, f"password {fold(given)}", is_known=is_known)
        wait_seconds = await budgets.spend(connection, claims)
    if wait_seconds:
        raise Throttled(wait_seconds)
    hash = account.hash if account is not None else None
    kept = await passwords.check(caches, hash, password, is_known=is_known)
    if account is None or hash is None or kept is None:
        raise WrongCredentials
    async with database.transaction() as connection:
        if not await queries.renew_hash(connection, account.researcher_id, hash, kept):
            raise WrongCredentials
        await budgets.give_back(connection, claims)
        factor = await queries.find_factor(connection, account.researcher_id)
        if factor is None or factor.confirmed_at is None:
            return await enter(connection, visitor, account.researcher_id, "password")
        code = secrets.token_urlsafe(TOKEN_BYTES)
        await queries.insert_step(connection, hash_token(code), account.researcher_id, STEP_LIFE)
        return Step(code)


async def prove_second_factor(database: Database, visitor: Visitor, step: str, code: str) -> Entry | None:
    """Sign in with a code of the app, or a recovery code, after the password.

    Args:
        step: `Step.code`.

    Returns:
        None when the password was given more than ten minutes ago, or was changed since.

    Raises:
        WrongCredentials: the code is not right, or was used before.
        Throttled: too many tries were wrong before.
    """
    async with database.transaction() as connection:
        researcher_id = await queries.find_step(connection, hash_token(step))
        if researcher_id is None:
            return None
        is_known = await devices.is_known(connection, visitor.device, researcher_id)
        claims = _claims(visitor, f"factor {researcher_id}", is_known=is_known)
        wait_seconds = await budgets.spend(connection, claims)
    if wait_seconds:
        raise Throttled(wait_seconds)
    async with database.transaction() as connection:
        # first, because an exception undoes what was written before it, and a used code has to stay used
        if not await second_factor.use_code(connection, researcher_id, code):
            raise WrongCredentials
        await budgets.give_back(connection, claims)
        if not await queries.delete_step(connection, hash_token(step)):
            return None
        return await enter(connection, visitor, researcher_id, "password")
