"""SQL of which role a researcher has, and where."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.accounts.rows import StandingRow
from fieldpack.server.db.pool import Connection


def select_role(workspace: str, collection: str, researcher: str) -> str:
    """SQL of a researcher's role on a collection, NULL for none.

    A role on the collection itself replaces the one in its workspace. An owner of the workspace is an owner of every
    collection in it, so that nobody can take one away from them.

    Args:
        workspace, collection, researcher: SQL of their ids.
    """
    return f"""
        coalesce(
            (SELECT m.role FROM memberships m
             WHERE m.workspace_id = {workspace} AND m.researcher_id = {researcher} AND m.role = 'owner'),
            (SELECT n.role FROM collection_roles n
             WHERE n.collection_id = {collection} AND n.researcher_id = {researcher}),
            (SELECT m.role FROM memberships m
             WHERE m.workspace_id = {workspace} AND m.researcher_id = {researcher}))
    """


def select_roles_within(workspace: str, researcher: str) -> str:
    """SQL of all roles that a researcher has in a workspace: the workspace's, and those on its collections."""
    return f"""
        SELECT m.role FROM memberships m
        WHERE m.workspace_id = {workspace} AND m.researcher_id = {researcher}
        UNION ALL
        SELECT n.role FROM collection_roles n JOIN collections k ON k.id = n.collection_id
        WHERE k.workspace_id = {workspace} AND n.researcher_id = {researcher}
    """


_ROLE = select_role("w.id", "c.id", "%(researcher)s")
_STANDING = f"c.id AS collection_id, w.collections_enabled, {_ROLE} AS role"


async def _find(connection: Connection, query: str, values: dict[str, Any]) -> StandingRow | None:
    cursor = await connection.cursor(row_factory=class_row(StandingRow)).execute(query, values)
    return await cursor.fetchone()


async def find_in_workspace(connection: Connection, id: UUID, researcher_id: UUID) -> StandingRow | None:
    """A researcher's role in a workspace; None for an unknown workspace."""
    query = """
        SELECT NULL::uuid AS collection_id, w.collections_enabled,
               (SELECT m.role FROM memberships m
                WHERE m.workspace_id = w.id AND m.researcher_id = %(researcher)s) AS role
        FROM workspaces w WHERE w.id = %(id)s
    """
    return await _find(connection, query, {"id": id, "researcher": researcher_id})


async def find_on_project(connection: Connection, id: UUID, researcher_id: UUID) -> StandingRow | None:
    """A researcher's role in the workspace of a project; None for an unknown project."""
    query = """
        SELECT NULL::uuid AS collection_id, w.collections_enabled,
               (SELECT m.role FROM memberships m
                WHERE m.workspace_id = w.id AND m.researcher_id = %(researcher)s) AS role
        FROM projects p JOIN workspaces w ON w.id = p.workspace_id WHERE p.id = %(id)s
    """
    return await _find(connection, query, {"id": id, "researcher": researcher_id})


async def find_on_group(connection: Connection, id: UUID, researcher_id: UUID) -> StandingRow | None:
    """A researcher's role in the workspace of a participant group; None for an unknown group."""
    query = """
        SELECT NULL::uuid AS collection_id, w.collections_enabled,
               (SELECT m.role FROM memberships m
                WHERE m.workspace_id = w.id AND m.researcher_id = %(researcher)s) AS role
        FROM participant_groups g JOIN workspaces w ON w.id = g.workspace_id WHERE g.id = %(id)s
    """
    return await _find(connection, query, {"id": id, "researcher": researcher_id})


async def find_on_subscription(connection: Connection, id: UUID, researcher_id: UUID) -> StandingRow | None:
    """A researcher's role in the workspace of a webhook's subscription; None for an unknown one."""
    query = """
        SELECT NULL::uuid AS collection_id, w.collections_enabled,
               (SELECT m.role FROM memberships m
                WHERE m.workspace_id = w.id AND m.researcher_id = %(researcher)s) AS role
        FROM hook_subscriptions h JOIN workspaces w ON w.id = h.workspace_id WHERE h.id = %(id)s
    """
    return await _find(connection, query, {"id": id, "researcher": researcher_id})


async def find_on_collection(connection: Connection, id: UUID, researcher_id: UUID) -> StandingRow | None:
    """A researcher's role on a collection; None for an unknown collection."""
    query = f"""
        SELECT {_STANDING} FROM collections c JOIN workspaces w ON w.id = c.workspace_id WHERE c.id = %(id)s
    """
    return await _find(connection, query, {"id": id, "researcher": researcher_id})


async def find_on_study(connection: Connection, id: UUID, researcher_id: UUID) -> StandingRow | None:
    """A researcher's role on the collection of a study; None for an unknown study."""
    query = f"""
        SELECT {_STANDING}
        FROM studies s JOIN collections c ON c.id = s.collection_id JOIN workspaces w ON w.id = s.workspace_id
        WHERE s.id = %(id)s
    """
    return await _find(connection, query, {"id": id, "researcher": researcher_id})


async def find_on_submission(connection: Connection, id: UUID, researcher_id: UUID) -> StandingRow | None:
    """A researcher's role on the collection of a submission; None for an unknown or erased one."""
    query = f"""
        SELECT {_STANDING}
        FROM submissions u JOIN studies s ON s.id = u.study_id JOIN workspaces w ON w.id = s.workspace_id
        JOIN collections c ON c.id = u.collection_id
        WHERE u.id = %(id)s AND u.response <> 'deleted'
    """
    return await _find(connection, query, {"id": id, "researcher": researcher_id})


async def list_roles(
    connection: Connection, researcher_id: UUID, workspace_id: UUID | None = None
) -> list[str]:
    """Every role that a researcher has in a workspace, or in any, also on single collections."""
    cursor = await connection.execute(
        f"""
        SELECT DISTINCT r.role FROM workspaces w
        CROSS JOIN LATERAL ({select_roles_within("w.id", "%(researcher)s")}) AS r
        WHERE %(workspace)s::uuid IS NULL OR w.id = %(workspace)s
        """,
        {"researcher": researcher_id, "workspace": workspace_id},
    )
    return [row["role"] for row in await cursor.fetchall()]


async def list_workspaces_with_role(
    connection: Connection, researcher_id: UUID, roles: list[str]
) -> list[UUID]:
    """The workspaces in which the researcher has one of these roles."""
    cursor = await connection.execute(
        "SELECT workspace_id FROM memberships WHERE researcher_id = %s AND role = ANY(%s)",
        [researcher_id, roles],
    )
    return [row["workspace_id"] for row in await cursor.fetchall()]


async def list_with_role(
    connection: Connection, researcher_id: UUID, collection_ids: list[UUID], roles: list[str]
) -> set[UUID]:
    """Those of these collections on which the researcher has one of these roles."""
    cursor = await connection.execute(
        f"""
        SELECT c.id FROM collections c WHERE c.id = ANY(%(ids)s)
          AND {select_role("c.workspace_id", "c.id", "%(researcher)s")} = ANY(%(roles)s)
        """,
        {"ids": collection_ids, "researcher": researcher_id, "roles": roles},
    )
    return {row["id"] for row in await cursor.fetchall()}


async def list_studies_with_role(
    connection: Connection, researcher_id: UUID, study_ids: list[UUID], roles: list[str]
) -> set[UUID]:
    """Those of these studies on which the researcher has one of these roles."""
    cursor = await connection.execute(
        f"""
        SELECT s.id FROM studies s WHERE s.id = ANY(%(ids)s)
          AND {select_role("s.workspace_id", "s.collection_id", "%(researcher)s")} = ANY(%(roles)s)
        """,
        {"ids": study_ids, "researcher": researcher_id, "roles": roles},
    )
    return {row["id"] for row in await cursor.fetchall()}
