"""`…/collections/{id}/export`: request, poll, list, delete."""

from __future__ import annotations

import re
from itertools import islice
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Header, Query, Request, Response

from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.exports import service
from fieldpack.server.exports.erasure import require_withdrawn
from fieldpack.server.exports.rows import ExportRow
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import CollectionId, ExportId
from fieldpack.server.http.large import Researchers
from fieldpack.server.http.listing import Page, name_ignored, parse_truth
from fieldpack.server.http.origin import origin_of
from fieldpack.server.http.routing import discard_body, read_json
from fieldpack.server.problems import invalid

router = APIRouter(
    prefix="/data-collection/collections/{collection_id}/export",
    route_class=ResearcherRoute,
    tags=["exports"],
)

POLL_AFTER_SECONDS = 3
MAX_WAIT_SECONDS = 60
# a list at whose commas it divides, but for those within quotes; the parameters of a preference follow a semicolon
_PREFERENCE = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.?)*(?:"|\Z))+')
_WAIT = re.compile(r'\s*wait\s*=\s*"?(\d{1,6})"?\s*(?:;.*)?', re.IGNORECASE)
OF_BODY = ("filter", "history")
MOST_NAMED = 100  # of a body's members that mean nothing

Prefer = Annotated[
    list[str] | None, Header(description="`wait=30` holds the answer until the job ends (RFC 7240).")
]


def wait_seconds(prefer: list[str] | None) -> float:
    """How long `Prefer: wait=` lets the answer be held (RFC 7240 §2 and §4.3)."""
    preferences = _PREFERENCE.findall(", ".join(prefer or ()))  # the header may come in several lines
    match = next(filter(None, map(_WAIT.fullmatch, preferences)), None)  # of several, the first counts
    return min(float(match[1]), MAX_WAIT_SECONDS) if match else 0.0


async def _answer(
    request: Request,
    response: Response,
    context: CurrentContext,
    caller: CurrentCaller,
    row: ExportRow,
    prefer: list[str] | None,
    *,
    accepted: bool,
) -> dict[str, Any]:
    """The export's state; with `accepted`, 202 while it is generating, in the newer dialect always."""
    structlog.contextvars.bind_contextvars(export_id=str(row.id))
    seconds = wait_seconds(prefer)
    if seconds:
        response.headers["Preference-Applied"] = f"wait={int(seconds)}"
        action = Action.EXPORTS_CREATE if accepted else Action.EXPORTS_READ
        row = await service.wait_while_generating(context, caller, row, seconds, action)
    answer = await service.describe_export(context, caller, row, origin_of(request, context))
    is_generating = answer["status"] == "generating"
    if accepted and not is_generating:
        async with context.database.transaction() as connection:
            accepted = await service.is_newer_dialect(connection, row.collection_id)
    if is_generating or accepted:
        response.headers["Retry-After"] = str(POLL_AFTER_SECONDS)
    if accepted:
        response.status_code = 202
        path = f"/api/v1/data-collection/collections/{row.collection_id}/export/{row.id}"
        response.headers["Location"] = origin_of(request, context) + path
    return answer


async def _read_body(request: Request) -> tuple[dict[str, Any] | None, bool | None]:
    """`filter` and `history` of the body, if there is one; what else it has is ignored, and named in the answer.

    Raises:
        Problem: 400, 413, 503.
    """
    body = await read_json(request, Researchers, optional=True)
    if body is None:
        return None, None
    if not isinstance(body, dict):
        raise invalid("body", "Must be an object.")
    of_both = f"{request.state.ignored_parameters}, {name_ignored(islice(body, MOST_NAMED), OF_BODY)}"
    request.state.ignored_parameters = ", ".join(sorted(set(of_both.split(", ")) - {""}))
    found, history = body.get("filter"), body.get("history")
    if found is not None and not isinstance(found, dict):
        raise invalid("filter", "Must be an object.")
    if history is not None and not isinstance(history, bool):
        raise invalid("history", "Must be true or false.")
    return found, history


@router.post("", responses={202: {"description": "Generating"}})
async def request_export(
    request: Request,
    response: Response,
    context: CurrentContext,
    caller: CurrentCaller,
    collection_id: CollectionId,
    study_id: Annotated[str | None, Query(description="Only submissions to this study.")] = None,
    from_: Annotated[str | None, Query(alias="from", description="Completed at or after (RFC 3339).")] = None,
    to: Annotated[str | None, Query(description="Completed before (RFC 3339).")] = None,
    history: Annotated[
        str | None, Query(description="Whether `history.jsonl`, with what was corrected, is in it.")
    ] = None,
    prefer: Prefer = None,
) -> dict[str, Any]:
    """Request an export: 202 with its id while it is made, 200 with a link when a recent one exists.

    A body is optional: `{"filter": {…}}` narrows it further, `{"history": true}` asks for `history.jsonl`.
    """
    given, wanted = await _read_body(request)
    if wanted is None:
        wanted = parse_truth("history", history)
    parameters = [pair for pair in request.query_params.multi_items() if pair[0] != "history"]
    row, _ = await service.request_export(
        context, caller, collection_id, parameters, given, with_history=bool(wanted)
    )
    return await _answer(request, response, context, caller, row, prefer, accepted=True)


@router.get("")
async def list_exports(
    context: CurrentContext, caller: CurrentCaller, collection_id: CollectionId, page: Page
) -> list[dict[str, Any]]:
    """The exports of a collection, newest first: the one list that is a bare array."""
    async with context.database.transaction() as connection:
        rows = await service.list_exports(connection, caller, collection_id, page.limit, page.offset)
    return [
        {
            "export_id": row.id,
            "filter": row.filter or None,
            "status": row.status,
            **service.describe_facts(row),
            "links_expire_at": row.links_expire_at,
        }
        for row in rows
    ]


@router.get("/{export_id}")
async def get_export(
    request: Request,
    response: Response,
    context: CurrentContext,
    caller: CurrentCaller,
    collection_id: CollectionId,
    export_id: ExportId,
    prefer: Prefer = None,
) -> dict[str, Any]:
    """How an export stands; a complete one with a fresh link."""
    async with context.database.transaction() as connection:
        row = await service.get_export(connection, caller, collection_id, export_id)
    return await _answer(request, response, context, caller, row, prefer, accepted=False)


@router.delete("/{export_id}", status_code=204, dependencies=[Depends(discard_body)])
async def delete_export(
    context: CurrentContext, caller: CurrentCaller, collection_id: CollectionId, export_id: ExportId
) -> None:
    """Delete an export; its links answer 410 from then on."""
    async with context.database.transaction() as connection:
        await service.delete_export(connection, caller, collection_id, export_id)
    await require_withdrawn(context, [export_id])
