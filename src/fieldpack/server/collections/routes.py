"""`/data-collection/collections`, their responses and files."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute, asks
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.collections import service
from fieldpack.server.collections.limits import check_limits
from fieldpack.server.collections.lists import service as lists
from fieldpack.server.collections.lists.filters import parse_filter
from fieldpack.server.collections.schemas import CollectionCopy, CollectionInput, CollectionReplacement
from fieldpack.server.config import Settings
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import CollectionId, FileKey
from fieldpack.server.http.listing import Page, envelope
from fieldpack.server.http.origin import origin_of
from fieldpack.server.http.routing import discard_body, parse_given_id
from fieldpack.server.http.sending.stream import send_blob
from fieldpack.server.problems import invalid


class CollectionRoute(ResearcherRoute):
    """A route of a collection, which may say no more than so much."""

    def check_body(self, body: Any, settings: Settings) -> None:
        check_limits(body, settings)


def _parse_version(text: str | None) -> int | None:
    """The version that `If-Match` names; None without one, or for `*`, which any is.

    Raises:
        Problem: 400 for what is no version that `ETag` named.
    """
    plain = (text or "*").strip().removeprefix("W/").strip('"')
    if plain == "*":
        return None
    if not (plain.isascii() and plain.isdecimal() and len(plain) < 10):
        raise invalid("If-Match", "Must be the version that ETag named, or *.")
    return int(plain)


router = APIRouter(prefix="/data-collection/collections", route_class=CollectionRoute, tags=["collections"])


@router.post("", status_code=201)
async def create_collection(
    request: Request, context: CurrentContext, caller: CurrentCaller, body: CollectionInput
) -> dict[str, Any]:
    """A new collection in a workspace of the caller's."""
    workspace_id = parse_given_id("workspace_id", "Workspace", body.workspace_id)
    origin = origin_of(request, context)
    async with context.database.transaction() as connection:
        row = await service.create_collection(connection, caller, workspace_id, body, origin)
    return service.describe_collection(row, origin)


def _filters(
    search: Annotated[
        str | None, Query(description="What the name or the description holds, in any case.")
    ] = None,
    state: Annotated[
        str | None, Query(description="`open`, `paused`, `ended` or `draft`: by what its studies are.")
    ] = None,
    mine: Annotated[str | None, Query(description="`yes`: those that you made.")] = None,
    review: Annotated[
        str | None, Query(description="`yes`: those with submissions that wait for a review.")
    ] = None,
    archived: Annotated[
        str | None, Query(description="`no`, unless given; `yes`: those that were put aside; `all`: both.")
    ] = None,
) -> None:
    """The parameters that `lists.filters.parse_filter` reads, so that they are known and documented."""


@router.get("", dependencies=[Depends(_filters)])
async def list_collections(
    request: Request,
    context: CurrentContext,
    caller: CurrentCaller,
    page: Page,
    workspace_id: Annotated[str, Query(min_length=1, description="The workspace.")],
    project: Annotated[str | None, Query(description="Only those with a study in this project.")] = None,
    sort: Annotated[
        str, Query(description="`created`: newest first; `activity`: by what happened last.")
    ] = "created",
) -> dict[str, Any]:
    """The collections of one workspace, newest first unless asked otherwise."""
    identifier = parse_given_id("workspace_id", "Workspace", workspace_id)
    project_id = parse_given_id("project", "Project", project) if project else None
    wanted = parse_filter(request.query_params.multi_items())
    async with context.database.transaction() as connection:
        rows, count = await lists.list_collections(
            connection,
            caller,
            identifier,
            wanted,
            page.limit,
            page.offset,
            project_id=project_id,
            order=sort,
        )
    origin = origin_of(request, context)
    return envelope([service.describe_collection(row, origin) for row in rows], count)


@router.get("/{collection_id}")
async def get_collection(
    request: Request,
    response: Response,
    context: CurrentContext,
    caller: CurrentCaller,
    collection_id: CollectionId,
) -> dict[str, Any]:
    """One collection in its latest version, which `ETag` names."""
    async with context.database.transaction() as connection:
        row = await service.get_collection(connection, caller, collection_id)
    response.headers["ETag"] = f'"{row.version}"'
    return service.describe_collection(row, origin_of(request, context))


@router.put("/{collection_id}")
@asks(Action.COLLECTION_WRITE)
async def replace_collection(
    request: Request,
    response: Response,
    context: CurrentContext,
    caller: CurrentCaller,
    collection_id: CollectionId,
    body: CollectionReplacement,
) -> dict[str, Any]:
    """Full replacement; submissions under way keep the version they started with.

    With `If-Match: <version>` what was changed meanwhile is not overwritten (412).
    """
    origin = origin_of(request, context)
    expected = _parse_version(request.headers.get("if-match"))
    async with context.database.transaction() as connection:
        row = await service.replace_collection(
            connection, caller, collection_id, body, origin, expected=expected
        )
    response.headers["ETag"] = f'"{row.version}"'
    return service.describe_collection(row, origin)


@router.post("/{collection_id}/archive", dependencies=[Depends(discard_body)])
async def archive_collection(
    request: Request, context: CurrentContext, caller: CurrentCaller, collection_id: CollectionId
) -> dict[str, Any]:
    """Put a collection aside, out of lists; its studies go on, and its links stay good."""
    async with context.database.transaction() as connection:
        row = await service.archive_collection(connection, caller, collection_id, archived=True)
    return service.describe_collection(row, origin_of(request, context))


@router.post("/{collection_id}/unarchive", dependencies=[Depends(discard_body)])
async def unarchive_collection(
    request: Request, context: CurrentContext, caller: CurrentCaller, collection_id: CollectionId
) -> dict[str, Any]:
    """Put it back into lists."""
    async with context.database.transaction() as connection:
        row = await service.archive_collection(connection, caller, collection_id, archived=False)
    return service.describe_collection(row, origin_of(request, context))


@router.post("/{collection_id}/duplicate", status_code=201)
@asks(Action.COLLECTION_READ)
async def duplicate_collection(
    request: Request,
    context: CurrentContext,
    caller: CurrentCaller,
    collection_id: CollectionId,
    body: CollectionCopy | None = None,
) -> dict[str, Any]:
    """A new collection that asks the same, in the same workspace."""
    origin = origin_of(request, context)
    async with context.database.transaction() as connection:
        name = body.name if body is not None else None
        row = await service.duplicate_collection(connection, caller, collection_id, name, origin)
    return service.describe_collection(row, origin)


@router.get("/{collection_id}/responses")
async def list_responses(
    context: CurrentContext, caller: CurrentCaller, collection_id: CollectionId, page: Page
) -> dict[str, Any]:
    """Active responses, a record per instruction answered, in the archive's order of submissions."""
    async with context.database.transaction() as connection:
        found, count = await service.list_responses(
            connection, caller, collection_id, page.limit, page.offset
        )
    return envelope(found, count)


@router.get(
    "/{collection_id}/files/{file_key}",
    response_class=Response,
    responses={
        200: {"description": "The file, of the type it was found to be", "content": {"*/*": {}}},
        206: {"description": "The range asked for", "content": {"*/*": {}}},
        304: {"description": "Not modified"},
    },
)
async def get_file(
    request: Request,
    context: CurrentContext,
    caller: CurrentCaller,
    collection_id: CollectionId,
    file_key: FileKey,
) -> Response:
    """One uploaded file as an attachment; ranges work."""
    async with context.database.statements() as connection:
        file = await service.open_file(connection, caller, collection_id, file_key)
    return send_blob(request, context, file)
