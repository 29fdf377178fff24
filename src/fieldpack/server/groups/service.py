"""The rules of participant groups: whose they are, and what they answer."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from fieldpack.server.accounts.permissions.authorization import not_a_member, require
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import write_entry
from fieldpack.server.db.pool import Connection
from fieldpack.server.groups import queries
from fieldpack.server.groups.rows import GroupRow, MemberRow
from fieldpack.server.groups.schemas import GroupInput, GroupPatch
from fieldpack.server.problems import not_found

__all__ = ["create_group", "describe_group", "describe_member", "get_group", "update_group"]


async def get_group(
    connection: Connection, caller: Caller, group_id: UUID, action: Action = Action.GROUPS_READ
) -> GroupRow:
    """The group's row, for whoever may do `action` with it.

    Raises:
        Problem: 404 and 403 as `authorization.require` says.
    """
    await require(connection, caller, action, group=group_id)
    row = await queries.find_group(connection, group_id)
    if row is None:
        raise not_found("Group", group_id)
    return row


async def create_group(
    connection: Connection, caller: Caller, workspace_id: UUID, given: GroupInput
) -> GroupRow:
    """A new group, with whoever is to be in it from the beginning."""
    await require(connection, caller, Action.GROUPS_WRITE, workspace=workspace_id, foreign=not_a_member())
    group_id = uuid4()
    await queries.insert_group(connection, group_id, workspace_id, given.name, given.description, caller.id)
    await queries.add_members(connection, [group_id], given.participant_ids or [])
    await write_entry(connection, caller.actor, "group.create", object_id=group_id, workspace_id=workspace_id)
    return await get_group(connection, caller, group_id)


async def update_group(connection: Connection, caller: Caller, group_id: UUID, given: GroupPatch) -> GroupRow:
    """The group with what is given; of who stays in it, it is kept since when."""
    group = await get_group(connection, caller, group_id, Action.GROUPS_WRITE)
    await queries.update_group(connection, group_id, given.name, given.description)
    if given.participant_ids is not None:
        await queries.keep_members(connection, group_id, given.participant_ids)
        await queries.add_members(connection, [group_id], given.participant_ids)
    await write_entry(
        connection,
        caller.actor,
        "group.update",
        object_id=group_id,
        workspace_id=group.workspace_id,
        count=None if given.participant_ids is None else len(given.participant_ids),
    )
    return await get_group(connection, caller, group_id)


def describe_group(row: GroupRow) -> dict[str, Any]:
    """A group as the API answers it. There are neither organisations nor feeder studies here."""
    return {
        "id": row.id,
        "name": row.name,
        "project_id": None,
        "workspace_id": row.workspace_id,
        "organisation_id": None,
        "description": row.description,
        "participant_count": row.participant_count,
        "is_deleted": False,
        "feeder_studies": [],
    }


def describe_member(row: MemberRow) -> dict[str, Any]:
    """A participant in a group as the API answers it."""
    return {"participant_id": row.participant_id, "datetime_created": row.created_at}
