"""The rules of members: who gives and takes roles, and that a workspace keeps an owner. No HTTP, no SQL.

Each function works on a workspace or on one collection. A caller of None is the command line of whoever runs the
server, who may do everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import UUID, uuid4

from fieldpack.server.accounts.addresses import is_address
from fieldpack.server.accounts.members import queries
from fieldpack.server.accounts.members.rows import MembershipRow, NarrowerRow
from fieldpack.server.accounts.permissions.authorization import not_a_member, require
from fieldpack.server.accounts.permissions.queries import list_roles
from fieldpack.server.accounts.permissions.roles import WIRE_NAMES, Action, Role
from fieldpack.server.accounts.queries import (
    find_researcher_by_email,
    has_collection,
    insert_membership,
    insert_researcher,
    is_proven,
    lock_accounts,
)
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import OPERATOR, write_entry
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import conflict, invalid, not_found

__all__ = [
    "LAST_OWNER",
    "OWNER_OF_ALL",
    "UNPROVEN",
    "CollectionMembers",
    "Members",
    "WorkspaceMembers",
    "add_member",
    "change_role",
    "describe_member",
    "give_narrower",
    "list_members",
    "list_narrower",
    "remove_member",
]

LAST_OWNER = "This is the last owner of the workspace: make somebody else an owner first."
OWNER_OF_ALL = (
    "An owner of the workspace is an owner of all its collections: change their role in the workspace."
)
UNPROVEN = (
    "Whoever made the account with this address has not shown that the address is theirs: make an invitation for the"
    " address instead, and give its link to whoever you mean."
)


@dataclass(frozen=True, slots=True)
class WorkspaceMembers:
    """Those with a role in a workspace."""

    workspace_id: UUID

    async def require(self, connection: Connection, caller: Caller | None, action: Action) -> None:
        """Return if the caller may do `action` here; None is the operator, who may."""
        if caller is not None:
            await require(connection, caller, action, workspace=self.workspace_id, foreign=not_a_member())

    async def list(self, connection: Connection, limit: int, offset: int) -> tuple[list[MembershipRow], int]:
        """A page of the members, and how many there are."""
        return await queries.list_members(connection, self.workspace_id, limit, offset)

    async def find(self, connection: Connection, researcher_id: UUID) -> MembershipRow | None:
        """One member; None when they are none."""
        return await queries.find_member(connection, self.workspace_id, researcher_id)

    async def insert(self, connection: Connection, researcher_id: UUID, role: Role) -> bool:
        """Add a member; whether they were none before."""
        return await insert_membership(connection, self.workspace_id, researcher_id, role)

    async def change(self, connection: Connection, researcher_id: UUID, role: Role) -> None:
        """Give a member another role."""
        await queries.lock_members(connection, self.workspace_id)
        if not await queries.set_role(connection, self.workspace_id, researcher_id, role):
            await self._refuse(connection, researcher_id)

    async def delete(self, connection: Connection, researcher_id: UUID) -> None:
        """Take a member out."""
        await queries.lock_members(connection, self.workspace_id)
        if not await queries.delete_member(connection, self.workspace_id, researcher_id):
            await self._refuse(connection, researcher_id)

    async def _refuse(self, connection: Connection, researcher_id: UUID) -> NoReturn:
        if await self.find(connection, researcher_id) is None:
            raise not_found("Member", researcher_id)
        raise conflict(LAST_OWNER)


@dataclass(frozen=True, slots=True)
class CollectionMembers:
    """Those with a role on a collection itself, in place of the one in its workspace."""

    collection_id: UUID

    async def require(self, connection: Connection, caller: Caller | None, action: Action) -> None:
        """Return if the caller may do `action` here; None is the operator, who may."""
        if caller is not None:
            await require(connection, caller, action, collection=self.collection_id)

    async def list(self, connection: Connection, limit: int, offset: int) -> tuple[list[MembershipRow], int]:
        """A page of the members, and how many there are."""
        return await queries.list_of_collection(connection, self.collection_id, limit, offset)

    async def find(self, connection: Connection, researcher_id: UUID) -> MembershipRow | None:
        """One member; None when they are none."""
        return await queries.find_on_collection(connection, self.collection_id, researcher_id)

    async def insert(self, connection: Connection, researcher_id: UUID, role: Role) -> bool:
        """Add a member; whether they were none before."""
        if await queries.is_owner_of_all(connection, self.collection_id, researcher_id):
            raise conflict(OWNER_OF_ALL)
        return await queries.insert_collection_role(connection, self.collection_id, researcher_id, role)

    async def change(self, connection: Connection, researcher_id: UUID, role: Role) -> None:
        """Give a member another role."""
        if not await queries.set_collection_role(connection, self.collection_id, researcher_id, role):
            raise not_found("Member", researcher_id)

    async def delete(self, connection: Connection, researcher_id: UUID) -> None:
        """Take a member out."""
        if not await queries.delete_collection_role(connection, self.collection_id, researcher_id):
            raise not_found("Member", researcher_id)


Members = WorkspaceMembers | CollectionMembers


async def list_members(
    connection: Connection, caller: Caller | None, members: Members, limit: int, offset: int
) -> tuple[list[MembershipRow], int]:
    """The members, in the order in which they got their role, and how many there are.

    Raises:
        Problem: 404, 403.
    """
    action = Action.WORKSPACE_READ if isinstance(members, WorkspaceMembers) else Action.MEMBERS_MANAGE
    await members.require(connection, caller, action)
    return await members.list(connection, limit, offset)


async def list_narrower(
    connection: Connection, caller: Caller, workspace_id: UUID, limit: int
) -> list[NarrowerRow]:
    """The roles on single collections of a workspace, by the collection's name; at most `limit`.

    Raises:
        Problem: 404, 403.
    """
    await WorkspaceMembers(workspace_id).require(connection, caller, Action.MEMBERS_MANAGE)
    return await queries.list_narrower(connection, workspace_id, limit)


async def add_member(
    connection: Connection, caller: Caller | None, members: Members, email: str, role: Role, name: str = ""
) -> MembershipRow:
    """Give somebody a role. Who has no account here yet gets one, and signs in by a link or an invitation.

    Raises:
        Problem: 400 for an address that is none; 409 for somebody who has a role here already, or who owns the
            workspace of this collection, and for an account whose address somebody only typed; 404, 403.
    """
    await members.require(connection, caller, Action.MEMBERS_MANAGE)
    await lock_accounts(connection)
    researcher_id = await find_researcher_by_email(connection, email)
    if researcher_id is None:
        if not is_address(email):
            raise invalid("email", f"{email!r} is not an e-mail address.")
        researcher_id = uuid4()
        first, _, last = name.strip().partition(" ")
        # nothing signs in as it but what an operator, or an identity provider, gives to whoever has the address
        await insert_researcher(
            connection, researcher_id, email, first or email.partition("@")[0], last, is_proven=True
        )
    elif (
        caller is not None
        and not await is_proven(connection, researcher_id)
        and await members.find(connection, researcher_id) is None
    ):
        raise conflict(UNPROVEN)
    return await _insert(connection, caller, members, researcher_id, role, email)


async def give_narrower(
    connection: Connection,
    caller: Caller,
    workspace_id: UUID,
    collection_id: UUID,
    researcher_id: UUID,
    role: Role,
) -> MembershipRow:
    """Give somebody who has a role in a workspace, or on a collection there, one on another of its collections.

    Raises:
        Problem: 404 for somebody who has none; 409 as `add_member`; 404, 403.
    """
    members = CollectionMembers(collection_id)
    await members.require(connection, caller, Action.MEMBERS_MANAGE)
    if not await has_collection(connection, workspace_id, collection_id):
        raise not_found("Collection", collection_id)
    if not await list_roles(connection, researcher_id, workspace_id):
        raise not_found("Member", researcher_id)
    return await _insert(connection, caller, members, researcher_id, role, "This person")


async def _insert(
    connection: Connection,
    caller: Caller | None,
    members: Members,
    researcher_id: UUID,
    role: Role,
    called: str,
) -> MembershipRow:
    if not await members.insert(connection, researcher_id, role):
        raise conflict(f"{called} has a role here already: change that.")
    await _note(connection, caller, "member.create", members, researcher_id, role)
    return await _get(connection, members, researcher_id)


async def change_role(
    connection: Connection, caller: Caller | None, members: Members, researcher_id: UUID, role: Role
) -> MembershipRow:
    """Give a member another role. It counts from their next request on.

    Raises:
        Problem: 404 when they have none here, 409 for the last owner of a workspace; 403.
    """
    await members.require(connection, caller, Action.MEMBERS_MANAGE)
    await members.change(connection, researcher_id, role)
    await _note(connection, caller, "member.update", members, researcher_id, role)
    return await _get(connection, members, researcher_id)


async def remove_member(
    connection: Connection, caller: Caller | None, members: Members, researcher_id: UUID
) -> None:
    """Remove somebody's role, from their next request on; in a workspace also their roles on its collections.

    Everybody may remove themselves, but not with a token that has a role of its own.

    Raises:
        Problem: 404 when they have none here, 409 for the last owner of a workspace; 403.
    """
    leaves = caller is not None and caller.id == researcher_id and caller.cap is None
    await members.require(connection, caller, Action.WORKSPACE_READ if leaves else Action.MEMBERS_MANAGE)
    await members.delete(connection, researcher_id)
    await _note(connection, caller, "member.delete", members, researcher_id)


async def _note(
    connection: Connection,
    caller: Caller | None,
    action: str,
    members: Members,
    researcher_id: UUID,
    role: Role | None = None,
) -> None:
    await write_entry(
        connection,
        caller.actor if caller else OPERATOR,
        action,
        member_id=researcher_id,
        workspace_id=members.workspace_id if isinstance(members, WorkspaceMembers) else None,
        collection_id=members.collection_id if isinstance(members, CollectionMembers) else None,
        role=role.value if role else None,
    )


async def _get(connection: Connection, members: Members, researcher_id: UUID) -> MembershipRow:
    row = await members.find(connection, researcher_id)
    if row is None:
        raise not_found("Member", researcher_id)
    return row


def describe_member(row: MembershipRow) -> dict[str, Any]:
    """A member as the API answers them."""
    role = Role(row.role)
    return {
        "id": row.id,
        "name": f"{row.first_name} {row.last_name}".strip() or row.email,
        "email": row.email,
        "role": role,
        "roles": [WIRE_NAMES[role]],
        "created_at": row.created_at,
    }
