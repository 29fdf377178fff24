"""Workspaces, researchers and their tokens: who makes a request, and what they are members of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from fieldpack.server.accounts import queries
from fieldpack.server.accounts.permissions.roles import WIRE_NAMES, Role
from fieldpack.server.accounts.rows import WorkspaceRow
from fieldpack.server.audit.service import Actor, write_entry
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import UNAUTHENTICATED, Problem

__all__ = ["Caller", "authenticate", "create_workspace", "hash_token", "require_still"]

SESSION_OVER = "Your session has ended: sign in again."
CURRENCY = "GBP"  # what amounts are in; nobody is paid through this server


@dataclass(frozen=True, slots=True)
class Caller:
    """The researcher behind a request."""

    id: UUID
    email: str
    first_name: str
    last_name: str
    token_id: UUID | None  # the API token of the request, or of the session; None for one by a link
    cap: Role | None  # the role that this token allows at most; None for all that the researcher may
    address: str | None = None  # where the request came from
    is_session: bool = False  # whether they came by a session's cookie
    session_id: UUID | None = None  # None for a cookie from before sessions were rows

    @property
    def actor(self) -> Actor:
        """The caller, for audit entries."""
        credential_id = self.session_id if self.is_session else self.token_id
        return Actor(
            "researcher",
            self.id,
            "session" if self.is_session else "token",
            str(credential_id) if credential_id else None,
            self.address,
        )

    @property
    def name(self) -> str:
        """First and last name, or the email where there is no name."""
        return f"{self.first_name} {self.last_name}".strip() or self.email


def hash_token(token: str) -> bytes:
    """What is stored of a token. It has 256 random bits, so a plain SHA-256 can't be reversed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


async def authenticate(connection: Connection, authorization: str | None, address: str | None) -> Caller:
    """The researcher whose token the `Authorization` header carries.

    Args:
        address: from which the request came; it is stored and shown beside the token.

    Raises:
        Problem: 401 when the token is missing, malformed, unknown, revoked or expired.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() not in ("token", "bearer") or not token.strip():
        raise Problem(
            UNAUTHENTICATED,
            "Send the header `Authorization: Token <token>`. `fieldpack token create` makes one.",
            headers={"WWW-Authenticate": "Token"},
        )
    row = await queries.find_caller(connection, hash_token(token.strip()), address)
    if row is None:
        raise _unknown_token()
    cap = Role(row.cap) if row.cap else None
    return Caller(row.id, row.email, row.first_name, row.last_name, row.token_id, cap)


def _unknown_token() -> Problem:
    return Problem(
        UNAUTHENTICATED,
        "This token is unknown, was revoked or has expired. `fieldpack token create` makes another.",
        headers={"WWW-Authenticate": "Token"},
    )


async def require_still(connection: Connection, caller: Caller) -> None:
    """Return if what a request came with is still good: for what is done a while after it was asked.

    Raises:
        Problem: 401 where the token was revoked or has expired since, or the session has ended.
    """
    if not await queries.is_still_good(connection, caller.token_id, caller.session_id):
        raise Problem(UNAUTHENTICATED, SESSION_OVER) if caller.is_session else _unknown_token()


async def create_workspace(
    connection: Connection, actor: Actor, title: str, description: str, owner: UUID | None
) -> dict[str, Any]:
    """A new workspace, with an owner if given."""
    workspace_id = uuid4()
    row = await queries.insert_workspace(connection, workspace_id, title, description)
    if owner is not None:
        await queries.insert_membership(connection, workspace_id, owner, Role.OWNER)
    await write_entry(connection, actor, "workspace.create", workspace_id=workspace_id)
    return (await describe_workspaces(connection, [row], owner))[0]


async def describe_workspaces(
    connection: Connection, rows: list[WorkspaceRow], reader: UUID | None
) -> list[dict[str, Any]]:
    """Workspaces as the API answers them. Who only has roles on single collections sees only the title."""
    users = await list_users(connection, [row.id for row in rows])
    own = {id for id, members in users.items() if any(member["id"] == reader for member in members)}
    return [
        {
            "id": row.id,
            "title": row.title,
            "description": row.description if row.id in own else "",
            "users": users[row.id] if row.id in own else [],
        }
        for row in rows
    ]


def describe_balance() -> dict[str, Any]:
    """The money of a workspace, in minor units: always zero, because nobody is paid through this server."""
    parts = {"rewards": 0, "fees": 0, "vat": 0}
    return {
        "currency_code": CURRENCY,
        "total_balance": 0,
        "balance_breakdown": parts,
        "available_balance": 0,
        "available_balance_breakdown": parts,
    }


async def list_users(connection: Connection, workspace_ids: list[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    """The members of workspaces as the API answers them, by workspace."""
    users: dict[UUID, list[dict[str, Any]]] = {workspace_id: [] for workspace_id in workspace_ids}
    for member in await queries.list_members(connection, workspace_ids):
        users[member.workspace_id].append(
            {
                "id": member.id,
                "name": f"{member.first_name} {member.last_name}".strip() or member.email,
                "email": member.email,
                "roles": [WIRE_NAMES[Role(member.role)]],
            }
        )
    return users


async def find_upgrade(connection: Connection) -> datetime | None:
    """When this installation was upgraded from a version before `__Host-` cookies; None if it began with a later
    version."""
    found = await queries.find_setting(connection, "upgraded_at")
    return datetime.fromtimestamp(float(found), UTC) if found else None
