"""`/studies/{id}/links`: links for all participants, and personal ones."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute, asks
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import StudyId
from fieldpack.server.http.listing import envelope, prefers_csv
from fieldpack.server.http.origin import origin_of
from fieldpack.server.studies.service import get_study
from fieldpack.server.tickets.access import study_page
from fieldpack.server.tickets.addresses import find_addresses
from fieldpack.server.tickets.schemas import LinksInput
from fieldpack.server.tickets.service import request_links, write_csv

router = APIRouter(prefix="/studies", route_class=ResearcherRoute, tags=["studies"])


@router.get("/{study_id}/links")
async def list_links(
    request: Request, context: CurrentContext, caller: CurrentCaller, study_id: StudyId
) -> dict[str, Any]:
    """The study's links that are the same for everybody, with QR codes."""
    async with context.database.transaction() as connection:
        await get_study(connection, caller, study_id)
    found = find_addresses(origin_of(request, context), study_id)
    return envelope([asdict(each) for each in found], len(found))


@router.post(
    "/{study_id}/links",
    response_model=dict[str, Any],
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
        page = study_page(request, context, study_id)
        links = await request_links(connection, caller, study_id, page, body)
    if format == "csv" or (format is None and prefers_csv(request)):
        return Response(write_csv(links), media_type="text/csv; charset=utf-8")
    return envelope([asdict(link) for link in links], len(links))
