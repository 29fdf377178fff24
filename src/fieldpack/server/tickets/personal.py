"""Personal links: a participant's id, signed by us for one study, until a time.

What is signed stands in the link's `link` parameter: `<key>.<expires>.<kind>.<id>.<signature>`. Kinds are `o`, good for
one opening, `r`, which resumes as often as one likes, and `h`, for the browser's cookie only, in place of a hosted
service's token that was opened there.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from urllib.parse import urlencode
from uuid import UUID

import orjson

from fieldpack.server.accounts.keys import KEY_ID, TICKET_LIFE, SigningKey, find_key, get_signing_key
from fieldpack.server.collections.queries import transaction_time
from fieldpack.server.db.pool import Connection
from fieldpack.server.problems import (
    SIGNED_LINK_EXPIRED,
    SIGNED_LINK_INVALID,
    SIGNED_LINK_USED,
    Problem,
    invalid,
)
from fieldpack.server.tickets import queries

__all__ = [
    "MOST_CHARACTERS",
    "PersonalLink",
    "Ticket",
    "make_cookie",
    "make_links",
    "read_ticket",
    "require_unused",
    "used",
]

Kind = Literal["o", "r", "h"]

DEFAULT_LIFE = timedelta(days=90)
COOKIE_LIFE = timedelta(days=1)
MOST_CHARACTERS = 300
_TEXT = re.compile(rf"({KEY_ID})\.([0-9]{{1,11}})\.([orh])\.([0-9a-f]{{32}})\.([0-9a-f]{{64}})")


@dataclass(frozen=True, slots=True)
class Ticket:
    """Who a visitor was shown to be.

    Attributes:
        id: of the link or token, in the table of used ones.
        participant_id: whom it is for.
        session_id: of the hosted service; None where it is for all that the participant has in this study.
        expires_at: until when it is good.
        once: it is used up by the first opening.
    """

    id: str
    participant_id: str
    session_id: str | None
    expires_at: datetime
    once: bool


@dataclass(frozen=True, slots=True)
class PersonalLink:
    """A participant's own link."""

    participant_id: str
    url: str
    expires_at: datetime
    once: bool


def used() -> Problem:
    """The refusal of a ticket that was used before."""
    return Problem(
        SIGNED_LINK_USED,
        "This link was opened before, and is good for one time only. Go on in the browser that it was opened in, or ask"
        " whoever gave it to you for a new one.",
    )


def _sign(key: SigningKey, study_id: UUID, ticket: Ticket, kind: Kind) -> str:
    expires = int(ticket.expires_at.timestamp())
    signed = [str(study_id), key.id, expires, kind, ticket.id, ticket.participant_id, ticket.session_id]
    return f"{key.id}.{expires}.{kind}.{ticket.id}.{key.sign(orjson.dumps(signed).decode())}"


async def make_links(
    connection: Connection,
    study_id: UUID,
    study_url: str,
    participant_ids: Sequence[str],
    expires_at: datetime | None,
    *,
    once: bool,
) -> list[PersonalLink]:
    """A link for each participant, in their order.

    Args:
        study_url: of the study's page, without a query.
        expires_at: until when they are good; 90 days unless given.
        once: each opens once only.

    Raises:
        Problem: 400 for a time that is over, or more than a year away.
    """
    now = await transaction_time(connection)
    until = datetime.fromtimestamp(int((expires_at or now + DEFAULT_LIFE).timestamp()), UTC)
    if not now < until <= now + TICKET_LIFE:
        raise invalid("expires_at", f"Must be in the future, and at most {TICKET_LIFE.days} days away.")
    key = await get_signing_key(connection, "participation")
    links = []
    for participant_id in participant_ids:
        ticket = Ticket(secrets.token_hex(16), participant_id, None, until, once)
        text = _sign(key, study_id, ticket, "o" if once else "r")
        query = urlencode({"PROLIFIC_PID": participant_id, "link": text})
        links.append(PersonalLink(participant_id, f"{study_url}?{query}", until, once))
    return links


async def make_cookie(connection: Connection, study_id: UUID, opened: Ticket) -> tuple[str, timedelta]:
    """What the browser keeps that a hosted service's token was opened in, and for how long."""
    now = await transaction_time(connection)
    key = await get_signing_key(connection, "participation")
    kept = Ticket(opened.id, opened.participant_id, opened.session_id, now + COOKIE_LIFE, False)
    return _sign(key, study_id, kept, "h"), COOKIE_LIFE


async def read_ticket(
    connection: Connection,
    study_id: UUID,
    text: str,
    participant_id: str,
    session_id: str | None = None,
    *,
    is_cookie: bool = False,
) -> Ticket:
    """What a link, or the cookie, proves for this participant in this study; not whether it was used up.

    Raises:
        Problem: 403 when it was altered, is for another, or has expired.
    """
    found = _TEXT.fullmatch(text)
    altered = Problem(
        SIGNED_LINK_INVALID, "This link is not whole, or not for this participant and study. Copy all of it."
    )
    if found is None or (found[3] == "h") != is_cookie:
        raise altered
    key_id, kind, once = found[1], found[3], found[3] == "o"
    expires_at = datetime.fromtimestamp(int(found[2]), UTC)
    ticket = Ticket(found[4], participant_id, session_id if is_cookie else None, expires_at, once)
    key = await find_key(connection, "participation", key_id)
    signed = [str(study_id), key_id, int(found[2]), kind, ticket.id, participant_id, ticket.session_id]
    if key is None or not key.has_signed(orjson.dumps(signed).decode(), found[5]):
        raise altered
    if expires_at <= await transaction_time(connection):
        raise Problem(SIGNED_LINK_EXPIRED, "This link has expired. Ask whoever gave it to you for a new one.")
    return ticket


async def require_unused(connection: Connection, ticket: Ticket) -> None:
    """Refuse what was used up, where nothing is begun by it yet.

    Raises:
        Problem: 403.
    """
    if ticket.once and await queries.is_used(connection, ticket.id):
        raise used()
