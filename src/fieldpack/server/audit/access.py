"""Who may read the audit log of a workspace: its owners. That they did is an entry too."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fieldpack.server.accounts.permissions.authorization import not_a_member, require
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import Wanted, list_entries, write_entry
from fieldpack.server.db.pool import Connection

__all__ = ["read_log"]


async def read_log(
    connection: Connection, caller: Caller, workspace_id: UUID, wanted: Wanted, limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    """Entries of a workspace, newest first, and how many there are.

    Raises:
        Problem: 404 for an unknown workspace; 403 for whoever is no owner of it.
    """
    await require(connection, caller, Action.AUDIT_READ, workspace=workspace_id, foreign=not_a_member())
    entries, total = await list_entries(connection, workspace_id, wanted, limit, offset)
    await write_entry(
        connection,
        caller.actor,
        "audit.list",
        workspace_id=workspace_id,
        count=len(entries),
        total=total,
        limit=limit,
        offset=offset,
        **wanted.as_details(),
    )
    return entries, total
