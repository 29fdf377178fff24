"""The ticket that a request presents: by its link, by the hosted service's token, or a cookie of one opened here."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from fastapi import Request, Response

from fieldpack.server.context import Context
from fieldpack.server.http.cookies import keep_cookie, read_cookie, ticket_cookie_name
from fieldpack.server.http.origin import origin_of
from fieldpack.server.problems import Problem
from fieldpack.server.tickets import hosted, queries
from fieldpack.server.tickets.hosted_keys import HostedKeys
from fieldpack.server.tickets.personal import Ticket, make_cookie, read_ticket, used

__all__ = ["find_kept", "keep_opened", "read_hosted", "study_page"]


def study_page(request: Request, context: Context, study_id: UUID) -> str:
    """The address of a study's page, without a query."""
    return f"{origin_of(request, context)}/participate/{study_id}"


def _keys_of(request: Request, context: Context) -> HostedKeys:
    state = request.app.state
    if not hasattr(state, "hosted_keys"):
        state.hosted_keys = HostedKeys(context.settings.hosted_keys)
    keys: HostedKeys = state.hosted_keys
    return keys


async def read_hosted(
    request: Request, context: Context, study_id: UUID, token: str, parameters: Iterable[tuple[str, str]]
) -> Ticket:
    """What a hosted service's token proves; it is not used up by that.

    Args:
        parameters: of the URL that was opened, without the token: each must be the same in it.

    Raises:
        Problem: 403 for a token that is not good for this; 503 while there are no keys.
    """
    page = study_page(request, context, study_id)
    keys = _keys_of(request, context)
    return await hosted.read_token(keys, context.settings.hosted_issuer, token, page, parameters)


async def find_kept(
    request: Request, context: Context, study_id: UUID, participant_id: str, session_id: str | None
) -> Ticket | None:
    """What a token proved that this browser opened, if it was for this participant and session."""
    cookie = read_cookie(request, ticket_cookie_name(study_id))
    if cookie is None or cookie.made_before is not None:
        return None
    async with context.database.transaction() as connection:
        try:
            return await read_ticket(
                connection, study_id, cookie.value, participant_id, session_id, is_cookie=True
            )
        except Problem:
            return None


async def keep_opened(
    request: Request, response: Response, context: Context, study_id: UUID, ticket: Ticket
) -> None:
    """Use up a token in this browser, which remembers what it proved; reloading it here is no second opening.

    Raises:
        Problem: 403 when it was opened elsewhere before.
    """
    kept = await find_kept(request, context, study_id, ticket.participant_id, ticket.session_id)
    if kept is not None and kept.id == ticket.id:
        return
    async with context.database.transaction() as connection:
        if not await queries.use_ticket(connection, ticket.id, ticket.expires_at):
            raise used()
        value, life = await make_cookie(connection, study_id, ticket)
    keep_cookie(request, response, ticket_cookie_name(study_id), value, int(life.total_seconds()))
