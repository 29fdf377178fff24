"""Who has which role, as an operator sees and changes it from the command line."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fieldpack.errors import FieldpackError, UsageError
from fieldpack.server.accounts import queries
from fieldpack.server.accounts.members import service
from fieldpack.server.accounts.members.rows import MembershipRow
from fieldpack.server.accounts.members.service import CollectionMembers, Members, WorkspaceMembers
from fieldpack.server.accounts.permissions.roles import Role
from fieldpack.server.db.pool import Connection
from fieldpack.server.values.uuids import is_uuid

__all__ = ["add_member", "change_role", "find_members", "list_members", "parse_role", "remove_member"]


def parse_role(text: str) -> Role:
    """A role from the command line.

    Raises:
        UsageError: it is none.
    """
    try:
        return Role(text)
    except ValueError:
        raise UsageError(f"{text!r} is no role; there are {', '.join(Role)}.") from None


async def find_members(connection: Connection, workspace_id: str, collection_id: str | None) -> Members:
    """The members of a workspace, or of one of its collections, by ids of the command line.

    Raises:
        FieldpackError: no such workspace, or no such collection in it.
    """
    if not is_uuid(workspace_id) or await queries.find_workspace(connection, UUID(workspace_id)) is None:
        raise FieldpackError(f"There is no workspace {workspace_id}; `fieldpack workspace list` shows them.")
    workspace = UUID(workspace_id)
    if collection_id is None:
        return WorkspaceMembers(workspace)
    if not is_uuid(collection_id) or not await queries.has_collection(
        connection, workspace, UUID(collection_id)
    ):
        raise FieldpackError(f"There is no collection {collection_id} in this workspace.")
    return CollectionMembers(UUID(collection_id))


def _describe_member(row: MembershipRow) -> dict[str, Any]:
    described = service.describe_member(row)
    return {
        "researcher_id": str(row.id),
        "email": row.email,
        "name": described["name"],
        "role": row.role,
        "created_at": row.created_at.isoformat().replace("+00:00", "Z"),
    }


async def list_members(connection: Connection, of: Members) -> list[dict[str, Any]]:
    """Everybody with a role there."""
    rows, _ = await service.list_members(connection, None, of, 1_000_000, 0)
    return [_describe_member(row) for row in rows]


async def add_member(connection: Connection, of: Members, email: str, role: Role) -> dict[str, Any]:
    """Give somebody a role there; see `service.add_member`."""
    return _describe_member(await service.add_member(connection, None, of, email, role))


async def _find_member(connection: Connection, of: Members, email: str) -> UUID:
    researcher_id = await queries.find_researcher_by_email(connection, email)
    if researcher_id is None or await of.find(connection, researcher_id) is None:
        raise FieldpackError(f"{email} has no role here; `fieldpack workspace members list` shows who has.")
    return researcher_id


async def change_role(connection: Connection, of: Members, email: str, role: Role) -> dict[str, Any]:
    """Give somebody another role there; see `service.change_role`."""
    researcher_id = await _find_member(connection, of, email)
    return _describe_member(await service.change_role(connection, None, of, researcher_id, role))


async def remove_member(connection: Connection, of: Members, email: str) -> None:
    """Take somebody's role there away; see `service.remove_member`."""
    await service.remove_member(connection, None, of, await _find_member(connection, of, email))
