"""`/studies/{id}/links`: personal links for participants."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute, asks
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.audit.service import write_entry
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import StudyId
from fieldpack.server.http.listing import envelope
from fieldpack.server.studies.service import get_study
from fieldpack.server.tickets.access import study_page
from fieldpack.server.tickets.personal import PersonalLink, make_links
from fieldpack.server.tickets.schemas import LinksInput
from fieldpack.text import make_cell_safe

COLUMNS = ("participant_id", "url", "expires_at", "once")


router = APIRouter(prefix="/studies", route_class=ResearcherRoute, tags=["studies"])


@router.post(
    "/{study_id}/links",
    response_model=None,
    responses={200: {"content": {"application/json": {}, "text/csv": {}}}},
)
@asks(Action.STUDY_WRITE)
async def make_personal_links(
    request: Request,
    context: CurrentContext,
    caller: CurrentCaller,
    study_id: StudyId,
    body: LinksInput,
    format: Annotated[
        Literal["json", "csv"] | None, Query(description="`csv`, also by `Accept: text/csv`.")
    ] = None,
) -> dict[str, Any] | Response:
    """A link for each participant, signed: it opens the study for them alone. Nothing is stored."""
    async with context.database.transaction() as connection:
        await get_study(connection, caller, study_id, Action.STUDY_WRITE)
        links = await make_links(
            connection,
            study_id,
            study_page(request, context, study_id),
            body.participant_ids,
            body.expires_at,
            once=body.once,
        )
        await write_entry(connection, caller.actor, "study.links", study_id=study_id, count=len(links))
    wants_csv = request.headers.get("accept", "").partition(",")[0].partition(";")[0].strip() == "text/csv"
    if format == "csv" or (format is None and wants_csv):
        return Response(_write_csv(links), media_type="text/csv; charset=utf-8")
    return envelope([asdict(link) for link in links], len(links))


def _write_csv(links: list[PersonalLink]) -> str:
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
