"""SQL of participant groups and who is in them."""

from __future__ import annotations

from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.db.pool import Connection
from fieldpack.server.groups.rows import GroupRow, MemberRow

FIND = """
    SELECT g.id, g.workspace_id, g.name, g.description,
           (SELECT count(*) FROM participant_group_members m WHERE m.group_id = g.id) AS participant_count
    FROM participant_groups g
"""


async def insert_group(
    connection: Connection, id: UUID, workspace_id: UUID, name: str, description: str | None, by: UUID
) -> None:
    """Add a group without members."""
    await connection.execute(
        "INSERT INTO participant_groups (id, workspace_id, name, description, created_by)"
        " VALUES (%s, %s, %s, %s, %s)",
        [id, workspace_id, name, description, by],
    )


async def update_group(
    connection: Connection, group_id: UUID, name: str | None, description: str | None
) -> None:
    """Write what is given; None leaves it as it is."""
    await connection.execute(
        "UPDATE participant_groups SET name = coalesce(%s, name), description = coalesce(%s, description)"
        " WHERE id = %s",
        [name, description, group_id],
    )


async def delete_group(connection: Connection, group_id: UUID) -> None:
    """Delete a group; no error when it is gone."""
    await connection.execute("DELETE FROM participant_groups WHERE id = %s", [group_id])


async def find_group(connection: Connection, group_id: UUID) -> GroupRow | None:
    """A group, whoever asks, with the number of its members."""
    cursor = await connection.cursor(row_factory=class_row(GroupRow)).execute(
        f"{FIND} WHERE g.id = %s", [group_id]
    )
    return await cursor.fetchone()


async def list_groups(
    connection: Connection, workspace_ids: list[UUID], limit: int, offset: int
) -> tuple[list[GroupRow], int]:
    """The groups of workspaces, oldest first, and how many there are."""
    cursor = await connection.cursor(row_factory=class_row(GroupRow)).execute(
        f"{FIND} WHERE g.workspace_id = ANY(%s) ORDER BY g.created_at, g.id LIMIT %s OFFSET %s",
        [workspace_ids, limit, offset],
    )
    rows = await cursor.fetchall()
    counted = await connection.execute(
        "SELECT count(*) AS count FROM participant_groups WHERE workspace_id = ANY(%s)", [workspace_ids]
    )
    total = await counted.fetchone()
    return rows, total["count"] if total else 0


async def list_members(
    connection: Connection, group_id: UUID, limit: int | None = None, offset: int = 0
) -> list[MemberRow]:
    """Who is in a group, in the order they were added."""
    cursor = await connection.cursor(row_factory=class_row(MemberRow)).execute(
        """
        SELECT participant_id, created_at FROM participant_group_members
        WHERE group_id = %s ORDER BY created_at, participant_id COLLATE "C" LIMIT %s OFFSET %s
        """,
        [group_id, limit, offset],
    )
    return await cursor.fetchall()


async def add_members(connection: Connection, group_ids: list[UUID], participant_ids: list[str]) -> None:
    """Add participants to groups; who is in one already stays as they are."""
    await connection.execute(
        """
        INSERT INTO participant_group_members (group_id, participant_id)
        SELECT g, p FROM unnest(%s::uuid[]) g, unnest(%s::text[]) p ORDER BY g, p
        ON CONFLICT DO NOTHING
        """,
        [group_ids, participant_ids],
    )


async def remove_members(connection: Connection, group_ids: list[UUID], participant_ids: list[str]) -> None:
    """Remove participants from groups; no error for those that are in none of them."""
    await connection.execute(
        "DELETE FROM participant_group_members WHERE group_id = ANY(%s) AND participant_id = ANY(%s)",
        [group_ids, participant_ids],
    )


async def keep_members(connection: Connection, group_id: UUID, participant_ids: list[str]) -> None:
    """Remove everybody else from a group."""
    await connection.execute(
        "DELETE FROM participant_group_members WHERE group_id = %s AND NOT participant_id = ANY(%s)",
        [group_id, participant_ids],
    )


async def change_membership(
    connection: Connection, workspace_id: UUID, group_id: UUID, participant_id: str, *, added: bool
) -> None:
    """Add a participant to a group of this workspace, or take them out; a group of another changes nothing."""
    statement = """
        INSERT INTO participant_group_members (group_id, participant_id)
        SELECT id, %(participant)s FROM participant_groups WHERE id = %(group)s AND workspace_id = %(workspace)s
        ON CONFLICT DO NOTHING
    """
    if not added:
        statement = """
            DELETE FROM participant_group_members m USING participant_groups g
            WHERE g.id = %(group)s AND g.workspace_id = %(workspace)s
              AND m.group_id = g.id AND m.participant_id = %(participant)s
        """
    await connection.execute(
        statement, {"participant": participant_id, "group": group_id, "workspace": workspace_id}
    )


async def forget_participant(connection: Connection, workspace_id: UUID, participant_id: str) -> None:
    """Take a participant out of every group of a workspace, unless they have a submission there that is not erased."""
    await connection.execute(
        """
        DELETE FROM participant_group_members m USING participant_groups g
        WHERE g.workspace_id = %(workspace)s AND m.group_id = g.id AND m.participant_id = %(participant)s
          AND NOT EXISTS (
            SELECT FROM submissions s JOIN studies t ON t.id = s.study_id
            WHERE s.participant_id = %(participant)s AND s.response <> 'deleted'
              AND t.workspace_id = %(workspace)s)
        """,
        {"workspace": workspace_id, "participant": participant_id},
    )


async def list_groups_of(connection: Connection, group_ids: list[UUID], participant_id: str) -> list[UUID]:
    """Those of these groups that a participant is in."""
    cursor = await connection.execute(
        "SELECT group_id FROM participant_group_members WHERE group_id = ANY(%s) AND participant_id = %s",
        [group_ids, participant_id],
    )
    return [row["group_id"] for row in await cursor.fetchall()]
