"""SQL of members of workspaces, and of roles on collections.

A workspace that has an owner keeps one. So whatever could remove the last owner locks the workspace's row first
(`lock_members`), and the statement that writes looks for another owner.
"""

from __future__ import annotations

from typing import LiteralString
from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.accounts.members.rows import MembershipRow, NarrowerRow
from fieldpack.server.db.pool import Connection

_MEMBER: LiteralString = (
    "r.id, r.email, r.first_name, r.last_name, m.role, m.created_at,"
    " r.address_proven_at IS NOT NULL AS is_proven"
)
_HAS_ANOTHER_OWNER: LiteralString = """
    EXISTS (SELECT FROM memberships o WHERE o.workspace_id = m.workspace_id AND o.role = 'owner'
            AND o.researcher_id <> m.researcher_id)
"""


async def lock_members(connection: Connection, workspace_id: UUID) -> None:
    """Lock the workspace's row until commit, so that nobody else takes roles away in it meanwhile."""
    await connection.execute("SELECT FROM workspaces WHERE id = %s FOR NO KEY UPDATE", [workspace_id])


async def list_members(
    connection: Connection, workspace_id: UUID, limit: int, offset: int
) -> tuple[list[MembershipRow], int]:
    """The members of a workspace, in the order in which they joined, and how many there are."""
    cursor = await connection.cursor(row_factory=class_row(MembershipRow)).execute(
        f"SELECT {_MEMBER} FROM memberships m JOIN researchers r ON r.id = m.researcher_id"
        " WHERE m.workspace_id = %s ORDER BY m.created_at, r.id LIMIT %s OFFSET %s",
        [workspace_id, limit, offset],
    )
    rows = await cursor.fetchall()
    counted = await connection.execute(
        "SELECT count(*) AS count FROM memberships WHERE workspace_id = %s", [workspace_id]
    )
    total = await counted.fetchone()
    return rows, total["count"] if total else 0


async def find_member(
    connection: Connection, workspace_id: UUID, researcher_id: UUID
) -> MembershipRow | None:
    """A researcher's membership of a workspace."""
    cursor = await connection.cursor(row_factory=class_row(MembershipRow)).execute(
        f"SELECT {_MEMBER} FROM memberships m JOIN researchers r ON r.id = m.researcher_id"
        " WHERE m.workspace_id = %s AND m.researcher_id = %s",
        [workspace_id, researcher_id],
    )
    return await cursor.fetchone()


async def set_role(connection: Connection, workspace_id: UUID, researcher_id: UUID, role: str) -> bool:
    """Give a member another role; return False, and change nothing, for the last owner. The caller has called
    `lock_members`."""
    cursor = await connection.execute(
        f"""
        UPDATE memberships m SET role = %(role)s
        WHERE m.workspace_id = %(workspace)s AND m.researcher_id = %(researcher)s
          AND (m.role <> 'owner' OR %(role)s = 'owner' OR {_HAS_ANOTHER_OWNER})
        """,
        {"workspace": workspace_id, "researcher": researcher_id, "role": role},
    )
    return cursor.rowcount == 1


async def delete_member(connection: Connection, workspace_id: UUID, researcher_id: UUID) -> bool:
    """Remove a member, and their roles on collections of the workspace; return False, and change nothing, for the
    last owner. The caller has called `lock_members`."""
    values = {"workspace": workspace_id, "researcher": researcher_id}
    cursor = await connection.execute(
        f"""
        DELETE FROM memberships m
        WHERE m.workspace_id = %(workspace)s AND m.researcher_id = %(researcher)s
          AND (m.role <> 'owner' OR {_HAS_ANOTHER_OWNER})
        """,
        values,
    )
    if cursor.rowcount == 0:
        return False
    await delete_collection_roles(connection, workspace_id, researcher_id)
    return True


async def delete_collection_roles(connection: Connection, workspace_id: UUID, researcher_id: UUID) -> None:
    """Remove all roles that a researcher has on single collections of a workspace."""
    await connection.execute(
        """
        DELETE FROM collection_roles n USING collections c
        WHERE c.id = n.collection_id AND c.workspace_id = %s AND n.researcher_id = %s
        """,
        [workspace_id, researcher_id],
    )


# on one collection


async def insert_collection_role(
    connection: Connection, collection_id: UUID, researcher_id: UUID, role: str
) -> bool:
    """Give a researcher a role on a collection; return False, and change nothing, when they have one there."""
    cursor = await connection.execute(
        "INSERT INTO collection_roles (collection_id, researcher_id, role) VALUES (%s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        [collection_id, researcher_id, role],
    )
    return cursor.rowcount == 1


async def list_of_collection(
    connection: Connection, collection_id: UUID, limit: int, offset: int
) -> tuple[list[MembershipRow], int]:
    """Those who have a role on the collection itself, in the order in which they got one, and how many there are."""
    cursor = await connection.cursor(row_factory=class_row(MembershipRow)).execute(
        f"SELECT {_MEMBER} FROM collection_roles m JOIN researchers r ON r.id = m.researcher_id"
        " WHERE m.collection_id = %s ORDER BY m.created_at, r.id LIMIT %s OFFSET %s",
        [collection_id, limit, offset],
    )
    rows = await cursor.fetchall()
    counted = await connection.execute(
        "SELECT count(*) AS count FROM collection_roles WHERE collection_id = %s", [collection_id]
    )
    total = await counted.fetchone()
    return rows, total["count"] if total else 0


async def list_narrower(connection: Connection, workspace_id: UUID, limit: int) -> list[NarrowerRow]:
    """The roles on single collections of a workspace, by the collection's name."""
    cursor = await connection.cursor(row_factory=class_row(NarrowerRow)).execute(
        f"""
        SELECT {_MEMBER}, c.id AS collection_id, c.name AS collection_name
        FROM collection_roles m JOIN collections c ON c.id = m.collection_id
        JOIN researchers r ON r.id = m.researcher_id
        WHERE c.workspace_id = %s ORDER BY c.name, c.id, m.created_at, r.id LIMIT %s
        """,
        [workspace_id, limit],
    )
    return await cursor.fetchall()


async def find_on_collection(
    connection: Connection, collection_id: UUID, researcher_id: UUID
) -> MembershipRow | None:
    """A researcher's role on one collection."""
    cursor = await connection.cursor(row_factory=class_row(MembershipRow)).execute(
        f"SELECT {_MEMBER} FROM collection_roles m JOIN researchers r ON r.id = m.researcher_id"
        " WHERE m.collection_id = %s AND m.researcher_id = %s",
        [collection_id, researcher_id],
    )
    return await cursor.fetchone()


async def set_collection_role(
    connection: Connection, collection_id: UUID, researcher_id: UUID, role: str
) -> bool:
    """Change a researcher's role on a collection; return whether they had one."""
    cursor = await connection.execute(
        "UPDATE collection_roles SET role = %s WHERE collection_id = %s AND researcher_id = %s",
        [role, collection_id, researcher_id],
    )
    return cursor.rowcount == 1


async def delete_collection_role(connection: Connection, collection_id: UUID, researcher_id: UUID) -> bool:
    """Remove a researcher's role on a collection; return whether they had one."""
    cursor = await connection.execute(
        "DELETE FROM collection_roles WHERE collection_id = %s AND researcher_id = %s",
        [collection_id, researcher_id],
    )
    return cursor.rowcount == 1


async def is_owner_of_all(connection: Connection, collection_id: UUID, researcher_id: UUID) -> bool:
    """Whether a researcher is an owner of a collection's workspace, and so of the collection."""
    cursor = await connection.execute(
        """
        SELECT 1 FROM collections c JOIN memberships m ON m.workspace_id = c.workspace_id
        WHERE c.id = %s AND m.researcher_id = %s AND m.role = 'owner'
        """,
        [collection_id, researcher_id],
    )
    return await cursor.fetchone() is not None
