"""Which researcher an identity of a provider is: found, created, and given the role of their groups."""

from __future__ import annotations

from uuid import UUID, uuid4

from fieldpack.server.accounts import queries as accounts
from fieldpack.server.accounts.addresses import is_address
from fieldpack.server.accounts.credentials.changes import hand_over
from fieldpack.server.accounts.credentials.signing_in import Entry, enter
from fieldpack.server.accounts.members.service import WorkspaceMembers
from fieldpack.server.accounts.permissions.roles import Role, covers
from fieldpack.server.accounts.providers import queries
from fieldpack.server.accounts.providers.oidc import Identity
from fieldpack.server.accounts.sessions import Visitor
from fieldpack.server.config import Settings
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import Problem

__all__ = ["NotAdmitted", "enter_with_identity", "role_of"]

EVERYBODY = "*"


class NotAdmitted(Exception):
    """The provider knows this person, but they have no account here, and their groups give them none."""


def role_of(groups: frozenset[str], roles: dict[str, str]) -> Role | None:
    """The highest role that these groups give; the group `*` stands for everybody whom the provider lets in. None
    for no role."""
    found = [Role(role) for group, role in roles.items() if group in groups or group == EVERYBODY]
    return max(found, key=lambda role: sum(covers(role, other) for other in Role), default=None)


async def enter_with_identity(
    connection: Connection, visitor: Visitor, identity: Identity, settings: Settings
) -> Entry:
    """Sign in the researcher whom a provider has identified.

    They are found by issuer and subject, the first time by their address if the provider has verified it. An account
    that somebody else may have made under that address is theirs then, and nobody's who signed in as it before.
    Where groups give roles, somebody new gets an account, and their role in the workspace follows their groups at each
    sign-in.

    Raises:
        NotAdmitted: they have no account, and get none.
    """
    await accounts.lock_accounts(connection)
    role = role_of(identity.groups, settings.oidc_groups)
    row = await queries.find_identity(connection, identity.issuer, identity.subject)
    granted = row.workspace_id if row is not None else None
    if row is None:
        researcher_id = await _find_or_make(connection, identity, role)
        await queries.insert_identity(connection, identity.issuer, identity.subject, researcher_id)
    else:
        researcher_id = row.researcher_id
        if identity.is_verified and researcher_id == await _find(connection, identity):
            await accounts.prove_address(connection, researcher_id)
    if settings.oidc_groups:
        await _follow_groups(connection, identity, researcher_id, role, granted, settings)
    return await enter(connection, visitor, researcher_id, "oidc")


async def _find(connection: Connection, identity: Identity) -> UUID | None:
    return await accounts.find_researcher_by_email(connection, identity.email) if identity.email else None


async def _find_or_make(connection: Connection, identity: Identity, role: Role | None) -> UUID:
    found = await _find(connection, identity)
    if found is not None and identity.is_verified:
        if not await accounts.is_proven(connection, found):
            await hand_over(connection, found)
        return found
    # an address that the provider has not verified may be somebody else's: it opens no existing account
    if found is not None or role is None or not is_address(identity.email):
        raise NotAdmitted
    researcher_id = uuid4()
    first = identity.first_name or ("" if identity.last_name else identity.email.partition("@")[0])
    await accounts.insert_researcher(
        connection,
        researcher_id,
        identity.email,
        first,
        identity.last_name,
        is_proven=identity.is_verified,
    )
    return researcher_id


async def _follow_groups(
    connection: Connection,
    identity: Identity,
    researcher_id: UUID,
    role: Role | None,
    granted: UUID | None,
    settings: Settings,
) -> None:
    """Give a researcher the role of their groups, in place of the one that groups gave before. A role that an owner
    gave is raised, never lowered."""
    workspace_id = settings.oidc_workspace or await accounts.find_first_workspace(connection)
    if workspace_id is None:
        return
    members = WorkspaceMembers(workspace_id)
    held = await members.find(connection, researcher_id)
    try:
        if role is None and granted == workspace_id:
            await members.delete(connection, researcher_id)
            await queries.note_membership(connection, identity.issuer, identity.subject, None)
        elif role is not None and held is None:
            await members.insert(connection, researcher_id, role)
            await queries.note_membership(connection, identity.issuer, identity.subject, workspace_id)
        elif (
            role is not None
            and held is not None
            and (granted == workspace_id or not covers(Role(held.role), role))
        ):
            await members.change(connection, researcher_id, role)
    except Problem:
        pass  # the last owner stays one, whatever the groups say; the sign-in goes on
