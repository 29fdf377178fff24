"""The rules of links: who may have them made, and that it is on record."""

from __future__ import annotations

import csv
import io
from uuid import UUID

from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.audit.service import write_entry
from fieldpack.server.db.pool import Connection
from fieldpack.server.studies.service import get_study
from fieldpack.server.tickets.personal import PersonalLink, make_links
from fieldpack.server.tickets.schemas import LinksInput
from fieldpack.text import make_cell_safe

__all__ = ["request_links", "write_csv"]

COLUMNS = ("participant_id", "url", "expires_at", "once")


async def request_links(
    connection: Connection, caller: Caller, study_id: UUID, study_url: str, given: LinksInput
) -> list[PersonalLink]:
    """A link for each participant, signed: it opens the study for them alone. Nothing is stored.

    Args:
        study_url: of the study's page, without a query.

    Raises:
        Problem: 404; 403; 400 for a time that is over, or too far away.
    """
    await get_study(connection, caller, study_id, Action.STUDY_WRITE)
    links = await make_links(
        connection, study_id, study_url, given.participant_ids, given.expires_at, once=given.once
    )
    await write_entry(connection, caller.actor, "study.links", study_id=study_id, count=len(links))
    return links


def write_csv(links: list[PersonalLink]) -> str:
    """A table (RFC 4180) for mail merges and spreadsheets, which run none of its cells."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for link in links:
        expires_at = link.expires_at.isoformat().replace("+00:00", "Z")
        writer.writerow(
            [make_cell_safe(link.participant_id), link.url, expires_at, "true" if link.once else "false"]
        )
    return text.getvalue()
