"""Pages of studies: created in three fields, opened, paused and ended, with the links for participants."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ValidationError

from fieldpack.server.accounts.permissions.authorization import find_allowed
from fieldpack.server.accounts.permissions.roles import Action
from fieldpack.server.accounts.service import Caller
from fieldpack.server.collections.service import get_collection
from fieldpack.server.db.pool import Connection
from fieldpack.server.http.dependencies import CurrentContext
from fieldpack.server.http.ids import CollectionId, StudyId
from fieldpack.server.http.intake.forms import read_unknown_form
from fieldpack.server.http.origin import origin_of
from fieldpack.server.problems import Problem, invalid
from fieldpack.server.studies import copies, service
from fieldpack.server.studies.rows import StudyRow
from fieldpack.server.studies.schemas import StudyInput, StudyPatch, StudyTransition
from fieldpack.server.studies.targeting import find_unenforced
from fieldpack.server.submissions.service import count_submissions
from fieldpack.server.values.whole_numbers import read_whole
from fieldpack.server.web.catalogue import message
from fieldpack.server.web.participants.forms import text_of
from fieldpack.server.web.rendering import catalogue_of, render
from fieldpack.server.web.workbench import views
from fieldpack.server.web.workbench.signed_in import SignedIn, WorkbenchRoute, see_other

router = APIRouter(route_class=WorkbenchRoute, include_in_schema=False)

Model = TypeVar("Model", bound=BaseModel)
METHOD = "AI_TASK_BUILDER_COLLECTION"
STEP_TEXTS = {
    "PUBLISH": message("study.publish"),
    "PAUSE": message("files.pause"),
    "START": message("study.resume"),
    "STOP": message("study.stop"),
}


def _whole(text: str) -> int | None:
    """A whole number that somebody typed, with grouping or without; None for an empty text."""
    digits = "".join(text.split()).replace(".", "").replace(",", "")
    return read_whole(digits)


@router.get("/workbench/collections/{collection_id}/studies/new")
async def ask_for_study(
    request: Request, context: CurrentContext, caller: SignedIn, collection_id: CollectionId
) -> Response:
    """A form for what a study needs: name, places, minutes."""
    return await _ask_for_study(request, context, caller, collection_id, {"places": "100"})


async def _ask_for_study(
    request: Request,
    context: CurrentContext,
    caller: Caller,
    collection_id: CollectionId,
    given: dict[str, str],
    wrong: str = "",
) -> Response:
    async with context.database.transaction() as connection:
        collection = await get_collection(connection, caller, collection_id, Action.STUDY_WRITE)
    return render(
        request,
        "study_new.html",
        status=400 if wrong else 200,
        caller=caller,
        collection=collection,
        base=f"/workbench/collections/{collection_id}",
        name=given.get("name") or collection.name,
        places=given.get("places", ""),
        minutes=given.get("minutes", ""),
        wrong=wrong,
    )


@router.post("/workbench/collections/{collection_id}/studies/new")
async def create_study(
    request: Request, context: CurrentContext, caller: SignedIn, collection_id: CollectionId
) -> Response:
    """A new study, not yet open."""
    form = await read_unknown_form(request)
    given = {name: text_of(form, name).strip() for name in ("name", "places", "minutes")}
    body: dict[str, Any] = {
        "name": given["name"],
        "total_available_places": _whole(given["places"]),
        "data_collection_method": METHOD,
        "data_collection_id": str(collection_id),
    }
    if given["minutes"]:
        body["estimated_completion_time"] = _whole(given["minutes"])
    try:
        async with context.database.transaction() as connection:
            row = await service.create_study(connection, caller, StudyInput.model_validate(body))
    except ValidationError:
        wrong = catalogue_of(request).text("study.wrong")
        return await _ask_for_study(request, context, caller, collection_id, given, wrong)
    return see_other(f"/workbench/studies/{row.id}")


@router.get("/workbench/studies/{study_id}")
async def show_study(
    request: Request, context: CurrentContext, caller: SignedIn, study_id: StudyId
) -> Response:
    """One study: its state, what can be done with it, its links."""
    return await _show_study(request, context, caller, study_id)


async def _show_study(
    request: Request,
    context: CurrentContext,
    caller: Caller,
    study_id: StudyId,
    *,
    refusal: str = "",
    status: int = 200,
    trial: str = "",
) -> Response:
    async with context.database.transaction() as connection:
        row = await service.get_study(connection, caller, study_id)
        counts = await count_submissions(connection, study_id)
        collection = await get_collection(connection, caller, row.collection_id)
        may_write = await _may_write(connection, caller, row)
    catalogue = catalogue_of(request)
    link = service.participant_url(origin_of(request, context), study_id)
    return render(
        request,
        "study.html",
        status=status,
        caller=caller,
        study=row,
        collection=collection,
        base=f"/workbench/collections/{row.collection_id}",
        counts=[
            (views.state_text(state, catalogue), state, count)
            for state, count in counts.items()
            if state != "TOTAL"
        ],
        total=counts["TOTAL"],
        steps=[
            (action, catalogue.text(text))
            for action, text in STEP_TEXTS.items()
            if may_write and row.status in service.TRANSITIONS[action][0]
        ],
        may_write=may_write,
        is_draft=row.status == "UNPUBLISHED",
        link=link,
        trial=trial,
        codes=row.fields["completion_codes"],
        unenforced=find_unenforced(row.fields, row.known_studies, row.known_groups),
        refusal=refusal,
    )


async def _may_write(connection: Connection, caller: Caller, row: StudyRow) -> bool:
    return row.collection_id in await find_allowed(
        connection, caller, Action.STUDY_WRITE, [row.collection_id]
    )


@router.post("/workbench/studies/{study_id}")
async def change_study(
    request: Request, context: CurrentContext, caller: SignedIn, study_id: StudyId
) -> Response:
    """Do a step of the study's life, change places or time, make a copy for trying it, or delete a draft."""
    form = await read_unknown_form(request)
    go = text_of(form, "go")
    where, trial = f"/workbench/studies/{study_id}", ""
    try:
        async with context.database.transaction() as connection:
            if go in STEP_TEXTS:
                await service.transition_study(
                    connection, caller, study_id, _validated(StudyTransition, action=go)
                )
            elif go == "change":
                given = {
                    "total_available_places": _whole(text_of(form, "places")),
                    "maximum_allowed_time": _whole(text_of(form, "minutes")),
                }
                changed = {name: value for name, value in given.items() if value is not None}
                if not changed:
                    raise invalid("places", catalogue_of(request).text("study.wrong"))
                await service.patch_study(connection, caller, study_id, _validated(StudyPatch, **changed))
            elif go == "try":
                row = await copies.make_trial(connection, caller, study_id)
                trial = copies.trial_url(origin_of(request, context), row.id)
            elif go == "clone":
                row = await copies.clone_study(connection, caller, study_id, block_previous=True)
                where = f"/workbench/studies/{row.id}"
            elif go == "delete":
                row = await service.get_study(connection, caller, study_id)
                await service.delete_study(connection, caller, study_id)
                where = f"/workbench/collections/{row.collection_id}"
            else:
                raise invalid("go", "Unknown action.")
    except ValidationError:
        wrong = catalogue_of(request).text("study.wrong")
        return await _show_study(request, context, caller, study_id, refusal=wrong, status=400)
    except Problem as problem:
        if problem.type.status not in (400, 409):
            raise
        sentence, status = views.say_problem(problem), problem.type.status
        return await _show_study(request, context, caller, study_id, refusal=sentence, status=status)
    if trial:
        return await _show_study(request, context, caller, study_id, trial=trial)
    return see_other(where)


def _validated(model: type[Model], **given: Any) -> Model:
    return model.model_validate(given)
