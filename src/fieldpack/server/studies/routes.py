"""`/studies`, and the steps of one study."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from fieldpack.server.accounts.access import CurrentCaller, ResearcherRoute, asks
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import ProjectId, StudyId
from fieldpack.server.http.listing import Page, envelope, parse_ordering, parse_words
from fieldpack.server.http.origin import origin_of
from fieldpack.server.http.routing import discard_body, parse_given_id
from fieldpack.server.projects.service import get_project
from fieldpack.server.studies import copies, queries, service
from fieldpack.server.studies.money import describe_cost
from fieldpack.server.studies.schemas import StudyClone, StudyInput, StudyPatch, StudyTransition

router = APIRouter(prefix="/studies", route_class=ResearcherRoute, tags=["studies"])
project_router = APIRouter(route_class=ResearcherRoute, tags=["projects"])

Flag = Annotated[int | None, Query(ge=0, le=1)]


@router.post("", status_code=201)
async def create_study(
    request: Request, context: CurrentContext, caller: CurrentCaller, body: StudyInput
) -> dict[str, Any]:
    """A new, unpublished study of a collection."""
    async with context.database.transaction() as connection:
        row = await service.create_study(connection, caller, body)
    return service.describe_study(row, origin_of(request, context))


@router.get("")
async def list_studies(
    request: Request,
    context: CurrentContext,
    caller: CurrentCaller,
    page: Page,
    state: Annotated[
        list[str] | None, Query(description="A status, or several as `(active|paused)`, in any case.")
    ] = None,
    search: Annotated[
        str | None, Query(max_length=2000, description="What the name or internal name holds.")
    ] = None,
    published: Flag = None,
    active: Flag = None,
    completed: Flag = None,
    scheduled: Flag = None,
    workspace_id: str | None = None,
    data_collection_id: str | None = None,
    project: str | None = None,
    test: Flag = None,
) -> dict[str, Any]:
    """The caller's studies, newest first; `published`, `active`, `completed` and `scheduled` are 0 or 1, `test` too."""
    flags = {"published": published, "active": active, "completed": completed, "scheduled": scheduled}
    statuses = service.choose_statuses(parse_words("state", state or [], service.STATES), flags)
    workspace = parse_given_id("workspace_id", "Workspace", workspace_id) if workspace_id else None
    collection = (
        parse_given_id("data_collection_id", "Collection", data_collection_id) if data_collection_id else None
    )
    project_id = parse_given_id("project", "Project", project) if project else None
    async with context.database.transaction() as connection:
        rows, count = await service.list_studies(
            connection,
            caller,
            statuses=statuses,
            workspace_id=workspace,
            collection_id=collection,
            project_id=project_id,
            search=search,
            limit=page.limit,
            offset=page.offset,
            test=test == 1,
        )
        origin = origin_of(request, context)
        return envelope(await service.describe_studies(connection, caller, rows, origin), count)


@router.get("/{study_id}")
async def get_study(
    request: Request, context: CurrentContext, caller: CurrentCaller, study_id: StudyId
) -> dict[str, Any]:
    """One study."""
    async with context.database.transaction() as connection:
        row = await service.get_study(connection, caller, study_id)
        origin = origin_of(request, context)
        return (await service.describe_studies(connection, caller, [row], origin))[0]


@router.patch("/{study_id}")
@asks(Action.STUDY_WRITE)
async def patch_study(
    request: Request, context: CurrentContext, caller: CurrentCaller, study_id: StudyId, body: StudyPatch
) -> dict[str, Any]:
    """Change what is given; empty fields count as not given."""
    async with context.database.transaction() as connection:
        row = await service.patch_study(connection, caller, study_id, body)
    return service.describe_study(row, origin_of(request, context))


@router.post("/{study_id}/transition")
@asks(Action.STUDY_WRITE)
async def transition_study(
    request: Request, context: CurrentContext, caller: CurrentCaller, study_id: StudyId, body: StudyTransition
) -> dict[str, Any]:
    """Publish, now or at a time, pause, start again or stop."""
    async with context.database.transaction() as connection:
        row = await service.transition_study(connection, caller, study_id, body)
    return service.describe_study(row, origin_of(request, context))


@router.delete("/{study_id}", status_code=204, dependencies=[Depends(discard_body)])
async def delete_study(context: CurrentContext, caller: CurrentCaller, study_id: StudyId) -> None:
    """Delete a draft."""
    async with context.database.transaction() as connection:
        await service.delete_study(connection, caller, study_id)


@router.post("/{study_id}/clone")
@asks(Action.STUDY_WRITE)
async def clone_study(
    request: Request,
    context: CurrentContext,
    caller: CurrentCaller,
    study_id: StudyId,
    body: StudyClone | None = None,
) -> dict[str, Any]:
    """A new, unpublished study with the same content. It excludes who took part in this one unless told otherwise."""
    blocks = body is None or body.block_previous_participants is not False
    async with context.database.transaction() as connection:
        row = await copies.clone_study(connection, caller, study_id, block_previous=blocks)
    return service.describe_study(row, origin_of(request, context))


@router.post("/{study_id}/test-study", dependencies=[Depends(discard_body)])
async def test_study(
    request: Request, context: CurrentContext, caller: CurrentCaller, study_id: StudyId
) -> dict[str, Any]:
    """A copy for trying a study: its submissions are marked as tests."""
    async with context.database.transaction() as connection:
        row = await copies.make_trial(connection, caller, study_id)
    return {"study_id": row.id, "study_url": copies.trial_url(origin_of(request, context), row.id)}


@router.get("/{study_id}/cost")
async def get_cost(context: CurrentContext, caller: CurrentCaller, study_id: StudyId) -> dict[str, Any]:
    """The cost of a study: always zero."""
    async with context.database.transaction() as connection:
        await service.get_study(connection, caller, study_id)
    return describe_cost()


@project_router.get("/projects/{project_id}/studies")
async def list_studies_of_project(
    request: Request,
    context: CurrentContext,
    caller: CurrentCaller,
    project_id: ProjectId,
    page: Page,
    ordering: Annotated[
        str | None, Query(description=f"One of {', '.join(queries.ORDERINGS)}; `-` before it is descending.")
    ] = None,
) -> dict[str, Any]:
    """The studies of a project, newest first unless `ordering` says another."""
    order = parse_ordering(ordering, queries.ORDERINGS)
    async with context.database.transaction() as connection:
        await get_project(connection, caller, project_id)
        rows, count = await service.list_studies(
            connection, caller, project_id=project_id, limit=page.limit, offset=page.offset, ordering=order
        )
        origin = origin_of(request, context)
        return envelope(await service.describe_studies(connection, caller, rows, origin), count)
