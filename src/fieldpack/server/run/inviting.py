"""Invitations from the command line, for who runs the server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from fieldpack.errors import FieldpackError, UsageError
from fieldpack.server.accounts import queries
from fieldpack.server.accounts.invitations import service
from fieldpack.server.accounts.invitations.service import MOST_DAYS
from fieldpack.server.accounts.permissions.roles import Role
from fieldpack.server.accounts.tokens.service import parse_expiry
from fieldpack.server.config import Settings
from fieldpack.server.db.pool import Connection
from fieldpack.server.run.administration import administer, parse_workspace
from fieldpack.server.run.signing_in import find_origin
from fieldpack.server.values.uuids import is_uuid

__all__ = ["invite", "list_invitations", "revoke_invitation"]


def _life(text: str | None) -> timedelta | None:
    """How long a link is to be good.

    Raises:
        UsageError: what `--expires` says is none, or longer than links may be.
    """
    if text is None:
        return None
    until = parse_expiry(text)
    life = until if isinstance(until, timedelta) else until - datetime.now(UTC)
    if life > timedelta(days=MOST_DAYS):
        raise UsageError(f"An invitation is good for {MOST_DAYS} days at most.")
    return life


def _text(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value) if isinstance(value, UUID) else value


def invite(
    settings: Settings,
    workspace: str | None,
    role: Role,
    *,
    collection: str | None,
    email: str | None,
    expires: str | None,
) -> dict[str, Any]:
    """An invitation with its link; without a workspace, to the only one there is.

    Raises:
        UsageError: an argument is none, or there are several workspaces and none was named.
        FieldpackError: no such workspace or collection; or it isn't known where the server is.
    """
    if collection is not None and not is_uuid(collection):
        raise UsageError(f"{collection!r} is not a collection id; `fieldpack collection list` shows them.")
    named, life = parse_workspace(workspace), _life(expires)
    origin = find_origin(settings)

    async def work(connection: Connection) -> dict[str, Any]:
        code, row = await service.invite(
            connection,
            None,
            named or await _only_workspace(connection),
            role,
            collection_id=UUID(collection) if collection else None,
            email=email,
            life=life,
        )
        described = {name: _text(value) for name, value in service.describe_invitation(row).items()}
        return {**described, "url": service.link_of(origin, code)}

    return administer(settings, work)


async def _only_workspace(connection: Connection) -> UUID:
    rows, count = await queries.list_workspaces(connection, None, 1, 0)
    if count != 1:
        raise UsageError("Say which workspace: `fieldpack workspace list` shows them.")
    return rows[0].id


async def list_invitations(connection: Connection, workspace_id: UUID) -> list[dict[str, Any]]:
    """A workspace's invitations, newest first."""
    rows, _ = await service.list_invitations(connection, None, workspace_id, 1_000_000, 0)
    return [{name: _text(value) for name, value in service.describe_invitation(row).items()} for row in rows]


async def revoke_invitation(connection: Connection, invitation_id: str) -> None:
    """Let nobody follow a link any more.

    Raises:
        FieldpackError: there is no such invitation, or it was accepted.
    """
    if not is_uuid(invitation_id) or not await service.revoke_any(connection, UUID(invitation_id)):
        raise FieldpackError(
            f"There is no invitation {invitation_id} that is open; `fieldpack workspace invitations list` shows them."
        )
