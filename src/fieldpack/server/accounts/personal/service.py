"""One's own sessions and tokens: listed, and ended. No HTTP, no SQL."""

from __future__ import annotations

from uuid import UUID

from fieldpack.server.accounts import session_queries
from fieldpack.server.accounts.personal import queries
from fieldpack.server.accounts.service import Caller
from fieldpack.server.accounts.tokens.service import require_own
from fieldpack.server.audit.service import write_entry
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import not_found

__all__ = ["end_session", "end_sessions", "revoke_token"]


async def end_session(connection: Connection, caller: Caller, session_id: UUID) -> None:
    """End one of one's own sessions in a browser.

    Raises:
        Problem: 404 for an unknown session, or one that has ended.
    """
    if not await session_queries.end_session_of(connection, caller.id, session_id):
        raise not_found("Session", session_id)
    await write_entry(connection, caller.actor, "session.end", object_id=session_id, member_id=caller.id)


async def end_sessions(connection: Connection, caller: Caller, but: UUID | None) -> None:
    """End all of one's own sessions in browsers, but the session `but`."""
    await session_queries.end_sessions(connection, caller.id, but)
    await write_entry(connection, caller.actor, "session.end", member_id=caller.id)


async def revoke_token(connection: Connection, caller: Caller, token_id: UUID) -> None:
    """Revoke one of one's own tokens, and end the sessions that began with it.

    Raises:
        Problem: 404 for an unknown token, or one that has ended; 403 when it allows more than the request's.
    """
    await require_own(connection, caller, token_id)
    if not await queries.revoke_token(connection, caller.id, token_id):
        raise not_found("Token", token_id)
    await write_entry(connection, caller.actor, "token.revoke", object_id=token_id, member_id=caller.id)
