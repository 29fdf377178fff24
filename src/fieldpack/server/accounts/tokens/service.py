"""The rules of API tokens: made by the command line for anyone, by a researcher for themselves. No HTTP, no SQL.

A token allows what its researcher may at the time of a request, or less where it has a role. Its text exists once, when
it is made.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from fieldpack.errors import FieldpackError, UsageError
from fieldpack.server.accounts import queries as account_queries
from fieldpack.server.accounts.permissions.queries import list_roles
from fieldpack.server.accounts.permissions.roles import Role, covers
from fieldpack.server.accounts.service import Caller, hash_token, is_email
from fieldpack.server.accounts.tokens import queries
from fieldpack.server.audit.service import OPERATOR, Actor, write_entry
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import FORBIDDEN, Problem, not_found

__all__ = [
    "BROWSER_LIFE",
    "OVERLAP",
    "NewToken",
    "create_first_token",
    "create_own_token",
    "create_token",
    "parse_expiry",
    "require_own",
    "rotate_own_token",
    "rotate_token",
]

TOKEN_BYTES = 32
BROWSER_LIFE = timedelta(days=90)
"""How long a token is good that was made in a browser or by the API, unless another time was given."""
OVERLAP = timedelta(days=1)
"""How long a token stays good beside the one that takes its place, unless another time was given."""
_DAYS = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made: the only moment its text exists."""

    token: str
    token_id: UUID
    researcher_id: UUID
    workspace_id: UUID | None  # that it was made for; None where that was not asked
    expires_at: datetime | None


async def make_token(
    connection: Connection,
    actor: Actor,
    researcher_id: UUID,
    name: str,
    role: Role | None,
    expires_at: datetime | timedelta | None,
    workspace_id: UUID | None = None,
) -> NewToken:
    """A token for a researcher, whoever asks.

    Args:
        actor: who that is, for the audit log.
        role: what it allows at most.
        expires_at: a time, or how long from now; None for never.
        workspace_id: only for the answer.
    """
    token, token_id = secrets.token_urlsafe(TOKEN_BYTES), uuid4()
    until = await queries.insert_token(
        connection, token_id, researcher_id, name, hash_token(token), role, expires_at
    )
    await write_entry(
        connection,
        actor,
        "token.create",
        object_id=token_id,
        member_id=researcher_id,
        workspace_id=workspace_id,
        role=role.value if role else None,
        expires_at=until,
    )
    return NewToken(token, token_id, researcher_id, workspace_id, until)


def parse_expiry(text: str) -> datetime | timedelta:
    """What `--expires` says: a number of days from now, or a date, which is the last day (UTC).

    Raises:
        UsageError: neither, or over already.
    """
    if _DAYS.fullmatch(text) and int(text) > 0:
        return timedelta(days=int(text))
    try:
        at = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise UsageError(
            f"--expires takes a number of days, such as 90, or a date, such as 2027-03-31; not {text!r}."
        ) from None
    if at <= datetime.now(UTC):
        raise UsageError(f"--expires {text} is over already.")
    return at


async def create_token(
    connection: Connection,
    name: str,
    workspace_id: UUID | None = None,
    email: str | None = None,
    *,
    role: Role | None = None,
    expires_at: datetime | timedelta | None = None,
) -> NewToken:
    """A token for a researcher, who is made, and made a member, when needed.

    Args:
        name: what to know it by.
        workspace_id: where they are to be a member; without it any where they have a role, or the first.
        email: of the researcher; without it the first one, of the workspace or of all.
        role: what the token allows at most, and what a new member is; without it they are an owner.
        expires_at: a time, or how long from now; None for never.

    Raises:
        UsageError: an empty name, an address that is none, or a role that is higher than the researcher's.
        FieldpackError: no such workspace; or the researcher has no role anywhere, and no workspace was named.
    """
    if not name.strip():
        raise UsageError("A token needs a name, to know it by when revoking.")
    if email is not None and not is_email(email):
        raise UsageError(f"{email!r} is not an e-mail address.")
    await account_queries.lock_accounts(connection)
    if workspace_id is not None and await account_queries.find_workspace(connection, workspace_id) is None:
        raise FieldpackError(f"There is no workspace {workspace_id}; `fieldpack workspace list` shows them.")
    if email is not None:
        known = await account_queries.find_researcher_by_email(connection, email)
    else:
        known = await account_queries.find_first_researcher(connection, workspace_id)
        known = known or await account_queries.find_first_researcher(connection)
    researcher_id = known or await _make_researcher(connection, email or "researcher@localhost")
    if workspace_id is None:
        workspace_id = await _find_workspace(connection, known, email)
    held = await list_roles(connection, researcher_id, workspace_id)
    if not held:
        await account_queries.insert_membership(connection, workspace_id, researcher_id, role or Role.OWNER)
    elif role is not None and not any(covers(Role(other), role) for other in held):
        raise UsageError(
            f"{email or 'This researcher'} has the role {held[0]} in this workspace: a token of theirs can't be {role}."
        )
    return await make_token(connection, OPERATOR, researcher_id, name, role, expires_at, workspace_id)


async def _make_researcher(connection: Connection, email: str) -> UUID:
    researcher_id = uuid4()
    await account_queries.insert_researcher(connection, researcher_id, email, email.partition("@")[0], "")
    return researcher_id


async def _find_workspace(connection: Connection, known: UUID | None, email: str | None) -> UUID:
    """The workspace that a token is for when none was named: one in which its researcher has a role, else the first.

    Somebody who had a role and left is not taken in again without a word.
    """
    found = await account_queries.find_first_workspace(connection, known) if known else None
    if found is not None:
        return found
    found = await account_queries.find_first_workspace(connection)
    if found is None:
        found = uuid4()
        await account_queries.insert_workspace(connection, found, "My workspace", "")
    elif known is not None and email is not None:
        raise FieldpackError(
            f"{email} is no member of any workspace: name the one that they are to be a member of with --workspace; "
            "`fieldpack workspace list` shows them."
        )
    return found


async def create_first_token(connection: Connection) -> NewToken | None:
    """The first start: a workspace, a researcher and a token. None when there is a researcher already."""
    await account_queries.lock_accounts(connection)
    if await account_queries.find_first_researcher(connection) is not None:
        return None
    return await create_token(connection, "first")


async def rotate_token(
    connection: Connection, token_id: UUID, overlap: timedelta = OVERLAP, actor: Actor = OPERATOR
) -> tuple[NewToken, datetime]:
    """A new token in place of one, of the same name, role and length of life; until when the old one stays good.

    Args:
        overlap: how long that is, unless it expires before; zero ends it at once.

    Raises:
        Problem: 404 when there is no such token, or it was revoked or has expired.
    """
    row = await queries.find_token(connection, token_id)
    until = await queries.expire_token(connection, token_id, overlap) if row else None
    if row is None or until is None:
        raise not_found("Token", token_id)
    life = row.expires_at - row.created_at if row.expires_at else None
    role = Role(row.role) if row.role else None
    return await make_token(connection, actor, row.researcher_id, row.name, role, life), until


# a researcher's own


def _reaches(caller: Caller, role: Role | None) -> bool:
    """Whether a request with the caller's token may make, change or end a token of this role: none that opens more."""
    return caller.cap is None or (role is not None and covers(caller.cap, role))


async def require_own(connection: Connection, caller: Caller, token_id: UUID) -> None:
    """Return if a token is the caller's, good, and allows no more than that of the request.

    Raises:
        Problem: 404 when it is none of theirs, 403 when it allows more.
    """
    row = await queries.find_token(connection, token_id)
    if row is None or row.researcher_id != caller.id:
        raise not_found("Token", token_id)
    if not _reaches(caller, Role(row.role) if row.role else None):
        raise Problem(
            FORBIDDEN, f"This token has the role {caller.cap}: it can't change one that allows more."
        )


async def create_own_token(
    connection: Connection,
    caller: Caller,
    name: str,
    role: Role | None,
    life: timedelta | None = None,
) -> NewToken:
    """A token for the caller; without a role it has that of the token of the request.

    Raises:
        Problem: 403 for a role that the token of the request does not cover, or that the caller has nowhere.
    """
    role = role or caller.cap
    if not _reaches(caller, role):
        raise Problem(FORBIDDEN, f"This token has the role {caller.cap}: it can't make one that allows more.")
    if role is not None:
        held = await list_roles(connection, caller.id)
        if not any(covers(Role(other), role) for other in held):
            raise Problem(
                FORBIDDEN, f"You have a role as high as {role} nowhere: a token of yours can't have it."
            )
    return await make_token(connection, caller.actor, caller.id, name, role, life or BROWSER_LIFE)


async def rotate_own_token(
    connection: Connection, caller: Caller, token_id: UUID, overlap: timedelta
) -> tuple[NewToken, datetime]:
    """`rotate_token`, of one of the caller's own."""
    await require_own(connection, caller, token_id)
    return await rotate_token(connection, token_id, overlap, caller.actor)
