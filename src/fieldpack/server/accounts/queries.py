"""SQL of workspaces, researchers and memberships, and of who holds a token."""

from __future__ import annotations

from typing import LiteralString
from uuid import UUID

from psycopg.rows import class_row

from fieldpack.server.accounts.addresses import of_address
from fieldpack.server.accounts.permissions.queries import select_roles_within
from fieldpack.server.accounts.rows import CallerRow, MemberRow, ResearcherRow, WorkspaceRow
from fieldpack.server.db.columns import columns_of
from fieldpack.server.db.pool import Connection

WORKSPACE = columns_of(WorkspaceRow, "w")
# The one researcher of an address. Whoever is stored as it was given comes first: a database whose `lower` leaves other
# letters than a to z alone may have two that differ by no more than that.
OF_ADDRESS: LiteralString = """
    WHERE lower(r.email) IN (lower(%(small)s), lower(%(given)s))
      AND (lower(r.email) = lower(%(small)s) OR r.email = %(given)s)
    ORDER BY r.email = %(given)s DESC LIMIT 1
"""


async def find_setting(connection: Connection, name: str) -> bytes | None:
    """The value that is stored under this name."""
    cursor = await connection.execute("SELECT value FROM settings WHERE name = %s", [name])
    row = await cursor.fetchone()
    return bytes(row["value"]) if row else None


async def lock_accounts(connection: Connection) -> None:
    """Take the advisory lock of accounts until commit, so that what must happen once in an installation happens
    once."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtext('fieldpack.accounts'))")


async def insert_workspace(connection: Connection, id: UUID, title: str, description: str) -> WorkspaceRow:
    """A new workspace."""
    cursor = await connection.cursor(row_factory=class_row(WorkspaceRow)).execute(
        f"INSERT INTO workspaces AS w (id, title, description) VALUES (%s, %s, %s) RETURNING {WORKSPACE}",
        [id, title, description],
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def insert_researcher(
    connection: Connection, id: UUID, email: str, first_name: str, last_name: str, *, is_proven: bool
) -> None:
    """Add a researcher; the email must be new.

    Args:
        is_proven: whether the account is known to be of whoever has the address.
    """
    await connection.execute(
        """
        INSERT INTO researchers (id, email, first_name, last_name, address_proven_at)
        VALUES (%s, %s, %s, %s, CASE WHEN %s THEN now() END)
        """,
        [id, email, first_name, last_name, is_proven],
    )


async def prove_address(connection: Connection, researcher_id: UUID) -> bool:
    """Store that a researcher's account is of whoever has its address; return False when that was known."""
    cursor = await connection.execute(
        "UPDATE researchers SET address_proven_at = now() WHERE id = %s AND address_proven_at IS NULL",
        [researcher_id],
    )
    return cursor.rowcount == 1


async def is_proven(connection: Connection, researcher_id: UUID) -> bool:
    """Whether a researcher's account is known to be of whoever has its address."""
    cursor = await connection.execute(
        "SELECT 1 FROM researchers WHERE id = %s AND address_proven_at IS NOT NULL", [researcher_id]
    )
    return await cursor.fetchone() is not None


async def lock_researcher(connection: Connection, researcher_id: UUID) -> None:
    """Lock a researcher until commit: nothing new of theirs is stored meanwhile, no session nor anything else."""
    await connection.execute("SELECT FROM researchers WHERE id = %s FOR UPDATE", [researcher_id])


async def insert_membership(
    connection: Connection, workspace_id: UUID, researcher_id: UUID, role: str
) -> bool:
    """Make a researcher a member of a workspace; return False, and change nothing, for somebody who is one."""
    cursor = await connection.execute(
        "INSERT INTO memberships (workspace_id, researcher_id, role) VALUES (%s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        [workspace_id, researcher_id, role],
    )
    return cursor.rowcount == 1


async def find_caller(connection: Connection, token_sha256: bytes, address: str | None) -> CallerRow | None:
    """The researcher of a valid token. Stores when and from where the token is used, at most once a minute."""
    cursor = await connection.cursor(row_factory=class_row(CallerRow)).execute(
        """
        SELECT r.id, r.email, r.first_name, r.last_name, t.id AS token_id, t.role AS cap,
               t.last_used_at IS NULL OR t.last_used_at < now() - interval '1 minute' AS stale
        FROM tokens t JOIN researchers r ON r.id = t.researcher_id
        WHERE t.token_sha256 = %s AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now())
        """,
        [token_sha256],
    )
    row = await cursor.fetchone()
    if row is not None and row.stale:
        await connection.execute(
            "UPDATE tokens SET last_used_at = now(), last_used_address = %s WHERE id = %s",
            [address, row.token_id],
        )
    return row


async def is_still_good(connection: Connection, token_id: UUID | None, session_id: UUID | None) -> bool:
    """Whether neither this token nor this session has been ended or has expired; None is none."""
    cursor = await connection.execute(
        """
        SELECT (%(token)s::uuid IS NULL OR EXISTS (
                    SELECT FROM tokens t WHERE t.id = %(token)s AND t.revoked_at IS NULL
                    AND (t.expires_at IS NULL OR t.expires_at > now())))
           AND (%(session)s::uuid IS NULL OR EXISTS (
                    SELECT FROM researcher_sessions s
                    WHERE s.id = %(session)s AND s.ended_at IS NULL AND s.expires_at > now())) AS good
        """,
        {"token": token_id, "session": session_id},
    )
    row = await cursor.fetchone()
    return row is not None and bool(row["good"])


async def find_researcher_by_email(connection: Connection, email: str) -> UUID | None:
    """The id of the researcher with this email, in any case."""
    cursor = await connection.execute(f"SELECT r.id FROM researchers r {OF_ADDRESS}", of_address(email))
    row = await cursor.fetchone()
    return row["id"] if row else None


async def list_researchers(connection: Connection, limit: int) -> list[ResearcherRow]:
    """Researchers, oldest first."""
    cursor = await connection.cursor(row_factory=class_row(ResearcherRow)).execute(
        "SELECT id, email FROM researchers ORDER BY created_at, id LIMIT %s", [limit]
    )
    return await cursor.fetchall()


async def has_collections(connection: Connection) -> bool:
    """Whether there is any collection in this installation."""
    cursor = await connection.execute("SELECT 1 FROM collections LIMIT 1")
    return await cursor.fetchone() is not None


async def has_collection(connection: Connection, workspace_id: UUID, collection_id: UUID) -> bool:
    """Whether there is this collection in this workspace."""
    cursor = await connection.execute(
        "SELECT 1 FROM collections WHERE id = %s AND workspace_id = %s", [collection_id, workspace_id]
    )
    return await cursor.fetchone() is not None


async def find_first_researcher(connection: Connection, workspace_id: UUID | None = None) -> UUID | None:
    """The oldest owner of the workspace, or of any if None; else the oldest member; else, if None, the oldest
    researcher."""
    cursor = await connection.execute(
        """
        SELECT r.id FROM researchers r
        LEFT JOIN memberships m ON m.researcher_id = r.id
            AND (%(workspace)s::uuid IS NULL OR m.workspace_id = %(workspace)s)
        WHERE %(workspace)s::uuid IS NULL OR m.researcher_id IS NOT NULL
        ORDER BY m.role = 'owner' DESC NULLS LAST, r.created_at, r.id LIMIT 1
        """,
        {"workspace": workspace_id},
    )
    row = await cursor.fetchone()
    return row["id"] if row else None


async def find_first_workspace(connection: Connection, researcher_id: UUID | None = None) -> UUID | None:
    """The oldest workspace in which a researcher has a role, or of all if None."""
    cursor = await connection.execute(
        f"""
        SELECT w.id FROM workspaces w
        WHERE %(researcher)s::uuid IS NULL OR EXISTS ({select_roles_within("w.id", "%(researcher)s")})
        ORDER BY w.created_at, w.id LIMIT 1
        """,
        {"researcher": researcher_id},
    )
    row = await cursor.fetchone()
    return row["id"] if row else None


async def find_workspace(connection: Connection, workspace_id: UUID) -> WorkspaceRow | None:
    """A workspace; None for an unknown one."""
    cursor = await connection.cursor(row_factory=class_row(WorkspaceRow)).execute(
        f"SELECT {WORKSPACE} FROM workspaces w WHERE w.id = %s", [workspace_id]
    )
    return await cursor.fetchone()


async def list_workspaces(
    connection: Connection, researcher_id: UUID | None, limit: int, offset: int
) -> tuple[list[WorkspaceRow], int]:
    """Workspaces in which a researcher has a role, oldest first, and how many there are.

    Without a researcher all, but for those that hide an import under way.
    """
    condition = f"""
        FROM workspaces w
        WHERE CASE WHEN %(researcher)s::uuid IS NULL
                   THEN NOT EXISTS (SELECT FROM imports i WHERE i.id = w.id AND i.completed_at IS NULL)
                   ELSE EXISTS ({select_roles_within("w.id", "%(researcher)s")}) END
    """
    values = {"researcher": researcher_id, "limit": limit, "offset": offset}
    cursor = await connection.cursor(row_factory=class_row(WorkspaceRow)).execute(
        f"SELECT {WORKSPACE} {condition} ORDER BY w.created_at, w.id LIMIT %(limit)s OFFSET %(offset)s",
        values,
    )
    rows = await cursor.fetchall()
    counted = await connection.execute(f"SELECT count(*) AS count {condition}", values)
    total = await counted.fetchone()
    return rows, total["count"] if total else 0


async def list_members(connection: Connection, workspace_ids: list[UUID]) -> list[MemberRow]:
    """The members of these workspaces, in the order in which they joined."""
    cursor = await connection.cursor(row_factory=class_row(MemberRow)).execute(
        """
        SELECT m.workspace_id, r.id, r.email, r.first_name, r.last_name, m.role
        FROM memberships m JOIN researchers r ON r.id = m.researcher_id
        WHERE m.workspace_id = ANY(%s) ORDER BY m.created_at, r.id
        """,
        [workspace_ids],
    )
    return await cursor.fetchall()


async def set_collections_enabled(connection: Connection, workspace_id: UUID, enabled: bool) -> bool:
    """Switch Collections on or off in a workspace; return whether there is such a workspace."""
    cursor = await connection.execute(
        "UPDATE workspaces SET collections_enabled = %s WHERE id = %s RETURNING id", [enabled, workspace_id]
    )
    return await cursor.fetchone() is not None


async def set_export_dialect(connection: Connection, workspace_id: UUID, dialect: str) -> bool:
    """Set how exports of a workspace are requested from now on; return whether there is such a workspace."""
    cursor = await connection.execute(
        "UPDATE workspaces SET export_dialect = %s WHERE id = %s RETURNING id", [dialect, workspace_id]
    )
    return await cursor.fetchone() is not None
