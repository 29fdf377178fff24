"""SQL of invitations."""

from __future__ import annotations

from datetime import datetime
from typing import LiteralString
from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.accounts.invitations.rows import InvitationRow, OfferRow
from fieldpack.server.db.pool import Connection

# An invitation is valid only as long as whoever made it is an owner; those of the command line have no maker.
_GOOD: LiteralString = """
    i.accepted_at IS NULL AND i.revoked_at IS NULL AND i.expires_at > now()
    AND (i.created_by IS NULL OR EXISTS (
        SELECT FROM memberships m
        WHERE m.workspace_id = i.workspace_id AND m.researcher_id = i.created_by AND m.role = 'owner'))
"""
_INVITATION: LiteralString = """
    SELECT i.id, i.workspace_id, i.collection_id, i.role, i.email, i.created_at, b.email AS created_by,
           i.expires_at, i.accepted_at, a.email AS accepted_by, i.revoked_at
    FROM invitations i LEFT JOIN researchers b ON b.id = i.created_by
    LEFT JOIN researchers a ON a.id = i.accepted_by
"""


async def insert_invitation(
    connection: Connection,
    id: UUID,
    code_sha256: bytes,
    workspace_id: UUID,
    collection_id: UUID | None,
    role: str,
    email: str | None,
    created_by: UUID | None,
    expires_at: datetime,
) -> None:
    """Store an invitation; of its code only the hash."""
    await connection.execute(
        """
        INSERT INTO invitations
            (id, code_sha256, workspace_id, collection_id, role, email, created_by, expires_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
        """,
        [id, code_sha256, workspace_id, collection_id, role, email, created_by, expires_at],
    )


async def get_invitation(connection: Connection, id: UUID) -> InvitationRow:
    """An invitation that is known to exist."""
    async with connection.cursor(row_factory=class_row(InvitationRow)) as cursor:
        await cursor.execute(f"{_INVITATION} WHERE i.id = %s", [id])
        row = await cursor.fetchone()
        assert row is not None
        return row


async def list_invitations(
    connection: Connection, workspace_id: UUID, limit: int, offset: int
) -> tuple[list[InvitationRow], int]:
    """A workspace's invitations, newest first, and how many there are."""
    async with connection.cursor(row_factory=class_row(InvitationRow)) as cursor:
        await cursor.execute(
            f"{_INVITATION} WHERE i.workspace_id = %s ORDER BY i.created_at DESC, i.id LIMIT %s OFFSET %s",
            [workspace_id, limit, offset],
        )
        rows = await cursor.fetchall()
    counted = await connection.execute(
        "SELECT count(*) AS count FROM invitations WHERE workspace_id = %s", [workspace_id]
    )
    total = await counted.fetchone()
    return rows, total["count"] if total else 0


async def revoke_invitation(connection: Connection, id: UUID, workspace_id: UUID | None = None) -> bool:
    """Revoke an invitation, of this workspace if one is given; return whether there is one that nobody accepted.
    Again it changes nothing."""
    cursor = await connection.execute(
        """
        UPDATE invitations SET revoked_at = coalesce(revoked_at, now())
        WHERE id = %(id)s AND accepted_at IS NULL
          AND (%(workspace)s::uuid IS NULL OR workspace_id = %(workspace)s) RETURNING id
        """,
        {"id": id, "workspace": workspace_id},
    )
    return await cursor.fetchone() is not None


async def find_offer(connection: Connection, code_sha256: bytes) -> OfferRow | None:
    """The role that a code gives; None once the invitation was used, revoked or has expired, or its maker may not
    invite any more."""
    async with connection.cursor(row_factory=class_row(OfferRow)) as cursor:
        await cursor.execute(
            f"""
            SELECT i.id, i.workspace_id, w.title AS workspace_title, i.collection_id,
                   c.name AS collection_name, i.role, i.email, i.expires_at,
                   coalesce(nullif(trim(b.first_name || ' ' || b.last_name), ''), b.email) AS inviter
            FROM invitations i JOIN workspaces w ON w.id = i.workspace_id
            LEFT JOIN collections c ON c.id = i.collection_id LEFT JOIN researchers b ON b.id = i.created_by
            WHERE i.code_sha256 = %s AND {_GOOD}
            """,
            [code_sha256],
        )
        return await cursor.fetchone()


async def use_invitation(connection: Connection, id: UUID, researcher_id: UUID) -> bool:
    """Store who accepted an invitation; return False when it is not valid any more. Of several requests at once one
    gets True."""
    cursor = await connection.execute(
        f"""
        UPDATE invitations i SET accepted_at = now(), accepted_by = %s WHERE i.id = %s AND {_GOOD}
        RETURNING i.id
        """,
        [researcher_id, id],
    )
    return await cursor.fetchone() is not None
