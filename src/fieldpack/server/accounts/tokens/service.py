"""The rules of API tokens: made on the command line for anyone, by researchers for themselves. No HTTP, no SQL.

A token allows what its researcher may do at the time of a request, or less if it has a role. Its text is shown when it
is made, and not stored.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from fieldpack.errors import FieldpackError, UsageError
from fieldpack.server.accounts import queries as account_queries
from fieldpack.server.accounts.addresses import is_address
from fieldpack.server.accounts.operators.queries import insert_operator
from fieldpack.server.accounts.permissions.queries import list_roles
from fieldpack.server.accounts.permissions.roles import Role, covers
from fieldpack.server.accounts.service import Caller, hash_token, require_still
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
    """A token that was just made, with its text, which is not stored."""

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
    """Make a token for a researcher. The caller has checked that it may be made.

    Args:
        actor: who makes it, for the audit entry.
        role: what it allows at most; None for all that its researcher may do.
        expires_at: a time, or a duration from now; None for never.
        workspace_id: only repeated in the answer.
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
    """What `--expires` means: a number of days from now, or a date, whose end in UTC it is.

    Raises:
        UsageError: it is neither, or is over.
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
    """Make a token on the command line. The researcher is created, and made a member, if necessary.

    Args:
        name: of the token.
        workspace_id: in which the researcher is to be a member; None for any in which they have a role, else the first.
        email: of the researcher; None for the first one, of the workspace or of all.
        role: what the token allows at most, and the role of a new member; None for no limit, and an owner.
        expires_at: a time, or a duration from now; None for never.

    Raises:
        UsageError: an empty name, an address that is none, or a role that is higher than the researcher's.
        FieldpackError: no such workspace; or the researcher has no role anywhere, and no workspace was named.
    """
    if not name.strip():
        raise UsageError("A token needs a name, to know it by when revoking.")
    await account_queries.lock_accounts(connection)
    if workspace_id is not None and await account_queries.find_workspace(connection, workspace_id) is None:
        raise FieldpackError(f"There is no workspace {workspace_id}; `fieldpack workspace list` shows them.")
    if email is not None:
        known = await account_queries.find_researcher_by_email(connection, email)
        if known is None and not is_address(email):
            raise UsageError(f"{email!r} is not an e-mail address.")
    else:
        known = await account_queries.find_first_researcher(connection, workspace_id)
        known = known or await account_queries.find_first_researcher(connection)
    researcher_id = known
    if researcher_id is None:
        is_first = await account_queries.find_first_researcher(connection) is None
        researcher_id = await _make_researcher(connection, email or "researcher@localhost")
        if is_first:  # whoever starts an installation looks after it
            await insert_operator(connection, researcher_id)
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
    await account_queries.insert_researcher(
        connection, researcher_id, email, email.partition("@")[0], "", is_proven=True
    )
    return researcher_id


async def _find_workspace(connection: Connection, known: UUID | None, email: str | None) -> UUID:
    """The workspace of a token for which none was named: one in which its researcher has a role, else the first.

    Somebody who was a member and is none any more is not made one again unless the workspace is named.
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
    """At the first start: a workspace, a researcher and a token. None when there is a researcher already."""
    await account_queries.lock_accounts(connection)
    if await account_queries.find_first_researcher(connection) is not None:
        return None
    return await create_token(connection, "first")


async def rotate_token(
    connection: Connection, token_id: UUID, overlap: timedelta = OVERLAP, actor: Actor = OPERATOR
) -> tuple[NewToken, datetime]:
    """Make a token with the name, role and length of life of another; returns it, and until when the old one is valid.

    Args:
        overlap: how long the old one stays valid, unless it expires before; zero ends it at once.

    Raises:
        Problem: 404 for an unknown token, or one that was revoked or has expired.
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
    """Whether a request with the caller's token may make, change or end a token of this role: one that allows no
    more."""
    return caller.cap is None or (role is not None and covers(caller.cap, role))


async def require_own(connection: Connection, caller: Caller, token_id: UUID) -> None:
    """Return if a token is the caller's, is valid, and allows no more than the token of the request.

    Raises:
        Problem: 404 for an unknown one or somebody else's, 403 when it allows more.
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
    """Make a token for the caller. Without a role it has that of the request's token.

    Raises:
        Problem: 403 for a role that allows more than the request's token, or that the caller has nowhere; 401 where
            what the request came with has ended meanwhile.
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
    made = await make_token(connection, caller.actor, caller.id, name, role, life or BROWSER_LIFE)
    await require_still(connection, caller)
    return made


async def rotate_own_token(
    connection: Connection, caller: Caller, token_id: UUID, overlap: timedelta
) -> tuple[NewToken, datetime]:
    """`rotate_token`, of one of the caller's own."""
    await require_own(connection, caller, token_id)
    made = await rotate_token(connection, token_id, overlap, caller.actor)
    if caller.token_id != token_id:  # which may have ended just now
        await require_still(connection, caller)
    return made
