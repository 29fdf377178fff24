"""Collections made and changed in the browser, as the YAML that the command line takes, by the rules of the API."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from fastapi import APIRouter, Request, Response

from fieldpack.documents.collection_files import file_of, write_collection
from fieldpack.documents.yaml_writing import write_yaml
from fieldpack.server.accounts.permissions.authorization import not_a_member, require
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.queries import find_workspace
from fieldpack.server.accounts.service import Caller
from fieldpack.server.collections.rows import CollectionRow
from fieldpack.server.collections.schemas import CollectionReplacement
from fieldpack.server.collections.service import (
    create_collection,
    describe_collection,
    get_collection,
    replace_collection,
)
from fieldpack.server.context import Context
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import CollectionId, WorkspaceId
from fieldpack.server.http.origin import origin_of
from fieldpack.server.pictures.forms import read_picture_form
from fieldpack.server.problems import Problem, invalid
from fieldpack.server.responses.edits.service import find_effects
from fieldpack.server.web.participants.forms import text_of
from fieldpack.server.web.rendering import catalogue_of
from fieldpack.server.web.workbench.collections.desk import Desk, digest_of, read_form, refuse, show_desk
from fieldpack.server.web.workbench.collections.drafts import begin_draft
from fieldpack.server.web.workbench.collections.management import collection_path
from fieldpack.server.web.workbench.signed_in import SignedIn, WorkbenchRoute, see_other

__all__ = ["router"]

router = APIRouter(route_class=WorkbenchRoute, include_in_schema=False)

NEW = "/workbench/workspaces/{workspace_id}/collections/new"
EDIT = "/workbench/collections/{collection_id}/edit"
FORM_BYTES = 64 * 1024  # what a form around the text may take


def _write(row: CollectionRow, request: Request, context: Context) -> str:
    return write_collection(describe_collection(row, origin_of(request, context)))


# new ones


async def _find_title(context: Context, caller: Caller, workspace_id: UUID) -> str:
    """The title of a workspace in which the caller may make collections.

    Raises:
        Problem: 404, 403.
    """
    async with context.database.transaction() as connection:
        await require(
            connection, caller, Action.COLLECTION_WRITE, workspace=workspace_id, foreign=not_a_member()
        )
        workspace = await find_workspace(connection, workspace_id)
    return workspace.title if workspace is not None else ""


@router.get(NEW)
async def begin(
    request: Request, context: CurrentContext, caller: SignedIn, workspace_id: WorkspaceId
) -> Response:
    """A new collection, which begins with one question."""
    title = await _find_title(context, caller, workspace_id)
    body = begin_draft(catalogue_of(request))
    return show_desk(request, caller, title, Desk(workspace_id, None, write_yaml(body), body))


@router.post(NEW)
async def make(
    request: Request, context: CurrentContext, caller: SignedIn, workspace_id: WorkspaceId
) -> Response:
    """Check the text, or make a collection of it."""
    title = await _find_title(context, caller, workspace_id)
    form = await read_picture_form(request, context.settings, context.settings.max_body_bytes + FORM_BYTES)
    try:
        go, desk = await read_form(request, context, caller, form, Desk(workspace_id, None, ""))
    finally:
        await form.close()
    if go == "save" and desk.draft is not None and desk.draft.given is not None:
        given = desk.draft.given
        try:
            async with context.database.transaction() as connection:
                row = await create_collection(
                    connection, caller, workspace_id, _without_ids(given), origin_of(request, context)
                )
        except Problem as problem:
            desk = refuse(desk, problem)
        else:
            return see_other(collection_path(row.id))
    return show_desk(request, caller, title, desk)


def _without_ids(given: CollectionReplacement) -> CollectionReplacement:
    """The same as a new one: a text that was copied from another collection brings its ids along."""
    pages = [
        page.model_copy(
            update={
                "id": None,
                "page_items": [item.model_copy(update={"id": None}) for item in page.page_items],
            }
        )
        for page in given.collection_items
    ]
    return given.model_copy(update={"collection_items": pages})


# changes


@router.get(EDIT)
async def open_editor(
    request: Request, context: CurrentContext, caller: SignedIn, collection_id: CollectionId
) -> Response:
    """A collection as text."""
    async with context.database.transaction() as connection:
        row = await get_collection(connection, caller, collection_id, Action.COLLECTION_WRITE)
    body = file_of(describe_collection(row, origin_of(request, context)))
    return show_desk(request, caller, "", Desk(row.workspace_id, row, write_yaml(body), body, row.version))


@router.post(EDIT)
async def change(
    request: Request, context: CurrentContext, caller: SignedIn, collection_id: CollectionId
) -> Response:
    """Check the text, or put it in the collection's place; what it does to answers is shown before."""
    async with context.database.transaction() as connection:
        row = await get_collection(connection, caller, collection_id, Action.COLLECTION_WRITE)
    form = await read_picture_form(request, context.settings, context.settings.max_body_bytes + FORM_BYTES)
    try:
        go, desk = await read_form(request, context, caller, form, Desk(row.workspace_id, row, ""))
        version, seen = text_of(form, "version"), text_of(form, "seen")
    finally:
        await form.close()
    if not (version.isascii() and version.isdecimal() and len(version) < 10):
        raise invalid("version", "Must be the version that the page was made with.")
    desk = replace(desk, version=int(version))
    given = desk.draft.given if desk.draft is not None else None
    if given is None:
        return show_desk(request, caller, "", desk)
    try:
        async with context.database.transaction() as connection:
            effects = await find_effects(connection, caller, collection_id, given)
            desk = replace(desk, effects=effects)
            if go != "save":
                return show_desk(request, caller, "", desk)
            if effects.effects and seen != digest_of(desk.source):
                return show_desk(request, caller, "", replace(desk, asks=True))
            await replace_collection(
                connection,
                caller,
                collection_id,
                given,
                origin_of(request, context),
                expected=desk.version,
            )
    except Problem as problem:
        if problem.type.status == 412:
            return await _show_both(request, context, caller, desk, collection_id)
        return show_desk(request, caller, "", refuse(desk, problem))
    return see_other(collection_path(collection_id))


async def _show_both(
    request: Request, context: Context, caller: Caller, desk: Desk, collection_id: UUID
) -> Response:
    """Two have changed it at the same time: both texts, of which this one is saved next if its writer wants that."""
    async with context.database.transaction() as connection:
        row = await get_collection(connection, caller, collection_id, Action.COLLECTION_WRITE)
    theirs = _write(row, request, context)
    return show_desk(
        request,
        caller,
        "",
        replace(desk, collection=row, version=row.version, theirs=theirs, status=409),
    )


@router.get("/workbench/collections/{collection_id}/collection.yaml")
async def download(
    request: Request, context: CurrentContext, caller: SignedIn, collection_id: CollectionId
) -> Response:
    """The text as a file, for `fieldpack collection create` and `update`."""
    async with context.database.transaction() as connection:
        row = await get_collection(connection, caller, collection_id)
    return Response(
        _write(row, request, context),
        media_type="application/yaml",
        headers={
            "Content-Disposition": f'attachment; filename="{collection_id}.yaml"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )
