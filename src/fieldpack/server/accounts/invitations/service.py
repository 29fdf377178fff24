"""The rules of invitations: who makes one, and what following its link does. No HTTP, no SQL.

Of the code in a link only the hash is stored, so nobody can read it in the database. It works once.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

from fieldpack.server.accounts.addresses import is_address
from fieldpack.server.accounts.invitations import queries
from fieldpack.server.accounts.invitations.rows import InvitationRow, OfferRow
from fieldpack.server.accounts.members.service import CollectionMembers, Members, WorkspaceMembers
from fieldpack.server.accounts.permissions.queries import find_in_workspace
from fieldpack.server.accounts.permissions.roles import Action, Role, covers, may
from fieldpack.server.accounts.queries import (
    find_researcher_by_email,
    find_workspace,
    has_collection,
    insert_researcher,
    lock_accounts,
    prove_address,
)
from fieldpack.server.accounts.service import Caller, hash_token
from fieldpack.server.audit.service import OPERATOR, Actor, write_entry
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import FORBIDDEN, Problem, conflict, invalid, not_found

__all__ = [
    "JOIN",
    "LIFE",
    "MOST_DAYS",
    "AddressTaken",
    "accept",
    "accept_as_new",
    "describe_invitation",
    "find_offer",
    "invite",
    "is_for",
    "link_of",
    "list_invitations",
    "may_invite",
    "revoke",
    "revoke_any",
]

JOIN = "/join"
LIFE = timedelta(days=7)
MOST_DAYS = 90
TOKEN_BYTES = 32


class AddressTaken(Exception):
    """There is an account with this address: its holder has to sign in, and follow the link again."""


def link_of(origin: str, code: str) -> str:
    """The link for a code. The code is in the query, which our logs leave out."""
    return f"{origin}{JOIN}?code={quote(code)}"


async def invite(
    connection: Connection,
    caller: Caller | None,
    workspace_id: UUID,
    role: Role,
    *,
    collection_id: UUID | None = None,
    email: str | None = None,
    life: timedelta | None = None,
) -> tuple[str, InvitationRow]:
    """Make an invitation; returns its code, which is not stored and can't be shown again, and its row.

    Args:
        caller: None for the command line, which may invite everywhere.
        collection_id: of the workspace; the role is on this collection only. None for the workspace.
        email: whom it is for; None for whoever has the link.
        life: how long the link is valid; a week if None.

    Raises:
        Problem: 404, 403; 400 for an address that is none, or a collection of another workspace.
    """
    await WorkspaceMembers(workspace_id).require(connection, caller, Action.MEMBERS_MANAGE)
    if await find_workspace(connection, workspace_id) is None:
        raise not_found("Workspace", workspace_id)
    if collection_id is not None and not await has_collection(connection, workspace_id, collection_id):
        raise invalid("collection_id", f"There is no collection {collection_id} in this workspace.")
    if (
        email is not None
        and not is_address(email)
        and await find_researcher_by_email(connection, email) is None
    ):
        raise invalid("email", f"{email!r} is not an e-mail address.")
    code, id = secrets.token_urlsafe(TOKEN_BYTES), uuid4()
    await queries.insert_invitation(
        connection,
        id,
        hash_token(code),
        workspace_id,
        collection_id,
        role,
        email,
        caller.id if caller is not None else None,
        datetime.now(UTC) + (life or LIFE),
    )
    await write_entry(
        connection,
        caller.actor if caller else OPERATOR,
        "invitation.create",
        object_id=id,
        workspace_id=workspace_id,
        collection_id=collection_id,
        role=role.value,
    )
    return code, await queries.get_invitation(connection, id)


async def may_invite(connection: Connection, caller: Caller, workspace_id: UUID) -> bool:
    """Whether somebody may invite to a workspace."""
    standing = await find_in_workspace(connection, workspace_id, caller.id)
    role = Role(standing.role) if standing is not None and standing.role else None
    return may(role, Action.MEMBERS_MANAGE, caller.cap)


async def list_invitations(
    connection: Connection, caller: Caller | None, workspace_id: UUID, limit: int, offset: int
) -> tuple[list[InvitationRow], int]:
    """A workspace's invitations, newest first, and how many there are.

    Raises:
        Problem: 404, 403.
    """
    await WorkspaceMembers(workspace_id).require(connection, caller, Action.MEMBERS_MANAGE)
    return await queries.list_invitations(connection, workspace_id, limit, offset)


async def revoke(
    connection: Connection, caller: Caller | None, workspace_id: UUID, invitation_id: UUID
) -> None:
    """Make a link invalid.

    Raises:
        Problem: 404 for an unknown invitation, or one that was accepted; 403.
    """
    await WorkspaceMembers(workspace_id).require(connection, caller, Action.MEMBERS_MANAGE)
    if not await queries.revoke_invitation(connection, invitation_id, workspace_id):
        raise not_found("Invitation", invitation_id)
    await write_entry(
        connection,
        caller.actor if caller else OPERATOR,
        "invitation.revoke",
        object_id=invitation_id,
        workspace_id=workspace_id,
    )


async def revoke_any(connection: Connection, invitation_id: UUID) -> bool:
    """Make a link invalid, whatever workspace it is of: for the command line. Returns whether there was one to
    revoke."""
    if not await queries.revoke_invitation(connection, invitation_id):
        return False
    await write_entry(connection, OPERATOR, "invitation.revoke", object_id=invitation_id)
    return True


def describe_invitation(row: InvitationRow) -> dict[str, Any]:
    """An invitation as the API answers it."""
    state = "revoked" if row.revoked_at else "expired" if row.expires_at <= datetime.now(UTC) else "open"
    return {
        "id": row.id,
        "workspace_id": row.workspace_id,
        "collection_id": row.collection_id,
        "role": row.role,
        "email": row.email,
        "status": "accepted" if row.accepted_at else state,
        "created_at": row.created_at,
        "created_by": row.created_by,
        "expires_at": row.expires_at,
        "accepted_at": row.accepted_at,
        "accepted_by": row.accepted_by,
    }


# following one


async def find_offer(connection: Connection, code: str) -> OfferRow | None:
    """The role that a code gives; None when it was used, revoked or has expired. Looking does not use it."""
    return await queries.find_offer(connection, hash_token(code))


async def is_for(connection: Connection, offer: OfferRow, researcher_id: UUID) -> bool:
    """Whether an invitation may be accepted by this researcher: whoever has the link, or the address that it is for."""
    return offer.email is None or await find_researcher_by_email(connection, offer.email) == researcher_id


async def accept(connection: Connection, code: str, researcher_id: UUID) -> OfferRow | None:
    """Give a researcher the role of an invitation, unless they have one that allows as much. None for an invalid code.

    Whoever has the link of one for an address is taken to have got it there: the address is proven by it.

    Raises:
        Problem: 403 when the invitation is for another address; 409 for one on a collection whose workspace they own.
    """
    offer = await find_offer(connection, code)
    if offer is None:
        return None
    if not await is_for(connection, offer, researcher_id):
        raise Problem(FORBIDDEN, f"This invitation is for {offer.email}: sign in with that address.")
    if not await queries.use_invitation(connection, offer.id, researcher_id):
        return None
    if offer.email is not None:
        await prove_address(connection, researcher_id)
    members: Members = WorkspaceMembers(offer.workspace_id)
    if offer.collection_id is not None:
        members = CollectionMembers(offer.collection_id)
    held = await members.find(connection, researcher_id)
    if held is None:
        if not await members.insert(connection, researcher_id, Role(offer.role)):
            raise conflict("This invitation is being accepted already.")
    elif not covers(Role(held.role), Role(offer.role)):
        await members.change(connection, researcher_id, Role(offer.role))
    await write_entry(
        connection,
        Actor("researcher", researcher_id),
        "invitation.accept",
        object_id=offer.id,
        member_id=researcher_id,
        workspace_id=offer.workspace_id,
        collection_id=offer.collection_id,
        role=offer.role,
    )
    return offer


async def accept_as_new(connection: Connection, code: str, email: str, name: str) -> UUID | None:
    """Create a researcher with the role of an invitation; returns their id, None for an invalid code.

    Raises:
        AddressTaken: there is a researcher with this address.
        Problem: 400 for an address that is none.
    """
    offer = await find_offer(connection, code)
    if offer is None:
        return None
    address = offer.email or email.strip()
    if not is_address(address):
        raise invalid("email", f"{address!r} is not an e-mail address.")
    await lock_accounts(connection)
    if await find_researcher_by_email(connection, address) is not None:
        raise AddressTaken
    researcher_id = uuid4()
    first, _, last = name.strip().partition(" ")
    await insert_researcher(
        connection,
        researcher_id,
        address,
        first or address.partition("@")[0],
        last.strip(),
        is_proven=offer.email is not None,
    )
    return researcher_id if await accept(connection, code, researcher_id) is not None else None
